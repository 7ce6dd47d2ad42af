//! The task that follows a relation: it waits for a write, takes a time, waits until the relation
//! is complete at it, and puts the changes up to it into the buffer.

use std::sync::Arc;
use std::time::Duration;

use tidemark_catalog::{Catalog, Column, Object, ObjectKind};
use tidemark_engine::{CollectionId, ReadGuard, Relation, Timestamp, Updates};
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::maintain::plan_stored_view;
use tidemark_sql::version::is_same_plan;
use tokio::sync::watch;
use tokio::time::sleep;

use super::Own;
use super::before;
use super::buffer::{Buffer, too_far_behind};
use super::layout::Layout;
use crate::cancel::Cancel;
use crate::coordinator::Coordinator;
use crate::lock::{LockSet, Mode, Target};
use crate::transaction::acquire;

/// The least time between two steps: what comes meanwhile goes out together.
const PACE: Duration = Duration::from_millis(1);
/// How often a subscription with progress says that nothing has changed.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How much later than they happen changes may be put in, once they have been current.
const BEHIND_MAX: Duration = Duration::from_secs(300);
/// Most rows of one batch.
const ROWS_MAX: usize = 16 * 1024;

/// See the head of this file.
pub struct Producer {
    pub coordinator: Arc<Coordinator>,
    /// As it was at the start.
    pub object: Object,
    /// Keeps the relation while the view's definition is replaced.
    pub catalog: Arc<Catalog>,
    pub relation: Arc<Relation>,
    pub written: watch::Receiver<Timestamp>,
    /// The last change of its past that it begins after.
    pub rewritten: Timestamp,
    /// Up to where changes are put in.
    pub last: Timestamp,
    /// Keeps what has changed since.
    pub guard: ReadGuard,
    pub own: Option<Own>,
    /// Whether it has caught up once with what happens.
    pub is_current: bool,
    pub layout: Arc<Layout>,
    pub buffer: Arc<Buffer>,
    pub wanted: watch::Receiver<Timestamp>,
}

impl Producer {
    /// Runs until nobody wants its changes, or they end with an error.
    pub async fn run(mut self) {
        let mut definitions = self.coordinator.definitions();
        let mut wanted = self.wanted.clone();
        loop {
            if !self.wait(&mut definitions).await {
                return;
            }
            let step = tokio::select! {
                step = self.step() => step,
                // Nobody wants it any more.
                _ = wanted.wait_for(|at| *at == Timestamp::MAX) => return,
            };
            if let Err(error) = step {
                return self.buffer.end(error);
            }
            sleep(PACE).await;
        }
    }

    /// Waits until there may be something to do; false when nobody wants it.
    async fn wait(&mut self, definitions: &mut watch::Receiver<u64>) -> bool {
        let last = self.last;
        let heartbeat = async {
            match self.layout.has_progress {
                true => sleep(HEARTBEAT).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            wanted = self.wanted.wait_for(|at| *at > last) => wanted.is_ok(),
            _ = self.written.wait_for(|at| *at > last) => true,
            _ = definitions.changed() => true,
            () = heartbeat => true,
        }
    }

    async fn step(&mut self) -> Result<(), SqlError> {
        self.buffer.room().await?;
        let guard = self.coordinator.engine.begin_read();
        let at = guard.at;
        let behind = Duration::from_micros(at.0.saturating_sub(self.last.0));
        if self.is_current && behind > BEHIND_MAX && *self.written.borrow() > self.last {
            return Err(too_far_behind(format!("It is {} seconds behind.", behind.as_secs())));
        }
        let newest = self.coordinator.settled_catalog().await;
        if newest.version() != self.catalog.version() {
            self.follow(newest, at).await?;
        }
        self.advance(at).await?;
        // What follows a plain view anew is beyond it.
        let at = at.max(self.last);
        if guard.at == at {
            self.guard = guard;
        }
        self.is_current = true;
        if self.layout.has_progress {
            self.buffer.put(self.layout.progress(at));
        }
        self.buffer.put_all_until(at);
        Ok(())
    }

    /// Goes over to the versions of the definition that came into force up to `at`.
    async fn follow(&mut self, newest: Arc<Catalog>, at: Timestamp) -> Result<(), SqlError> {
        let id = self.object.id;
        let present = newest.get(id).ok_or_else(|| self.ended("was dropped"))?;
        self.check_row_type(present)?;
        if let Some(own) = &self.own {
            let ctx = self.coordinator.own_context(Arc::clone(&newest));
            let planned = plan_stored_view(&ctx, present);
            if planned.is_ok_and(|planned| is_same_plan(&planned.plan, &own.plan)) {
                self.catalog = newest;
                return Ok(());
            }
            return self.follow_anew().await;
        }
        let versions = newest.versions(id);
        let later = |from: u64| self.last.0 < from && from != u64::MAX;
        let (due, to_come): (Vec<_>, Vec<_>) = versions
            .into_iter()
            .filter(|version| later(version.from.0))
            .partition(|version| version.from.0 <= at.0);
        for version in due {
            let collection = CollectionId(version.object.collection().0);
            if collection != self.relation.id() {
                self.replace(collection, Timestamp(version.from.0)).await?;
            }
        }
        if to_come.is_empty() {
            self.catalog = newest;
        }
        Ok(())
    }

    /// Follows a plain view by its new definition, or by that of what it stands on. Nothing has
    /// kept that up since it came into force, so what it went through until now is replayed.
    async fn follow_anew(&mut self) -> Result<(), SqlError> {
        let locks = LockSet::new(&self.coordinator.locks);
        acquire(&locks, Target::Catalog, Mode::Shared, &Cancel::default()).await?;
        let catalog = self.coordinator.catalog();
        let present = catalog.get(self.object.id).ok_or_else(|| self.ended("was dropped"))?;
        self.check_row_type(present)?;
        let begun = Own::begin(&self.coordinator, Arc::clone(&catalog), present).await;
        let (own, relation, guard) = begun.map_err(|error| self.not_gone_on(error))?;
        drop(locks);
        let to = guard.at;
        let complete = self.coordinator.engine.wait_for(own.views.ids(), to).await;
        complete.map_err(|_| self.ended("was dropped"))?;
        let ctx = self.coordinator.own_context(Arc::clone(&catalog));
        let changes = before::changes(&ctx, present, self.last, to).await;
        for updates in changes.map_err(|error| self.not_gone_on(error))? {
            self.put(&updates).await?;
        }
        self.written = relation.written();
        self.rewritten = relation.last_rewritten();
        self.relation = relation;
        self.own = Some(own);
        self.catalog = catalog;
        (self.last, self.guard) = (to, guard);
        Ok(())
    }

    /// Another relation takes the place of this one at `at`.
    async fn replace(&mut self, collection: CollectionId, at: Timestamp) -> Result<(), SqlError> {
        self.advance(Timestamp(at.0 - 1)).await?;
        let next = self.coordinator.engine.relation(collection);
        let next = next.ok_or_else(|| self.ended("was dropped"))?;
        self.complete(collection, at).await?;
        let changes = self.relation.replaced_by(&next, at);
        self.put(&changes).await?;
        self.written = next.written();
        self.rewritten = next.last_rewritten();
        self.relation = next;
        self.last = at;
        Ok(())
    }

    /// Puts in what has changed up to `to`.
    async fn advance(&mut self, to: Timestamp) -> Result<(), SqlError> {
        if to <= self.last {
            return Ok(());
        }
        self.complete(self.relation.id(), to).await?;
        let changes = self.relation.changes(self.last, to);
        if self.relation.last_rewritten() > self.rewritten {
            return Err(self.ended("has got rows with earlier arrival times"));
        }
        self.put(&changes).await?;
        self.last = to;
        Ok(())
    }

    async fn complete(&self, collection: CollectionId, at: Timestamp) -> Result<(), SqlError> {
        match self.object.kind {
            ObjectKind::Table(_) | ObjectKind::Source(_) => Ok(()),
            ObjectKind::View(_) | ObjectKind::MaterializedView(_) => {
                let complete = self.coordinator.engine.wait_for(&[collection], at).await;
                complete.map_err(|_| self.ended("was dropped"))
            }
        }
    }

    async fn put(&self, changes: &Updates) -> Result<(), SqlError> {
        for from in (0..changes.len()).step_by(ROWS_MAX) {
            let rows = ROWS_MAX.min(changes.len() - from);
            self.buffer.room().await?;
            self.buffer.put(self.layout.changes(&changes.slice(from, rows)));
        }
        Ok(())
    }

    fn check_row_type(&self, present: &Object) -> Result<(), SqlError> {
        let types = |object: &Object| {
            let of = |column: &Column| (column.name.clone(), column.ty, column.typmod);
            object.columns().iter().map(of).collect::<Vec<_>>()
        };
        match types(present) == types(&self.object) {
            true => Ok(()),
            false => Err(self.ended("has other columns now")),
        }
    }

    /// 55000: why it cannot be followed by its new definition.
    fn not_gone_on(&self, error: SqlError) -> SqlError {
        let detail = match error.detail {
            Some(detail) => format!("{}: {detail}", error.message),
            None => error.message,
        };
        self.ended("has a definition that cannot be followed").with_detail(detail)
    }

    /// 55000: there is no going on.
    fn ended(&self, why: &str) -> SqlError {
        let message = format!("the subscription has ended: \"{}\" {why}", self.object.name);
        SqlError::new(state::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
    }
}
