//! What the system relations show: the catalog, the session that asks, and live facts that the
//! catalog cannot know.
//!
//! Law      a relation is a function of its context: the same context gives the same rows
//! Missing  nothing is fetched from here; whoever asks fills in what the relation reads (see the
//!          fields) and may leave the rest empty

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::object::{CommitTime, ObjectId};

/// Everything a system relation reads. `Default` is an empty catalog seen by a nameless user.
#[derive(Clone, Debug, Default)]
pub struct SystemContext {
    pub catalog: Arc<Catalog>,
    /// The session's user. Until there are roles, every user is the one owner of everything, and
    /// that owner has the name of whoever looks.
    pub user: String,
    /// The session's database; any name is let in, and it is the only one there is.
    pub database: String,
    /// Statement time, for ages and lags.
    pub now: CommitTime,
    /// pg_settings.
    pub settings: Vec<Setting>,
    /// pg_stat_activity: one per connection.
    pub activity: Vec<Activity>,
    /// tidemark.views: progress of materialized views.
    pub views: Vec<ViewProgress>,
    /// tidemark.sources.
    pub sources: Vec<SourceProgress>,
    /// tidemark.backfills.
    pub backfills: Vec<Backfill>,
    /// tidemark.checkpoints, in order of time.
    pub checkpoints: Vec<CheckpointTaken>,
    /// tidemark.memory, without the relations that are gone.
    pub memory: Vec<MemoryPart>,
    /// tidemark.tables, pg_class.reltuples and pg_stat_user_tables: rows in tables and views.
    pub row_counts: Vec<RowCount>,
    /// tidemark.tables, tidemark.views: what is kept of the past.
    pub pasts: Vec<Past>,
    /// tidemark.quarantine.
    pub quarantine: Vec<Quarantined>,
}

/// A session setting as `SHOW ALL` has it.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    pub name: String,
    /// As `SHOW` prints it.
    pub value: String,
    /// What `RESET` goes back to.
    pub default: String,
    pub description: String,
    pub kind: SettingKind,
}

/// pg_settings.vartype.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SettingKind {
    Bool,
    Integer,
    Real,
    #[default]
    String,
    /// One of these words.
    Enum(Vec<String>),
}

/// One connection.
#[derive(Clone, Debug, Default)]
pub struct Activity {
    /// As in BackendKeyData.
    pub pid: i32,
    pub user: String,
    pub database: String,
    pub application_name: String,
    /// The peer's address without its port, empty when unknown.
    pub client_address: String,
    pub client_port: Option<i32>,
    pub connected_at: CommitTime,
    /// When the open transaction began.
    pub transaction_since: Option<CommitTime>,
    /// When the running statement, or else the last one, began.
    pub query_since: Option<CommitTime>,
    pub state_since: Option<CommitTime>,
    /// `active`, `idle`, `idle in transaction`, `idle in transaction (aborted)`.
    pub state: String,
    pub query: String,
}

/// How far a materialized view has come.
#[derive(Clone, Copy, Debug)]
pub struct ViewProgress {
    pub id: ObjectId,
    /// Complete for every time below this.
    pub upper: CommitTime,
    /// Microseconds by which it is behind the commits that touch it, 0 when it is not.
    pub lag_us: u64,
    /// The next instant at which a row expires or appears by the clock alone.
    pub next_expiry: Option<CommitTime>,
}

/// How far a source has come.
#[derive(Clone, Debug)]
pub struct SourceProgress {
    pub id: ObjectId,
    /// Entries below it have been committed.
    pub offset: u64,
    /// The offset behind its last entry, if it has one.
    pub end: Option<u64>,
    /// How many entries are there that are not committed yet, if their number is known.
    pub behind: Option<u64>,
    /// In ms, the median, 99 and 99.9 of 100: from a commit until every view showed it.
    pub commit_to_visible: Option<[f64; 3]>,
    /// The same from when the oldest entry of a commit was there.
    pub arrival_to_visible: Option<[f64; 3]>,
}

/// What takes long: a view that is filled, a replay of the past.
#[derive(Clone, Debug)]
pub struct Backfill {
    /// The connection whose statement waits for it.
    pub pid: Option<i32>,
    pub kind: &'static str,
    /// The relation's name, as the statement has it.
    pub relation: String,
    pub started_at: CommitTime,
    /// The first and the last time it is about.
    pub times: Option<(CommitTime, CommitTime)>,
    /// How many of the things that are counted are done, how many there are, and what they are;
    /// `None` as long as that is not known.
    pub progress: Option<(u64, u64)>,
    pub unit: &'static str,
    /// The rows that are there to be read.
    pub rows: Option<u64>,
}

/// A checkpoint that was taken.
#[derive(Clone, Debug)]
pub struct CheckpointTaken {
    /// The latest time that a view is kept as of.
    pub at: CommitTime,
    pub took_ms: f64,
    pub bytes_written: u64,
    /// What all that is kept takes since then.
    pub bytes_total: u64,
    pub records_written: u64,
    /// Of all states that are kept, with the rows of their views.
    pub records_total: u64,
    pub views_kept: u64,
    /// The views that a start has to fill from their tables.
    pub views_rebuilt: u64,
}

/// A part of what a table, a view or the process holds in memory.
#[derive(Clone, Debug)]
pub struct MemoryPart {
    /// `None`: the process.
    pub of: Option<ObjectId>,
    /// `rows`, `past`, `key index`, an operator, or what of the process.
    pub name: String,
    pub rows: Option<u64>,
    pub bytes: Option<u64>,
    /// How often a step waited for a page.
    pub page_faults: Option<u64>,
    /// The share of the updates that came for which it did not, at least.
    pub hit_rate: Option<f64>,
}

#[derive(Clone, Copy, Debug)]
pub struct RowCount {
    pub id: ObjectId,
    pub rows: u64,
}

/// What the engine keeps of a table's or a materialized view's past.
#[derive(Clone, Copy, Debug)]
pub struct Past {
    pub id: ObjectId,
    /// Whether old rows may still be loaded into it (S20).
    pub is_open: bool,
    /// The oldest time that it is kept for; `None`: no time is too old.
    pub readable_from: Option<CommitTime>,
    /// The last commit that changed the table.
    pub last_changed: Option<CommitTime>,
}

/// A row that an operator of a view could not evaluate (S10).
#[derive(Clone, Debug)]
pub struct Quarantined {
    pub view: ObjectId,
    /// The operator, as EXPLAIN names it.
    pub operator: String,
    /// The row, as Postgres prints a record.
    pub row: String,
    pub error: String,
    pub time: CommitTime,
}

impl SystemContext {
    /// What is kept of its past, where the context knows.
    pub fn past_of(&self, id: ObjectId) -> Option<&Past> {
        self.pasts.iter().find(|past| past.id == id)
    }

    /// Rows in a table or view, where the context has the number.
    pub fn rows_in(&self, id: ObjectId) -> Option<u64> {
        self.row_counts.iter().find(|count| count.id == id).map(|count| count.rows)
    }
}
