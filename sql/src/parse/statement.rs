//! The statements this server knows, each with what its coordinator needs.
//!
//! sqlparser's AST is kept where it says what we mean (queries, DML, table definitions); the rest
//! is flattened.

use sqlparser::ast::{self, Expr, Ident, ObjectName};
use tidemark_catalog::{FunctionBody, Volatility};

use super::copy::Copy;
use super::subscribe::Subscribe;

/// A statement. One variant, one file in the server's coordinator.
#[derive(Debug, Clone)]
pub enum Statement {
    Query(Box<ast::Query>),
    Insert(Box<ast::Insert>),
    Update(Box<ast::Update>),
    Delete(Box<ast::Delete>),
    Truncate {
        tables: Vec<ObjectName>,
    },
    Copy(Box<Copy>),

    CreateSchema {
        name: String,
        if_not_exists: bool,
    },
    /// `query` is set for CREATE TABLE … AS. See [`crate::ddl::define_table`].
    CreateTable(Box<ast::CreateTable>),
    CreateSource(CreateSource),
    CreateView(CreateView),
    CreateMaterializedView(CreateView),
    CreateFunction(Box<CreateFunction>),
    /// CREATE [UNIQUE] INDEX.
    CreateIndex(Box<ast::CreateIndex>),
    Drop(Drop),
    DropFunction(DropFunction),
    AlterRename {
        kind: ObjectClass,
        name: ObjectName,
        to: String,
        if_exists: bool,
    },
    AlterTable {
        name: ObjectName,
        if_exists: bool,
        actions: Vec<TableAction>,
    },
    /// ALTER TABLE … RENAME COLUMN.
    RenameColumn {
        name: ObjectName,
        if_exists: bool,
        column: String,
        to: String,
    },
    /// ALTER TABLE, ALTER MATERIALIZED VIEW … SET (…), RESET (…).
    AlterOptions {
        kind: ObjectClass,
        name: ObjectName,
        if_exists: bool,
        options: StorageOptions,
    },
    /// ALTER TABLE … CLOSE HISTORY.
    CloseHistory {
        name: ObjectName,
    },
    /// ALTER SYSTEM CONFIRM CLOCK: the wall clock is right, though it stepped (S2).
    ConfirmClock,
    /// CHECKPOINT: the states of views go to disk.
    Checkpoint,
    Comment {
        on: CommentTarget,
        comment: Option<String>,
    },
    RefreshMaterializedView {
        name: ObjectName,
    },

    Begin(TransactionModes),
    SetTransaction {
        session: bool,
        modes: TransactionModes,
    },
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint {
        name: String,
    },
    ReleaseSavepoint {
        name: String,
    },
    RollbackToSavepoint {
        name: String,
    },
    /// LOCK TABLE.
    Lock {
        tables: Vec<ObjectName>,
    },

    /// `value` None: SET … TO DEFAULT, also RESET name.
    Set {
        name: String,
        value: Option<String>,
        local: bool,
    },
    ResetAll,
    Show(String),
    ShowAll,
    DiscardAll,
    /// DISCARD PLANS, SEQUENCES, TEMP.
    DiscardOther,

    Explain(Explain),
    /// EXPLAIN [ANALYZE] [FOR] MATERIALIZED VIEW name: one that is running.
    ExplainView {
        name: ObjectName,
        stage: ExplainStage,
        analyze: bool,
    },
    Prepare {
        name: String,
        types: Vec<ast::DataType>,
        statement: Box<Statement>,
    },
    Execute {
        name: String,
        arguments: Vec<Expr>,
    },
    /// None: all.
    Deallocate {
        name: Option<String>,
    },
    Declare(Declare),
    Fetch {
        cursor: String,
        direction: FetchDirection,
        skip: bool,
        /// How long to wait for the first row of a subscription; `None` is for ever.
        timeout_ms: Option<u64>,
    },
    /// None: all.
    Close {
        cursor: Option<String>,
    },

    Listen {
        channel: String,
    },
    /// None: all.
    Unlisten {
        channel: Option<String>,
    },
    /// ANALYZE, VACUUM: nothing to do here, so they succeed; the tag they are answered with.
    Nothing {
        tag: &'static str,
    },
}

/// `CREATE SOURCE [IF NOT EXISTS] name WITH (option = value, …)`.
#[derive(Debug, Clone)]
pub struct CreateSource {
    pub name: ObjectName,
    pub if_not_exists: bool,
    pub options: Vec<ast::SqlOption>,
}

/// `CREATE [OR REPLACE] [MATERIALIZED] VIEW [IF NOT EXISTS] name [(columns)] AS query`.
#[derive(Debug, Clone)]
pub struct CreateView {
    pub name: ObjectName,
    pub or_replace: bool,
    pub if_not_exists: bool,
    /// Names for the first columns of the query.
    pub columns: Vec<Ident>,
    /// WITH (…) of a materialized view.
    pub options: StorageOptions,
    pub query: Box<ast::Query>,
    /// The query as the user wrote it.
    pub body: String,
    /// False for WITH NO DATA, which a maintained view ignores.
    pub with_data: bool,
}

/// What is said of how an object is kept.
#[derive(Debug, Clone)]
pub enum StorageOptions {
    Set(Vec<ast::SqlOption>),
    /// Folded names.
    Reset(Vec<String>),
}

/// For what a function cannot do.
pub const VIEW_INSTEAD: &str = "Use a plain view (CREATE VIEW), and join it.";

/// `CREATE [OR REPLACE] FUNCTION name(parameters) RETURNS type …`.
#[derive(Debug, Clone)]
pub struct CreateFunction {
    pub name: ObjectName,
    pub or_replace: bool,
    pub arguments: Vec<FunctionArgument>,
    pub returns: ast::DataType,
    pub body: FunctionBody,
    pub strict: bool,
    pub volatility: Volatility,
}

#[derive(Debug, Clone)]
pub struct FunctionArgument {
    /// Folded.
    pub name: Option<String>,
    pub data_type: ast::DataType,
}

#[derive(Debug, Clone)]
pub struct DropFunction {
    pub functions: Vec<DroppedFunction>,
    pub if_exists: bool,
    pub cascade: bool,
}

#[derive(Debug, Clone)]
pub struct DroppedFunction {
    pub name: ObjectName,
    /// Types of the parameters, if they are written.
    pub types: Option<Vec<ast::DataType>>,
}

/// A change of ALTER TABLE; names are folded.
#[derive(Debug, Clone)]
pub enum TableAction {
    AddColumn(AddColumn),
    DropColumn { column: String, if_exists: bool, cascade: bool },
    AlterColumn { column: String, change: ColumnChange },
    AddPrimaryKey { name: Option<String>, columns: Vec<String> },
}

/// What ALTER COLUMN changes.
#[derive(Debug, Clone)]
pub enum ColumnChange {
    /// `None`: DROP DEFAULT.
    Default(Option<Box<Expr>>),
    NotNull(bool),
    Type(ast::DataType),
}

/// ADD COLUMN [IF NOT EXISTS].
#[derive(Debug, Clone)]
pub struct AddColumn {
    pub if_not_exists: bool,
    pub column: ast::ColumnDef,
}

/// What a DROP, ALTER or COMMENT names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectClass {
    Table,
    View,
    MaterializedView,
    Source,
    Index,
    Schema,
    Sequence,
    Type,
}

impl ObjectClass {
    /// As in `"x" is not a table`.
    pub fn noun(self) -> &'static str {
        match self {
            ObjectClass::Table => "table",
            ObjectClass::View => "view",
            ObjectClass::MaterializedView => "materialized view",
            ObjectClass::Source => "source",
            ObjectClass::Index => "index",
            ObjectClass::Schema => "schema",
            ObjectClass::Sequence => "sequence",
            ObjectClass::Type => "type",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Drop {
    pub class: ObjectClass,
    pub names: Vec<ObjectName>,
    pub if_exists: bool,
    pub cascade: bool,
}

#[derive(Debug, Clone)]
pub enum CommentTarget {
    Object {
        class: ObjectClass,
        name: ObjectName,
    },
    /// The relation's name and the column's.
    Column {
        relation: ObjectName,
        column: String,
    },
    /// COMMENT ON DATABASE and the like: accepted, kept nowhere.
    Other,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TransactionModes {
    pub read_only: Option<bool>,
    /// As written in SHOW transaction_isolation; every level is served as serializable.
    pub isolation: Option<&'static str>,
}

/// Which stage `EXPLAIN` prints (design §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExplainStage {
    Ast,
    Logical,
    Optimized,
    /// `engine::Plan` of what would be maintained, the default for CREATE MATERIALIZED VIEW; else
    /// the physical plan.
    Plan,
}

#[derive(Debug, Clone)]
pub struct Explain {
    pub stage: ExplainStage,
    pub analyze: bool,
    pub verbose: bool,
    pub statement: Box<Statement>,
}

#[derive(Debug, Clone)]
pub struct Declare {
    pub cursor: String,
    pub binary: bool,
    pub scroll: bool,
    pub hold: bool,
    pub source: CursorSource,
}

/// What a cursor gives.
#[derive(Debug, Clone)]
pub enum CursorSource {
    Query(Box<ast::Query>),
    Subscribe(Box<Subscribe>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchDirection {
    Forward(u64),
    All,
    Backward(u64),
    BackwardAll,
    First,
    Last,
    Absolute(i64),
    Relative(i64),
}

impl Statement {
    /// True if a read-only transaction may run it.
    pub fn is_read_only(&self) -> bool {
        !matches!(
            self,
            Statement::Insert(_)
                | Statement::Update(_)
                | Statement::Delete(_)
                | Statement::Truncate { .. }
                | Statement::CreateSchema { .. }
                | Statement::CreateTable(_)
                | Statement::CreateSource(_)
                | Statement::CreateView(_)
                | Statement::CreateMaterializedView(_)
                | Statement::CreateFunction(_)
                | Statement::DropFunction(_)
                | Statement::CreateIndex(_)
                | Statement::Drop(_)
                | Statement::AlterRename { .. }
                | Statement::AlterTable { .. }
                | Statement::AlterOptions { .. }
                | Statement::RenameColumn { .. }
                | Statement::CloseHistory { .. }
                | Statement::Comment { .. }
                | Statement::RefreshMaterializedView { .. }
        )
    }
}
