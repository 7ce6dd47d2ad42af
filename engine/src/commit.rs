//! The committer: one thread that turns what is submitted into durable groups of commits.
//!
//! Law
//! - A group has one time, issued before its first commit is evaluated. Each commit sees all
//!   earlier ones, of its own group too: it reads the store at the group's time.
//! - A commit is applied as a whole or not at all; one that fails leaves nothing behind and does
//!   not touch the others of its group.
//! - A commit to tables whose views are behind waits first; others pass it.
//! - One record, one sync for a group; then it is handed to the [`GroupSink`], then reads may have
//!   its time (S1), then it is acknowledged, in the order of submission.
//! - There is room for a record before its commits are applied; a commit for which there is none
//!   fails alone, and commits go on when there is.
//! - After a failed write of the log nothing is committed any more until a restart. What the failed
//!   group applied to the store stays at a time that no reader gets.
//!
//! A commit that changes nothing writes nothing and gets the group's time all the same.

mod admission;
mod group;
mod recover;
mod reserve;
mod room;
mod seal;
mod sources;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use crate::contain::contain;
use crate::log::{self, LogError, Record};
use crate::plan::Plan;
pub use crate::store::{
    AddedColumn, AddedKey, KeyError, LoadError, LoadPart, TableDef, TableLoad, TableWrite,
};
use crate::store::{Horizon, Tables};
use crate::time::{Begun, Clock, ClockError, CollectionId, Timestamp};
use crate::updates::Updates;
use admission::Admission;
use group::{Applied, Group, Writers};
pub use recover::{LogConfig, OpenError, Opened, open};
use reserve::SharedLog;
use seal::Sealer;
pub use sources::{Advance, SourceDef};
pub(crate) use sources::{Source, Sources};

/// Commits that may wait; more are refused.
const QUEUE_MAX: usize = 64 * 1024;
/// Commits in a group at most.
const GROUP_COMMITS_MAX: usize = 1024;
/// A group that changes this much takes no more commits, in bytes.
const GROUP_BYTES: usize = 16 * 1024 * 1024;
/// A group that was evaluated for this long takes no more commits.
const GROUP_TIME: Duration = Duration::from_millis(2);

/// Any error, as its maker knows it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Says what a commit changes. Called by the committer, in order of time; reads at `context.read`
/// see all earlier commits. A panic rejects the commit.
pub type Evaluate = Box<dyn FnOnce(&EvaluateContext) -> Result<Change, BoxError> + Send>;

/// Told the commit's time once it may be read, or why there is no commit. Must not block.
pub type Done = Box<dyn FnOnce(Result<Timestamp, CommitError>) + Send>;

/// The time at which a commit is evaluated.
#[derive(Clone, Copy, Debug)]
pub struct EvaluateContext {
    /// What now() is.
    pub now: Timestamp,
    /// What to read tables at.
    pub read: Timestamp,
}

/// What a commit does.
#[derive(Default)]
pub struct Change {
    /// Opaque records, given back in order at the next start.
    pub ddl: Vec<Vec<u8>>,
    pub create_tables: Vec<TableDef>,
    pub drop_tables: Vec<CollectionId>,
    /// To tables that are there, before the writes.
    pub add_columns: Vec<AddedColumn>,
    /// To tables without a primary key, with the columns that are added.
    pub add_keys: Vec<AddedKey>,
    /// How long the pasts of these tables are kept from now on; `None`: for ever.
    pub retentions: Vec<(CollectionId, Option<Duration>)>,
    /// How long rows of these tables live from now on, those that are there too; `None`: for ever.
    /// Rows whose time is over by this go with this commit.
    pub ttls: Vec<(CollectionId, Option<Duration>)>,
    /// Also of tables made here. Those of one table are one write: all deletes, then all inserts.
    pub writes: Vec<TableWrite>,
    /// Old rows, into tables whose pasts are open and that nothing else is written to here.
    pub loads: Vec<TableLoad>,
    /// Tables into which no old rows are loaded any more.
    pub close_history: Vec<CollectionId>,
    /// Of relations made here.
    pub create_sources: Vec<SourceDef>,
    /// Of sources that were there already.
    pub advances: Vec<Advance>,
    /// Not logged; whoever made the `ddl` makes them again at the next start.
    pub create_views: Vec<ViewDef>,
    pub drop_views: Vec<CollectionId>,
}

impl Change {
    /// The tables that rows are written to.
    pub fn tables(&self) -> Vec<CollectionId> {
        let written = self.writes.iter().map(|write| write.table);
        written.chain(self.loads.iter().map(|load| load.table)).collect()
    }
}

/// A view to be maintained.
#[derive(Clone, Debug)]
pub struct ViewDef {
    pub id: CollectionId,
    pub plan: Plan,
    /// Columns that identify a row of the output; no columns: there is at most one row.
    pub key: Option<Vec<usize>>,
    /// How long before the present the store keeps what the view was.
    pub history_retention: Duration,
}

/// How long a view's past is kept unless it says otherwise.
pub const HISTORY_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

impl ViewDef {
    /// A view whose past is kept for a day.
    pub fn new(id: CollectionId, plan: Plan, key: Option<Vec<usize>>) -> ViewDef {
        ViewDef { id, plan, key, history_retention: HISTORY_RETENTION }
    }
}

/// Why there is no commit.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A row has the primary key of another; `row` counts the rows that the commit inserts into
    /// the table.
    #[error("duplicate primary key in table {table}, row {row}")]
    DuplicateKey { table: CollectionId, row: usize },
    /// Columns are no primary key of what a table has, or had.
    #[error("table {table}: {error}")]
    Key { table: CollectionId, error: KeyError },
    /// Old rows cannot be loaded.
    #[error("table {table}: {error}")]
    Load { table: CollectionId, error: LoadError },
    /// What the evaluation said, or what makes its change impossible.
    #[error(transparent)]
    Rejected(BoxError),
    /// The log cannot be written: the engine only reads until a restart.
    #[error("{0}")]
    Storage(Arc<LogError>),
    /// There is no room for it; others may fit, and it may later.
    #[error("{0}")]
    NoRoom(Arc<LogError>),
    /// The wall clock cannot be trusted.
    #[error(transparent)]
    Clock(#[from] ClockError),
    #[error("too many commits are waiting")]
    Overloaded,
    #[error("the engine is being stopped")]
    Stopped,
}

/// A durable group of commits on its way to the views.
pub struct Publication {
    pub time: Timestamp,
    /// All at `time`; rows that go first, then rows that come, with their times of arrival last. A
    /// table with a very large change stands here more than once.
    pub updates: Vec<(CollectionId, Updates)>,
    /// Tables that rows with earlier times were loaded into, among the updates.
    pub loaded: Vec<CollectionId>,
    /// After the updates: the store has them already.
    pub drop_tables: Vec<CollectionId>,
    pub drop_views: Vec<CollectionId>,
    pub create_views: Vec<ViewDef>,
    pub(crate) create_sources: Vec<Source>,
}

/// Where durable groups go, in order of time, each before anyone may read at its time.
pub trait GroupSink: Send {
    fn publish(&mut self, publication: Publication);

    /// Whether what was published of these tables has piled up, so that more has to wait.
    fn is_behind(&self, tables: &[CollectionId]) -> bool;
}

/// The thread's handle. Dropping it stops the thread.
pub struct Committer {
    sender: Sender<Message>,
    thread: Mutex<Option<JoinHandle<()>>>,
    sealer: Mutex<Option<Sealer>>,
}

enum Message {
    Submit(Submit),
    /// Rows may be due to go.
    Expire,
    Stop,
}

struct Submit {
    /// The tables that it will write to, as far as it is to wait for their views.
    writes: Vec<CollectionId>,
    evaluate: Evaluate,
    done: Done,
}

impl Committer {
    /// Starts the thread on what was opened.
    pub fn start(opened: Opened, sink: Box<dyn GroupSink>) -> Committer {
        let (sender, receiver) = bounded(QUEUE_MAX);
        let log = SharedLog::start(opened.log, &opened.clock);
        let sealer = Mutex::new(Some(Sealer::start(opened.seal, &log)));
        let mut thread = Thread {
            receiver,
            sink,
            log,
            clock: opened.clock,
            horizon: opened.horizon,
            tables: opened.tables,
            writers: opened.writers,
            sources: opened.sources,
            mortal: vec![],
            admission: Admission::default(),
            failed: None,
            _lock: opened.lock,
        };
        thread.find_mortal();
        thread.set_due();
        let builder = std::thread::Builder::new().name("committer".into());
        let thread = builder.spawn(move || thread.run()).expect("the system has threads");
        Committer { sender, thread: Mutex::new(Some(thread)), sealer }
    }

    /// Queues a commit, which waits while the views over the tables that it `writes` to are
    /// behind; `done` is told what became of it, maybe at once.
    pub fn submit(&self, writes: Vec<CollectionId>, evaluate: Evaluate, done: Done) {
        submit(&self.sender, Submit { writes, evaluate, done });
    }

    /// What queues commits that wait for nobody, for those who live as long as the thread does.
    pub fn submitter(&self) -> impl Fn(Evaluate, Done) + Send + Sync + use<> {
        let sender = self.sender.clone();
        move |evaluate, done| submit(&sender, Submit { writes: vec![], evaluate, done })
    }

    /// What to call when rows may be due to go.
    pub fn expiry(&self) -> impl Fn() + Send + use<> {
        let sender = self.sender.clone();
        move || {
            // Full: whatever is committed next makes what is due first.
            let _ = sender.try_send(Message::Expire);
        }
    }

    /// Nothing is sealed any more.
    fn stop_sealing(&self) {
        drop(self.sealer.lock().expect("nothing panics while holding it").take());
    }

    /// Commits what is queued, notes in the log that the stop was clean, and returns when the
    /// threads have ended.
    pub fn shutdown(&self) {
        self.stop_sealing();
        let thread = self.thread.lock().expect("nothing panics while holding it").take();
        if let Some(thread) = thread {
            // An error means that the thread is gone.
            let _ = self.sender.send(Message::Stop);
            let _ = thread.join();
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.shutdown();
    }
}

fn submit(sender: &Sender<Message>, submit: Submit) {
    match sender.try_send(Message::Submit(submit)) {
        Ok(()) => {}
        Err(TrySendError::Full(message)) => refuse(message, || CommitError::Overloaded),
        Err(TrySendError::Disconnected(message)) => refuse(message, || CommitError::Stopped),
    }
}

fn refuse(message: Message, error: impl Fn() -> CommitError) {
    if let Message::Submit(submit) = message {
        (submit.done)(Err(error()));
    }
}

struct Thread {
    receiver: Receiver<Message>,
    sink: Box<dyn GroupSink>,
    log: SharedLog,
    clock: Arc<Clock>,
    horizon: Arc<Horizon>,
    tables: Arc<Tables>,
    writers: Writers,
    sources: Sources,
    /// The tables whose rows go by themselves.
    mortal: Vec<CollectionId>,
    admission: Admission,
    /// Why nothing is written any more.
    failed: Option<Arc<LogError>>,
    _lock: Option<log::DirectoryLock>,
}

impl Thread {
    fn run(mut self) {
        let mut running = true;
        while running {
            running = match self.wait() {
                Ok(Message::Submit(first)) => self.commit_group(first),
                Ok(Message::Expire) => {
                    self.expire_due();
                    true
                }
                Ok(Message::Stop) | Err(_) => false,
            };
        }
        // Nobody waits for views any more.
        while let Some(submit) = self.admission.next(|_| false) {
            self.commit_group(submit);
        }
        self.close();
    }

    /// The next thing to do: what waited for views first.
    fn wait(&mut self) -> Result<Message, RecvTimeoutError> {
        loop {
            if let Some(submit) = self.admission.next(|tables| self.sink.is_behind(tables)) {
                return Ok(Message::Submit(submit));
            }
            let message = match self.admission.is_empty() {
                true => self.receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => self.receiver.recv_timeout(admission::LOOK_AGAIN),
            };
            match message {
                Ok(Message::Submit(submit)) => {
                    if let Some(submit) = self.admit(submit) {
                        return Ok(Message::Submit(submit));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                other => return other,
            }
        }
    }

    /// Gives a commit back that need not wait for views.
    fn admit(&mut self, submit: Submit) -> Option<Submit> {
        if self.admission.len() >= QUEUE_MAX {
            refuse(Message::Submit(submit), || CommitError::Overloaded);
            return None;
        }
        self.admission.admit(submit, |tables| self.sink.is_behind(tables))
    }

    /// Commits a group that begins with `first`; says whether to go on after it.
    fn commit_group(&mut self, first: Submit) -> bool {
        if let Some(error) = &self.failed {
            (first.done)(Err(CommitError::Storage(Arc::clone(error))));
            return true;
        }
        let time = loop {
            match self.clock.begin_next() {
                Ok(Begun::Commit(time)) => break time,
                Ok(Begun::Due(time)) => {
                    if let Err(error) = self.expire(time) {
                        (first.done)(Err(CommitError::Storage(error)));
                        return true;
                    }
                }
                Err(error) => {
                    (first.done)(Err(error.into()));
                    return true;
                }
            }
        };
        let mut group = Group::new(time);
        let mut done = vec![];
        let running = self.evaluate_all(first, &mut group, &mut done);
        let finished = self.finish(group);
        for (done, result) in done {
            let finished = finished.clone().map_err(CommitError::Storage);
            tell(done, result.and(finished).map(|()| time));
        }
        running
    }

    /// Makes a group durable and visible.
    fn finish(&mut self, group: Group) -> Result<(), Arc<LogError>> {
        let (time, new_tables) = (group.time(), group.changes_tables());
        let (record, publication) =
            group.finish(&self.writers, &self.sources, self.clock.reservation());
        if let Some(record) = record {
            self.make_durable(record)?;
        }
        if let Some(publication) = publication {
            self.sink.publish(publication);
        }
        if new_tables {
            self.find_mortal();
        }
        self.set_due();
        self.clock.finish_commit();
        self.horizon.raise_floor(time);
        self.tables.forget_dropped(self.horizon.since());
        Ok(())
    }

    fn find_mortal(&mut self) {
        let mortal = self.writers.iter().filter(|(_, writer)| writer.is_limited());
        self.mortal = mortal.map(|(id, _)| *id).collect();
        self.mortal.sort();
    }

    /// Tells the clock when rows are next due to go.
    fn set_due(&mut self) {
        let writers = &mut self.writers;
        let due = self.mortal.iter().filter_map(|id| writers.get_mut(id)?.next_due());
        self.clock.set_due(due.min());
    }

    /// Deletes the rows that are due by now, at the times when they are.
    fn expire_due(&mut self) {
        while self.failed.is_none() && self.clock.is_due() {
            match self.clock.begin_next() {
                Ok(Begun::Due(time)) if self.expire(time).is_ok() => {}
                // A commit found no one who wants it.
                Ok(Begun::Commit(_)) => return self.clock.finish_commit(),
                _ => return,
            }
        }
    }

    /// The group at `time`, in flight, of the rows that go then.
    fn expire(&mut self, time: Timestamp) -> Result<(), Arc<LogError>> {
        let mut group = Group::new(time);
        let mortal = self.mortal.clone();
        for table in mortal {
            self.applied().expire(table, &mut group);
        }
        self.finish(group)
    }

    /// Evaluates and applies commits until the group is full or no more are waiting; says whether
    /// to go on after it.
    fn evaluate_all(
        &mut self,
        first: Submit,
        group: &mut Group,
        done: &mut Vec<(Done, Result<(), CommitError>)>,
    ) -> bool {
        let started = self.clock.monotonic();
        let mut next = Some(first);
        while let Some(submit) = next.take() {
            let result = self.apply(submit.evaluate, group);
            done.push((submit.done, result));
            let full = done.len() >= GROUP_COMMITS_MAX
                || group.bytes() >= GROUP_BYTES
                || self.clock.monotonic() - started >= GROUP_TIME;
            if !full {
                match self.next_waiting() {
                    Some(Message::Submit(submit)) => next = Some(submit),
                    Some(Message::Stop) => return false,
                    // The next group, or the next call, makes what is due.
                    Some(Message::Expire) | None => {}
                }
            }
        }
        true
    }

    /// What waits in the queue and may go on.
    fn next_waiting(&mut self) -> Option<Message> {
        loop {
            match self.receiver.try_recv().ok()? {
                Message::Submit(submit) => match self.admit(submit) {
                    Some(submit) => return Some(Message::Submit(submit)),
                    None => continue,
                },
                other => return Some(other),
            }
        }
    }

    fn apply(&mut self, evaluate: Evaluate, group: &mut Group) -> Result<(), CommitError> {
        let context = EvaluateContext { now: group.time(), read: group.time() };
        let change = contain(|| evaluate(&context)).map_err(|panic| {
            let message = format!("the evaluation of a commit panicked: {panic}");
            tracing::error!("{message}");
            CommitError::Rejected(message.into())
        })?;
        let change = change.map_err(CommitError::Rejected)?;
        self.make_room(group.bytes() * 2 + room::room_for(&change, &self.writers, &self.sources))?;
        self.applied().apply(change, group)
    }

    fn applied(&mut self) -> Applied<'_> {
        Applied {
            horizon: &self.horizon,
            tables: &self.tables,
            writers: &mut self.writers,
            sources: &mut self.sources,
        }
    }

    /// Takes room in the log for a group that becomes as large as this.
    fn make_room(&mut self, bytes: usize) -> Result<(), CommitError> {
        self.log.make_room(bytes as u64).map_err(|error| match &*error {
            LogError::Full { .. } | LogError::Unsealed { .. } => CommitError::NoRoom(error),
            _ => {
                self.failed = Some(Arc::clone(&error));
                CommitError::Storage(error)
            }
        })
    }

    fn make_durable(&mut self, record: log::Group) -> Result<(), Arc<LogError>> {
        let time = record.time;
        let written = record.writes.iter().map(|write| write.table);
        let loaded = record.loads.iter().map(|load| load.table);
        let changed: Vec<CollectionId> = written.chain(loaded).collect();
        if let Err(error) = self.log.append(&Record::Group(record)) {
            self.failed = Some(Arc::clone(&error));
            return Err(error);
        }
        changed.into_iter().for_each(|table| self.tables.changed(table, time));
        Ok(())
    }

    fn close(self) {
        for message in self.receiver.try_iter() {
            refuse(message, || CommitError::Stopped);
        }
        self.log.close();
    }
}

/// Tells what became of a commit. Whoever panics on being told is not the committer's concern.
fn tell(done: Done, result: Result<Timestamp, CommitError>) {
    if contain(|| done(result)).is_err() {
        tracing::error!("a commit's acknowledgement panicked");
    }
}
