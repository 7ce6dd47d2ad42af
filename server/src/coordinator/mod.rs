//! The coordinator: what each statement does, one file per kind of statement.
//!
//! Law      Every statement runs under `execute`: in its session's open transaction, or by itself.
//!          A statement that fails leaves nothing behind: the transaction it was in is failed or
//!          gone, and one by itself has made no commit. A read's time is closed before it is
//!          answered (S1), and a commit is acknowledged when the log has it.
//!
//! Nothing here knows sockets or message formats: results are [`Outcome`]s.

mod alter_options;
mod alter_table;
mod checkpoint;
mod close_history;
mod comment;
mod commit;
mod copy;
mod copy_file;
mod create_function;
mod create_materialized_view;
mod create_schema;
mod create_source;
mod create_table;
mod create_view;
mod cursor;
mod data_columns;
mod dml;
mod drop;
mod drop_function;
mod explain;
mod fill;
mod own_views;
mod prepare;
mod quarantine;
mod query;
mod rename;
mod replace;
mod set;
mod start;
mod subscribe;
mod transaction;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

use tidemark_catalog::durable::Durable;
use tidemark_catalog::{Catalog, CommitTime, ObjectId};
use tidemark_engine::{CollectionId, Engine, Timestamp};
use tidemark_sql::context::{Connections, collection};
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::{ParsedStatement, PlanContext, Settings, Statement, Tell, Works};
use tokio::runtime::Handle;
use tokio::sync::watch;

use commit::Evaluated;
pub use copy::{CopyIn, CopyOut};
pub use own_views::OwnViews;
pub use prepare::prepare;
pub use replace::Switch;
pub use start::open;
pub use transaction::{check_not_failed, end_implicit};

use crate::cancel;
use crate::lock::Locks;
use crate::panic;
use crate::rows::Rows;
use crate::session::Session;
use crate::sessions::Sessions;

/// How often a replaced version of a view looks whether anybody may still read it.
const RETIRE_INTERVAL: Duration = Duration::from_millis(20);
/// The user under whom the server itself plans: views at a start, whose search paths are their
/// creators'.
const USER: &str = "tidemark";
/// How often a statement is planned again because definitions changed while it was.
const REPLANS_MAX: u32 = 8;

/// What all sessions of a server share.
pub struct Coordinator {
    pub engine: Arc<Engine>,
    pub locks: Arc<Locks>,
    pub sessions: Arc<Sessions>,
    /// What statements are at that takes long.
    pub works: Arc<Works>,
    /// Runs sessions, and on the committer's thread their DML.
    pub runtime: Handle,
    /// Polls sockets, and does nothing that takes long.
    pub io: Handle,
    catalog: RwLock<Arc<Catalog>>,
    /// Counts the catalogs.
    definitions: watch::Sender<u64>,
    /// Those before it, as far as somebody may still hold them.
    former: Mutex<Vec<Weak<Catalog>>>,
    /// Held for writing from before a commit that replaces definitions until it is published: who
    /// then reads below its time has not seen it, who reads above finds the new catalog.
    replacing: tokio::sync::RwLock<()>,
    /// Views that could not be planned at the start, and so have no rows.
    unplanned: OnceLock<BTreeSet<CollectionId>>,
    durable: Mutex<Durable>,
    evaluated: Arc<Evaluated>,
    /// Counts the views that no name stands for.
    unnamed: AtomicU64,
}

/// What a statement gives.
pub enum Outcome {
    /// The command tag.
    Done(String),
    Rows(Rows),
    /// Wants the client's rows.
    CopyIn(Box<CopyIn>),
    CopyOut(Box<CopyOut>),
}

impl Outcome {
    fn done(tag: &str) -> Result<Outcome, SqlError> {
        Ok(Outcome::Done(tag.to_owned()))
    }
}

impl Coordinator {
    /// The names as of the last commit.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells when definitions have changed.
    pub fn definitions(&self) -> watch::Receiver<u64> {
        self.definitions.subscribe()
    }

    /// The names with every definition that is in force at the times read until now.
    pub async fn settled_catalog(&self) -> Arc<Catalog> {
        drop(self.replacing.read().await);
        self.catalog()
    }

    /// The catalogs before the present one, which a statement or transaction may still go by.
    fn former_catalogs(&self) -> Vec<Weak<Catalog>> {
        self.former.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether what a statement was planned with is what holds at the time it reads at: `plan`'s
    /// views and functions may have been replaced in between. A transaction that has changed names
    /// itself need not ask: nobody else can meanwhile.
    pub async fn holds_at(
        &self,
        at: Timestamp,
        ctx: &PlanContext,
        objects: impl IntoIterator<Item = &ObjectId>,
        functions: &[ObjectId],
    ) -> bool {
        let (newest, at) = (self.settled_catalog().await, CommitTime(at.0));
        if newest.version() == ctx.catalog.version() {
            return true;
        }
        // What is gone is told otherwise.
        let object_holds = |id: &ObjectId| match (newest.version_at(*id, at), ctx.catalog.get(*id))
        {
            (Some(then), Some(planned)) => then.object.view() == planned.view(),
            _ => true,
        };
        let function_holds =
            |id: &ObjectId| match (newest.function_at(*id, at), ctx.catalog.function(*id)) {
                (Some(then), Some(planned)) => then == planned,
                _ => true,
            };
        objects.into_iter().all(object_holds) && functions.iter().all(function_holds)
    }

    /// What a statement of `session` is planned in.
    pub fn plan_context(&self, catalog: Arc<Catalog>, session: &Session) -> PlanContext {
        PlanContext {
            catalog,
            engine: Arc::clone(&self.engine),
            settings: session.settings.clone(),
            user: session.user.clone(),
            database: session.database.clone(),
            connections: Some(Arc::clone(&self.sessions) as Arc<dyn Connections>),
            tell: session.tell(),
        }
    }

    /// What the server itself plans in, for no session.
    pub fn own_context(&self, catalog: Arc<Catalog>) -> PlanContext {
        PlanContext {
            catalog,
            engine: Arc::clone(&self.engine),
            settings: Settings::default(),
            user: USER.to_owned(),
            database: USER.to_owned(),
            connections: None,
            tell: Tell::default(),
        }
    }

    /// Waits until `views`, as `catalog` names them, show everything up to `at`, expiries included.
    pub async fn wait_for_views(
        &self,
        session: &Session,
        catalog: &Catalog,
        views: &[ObjectId],
        at: Timestamp,
    ) -> Result<(), SqlError> {
        if views.is_empty() {
            return Ok(());
        }
        let collections: Vec<_> = views.iter().map(|id| collection(catalog, *id)).collect();
        let complete = session.cancel.guard(self.engine.wait_for(&collections, at)).await?;
        complete.map_err(|_| self.why_incomplete(catalog, views))
    }

    /// Why there is no state of one of `views` to wait for.
    fn why_incomplete(&self, catalog: &Catalog, views: &[ObjectId]) -> SqlError {
        let gone = |id: &&ObjectId| self.engine.relation(collection(catalog, **id)).is_none();
        let Some(id) = views.iter().find(gone) else {
            return cancel::shutting_down();
        };
        let unplanned = self.unplanned.get();
        if unplanned.is_none_or(|views| !views.contains(&collection(catalog, *id))) {
            return query::dropped(catalog, *id);
        }
        // Its rows would be wrong, so there are none.
        let name = catalog.get(*id).map_or_else(|| id.to_string(), |view| view.name.clone());
        let message = format!("materialized view \"{name}\" is not maintained");
        SqlError::new(state::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
            .with_detail("It could not be planned when the server started: see the server's log.")
            .with_hint("CREATE OR REPLACE MATERIALIZED VIEW gives it a definition that can be.")
    }
}

/// Runs a statement. `portal` names the portal whose parameters it has.
pub async fn execute(
    session: &mut Session,
    parsed: &Arc<ParsedStatement>,
    portal: Option<&str>,
) -> Result<Outcome, SqlError> {
    session.note_running(&parsed.text);
    check_not_failed(session, &parsed.statement)?;
    transaction::check_read_only(session, &parsed.statement)?;
    let mut replans = 0;
    loop {
        // A panic may leave this statement half run, which is what a failed statement is.
        let run = panic::contain_future(dispatch(session, parsed, portal)).await;
        let internal = |message| SqlError::internal(format!("internal error: {message}"));
        let outcome = run.unwrap_or_else(|message| Err(internal(message)));
        if !session.take_replan() || replans == REPLANS_MAX {
            return outcome;
        }
        replans += 1;
    }
}

async fn dispatch(
    session: &mut Session,
    parsed: &Arc<ParsedStatement>,
    portal: Option<&str>,
) -> Result<Outcome, SqlError> {
    let statement = &parsed.statement;
    match statement {
        Statement::Query(query) => query::run(session, query, portal).await,
        Statement::Insert(_)
        | Statement::Update(_)
        | Statement::Delete(_)
        | Statement::Truncate { .. } => dml::run(session, parsed, portal).await,
        Statement::Copy(copy) => copy::run(session, copy).await,

        Statement::Begin(_)
        | Statement::SetTransaction { .. }
        | Statement::Commit { .. }
        | Statement::Rollback { .. }
        | Statement::Savepoint { .. }
        | Statement::ReleaseSavepoint { .. }
        | Statement::RollbackToSavepoint { .. } => transaction::run(session, parsed).await,
        Statement::Lock { tables } => transaction::lock_tables(session, tables).await,

        Statement::Set { .. }
        | Statement::ResetAll
        | Statement::Show(_)
        | Statement::ShowAll
        | Statement::DiscardAll
        | Statement::DiscardOther => set::run(session, statement),

        Statement::Explain(explain) => explain::run(session, explain).await,
        Statement::ExplainView { name, stage, analyze } => {
            explain::view(session, name, *stage, *analyze)
        }
        Statement::Prepare { .. } | Statement::Execute { .. } | Statement::Deallocate { .. } => {
            Box::pin(prepare::run(session, statement)).await
        }
        Statement::Declare(_) | Statement::Fetch { .. } | Statement::Close { .. } => {
            cursor::run(session, statement).await
        }

        Statement::ConfirmClock => {
            session.coordinator.engine.confirm_clock();
            Outcome::done("ALTER SYSTEM")
        }
        Statement::Checkpoint => checkpoint::run(session).await,
        Statement::CloseHistory { name } => close_history::run(session, name).await,

        Statement::Listen { .. } => {
            Err(SqlError::unsupported("LISTEN is not supported: nothing here notifies")
                .with_hint("SUBSCRIBE TO … sends the changes of a materialized view."))
        }
        Statement::Unlisten { .. } => Outcome::done("UNLISTEN"),
        Statement::Nothing { tag } => Outcome::done(tag),
        Statement::CreateIndex(_) => Err(SqlError::unsupported(
            "CREATE INDEX is not supported yet",
        )
        .with_hint("A PRIMARY KEY is indexed, and so is a materialized view by its GROUP BY.")),
        _ => definition(session, statement).await,
    }
}

/// Statements that change the catalog: in the open transaction, or in one of their own.
async fn definition(session: &mut Session, statement: &Statement) -> Result<Outcome, SqlError> {
    let alone = !session.in_block();
    if alone {
        session.begin_implicit();
        session.open_transaction()?.alone = true;
    }
    let outcome = define(session, statement).await?;
    if alone {
        end_implicit(session).await?;
    }
    Ok(outcome)
}

async fn define(session: &mut Session, statement: &Statement) -> Result<Outcome, SqlError> {
    match statement {
        Statement::CreateSchema { name, if_not_exists } => {
            create_schema::run(session, name, *if_not_exists).await
        }
        Statement::CreateTable(create) => create_table::run(session, create).await,
        Statement::CreateSource(create) => create_source::run(session, create).await,
        Statement::CreateView(create) => create_view::run(session, create).await,
        Statement::CreateMaterializedView(create) => {
            create_materialized_view::run(session, create).await
        }
        Statement::CreateFunction(create) => create_function::run(session, create).await,
        Statement::Drop(drop) => drop::run(session, drop).await,
        Statement::DropFunction(drop) => drop_function::run(session, drop).await,
        Statement::AlterTable { name, if_exists, actions } => {
            alter_table::run(session, name, *if_exists, actions).await
        }
        Statement::AlterOptions { kind, name, if_exists, options } => {
            alter_options::run(session, *kind, name, *if_exists, options).await
        }
        Statement::RenameColumn { name, if_exists, column, to } => {
            rename::column(session, name, *if_exists, column, to).await
        }
        Statement::AlterRename { .. } => rename::run(session, statement).await,
        Statement::Comment { on, comment } => comment::run(session, on, comment.clone()).await,
        Statement::RefreshMaterializedView { name } => {
            create_materialized_view::refresh(session, name)
        }
        other => Err(SqlError::internal(format!("no coordinator for {other:?}"))),
    }
}

/// The right to change the catalog, for a statement that is in a transaction.
async fn lock_catalog(session: &mut Session) -> Result<PlanContext, SqlError> {
    let (coordinator, cancel) = (Arc::clone(&session.coordinator), session.cancel.clone());
    let transaction = session.open_transaction()?;
    transaction.lock_catalog(|| coordinator.catalog(), &cancel).await?;
    Ok(session.plan_context())
}
