//! INSERT, UPDATE, DELETE, TRUNCATE: which rows go, which come.
//!
//! Law: DML is a SELECT of old and new rows over one snapshot (design §4); it writes nothing
//! itself. Every check that needs only the statement and the snapshot (NOT NULL, lengths, duplicate
//! keys) is made here.

mod assign;
mod change;
mod complete;
mod conflict;
mod insert;
mod literal;
mod returning;
mod target;
mod unique;

pub(crate) use assign::check as check_assignable;
pub(crate) use complete::default_plan;
pub use complete::insert_rows;
pub(crate) use target::{TARGET, ast_type, is_untyped, typed};
pub use unique::{check_unique, commit_error};

use std::collections::BTreeSet;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::logical_expr::LogicalPlan;
use datafusion::scalar::ScalarValue;
use sqlparser::ast::ObjectName;
use tidemark_catalog::ObjectId;
use tidemark_engine::{RowId, TableWrite};

use crate::context::{PlanContext, ReadView};
use crate::error::SqlError;
use crate::parse::Statement;
use crate::plan::{base_tables, is_materialized, on_large_stack, replayed, scanned};
use target::Target;

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
#[derive(Debug, Clone, Default)]
pub struct DmlPlan {
    /// Tables written.
    pub targets: Vec<ObjectId>,
    /// Tables and materialized views read beside the targets.
    pub reads: Vec<ObjectId>,
    /// Of `reads`, the materialized views.
    pub views: Vec<ObjectId>,
    /// Tables under `reads` all the way down.
    pub base_tables: Vec<ObjectId>,
    /// It replays the past, which takes long: not in the middle of a commit.
    pub replays: bool,
    pub parameters: Vec<DataType>,
    /// Columns of RETURNING.
    pub returning: Option<SchemaRef>,
}

/// Checks names and types of an INSERT, UPDATE, DELETE or TRUNCATE. `param_types` as in
/// [`crate::plan_query`].
pub fn plan_dml(
    ctx: &PlanContext,
    statement: &Statement,
    param_types: &mut Vec<Option<DataType>>,
) -> Result<DmlPlan, SqlError> {
    match statement {
        Statement::Insert(statement) => insert::plan(ctx, statement, param_types),
        Statement::Update(statement) => {
            change::update(ctx, statement, param_types)?.describe(ctx, param_types)
        }
        Statement::Delete(statement) => {
            change::delete(ctx, statement, param_types)?.describe(ctx, param_types)
        }
        Statement::Truncate { tables } => {
            let targets = tables.iter().map(|name| Ok(Target::changed(ctx, name, None)?.object.id));
            Ok(DmlPlan { targets: targets.collect::<Result<_, SqlError>>()?, ..DmlPlan::default() })
        }
        _ => Err(SqlError::internal("not a statement that changes data")),
    }
}

/// Works out what an INSERT, UPDATE, DELETE or TRUNCATE changes, reading as of `read`.
pub async fn run_dml(
    ctx: &PlanContext,
    statement: &Statement,
    read: &ReadView,
    params: Vec<ScalarValue>,
) -> Result<DmlResult, SqlError> {
    let mut types: Vec<Option<DataType>> =
        params.iter().map(|value| Some(value.data_type())).collect();
    match statement {
        Statement::Insert(statement) => insert::run(ctx, statement, read, &params).await,
        Statement::Update(statement) => {
            let change = on_large_stack(|| change::update(ctx, statement, &mut types))?;
            change.run(ctx, read, &params).await
        }
        Statement::Delete(statement) => {
            let change = on_large_stack(|| change::delete(ctx, statement, &mut types))?;
            change.run(ctx, read, &params).await
        }
        Statement::Truncate { tables } => truncate(ctx, tables, read),
        _ => Err(SqlError::internal("not a statement that changes data")),
    }
}

/// The SELECT that a statement's rows come from, for EXPLAIN.
pub(crate) fn source_plan(
    ctx: &PlanContext,
    statement: &Statement,
    param_types: &mut Vec<Option<DataType>>,
) -> Result<LogicalPlan, SqlError> {
    match statement {
        Statement::Insert(statement) => insert::source(ctx, statement, param_types),
        Statement::Update(statement) => Ok(change::update(ctx, statement, param_types)?.plan),
        Statement::Delete(statement) => Ok(change::delete(ctx, statement, param_types)?.plan),
        _ => Err(SqlError::unsupported("this statement cannot be explained")),
    }
}

fn truncate(
    ctx: &PlanContext,
    tables: &[ObjectName],
    read: &ReadView,
) -> Result<DmlResult, SqlError> {
    let mut writes = Vec::new();
    for name in tables {
        let target = Target::changed(ctx, name, None)?;
        let rows = target.provider(ctx, read).scan_all();
        let delete = rows.iter().flat_map(|rows| ids(&rows.ids)).collect();
        let insert = RecordBatch::new_empty(target.schema());
        writes.push(TableWrite { table: target.collection(), delete, insert });
    }
    Ok(DmlResult { writes, tag: "TRUNCATE TABLE", ..DmlResult::default() })
}

fn ids(ids: &UInt64Array) -> Vec<RowId> {
    ids.values().iter().map(|id| RowId(*id)).collect()
}

/// A [`DmlPlan`] of the plans a statement runs.
fn describe(
    ctx: &PlanContext,
    target: ObjectId,
    plans: &[&LogicalPlan],
    returning: Option<SchemaRef>,
    param_types: &[Option<DataType>],
) -> Result<DmlPlan, SqlError> {
    let (mut reads, mut replays) = (BTreeSet::new(), false);
    for plan in plans {
        reads.extend(scanned(plan)?);
        replays |= !replayed(plan)?.is_empty();
    }
    let catalog = &ctx.catalog;
    Ok(DmlPlan {
        targets: vec![target],
        views: reads.iter().copied().filter(|id| is_materialized(catalog, *id)).collect(),
        base_tables: base_tables(catalog, &reads).into_iter().collect(),
        reads: reads.into_iter().filter(|id| *id != target).collect(),
        replays,
        parameters: param_types.iter().flatten().cloned().collect(),
        returning,
    })
}
