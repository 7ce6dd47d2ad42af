//! INSERT, UPDATE, DELETE, TRUNCATE: which rows go, which come.
//!
//! Law: DML is a SELECT of old and new rows over one snapshot (design §4); it writes nothing itself. Every check that
//! needs only the statement and the snapshot (NOT NULL, lengths, duplicate keys) is made here.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::scalar::ScalarValue;
use tidemark_catalog::{Object, ObjectId};
use tidemark_engine::{CommitError, TableWrite};

use crate::context::{PlanContext, ReadView};
use crate::error::SqlError;
use crate::parse::Statement;

/// What a statement changes and returns.
#[derive(Debug, Clone, Default)]
pub struct DmlResult {
    pub writes: Vec<TableWrite>,
    /// RETURNING: schema and rows.
    pub returning: Option<(SchemaRef, Vec<RecordBatch>)>,
    pub count: u64,
    /// As in CommandComplete, without the count: `INSERT 0`, `UPDATE`, `DELETE`, `TRUNCATE TABLE`.
    pub tag: &'static str,
}

/// A DML statement seen without running it: for Describe and for locks.
#[derive(Debug, Clone)]
pub struct DmlPlan {
    /// Tables written.
    pub targets: Vec<ObjectId>,
    /// Tables and materialized views read beside the targets.
    pub reads: Vec<ObjectId>,
    /// Of `reads`, the materialized views.
    pub views: Vec<ObjectId>,
    /// Tables under `reads` all the way down.
    pub base_tables: Vec<ObjectId>,
    pub parameters: Vec<DataType>,
    /// Columns of RETURNING.
    pub returning: Option<SchemaRef>,
}

/// Checks names and types of an INSERT, UPDATE, DELETE or TRUNCATE. `param_types` as in [`crate::plan_query`].
pub fn plan_dml(
    ctx: &PlanContext,
    statement: &Statement,
    param_types: &mut Vec<Option<DataType>>,
) -> Result<DmlPlan, SqlError> {
    let _ = (ctx, statement, param_types);
    Err(SqlError::unsupported("data changes"))
}

/// Works out what an INSERT, UPDATE, DELETE or TRUNCATE changes, reading as of `read`.
pub async fn run_dml(
    ctx: &PlanContext,
    statement: &Statement,
    read: &ReadView,
    params: Vec<ScalarValue>,
) -> Result<DmlResult, SqlError> {
    let _ = (ctx, statement, read, params);
    Err(SqlError::unsupported("data changes"))
}

/// Completes rows for `table`: `batch` holds the columns `columns` (indexes into the table's) in that order; the
/// result has all of them, with defaults, casts to the column's type, NOT NULL and lengths checked. `read` gives
/// `now()` for the defaults.
pub fn insert_rows(
    ctx: &PlanContext,
    table: &Object,
    columns: &[usize],
    batch: &RecordBatch,
    read: &ReadView,
) -> Result<RecordBatch, SqlError> {
    let _ = (ctx, table, columns, batch, read);
    Err(SqlError::unsupported("data changes"))
}

/// 23505 if a row of `rows` (all columns of `table`) has the key of another or of a row that `read` sees and
/// `delete` does not take away.
pub fn check_unique(
    ctx: &PlanContext,
    table: &Object,
    rows: &RecordBatch,
    delete: &[tidemark_engine::RowId],
    read: &ReadView,
) -> Result<(), SqlError> {
    let _ = (ctx, table, rows, delete, read);
    Err(SqlError::unsupported("data changes"))
}

/// What the client is told when the engine refuses a commit. `writes` are those submitted.
pub fn commit_error(ctx: &PlanContext, error: CommitError, writes: &[TableWrite]) -> SqlError {
    let _ = (ctx, writes);
    SqlError::internal(format!("{error:?}"))
}
