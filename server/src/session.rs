//! A session: what one connection has said so far and what is still open of it.
//!
//! Law      Everything a session holds (locks, snapshots, portals) hangs on this value, so dropping
//!          it releases everything, however the connection ended.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use pgwire::messages::response::TransactionStatus;
use tidemark_engine::Timestamp;
use tidemark_sql::error::{SqlError, SqlState, state};
use tidemark_sql::tell::{Listener, Tell};
use tidemark_sql::{ParsedStatement, PlanContext, QueryPlan, Settings};

use crate::cancel::Cancel;
use crate::coordinator::Coordinator;
use crate::rows::Rows;
use crate::sessions::{Doing, Registered, activity, wall_clock};
use crate::subscription::Subscription;
use crate::told::Told;
use crate::transaction::{Transaction, serialization_failure};

/// One connection's state.
pub struct Session {
    pub coordinator: Arc<Coordinator>,
    /// Number of the connection, as `pg_backend_pid()` and CancelRequest know it.
    pub process_id: i32,
    pub user: String,
    pub database: String,
    pub settings: Settings,
    /// As the startup packet left them: what RESET goes back to.
    pub initial_settings: Settings,
    pub transaction: Option<Transaction>,
    /// Prepared statements by name; the unnamed one's name is empty.
    pub prepared: HashMap<String, Arc<Prepared>>,
    /// Portals and cursors by name; the unnamed portal's name is empty.
    pub portals: HashMap<String, Portal>,
    /// Said, not yet sent.
    pub told: Arc<Told>,
    pub cancel: Cancel,
    /// What others see of it.
    pub doing: Doing,
    /// The last commit it made: it reads nothing older.
    last_commit: Timestamp,
    /// A definition was replaced while the statement was planned by the one before.
    replan: bool,
}

/// Something the client is told beside the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub severity: &'static str,
    pub code: SqlState,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

/// A statement that can be run with parameters.
pub struct Prepared {
    /// `None`: an empty query string.
    pub statement: Option<Arc<ParsedStatement>>,
    /// The types the client declared, as OIDs; 0, or nothing, leaves one to the planner.
    pub declared: Vec<u32>,
    /// What the planner makes of `$1`, `$2`, …
    pub parameter_types: Vec<DataType>,
    /// The result's columns; `None` when it has no rows.
    pub columns: Option<SchemaRef>,
    /// The query's plan, as long as names and settings are those it was planned with.
    pub plan: Mutex<Option<CachedPlan>>,
}

/// See [`Prepared::plan`].
#[derive(Clone)]
pub struct CachedPlan {
    pub catalog_version: u64,
    pub settings: Settings,
    pub plan: Arc<QueryPlan>,
}

/// A statement with its parameters, run bit by bit; or a cursor.
pub struct Portal {
    pub prepared: Arc<Prepared>,
    pub parameters: Vec<ScalarValue>,
    /// As Bind gave them: none, one for all, or one for each column; 0 text, 1 binary.
    pub formats: Vec<i16>,
    pub progress: Progress,
}

/// How far a portal is.
pub enum Progress {
    Bound,
    /// Has rows left, or said that it has none.
    Open(Box<Rows>),
    /// A subscription's cursor.
    Following(Box<Subscription>),
    /// Ran to its end, and gives nothing more.
    Finished,
}

impl Notice {
    pub fn note(code: SqlState, message: impl Into<String>) -> Notice {
        let message = message.into();
        Notice { severity: "NOTICE", code, message, detail: None, hint: None }
    }

    pub fn warning(code: SqlState, message: impl Into<String>) -> Notice {
        Notice { severity: "WARNING", ..Notice::note(code, message) }
    }
}

impl From<tidemark_sql::error::Notice> for Notice {
    fn from(notice: tidemark_sql::error::Notice) -> Notice {
        Notice { hint: notice.hint, ..Notice::note(notice.code, notice.message) }
    }
}

impl Session {
    pub fn new(coordinator: Arc<Coordinator>, registered: &Registered, cancel: Cancel) -> Session {
        Session {
            coordinator,
            process_id: registered.process_id,
            doing: Arc::clone(&registered.doing),
            user: String::new(),
            database: String::new(),
            settings: Settings::default(),
            initial_settings: Settings::default(),
            transaction: None,
            prepared: HashMap::new(),
            portals: HashMap::new(),
            told: Arc::default(),
            cancel,
            last_commit: Timestamp::MIN,
            replan: false,
        }
    }

    /// Names as this session's next statement finds them: with its transaction's own DDL.
    pub fn plan_context(&self) -> PlanContext {
        let catalog = match &self.transaction {
            Some(transaction) => transaction.catalog(),
            None => self.coordinator.catalog(),
        };
        self.coordinator.plan_context(catalog, self)
    }

    /// It has made a commit.
    pub fn committed(&mut self, at: Timestamp) {
        self.last_commit = self.last_commit.max(at);
    }

    /// The oldest state that a query may read (S5); `None`: the newest only.
    pub fn oldest_read(&self) -> Option<Timestamp> {
        let staleness_ms = self.settings.duration_ms("max_staleness");
        let present_alone = self.in_block() || self.settings.as_of().is_some();
        if staleness_ms == 0 || present_alone {
            return None;
        }
        let now = self.coordinator.engine.now();
        let oldest = Timestamp(now.0.saturating_sub(staleness_ms.saturating_mul(1_000)));
        Some(oldest.max(self.last_commit))
    }

    /// The failure of a statement that was planned by a definition replaced meanwhile; it is run
    /// again.
    pub fn planned_too_early(&mut self) -> SqlError {
        self.replan = true;
        serialization_failure()
    }

    /// Whether the statement has to be planned again, by the names of now.
    pub fn take_replan(&mut self) -> bool {
        if !std::mem::take(&mut self.replan) {
            return false;
        }
        match &mut self.transaction {
            Some(transaction) if !transaction.staged.ops.is_empty() => return false,
            Some(transaction) => transaction.staged.catalog = self.coordinator.catalog(),
            None => {}
        }
        true
    }

    /// For ReadyForQuery.
    pub fn status(&self) -> TransactionStatus {
        match &self.transaction {
            Some(transaction) if transaction.failed => TransactionStatus::Error,
            Some(transaction) if transaction.explicit => TransactionStatus::Transaction,
            _ => TransactionStatus::Idle,
        }
    }

    /// Whether statements are part of a block, opened by BEGIN or by being several in one string.
    pub fn in_block(&self) -> bool {
        self.transaction.is_some()
    }

    /// Whether the transaction has changed names: the catalog's version then says nothing to
    /// others.
    pub fn has_own_names(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| !transaction.staged.ops.is_empty())
    }

    /// The open transaction of a statement that has been made sure to have one.
    pub fn open_transaction(&mut self) -> Result<&mut Transaction, SqlError> {
        let open = self.transaction.as_mut().filter(|transaction| !transaction.failed);
        open.ok_or_else(|| SqlError::internal("there is no open transaction"))
    }

    pub fn notice(&mut self, notice: impl Into<Notice>) {
        let notice = notice.into();
        if self.wants(notice.severity) {
            self.told.add(notice);
        }
    }

    /// Whether the client wants to be told something of this severity.
    fn wants(&self, severity: &str) -> bool {
        let rank = |level: &str| LEVELS.iter().position(|l| l.eq_ignore_ascii_case(level));
        let lowest = self.settings.get("client_min_messages").unwrap_or_default();
        rank(severity) >= rank(&lowest)
    }

    /// For what a statement says while it runs.
    pub fn tell(&self) -> Tell {
        let told = Arc::clone(&self.told);
        let listener: Option<Listener> = match self.wants("NOTICE") {
            true => Some(Box::new(move |notice| told.add(notice.into()))),
            false => None,
        };
        Tell::new(self.process_id, Arc::clone(&self.coordinator.works), listener)
    }

    /// A statement failed: a block goes into the failed state, an implicit one is over.
    pub fn statement_failed(&mut self) {
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        if transaction.explicit {
            transaction.fail();
            self.portals.retain(|_, portal| {
                let progress = &portal.progress;
                !matches!(progress, Progress::Open(_) | Progress::Following(_))
            });
        } else {
            self.abort();
        }
    }

    /// Ends the transaction without a trace: settings and portals go back with it.
    pub fn abort(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            self.settings = transaction.settings_before;
        }
        self.portals.clear();
    }

    pub fn prepared(&self, name: &str) -> Result<Arc<Prepared>, SqlError> {
        self.prepared.get(name).cloned().ok_or_else(|| {
            let message = if name.is_empty() {
                "unnamed prepared statement does not exist".to_owned()
            } else {
                format!("prepared statement \"{name}\" does not exist")
            };
            SqlError::new(state::INVALID_SQL_STATEMENT_NAME, message)
        })
    }
}

/// As many of a statement's characters does pg_stat_activity show.
const ACTIVITY_CHARACTERS: usize = 1024;

/// `client_min_messages`, lowest first.
const LEVELS: &[&str] = &[
    "debug5", "debug4", "debug3", "debug2", "debug1", "log", "info", "notice", "warning", "error",
];

impl Session {
    /// A statement begins: requests to cancel an earlier one are forgotten, its time starts.
    pub fn begin_statement(&mut self) {
        self.cancel.set_lock_timeout(self.settings.duration_ms("lock_timeout"));
        self.cancel.begin_statement(self.settings.duration_ms("statement_timeout"));
    }

    /// Opens a transaction for statements that share one without BEGIN, unless one is open.
    pub fn begin_implicit(&mut self) {
        if self.transaction.is_none() {
            self.begin(false);
        }
    }

    pub fn begin(&mut self, explicit: bool) {
        let coordinator = &self.coordinator;
        self.transaction = Some(Transaction::begin(
            &coordinator.locks,
            coordinator.catalog(),
            self.settings.clone(),
            explicit,
        ));
    }

    /// For pg_stat_activity: who is there.
    pub fn note_connected(&self, peer: Option<SocketAddr>) {
        let mut doing = activity(&self.doing);
        doing.user.clone_from(&self.user);
        doing.database.clone_from(&self.database);
        doing.client_address = peer.map(|peer| peer.ip().to_string()).unwrap_or_default();
        doing.client_port = peer.map(|peer| peer.port().into());
        drop(doing);
        self.note_idle();
    }

    /// For pg_stat_activity: a statement runs.
    pub fn note_running(&self, text: &str) {
        let mut doing = activity(&self.doing);
        doing.query = text.chars().take(ACTIVITY_CHARACTERS).collect();
        doing.state = "active".to_owned();
        doing.query_since = Some(wall_clock());
        doing.state_since = doing.query_since;
    }

    /// For pg_stat_activity: the client may send the next statement.
    pub fn note_idle(&self) {
        let state = match self.status() {
            TransactionStatus::Idle => "idle",
            TransactionStatus::Transaction => "idle in transaction",
            TransactionStatus::Error => "idle in transaction (aborted)",
        };
        let mut doing = activity(&self.doing);
        doing.state = state.to_owned();
        doing.state_since = Some(wall_clock());
        doing.transaction_since =
            if self.in_block() { doing.transaction_since.or(doing.query_since) } else { None };
        doing.application_name = self.settings.get("application_name").unwrap_or_default();
    }

    /// Parameters of the portal a statement runs in; none outside.
    pub fn parameters(&self, portal: Option<&str>) -> Vec<ScalarValue> {
        let portal = portal.and_then(|name| self.portals.get(name));
        portal.map(|portal| portal.parameters.clone()).unwrap_or_default()
    }
}
