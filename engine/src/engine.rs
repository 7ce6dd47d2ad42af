//! The engine as its users see it: open a directory, commit, read at a time, keep views.
//!
//! It wires four things together and adds nothing of its own: the committer (one thread), the
//! workers (timely's threads), the maintenance that tells them what to do, and a thread that lets
//! rows expire when nobody asks.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use futures::channel::oneshot;
use timely::communication::WorkerGuards;

use crate::checkpoint::{CheckpointError, CheckpointStatus, Checkpointer, Found};
pub use crate::commit::LogConfig;
use crate::commit::{self, Committer, Done, Evaluate, GroupSink, OpenError, Publication, Source};
pub use crate::dataflow::statistics::OperatorStatistics;
use crate::dataflow::worker::{self, Command};
use crate::feed::{Feeds, SourceStatus};
use crate::maintenance::Maintenance;
pub use crate::maintenance::{Filling, ViewStatus};
use crate::plan::Plan;
use crate::quarantine::Quarantine;
use crate::store::{Horizon, Relation, Tables};
pub use crate::store::{ReadAtError, ReadGuard};
use crate::time::{Clock, CollectionId, SystemClock, Timestamp, WallClock};

/// How often due expiries are made when no read asks for them.
const EXPIRY_INTERVAL: Duration = Duration::from_millis(100);

/// What an engine is opened with.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The data directory; made if it is missing.
    pub data: PathBuf,
    /// Timely worker threads, at least one.
    pub workers: usize,
    /// Whether commits wait until they are on disk.
    pub fsync: bool,
    pub log: LogConfig,
}

/// What opening found beside the tables.
#[derive(Debug)]
pub struct Recovered {
    /// Every opaque record ever committed and its commit's time, in order.
    pub ddl: Vec<(Timestamp, Vec<u8>)>,
}

/// Why an engine cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the workers cannot be started: {0}")]
    Workers(String),
}

/// An open engine. Dropping it stops it.
pub struct Engine {
    clock: Arc<Clock>,
    horizon: Arc<Horizon>,
    tables: Arc<Tables>,
    maintenance: Arc<Maintenance>,
    quarantine: Arc<Quarantine>,
    committer: Committer,
    checkpointer: Checkpointer,
    feeds: Arc<Feeds>,
    /// Sources that were there when the engine was opened, until they go on.
    found: Mutex<Vec<Source>>,
    running: Mutex<Option<Running>>,
}

/// The threads beside the committer's.
struct Running {
    workers: WorkerGuards<()>,
    expiry: JoinHandle<()>,
    stop_expiry: Sender<()>,
}

impl Engine {
    /// Opens the directory: takes its lock, reads its log, starts the threads.
    pub fn open(config: EngineConfig) -> Result<(Arc<Engine>, Recovered), EngineError> {
        Engine::open_by(config, Arc::new(SystemClock::default()))
    }

    /// The same by other clocks than the machine's.
    pub fn open_by(
        config: EngineConfig,
        wall: Arc<dyn WallClock>,
    ) -> Result<(Arc<Engine>, Recovered), EngineError> {
        let (data, limits) = (config.data.clone(), config.log.checkpoints);
        let workers = config.workers.max(1);
        let reading = std::thread::spawn(move || Found::read(&data));
        let opened = commit::open(&config.data, config.fsync, config.log, wall);
        // A panic there has been told; without what is kept everything is filled.
        let mut found = reading.join().unwrap_or_default();
        let mut opened = opened?;
        found.fit(opened.last_commit, workers);
        let is_behind = found.is_behind(opened.last_commit);
        let quarantine = Arc::new(Quarantine::default());
        let (workers, handles) = start_workers(workers, &quarantine)?;
        let maintenance =
            Maintenance::new(handles, Arc::clone(&quarantine), Arc::clone(&opened.horizon), found);
        let (clock, horizon) = (Arc::clone(&opened.clock), Arc::clone(&opened.horizon));
        let tables = Arc::clone(&opened.tables);
        let ddl = std::mem::take(&mut opened.ddl);
        let feeds = Feeds::new(Arc::clone(&clock), Arc::clone(&maintenance));
        let found = Mutex::new(opened.sources.values().cloned().collect());
        let sink = Sink {
            maintenance: Arc::clone(&maintenance),
            tables: Arc::clone(&tables),
            feeds: Arc::clone(&feeds),
        };
        let grown = opened.log.grown();
        grown.fetch_add(is_behind.into(), Ordering::Relaxed);
        let committer = Committer::start(opened, Box::new(sink));
        let checkpointer = Checkpointer::start(&maintenance, limits, config.fsync, grown);
        feeds.commit_by(committer.submitter());
        let (stop_expiry, stopped) = unbounded();
        let expiry = start_expiry(&maintenance, &horizon, &clock, committer.expiry(), stopped);
        let running = Mutex::new(Some(Running { workers, expiry, stop_expiry }));
        let engine = Engine {
            clock,
            horizon,
            tables,
            maintenance,
            quarantine,
            committer,
            checkpointer,
            feeds,
            found,
            running,
        };
        Ok((Arc::new(engine), Recovered { ddl }))
    }

    /// Queues a commit, which waits while the views over the tables that it `writes` to are
    /// behind. `evaluate` runs on the committer's thread, in order of time; `done` is told the
    /// commit's time once it is durable and may be read.
    pub fn submit(&self, writes: Vec<CollectionId>, evaluate: Evaluate, done: Done) {
        self.committer.submit(writes, evaluate, done);
    }

    /// A time to read at, which this closes: every later commit is above it (S1). What it reads
    /// stays until the guard is dropped.
    pub fn begin_read(&self) -> ReadGuard {
        self.horizon.begin_read(&self.clock)
    }

    /// Holds a time of the past to read at, or one that is closed by it. Whether a relation reaches
    /// back so far, [`Relation::check_readable`] says after this.
    pub fn begin_read_at(&self, at: Timestamp) -> Result<ReadGuard, ReadAtError> {
        self.horizon.begin_read_at(&self.clock, at)
    }

    /// Holds the latest closed time that `views` are complete for as they are, if it is not before
    /// `oldest`: nothing is waited for, neither the views nor the clock (S5).
    pub fn begin_stale_read(&self, views: &[CollectionId], oldest: Timestamp) -> Option<ReadGuard> {
        let at = self.maintenance.complete_until(views, self.horizon.closed())?;
        (at >= oldest).then(|| self.hold(at))
    }

    /// Holds a time of the past that is closed, as the caller knows.
    pub fn hold(&self, at: Timestamp) -> ReadGuard {
        self.horizon.hold_past(at)
    }

    /// The wall clock; closes nothing.
    pub fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    /// Takes the wall clock as it is now, after a step that stopped commits (S2).
    pub fn confirm_clock(&self) {
        self.clock.confirm_step();
    }

    /// Resolves when all of `views` hold V(at), expiries included; cancelled when one of them is
    /// dropped. `at` is a time of [`Engine::begin_read`] or of an acknowledged commit.
    pub fn wait_for(&self, views: &[CollectionId], at: Timestamp) -> oneshot::Receiver<()> {
        self.maintenance.wait_for(views, at)
    }

    /// The rows of a table or a view.
    pub fn relation(&self, id: CollectionId) -> Option<Arc<Relation>> {
        self.tables.relation(id).or_else(|| self.maintenance.relation(id))
    }

    /// The time of the last commit that changed a table, its creation included.
    pub fn last_changed(&self, table: CollectionId) -> Timestamp {
        self.tables.last_changed(table)
    }

    /// The rows that views could not compute.
    pub fn quarantine(&self) -> Arc<Quarantine> {
        Arc::clone(&self.quarantine)
    }

    /// The plan of a running view and what its operators have done, in the order of their lines in
    /// [`crate::Plan::explain`]; `None` if there is no such view.
    pub fn operators(&self, view: CollectionId) -> Option<(Plan, Vec<OperatorStatistics>)> {
        self.maintenance.operators(view)
    }

    /// The views that changes of these tables reach and that have expressions which can fail.
    pub fn views_that_can_fail(&self, tables: &[CollectionId]) -> Vec<CollectionId> {
        self.maintenance.views_that_can_fail(tables)
    }

    /// The views that keep the versions of a table (S16): what is loaded as older would contradict
    /// them.
    pub fn keepers_of_versions(&self, table: CollectionId) -> Vec<CollectionId> {
        self.maintenance.keepers_of_versions(table)
    }

    /// All views, in order of id.
    pub fn views(&self) -> Vec<ViewStatus> {
        self.maintenance.status()
    }

    /// Has the states of views written to disk, so that a start need not fill them.
    pub fn checkpoint(&self) -> oneshot::Receiver<Result<CheckpointStatus, CheckpointError>> {
        self.checkpointer.take()
    }

    /// The last checkpoints, the newest at the end.
    pub fn checkpoints(&self) -> Vec<CheckpointStatus> {
        self.checkpointer.history()
    }

    /// Every view that there was when the engine was opened has been made again. Goes on with the
    /// sources of then; those made since are running.
    pub fn resume(&self) {
        self.maintenance.all_made();
        let found = std::mem::take(&mut *self.found.lock().expect("nothing panics there"));
        found.into_iter().for_each(|source| self.feeds.start(source));
    }

    /// The running sources, in order of id.
    pub fn sources(&self) -> Vec<SourceStatus> {
        self.feeds.status()
    }

    /// Commits what is queued, stops all threads and lets go of the directory.
    pub fn shutdown(&self) {
        self.feeds.shutdown();
        self.committer.shutdown();
        self.checkpointer.shutdown();
        let running = self.running.lock().expect("nothing panics while holding it").take();
        if let Some(running) = running {
            drop(running.stop_expiry);
            // A thread that panicked has said so itself.
            let _ = running.expiry.join();
            self.maintenance.shutdown();
            running.workers.join().into_iter().for_each(drop);
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// Hands durable groups from the committer to the workers.
struct Sink {
    maintenance: Arc<Maintenance>,
    tables: Arc<Tables>,
    feeds: Arc<Feeds>,
}

impl GroupSink for Sink {
    fn publish(&mut self, publication: Publication) {
        let Publication { time, updates, loaded, drop_tables, drop_views, create_views, .. } =
            publication;
        let table = |id| self.tables.relation(id);
        self.maintenance.forget_loaded(time, &loaded);
        self.maintenance.publish(time, updates, create_views, drop_views, &table);
        self.feeds.drop_relations(&drop_tables);
        publication.create_sources.into_iter().for_each(|source| self.feeds.start(source));
    }

    fn is_behind(&self, tables: &[CollectionId]) -> bool {
        self.maintenance.is_behind(tables)
    }
}

type WorkerHandle = (Sender<Command>, std::thread::Thread);

fn start_workers(
    workers: usize,
    quarantine: &Arc<Quarantine>,
) -> Result<(WorkerGuards<()>, Vec<WorkerHandle>), EngineError> {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| unbounded()).unzip();
    let receivers: Vec<Mutex<Option<Receiver<Command>>>> =
        receivers.into_iter().map(|receiver| Mutex::new(Some(receiver))).collect();
    let (send_thread, threads) = unbounded();
    let quarantine = Arc::clone(quarantine);
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let slot = &receivers[worker.index()];
        let commands = slot.lock().expect("nothing panics while holding it").take();
        let commands = commands.expect("timely starts each worker once");
        // The receiver waits for every worker before it goes away.
        let _ = send_thread.send((worker.index(), std::thread::current()));
        worker::run(worker, commands, Arc::clone(&quarantine));
    })
    .map_err(EngineError::Workers)?;
    let mut threads: Vec<_> = threads.iter().take(workers).collect();
    threads.sort_by_key(|(index, _)| *index);
    let handles = senders.into_iter().zip(threads.into_iter().map(|(_, thread)| thread)).collect();
    Ok((guards, handles))
}

fn start_expiry(
    maintenance: &Arc<Maintenance>,
    horizon: &Arc<Horizon>,
    clock: &Arc<Clock>,
    expire_rows: impl Fn() + Send + 'static,
    stopped: Receiver<()>,
) -> JoinHandle<()> {
    let (maintenance, horizon) = (Arc::clone(maintenance), Arc::clone(horizon));
    let clock = Arc::clone(clock);
    let run = move || {
        while stopped.recv_timeout(EXPIRY_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            if clock.is_due() {
                expire_rows();
            }
            if maintenance.is_due(clock.wall()) {
                let read = horizon.begin_read(&clock);
                maintenance.expire(read.at);
            }
        }
    };
    let builder = std::thread::Builder::new().name("expiry".into());
    builder.spawn(run).expect("the system has threads")
}

#[cfg(test)]
mod tests;
