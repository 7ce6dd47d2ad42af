//! Commits: what a transaction staged becomes one change of the engine, then of the catalog.
//!
//! Law      The engine's log decides: when it has the change, the commit has happened, and the
//!          catalog and its durable copy follow in the same order, as only one transaction at a
//!          time holds the right to change them. A commit handed over is never given up, whoever
//!          stops waiting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tidemark_catalog::durable::Entry;
use tidemark_catalog::{Catalog, CommitTime, Op};
use tidemark_engine::{
    Change, CollectionId, CommitError, EvaluateContext, HISTORY_RETENTION, ReadGuard, Timestamp,
};
use tidemark_sql::PlanContext;
use tidemark_sql::context::collection;
use tidemark_sql::error::SqlError;
use tokio::sync::oneshot;

use super::Coordinator;
use crate::cancel;
use crate::transaction::{Commit, serialization_failure};

/// What the committer runs to learn what a commit changes.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// When each table was last changed by a commit that was evaluated, though maybe not durable yet:
/// the engine tells only of whole groups, and a commit must see conflicts with its own group too.
/// One that failed after its evaluation counts as well, which at worst makes somebody retry.
#[derive(Default)]
pub struct Evaluated {
    changed: Mutex<HashMap<CollectionId, Timestamp>>,
}

impl Evaluated {
    fn note(&self, change: &Change, at: Timestamp) {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        for write in &change.writes {
            changed.insert(write.table, at);
        }
        for table in &change.drop_tables {
            changed.remove(table);
        }
    }

    fn last_changed(&self, table: CollectionId) -> Timestamp {
        let changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.get(&table).copied().unwrap_or(Timestamp::MIN)
    }
}

impl Coordinator {
    /// Hands a change to the committer and waits until it is durable and visible, or refused. It
    /// waits for views over the tables it `writes` to when they are behind.
    pub async fn submit_evaluated(
        &self,
        writes: Vec<CollectionId>,
        evaluate: impl FnOnce(&EvaluateContext) -> Result<Change, BoxError> + Send + 'static,
    ) -> Result<Timestamp, CommitError> {
        let (done, committed) = oneshot::channel();
        let reply = move |result| {
            // The session may have gone; the commit has happened all the same.
            let _ = done.send(result);
        };
        let evaluated = Arc::clone(&self.evaluated);
        let evaluate = move |at: &EvaluateContext| {
            let change = evaluate(at)?;
            evaluated.note(&change, at.now);
            Ok(change)
        };
        self.engine.submit(writes, Box::new(evaluate), Box::new(reply));
        match committed.await {
            Ok(result) => result,
            Err(_) => Err(CommitError::Rejected(Box::new(cancel::shutting_down()))),
        }
    }

    /// The same for a change that is known before.
    pub async fn submit(&self, change: Change) -> Result<Timestamp, CommitError> {
        self.submit_evaluated(change.tables(), move |_| Ok(change)).await
    }

    /// Commits what a transaction staged; `guard` keeps its snapshot until then.
    pub async fn commit(
        self: &Arc<Self>,
        ctx: &PlanContext,
        commit: Commit,
        guard: Option<Arc<ReadGuard>>,
    ) -> Result<Timestamp, SqlError> {
        let (coordinator, ctx) = (Arc::clone(self), ctx.clone());
        // In a task of its own, so that the catalog follows the log even if the session ends here.
        let task = tokio::spawn(async move { coordinator.commit_now(&ctx, commit, guard).await });
        task.await.unwrap_or_else(|error| Err(SqlError::internal(error.to_string())))
    }

    async fn commit_now(
        &self,
        ctx: &PlanContext,
        commit: Commit,
        _guard: Option<Arc<ReadGuard>>,
    ) -> Result<Timestamp, SqlError> {
        let Commit { change, ops, writes, create_views, switch, validate, snapshot, locks } =
            commit;
        let (engine, evaluated) = (Arc::clone(&self.engine), Arc::clone(&self.evaluated));
        let written = change.tables();
        let evaluate = move |_: &EvaluateContext| {
            // Here, in commit order, nobody can change the tables any more.
            let changed = |table| engine.last_changed(table).max(evaluated.last_changed(table));
            let stale = |table: &CollectionId| changed(*table) > snapshot;
            if validate.iter().any(stale) {
                return Err(Box::new(serialization_failure()) as BoxError);
            }
            Ok(change)
        };
        let replaces = |op: &Op| matches!(op, Op::ReplaceObject(_) | Op::ReplaceFunction(_));
        let replacing = match ops.iter().any(replaces) {
            true => Some(self.replacing.write().await),
            false => None,
        };
        let at = self
            .submit_evaluated(written, evaluate)
            .await
            .map_err(|error| tidemark_sql::commit_error(ctx, error, &writes))?;
        if !ops.is_empty() {
            self.publish(&ops, at);
            self.keep_histories(&ops);
        }
        drop(replacing);
        if let Some(switch) = switch {
            switch.done();
        }
        drop(locks);
        if !create_views.is_empty() {
            // Until it is filled: the creator's next statement reads it at once. A view that is
            // dropped meanwhile needs no waiting for.
            let _ = self.engine.wait_for(&create_views, at).await;
        }
        Ok(at)
    }

    /// Tells the engine how long views keep their changes from now on.
    fn keep_histories(&self, ops: &[Op]) {
        let catalog = self.catalog();
        for op in ops {
            if let Op::KeepHistory { id, length } = op
                && let Some(view) = self.engine.relation(collection(&catalog, *id))
            {
                view.keep_past(Some(length.map_or(HISTORY_RETENTION, Into::into)));
            }
        }
    }

    /// Lets everyone see a committed change of the catalog.
    fn publish(&self, ops: &[Op], at: Timestamp) {
        let at = CommitTime(at.0);
        let mut catalog = Catalog::clone(&self.catalog());
        for op in ops {
            catalog.apply_at(op, at).expect("applied to this same catalog when it was staged");
        }
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        for op in ops {
            durable.append(&Entry { at, record: op.to_bytes() });
        }
        drop(durable);
        let mut present = self.catalog.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *present, Arc::new(catalog));
        drop(present);
        let mut former = self.former.lock().unwrap_or_else(PoisonError::into_inner);
        former.push(Arc::downgrade(&before));
        drop(before);
        former.retain(|catalog| catalog.strong_count() > 0);
        drop(former);
        self.definitions.send_modify(|version| *version += 1);
    }
}
