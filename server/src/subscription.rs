//! Subscriptions: a relation's changes on their way to a client, as they happen.
//!
//! Law      S17: the rows at t, then every net change with _time > t, each once, in order of time;
//!          a row with _progress and _time p says that all changes at times ≤ p are out. The sum of
//!          what is out is the relation at p
//! Errors   55000 when the relation is dropped or its row type changes; 54000 when the client has
//!          fallen too far behind: the engine waits for nobody
//! Memory   the rows at t, and what changed of a view that was not followed then, as far as they
//!          are not out; changes up to `WAITING_BYTES_MAX` and those of one step
//!
//! A task of its own (`producer`) follows the relation and puts changes into a buffer; whoever has
//! the [`Subscription`] takes them out. While nothing changes, neither does anything.

mod before;
mod buffer;
mod layout;
mod own;
mod producer;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tidemark_catalog::{Catalog, Object};
use tidemark_engine::{Engine, ReadGuard, Relation, Timestamp, Updates};
use tidemark_sql::error::SqlError;
use tokio::sync::watch;

pub use before::Before;
use buffer::Buffer;
use layout::Layout;
pub use own::Own;
use producer::Producer;

use crate::coordinator::Coordinator;

/// What is subscribed to, and from when on.
pub struct Start {
    pub object: Object,
    /// It says what `object` is at the guard's time.
    pub catalog: Arc<Catalog>,
    pub relation: Arc<Relation>,
    /// Holds the first time.
    pub guard: ReadGuard,
    pub snapshot: bool,
    pub progress: bool,
    /// Of a plain view: what it is followed by.
    pub own: Option<Own>,
    /// What it went through until then, if it begins earlier.
    pub before: Option<Before>,
}

/// The taking end. Dropping it ends the subscription.
pub struct Subscription {
    pub schema: SchemaRef,
    engine: Arc<Engine>,
    /// Not yet taken of what it begins with.
    first: Box<dyn Iterator<Item = RecordBatch> + Send + Sync>,
    /// Taken and put back.
    current: Option<RecordBatch>,
    buffer: Arc<Buffer>,
    /// Up to where the taker wants to know the changes; the task ends with it.
    wanted: watch::Sender<Timestamp>,
}

impl Subscription {
    /// Begins to follow a relation. The views that it reads must be complete at the first time.
    pub fn start(coordinator: &Arc<Coordinator>, start: Start) -> Subscription {
        let Start { object, catalog, relation, guard, snapshot, progress, own, before } = start;
        let layout = Arc::new(Layout::new(&object, progress));
        let at = guard.at;
        let buffer = Arc::new(Buffer::new(at));
        let (wanted, wanted_by_taker) = watch::channel(at);
        let shape = Arc::clone(&layout);
        let of_rows = move |batch, at: Timestamp| shape.changes(&Updates::at(batch, at.0, 1));
        let (from, rows, changes): (_, Box<dyn Iterator<Item = _> + Send + Sync>, _) = match before
        {
            Some(before) => (before.from, Box::new(before.rows.into_iter()), before.changes),
            None => (at, Box::new(relation.batches(at)), Vec::new()),
        };
        let rows = snapshot.then(|| rows.map(move |batch| of_rows(batch, from)));
        let rows = rows.into_iter().flatten();
        let marker = progress.then(|| layout.progress(from));
        let shape = Arc::clone(&layout);
        let changes = changes.into_iter().map(move |updates| shape.changes(&updates));
        let last_marker = (progress && from < at).then(|| layout.progress(at));
        let schema = Arc::clone(&layout.schema);
        let producer = Producer {
            coordinator: Arc::clone(coordinator),
            object,
            catalog,
            written: relation.written(),
            rewritten: relation.last_rewritten(),
            relation,
            last: at,
            guard,
            own,
            is_current: false,
            layout,
            buffer: Arc::clone(&buffer),
            wanted: wanted_by_taker,
        };
        coordinator.runtime.spawn(producer.run());
        let first = Box::new(rows.chain(marker).chain(changes).chain(last_marker));
        let engine = Arc::clone(&coordinator.engine);
        Subscription { schema, engine, first, current: None, buffer, wanted }
    }

    /// What can be taken without waiting, at most `rows_max` rows.
    ///
    /// Errors: what ended the subscription, after the changes before it.
    pub fn take(&mut self, rows_max: usize) -> Result<Option<RecordBatch>, SqlError> {
        if rows_max == 0 {
            return Ok(None);
        }
        let next = match self.current.take() {
            Some(batch) => Some(batch),
            None => {
                self.buffer.check_in_reach()?;
                match self.first.find(|batch| batch.num_rows() > 0) {
                    Some(batch) => Some(batch),
                    None => self.buffer.take()?,
                }
            }
        };
        let Some(batch) = next else { return Ok(None) };
        let taken = batch.num_rows().min(rows_max);
        if taken < batch.num_rows() {
            self.current = Some(batch.slice(taken, batch.num_rows() - taken));
        }
        Ok(Some(batch.slice(0, taken)))
    }

    /// Waits until there is something to take.
    pub async fn more(&self) {
        if self.current.is_none() {
            self.buffer.filled().await;
        }
    }

    /// Waits until what was committed before this can be taken.
    pub async fn catch_up(&self) {
        let now = self.engine.begin_read().at;
        // The task ends only with an error, which the buffer has.
        let _ = self.wanted.send(now);
        self.buffer.complete(now).await;
    }

    /// All of it, as it comes. It ends with an error.
    pub fn into_stream(self) -> BoxStream<'static, Result<RecordBatch, SqlError>> {
        let next = |mut subscription: Subscription| async move {
            loop {
                match subscription.take(usize::MAX) {
                    Ok(Some(batch)) => return Some((Ok(batch), subscription)),
                    Ok(None) => subscription.more().await,
                    Err(error) => return Some((Err(error), subscription)),
                }
            }
        };
        stream::unfold(self, next).boxed()
    }
}
