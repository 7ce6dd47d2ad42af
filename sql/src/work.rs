//! Work: what takes a statement long, how far it is, and the way to stop it.
//!
//! Law: it is listed from its beginning until the last thread that is at it has left it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use tidemark_engine::replay::{Stopped, Watch};
use tidemark_engine::time::{SystemClock, WallClock};
use tidemark_engine::{CollectionId, Timestamp};

use crate::error::{Notice, SqlError, state};
use crate::tell::Tell;

/// How often long work says how far it is.
pub const NOTICE_INTERVAL: Duration = Duration::from_secs(3);

/// What a statement is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkKind {
    /// A materialized view, or a new version of one, takes what is already there.
    Backfill,
    /// A view's changes are made again.
    Replay,
    /// A view is evaluated over its tables as they were.
    AsOf,
    PointInTimeJoin,
    AsOfJoin,
    /// CREATE TABLE AS: the rows of a query are put into a new table.
    CreateTableAs,
}

impl WorkKind {
    /// How `tidemark.backfills` calls it.
    pub fn name(self) -> &'static str {
        match self {
            WorkKind::Backfill => "backfill",
            WorkKind::Replay => "replay",
            WorkKind::AsOf => "as of",
            WorkKind::PointInTimeJoin => "point-in-time join",
            WorkKind::AsOfJoin => "asof join",
            WorkKind::CreateTableAs => "create table as",
        }
    }

    /// What is counted of it.
    pub fn unit(self) -> &'static str {
        match self {
            // Each takes all rows at once.
            WorkKind::Backfill | WorkKind::AsOf => "operators",
            WorkKind::Replay
            | WorkKind::PointInTimeJoin
            | WorkKind::AsOfJoin
            | WorkKind::CreateTableAs => "rows",
        }
    }
}

/// All work in progress of a server.
pub struct Works {
    listed: Mutex<Listed>,
    pub memory: Memory,
    /// What queries are run in: it bounds what they hold.
    pub runtime: Arc<RuntimeEnv>,
}

impl Default for Works {
    fn default() -> Self {
        let memory = Memory::of(usize::MAX);
        Works { listed: Mutex::default(), memory, runtime: Arc::default() }
    }
}

#[derive(Default)]
struct Listed {
    /// In the order in which it was begun.
    going_on: BTreeMap<u64, Weak<Work>>,
    last: u64,
}

/// The memory that all work of a server may hold together, beside tables and results.
#[derive(Debug)]
pub struct Memory {
    pub bytes_max: usize,
    held: AtomicUsize,
}

impl Memory {
    pub fn of(bytes_max: usize) -> Memory {
        Memory { bytes_max, held: AtomicUsize::new(0) }
    }
}

/// See the module.
pub struct Work {
    pub kind: WorkKind,
    /// The connection whose statement it is part of.
    pub pid: Option<i32>,
    /// The relation, as the statement calls it.
    pub name: String,
    pub started_at: Timestamp,
    begun: Instant,
    /// The views that are filled, by the engine's names.
    filled: Mutex<Vec<CollectionId>>,
    /// The first and the last time that it is about.
    times: Mutex<Option<(Timestamp, Timestamp)>>,
    done: AtomicU64,
    expected: AtomicU64,
    cancelled: AtomicBool,
    /// Bytes of the server's memory for such work.
    held: AtomicUsize,
    tell: Tell,
    number: u64,
    works: Arc<Works>,
}

impl Works {
    /// Where replays may hold so many bytes, together, and queries as many; what queries can put
    /// on disk goes into files in `folder` before that.
    pub fn within(bytes_max: usize, folder: PathBuf) -> Result<Works, SqlError> {
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(bytes_max)))
            .with_temp_file_path(folder)
            .build_arc()?;
        Ok(Works { listed: Mutex::default(), memory: Memory::of(bytes_max), runtime })
    }

    pub(crate) fn begin(
        works: &Arc<Works>,
        tell: Tell,
        pid: Option<i32>,
        kind: WorkKind,
        name: String,
    ) -> Arc<Work> {
        let mut listed = works.lock();
        listed.last += 1;
        let number = listed.last;
        let work = Arc::new(Work {
            kind,
            pid,
            name,
            started_at: SystemClock::default().wall(),
            begun: Instant::now(),
            filled: Mutex::default(),
            times: Mutex::default(),
            done: AtomicU64::new(0),
            expected: AtomicU64::new(0),
            cancelled: AtomicBool::new(false),
            held: AtomicUsize::new(0),
            tell,
            number,
            works: Arc::clone(works),
        });
        listed.going_on.insert(number, Arc::downgrade(&work));
        work
    }

    /// All of it, in the order in which it was begun.
    pub fn going_on(&self) -> Vec<Arc<Work>> {
        self.lock().going_on.values().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Listed> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    /// It is about the times from the first to the last.
    pub fn set_times(&self, from: Timestamp, to: Timestamp) {
        *self.times.lock().unwrap_or_else(PoisonError::into_inner) = Some((from, to));
    }

    pub fn times(&self) -> Option<(Timestamp, Timestamp)> {
        *self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is these views that are filled.
    pub fn set_filled(&self, views: &[CollectionId]) {
        *self.filled.lock().unwrap_or_else(PoisonError::into_inner) = views.to_vec();
    }

    pub fn fills(&self, view: CollectionId) -> bool {
        self.filled.lock().unwrap_or_else(PoisonError::into_inner).contains(&view)
    }

    /// How much is done of how much, in rows looked at and requests answered; 0 of 0 as long as
    /// that is not known.
    pub fn progress(&self) -> (u64, u64) {
        let expected = self.expected.load(Ordering::Relaxed);
        (self.done.load(Ordering::Relaxed).min(expected), expected)
    }

    /// So much is done, of so much.
    pub fn set_progress(&self, done: u64, expected: u64) {
        self.expected.store(expected, Ordering::Relaxed);
        self.done.store(done, Ordering::Relaxed);
    }

    /// Nobody waits for it any more.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Why it was given up, for who waits for it.
    pub(crate) fn stopped(&self, why: Stopped) -> SqlError {
        let Stopped::TooLarge(bytes) = why else {
            return SqlError::new(state::QUERY_CANCELED, "canceling statement due to user request");
        };
        let (name, max) = (&self.name, self.works.memory.bytes_max);
        SqlError::new(state::OUT_OF_MEMORY, format!("out of memory while replaying \"{name}\""))
            .with_detail(format!(
                "It would hold {bytes} bytes; all replays together may hold {max} (--memory)."
            ))
            .with_hint("Ask for fewer keys or a shorter time at once.")
    }

    /// Says how far it is.
    pub fn say(&self) {
        let doing = match self.kind {
            WorkKind::Backfill => "filling",
            WorkKind::Replay | WorkKind::PointInTimeJoin => "replaying",
            WorkKind::AsOf => "evaluating",
            WorkKind::AsOfJoin => "joining",
            WorkKind::CreateTableAs => return,
        };
        let (name, seconds) = (&self.name, self.begun.elapsed().as_secs());
        let how_far = match self.progress() {
            (_, 0) => format!("for {seconds} s"),
            (done, all) => {
                let share = done as f64 / all as f64 * 100.0;
                let unit = self.kind.unit();
                format!("{done} of {all} {unit} done, {share:.0} %, {seconds} s")
            }
        };
        self.tell.notice(Notice::new(format!("{doing} \"{name}\": {how_far}")));
    }
}

impl Watch for Work {
    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn expect(&self, more: usize) {
        self.expected.fetch_add(more as u64, Ordering::Relaxed);
    }

    fn done(&self, part: usize) {
        self.done.fetch_add(part as u64, Ordering::Relaxed);
    }

    fn may_hold(&self, bytes: usize) -> bool {
        let Memory { bytes_max, held } = &self.works.memory;
        let before = self.held.swap(bytes, Ordering::Relaxed);
        // The difference wraps, and so does the sum: together they are right.
        let change = bytes.wrapping_sub(before);
        held.fetch_add(change, Ordering::Relaxed).wrapping_add(change) <= *bytes_max
    }
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Work: {:?} of {}", self.kind, self.name)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.may_hold(0);
        self.works.lock().going_on.remove(&self.number);
    }
}
