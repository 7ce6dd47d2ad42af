//! Feeds: one thread for each source, which reads its log and commits what it finds.
//!
//! Law
//! - A feed commits the entries from where the engine is, in order. Of the rows it makes those that
//!   some view reads: the others are there all the same for whoever asks.
//! - It never runs ahead: of a log that is all there, two commits may be on their way through the
//!   views; of one that grows, one. How large a commit is follows from how long the views take.
//! - It ends with its source, with the log's end, and with the engine.

mod pace;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use futures::executor::block_on;

use crate::commit::{Advance, Change, CommitError, Done, Evaluate, EvaluateContext, Source};
use crate::maintenance::Maintenance;
use crate::time::{Clock, CollectionId, Timestamp};
pub use pace::Latencies;
use pace::Pace;

/// Commits of a log that is all there that are on their way at once.
const ON_THE_WAY: usize = 2;
/// How long a source waits before it tries again when the log has no room.
const NO_ROOM_WAIT: Duration = Duration::from_secs(1);

/// How far a source is.
#[derive(Clone, Debug)]
pub struct SourceStatus {
    pub id: CollectionId,
    /// Entries below it have been committed.
    pub offset: u64,
    /// The offset behind the last entry, if there is one.
    pub end: Option<u64>,
    /// How many entries are there that are not committed yet; `None` if no end of them is known.
    pub behind: Option<u64>,
    /// From a commit to when all views showed it, of the newest commits.
    pub commit_to_visible: Latencies,
    /// From when the oldest entry of a commit was there, in a log that grows.
    pub arrival_to_visible: Latencies,
}

type Running = HashMap<CollectionId, (Arc<Feed>, JoinHandle<()>)>;
type Submit = Box<dyn Fn(Evaluate, Done) + Send + Sync>;

/// All feeds of an engine.
pub(crate) struct Feeds {
    clock: Arc<Clock>,
    maintenance: Arc<Maintenance>,
    submit: OnceLock<Submit>,
    running: Mutex<Running>,
}

struct Feed {
    source: Source,
    begun: Instant,
    /// Committed up to here.
    offset: AtomicU64,
    stopped: AtomicBool,
    commit_to_visible: Mutex<Latencies>,
    arrival_to_visible: Mutex<Latencies>,
}

impl Feeds {
    pub fn new(clock: Arc<Clock>, maintenance: Arc<Maintenance>) -> Arc<Feeds> {
        let (submit, running) = (OnceLock::new(), Mutex::default());
        Arc::new(Feeds { clock, maintenance, submit, running })
    }

    /// Says how to commit; before anything is started.
    pub fn commit_by(&self, submit: impl Fn(Evaluate, Done) + Send + Sync + 'static) {
        let first = self.submit.set(Box::new(submit));
        assert!(first.is_ok(), "it is said once");
    }

    /// Goes on with a source from where it is.
    pub fn start(self: &Arc<Self>, source: Source) {
        let id = source.def.id;
        let feed = Arc::new(Feed {
            begun: Instant::now(),
            offset: AtomicU64::new(source.offset),
            stopped: AtomicBool::new(false),
            commit_to_visible: Mutex::default(),
            arrival_to_visible: Mutex::default(),
            source,
        });
        let (feeds, running) = (Arc::clone(self), Arc::clone(&feed));
        let builder = std::thread::Builder::new().name(format!("source {id}"));
        let run = move || Run { feeds, feed: running }.run();
        let thread = builder.spawn(run).expect("the system has threads");
        self.lock().insert(id, (feed, thread));
    }

    /// Ends the sources that feed one of these relations.
    pub fn drop_relations(&self, relations: &[CollectionId]) {
        if relations.is_empty() {
            return;
        }
        self.lock().retain(|_, (feed, thread)| {
            let over = relations.iter().any(|id| feed.source.feeds(*id));
            if over {
                feed.stop(thread.thread());
            }
            !over
        });
    }

    /// Ends all of them; waits for none. Whoever waits for views must have been told before.
    pub fn shutdown(&self) {
        for (_, (feed, thread)) in self.lock().drain() {
            feed.stop(thread.thread());
        }
    }

    /// All of them, in order of id.
    pub fn status(&self) -> Vec<SourceStatus> {
        let running = self.lock();
        let mut status: Vec<_> = running.values().map(|(feed, _)| feed.status()).collect();
        status.sort_by_key(|status| status.id);
        status
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().expect("nothing panics while holding it")
    }
}

impl Feed {
    fn stop(&self, thread: &Thread) {
        self.stopped.store(true, Ordering::Release);
        thread.unpark();
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    fn status(&self) -> SourceStatus {
        let offset = self.offset.load(Ordering::Acquire);
        let there = self.pace().there(self.begun.elapsed());
        let copy = |latencies: &Mutex<Latencies>| {
            latencies.lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        SourceStatus {
            id: self.source.def.id,
            offset,
            end: self.source.log.end(),
            behind: there.map(|there| there.saturating_sub(offset)),
            commit_to_visible: copy(&self.commit_to_visible),
            arrival_to_visible: copy(&self.arrival_to_visible),
        }
    }

    fn pace(&self) -> Pace {
        let log = &self.source.log;
        Pace { from: self.source.offset, rate: log.rate(), end: log.end() }
    }
}

/// A commit on its way.
struct OnTheWay {
    to: u64,
    submitted: Instant,
    /// When its oldest entry was there, since the feed began.
    there: Option<Duration>,
    done: Receiver<Result<Timestamp, CommitError>>,
}

/// What became of a commit.
enum Settled {
    /// All views show it, after so long.
    Visible(Duration),
    /// The log has no room for it now.
    NoRoom,
    /// There is no source, or no engine, any more.
    Over,
}

/// The thread.
struct Run {
    feeds: Arc<Feeds>,
    feed: Arc<Feed>,
}

impl Run {
    fn run(self) {
        let pace = self.feed.pace();
        let at_once = if pace.rate.is_some() { 1 } else { ON_THE_WAY };
        let mut size = pace::Size::default();
        let mut next = self.feed.source.offset;
        let mut on_the_way = VecDeque::new();
        while !self.feed.is_stopped() {
            let to = pace.next(next, size.entries(), self.feed.begun.elapsed());
            if to == next && pace.end == Some(next) && on_the_way.is_empty() {
                return;
            }
            if to == next && on_the_way.is_empty() {
                std::thread::park_timeout(pace.wait(next, self.feed.begun.elapsed()));
                continue;
            }
            if to > next {
                on_the_way.push_back(self.commit(next, to, pace.arrival(next)));
                next = to;
            }
            while on_the_way.len() >= at_once || to == pace.end.unwrap_or(u64::MAX) {
                let Some(first) = on_the_way.pop_front() else { break };
                match self.settle(&first) {
                    Settled::Visible(busy) => size.adapt(busy),
                    Settled::NoRoom => {
                        // What follows it on the way is refused, as it does not follow.
                        on_the_way.drain(..).for_each(|later| drop(later.done.recv()));
                        next = self.feed.offset.load(Ordering::Acquire);
                        std::thread::park_timeout(NO_ROOM_WAIT);
                        break;
                    }
                    Settled::Over => return,
                }
            }
        }
    }

    /// Hands a commit of the entries [from, to) over.
    fn commit(&self, from: u64, to: u64, there: Option<Duration>) -> OnTheWay {
        let rows = self.rows(from, to, vec![None; self.feed.source.def.relations.len()]);
        let (feeds, feed) = (Arc::clone(&self.feeds), Arc::clone(&self.feed));
        let evaluate = move |_: &EvaluateContext| {
            // A view may have come since the rows were made.
            let rows = Run { feeds, feed: Arc::clone(&feed) }.rows(from, to, rows);
            let advance = Advance { source: feed.source.def.id, from, to, rows };
            Ok(Change { advances: vec![advance], ..Change::default() })
        };
        let (told, done) = bounded(1);
        let tell = move |result| {
            // The feed may have ended; the commit has happened all the same.
            let _ = told.send(result);
        };
        let submitted = Instant::now();
        let submit = self.feeds.submit.get().expect("said before a feed starts");
        submit(Box::new(evaluate), Box::new(tell));
        OnTheWay { to, submitted, there, done }
    }

    /// Adds to `rows` those of the relations that are read.
    fn rows(
        &self,
        from: u64,
        to: u64,
        mut rows: Vec<Option<arrow::array::RecordBatch>>,
    ) -> Vec<Option<arrow::array::RecordBatch>> {
        let source = &self.feed.source;
        for ((id, place), rows) in source.def.relations.iter().zip(&mut rows) {
            let is_read = source.def.keeps_rows || self.feeds.maintenance.is_read(*id);
            if rows.is_none() && is_read {
                *rows = Some(source.log.read(*place, from, to));
            }
        }
        rows
    }

    /// Waits until a commit shows in all views.
    fn settle(&self, commit: &OnTheWay) -> Settled {
        let committed = match commit.done.recv() {
            Ok(Ok(time)) => time,
            Ok(Err(CommitError::NoRoom(error))) => {
                let source = self.feed.source.def.id.0;
                tracing::warn!(source, %error, "a source waits for room in the log");
                return Settled::NoRoom;
            }
            Ok(Err(error)) => {
                if !self.feed.is_stopped() && !matches!(error, CommitError::Stopped) {
                    let source = self.feed.source.def.id.0;
                    tracing::error!(source, %error, "a source has stopped");
                }
                return Settled::Over;
            }
            Err(_) => return Settled::Over,
        };
        self.feed.offset.store(commit.to, Ordering::Release);
        let relations: Vec<CollectionId> =
            self.feed.source.def.relations.iter().map(|(id, _)| *id).collect();
        let views = self.feeds.maintenance.views_over(&relations);
        if !views.is_empty() && !self.feed.is_stopped() {
            // A view that is dropped meanwhile need not be waited for.
            let _ = block_on(self.feeds.maintenance.wait_for(&views, committed));
        }
        let visible = self.feeds.clock.wall().0.saturating_sub(committed.0);
        let note = |latencies: &Mutex<Latencies>, latency: Duration| {
            latencies.lock().unwrap_or_else(PoisonError::into_inner).note(latency);
        };
        note(&self.feed.commit_to_visible, Duration::from_micros(visible));
        if let Some(there) = commit.there {
            note(&self.feed.arrival_to_visible, self.feed.begun.elapsed().saturating_sub(there));
        }
        Settled::Visible(commit.submitted.elapsed())
    }
}

#[cfg(test)]
mod tests;
