//! INSERT.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::logical_expr::LogicalPlan;
use datafusion::scalar::ScalarValue;
use sqlparser::ast::{self, Query, SelectItem, SetExpr, TableObject, Values};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use tidemark_catalog::Column;
use tidemark_engine::TableWrite;

use super::complete::{default_expr, insert_rows, is_default};
use super::target::{Target, typed};
use super::{DmlPlan, DmlResult, assign, conflict, describe, literal, returning, unique};
use crate::context::{PlanContext, ReadView};
use crate::error::{SqlError, state};
use crate::parse::fold;
use crate::plan::{finish, on_large_stack, shown_schema, to_rel};
use crate::resolve::Resolver;
use crate::run;
use crate::session_state::session_state;

/// An INSERT with its names resolved.
struct Insert<'a> {
    target: Target,
    /// Columns given, as indexes into the table's; all of them, perhaps too many, if none are
    /// named.
    columns: Vec<usize>,
    named: bool,
    statement: &'a ast::Insert,
}

/// Checks it and says what it reads and returns.
pub fn plan(
    ctx: &PlanContext,
    statement: &ast::Insert,
    param_types: &mut Vec<Option<DataType>>,
) -> Result<DmlPlan, SqlError> {
    let insert = Insert::new(ctx, statement)?;
    let mut plans = Vec::new();
    let read_literally = match insert.values() {
        Some(values) => {
            let columns = insert.columns_for(values);
            literal::parameters(values, &columns, param_types)?.is_some()
        }
        None => statement.source.is_none(),
    };
    if !read_literally {
        plans.push(insert.source_plan(ctx, param_types)?);
    }
    if let Some(plan) = conflict::plan(ctx, &insert.target, statement, param_types)? {
        plans.push(plan);
    }
    let mut schema = None;
    if let Some(items) = &statement.returning {
        let plan = returning::plan(ctx, &insert.target, items, param_types)?;
        schema = Some(shown_schema(&plan));
        plans.push(plan);
    }
    let plans: Vec<&LogicalPlan> = plans.iter().collect();
    describe(ctx, insert.target.object.id, &plans, schema, param_types)
}

/// The plan of its source.
pub fn source(
    ctx: &PlanContext,
    statement: &ast::Insert,
    param_types: &mut Vec<Option<DataType>>,
) -> Result<LogicalPlan, SqlError> {
    Insert::new(ctx, statement)?.source_plan(ctx, param_types)
}

/// What it changes.
pub async fn run(
    ctx: &PlanContext,
    statement: &ast::Insert,
    read: &ReadView,
    params: &[ScalarValue],
) -> Result<DmlResult, SqlError> {
    let insert = Insert::new(ctx, statement)?;
    let (columns, given) = insert.source_rows(ctx, read, params).await?;
    let target = &insert.target;
    let rows = insert_rows(ctx, &target.object, &columns, &given, read)?;
    let change = conflict::resolve(ctx, target, statement, rows, read, params).await?;
    unique::check_unique(ctx, &target.object, &change.insert, &change.delete, read)?;
    let mut result = DmlResult {
        count: change.affected.num_rows() as u64,
        tag: "INSERT 0",
        ..DmlResult::default()
    };
    if let Some(items) = &statement.returning {
        let mut types = params.iter().map(|value| Some(value.data_type())).collect();
        let plan = returning::plan(ctx, target, items, &mut types)?;
        let returned = returning::run(ctx, &plan, change.affected, read, params).await?;
        result.returning = Some(returned);
    }
    let table = target.collection();
    result.writes.push(TableWrite { table, delete: change.delete, insert: change.insert });
    Ok(result)
}

impl<'a> Insert<'a> {
    fn new(ctx: &PlanContext, statement: &'a ast::Insert) -> Result<Insert<'a>, SqlError> {
        let TableObject::TableName(name) = &statement.table else {
            return Err(SqlError::unsupported("INSERT writes into tables only"));
        };
        let alias = statement.table_alias.as_ref().map(|alias| &alias.alias);
        let target = Target::named(ctx, name, alias)?;
        if statement.or.is_some() || statement.overwrite || !statement.assignments.is_empty() {
            return Err(SqlError::unsupported("this spelling of INSERT is not supported"));
        }
        let mut columns = Vec::new();
        let mut seen = HashSet::new();
        for column in &statement.columns {
            let ident = column.0.last().and_then(|part| part.as_ident());
            let ident = ident.ok_or_else(|| SqlError::syntax("a column's name is expected"))?;
            let index = target.column(ident)?;
            if !seen.insert(index) {
                let message = format!("column \"{}\" specified more than once", fold(ident));
                return Err(SqlError::new(state::DUPLICATE_COLUMN, message));
            }
            columns.push(index);
        }
        let named = !columns.is_empty();
        if !named {
            let present = |index: &usize| !target.columns()[*index].is_dropped();
            columns = (0..target.columns().len()).filter(present).collect();
        }
        Ok(Insert { target, columns, named, statement })
    }

    /// The source, if it is nothing but VALUES.
    fn values(&self) -> Option<&'a Values> {
        let query = self.statement.source.as_deref()?;
        match query.body.as_ref() {
            SetExpr::Values(values)
                if query.order_by.is_none()
                    && query.limit_clause.is_none()
                    && query.with.is_none() =>
            {
                Some(values)
            }
            _ => None,
        }
    }

    fn columns_for(&self, values: &Values) -> Vec<&Column> {
        let width = values.rows.first().map_or(0, |row| row.content.len());
        let columns = self.columns.iter().map(|index| &self.target.columns()[*index]);
        if self.named { columns.collect() } else { columns.take(width).collect() }
    }

    /// The source's rows and the columns they are for.
    async fn source_rows(
        &self,
        ctx: &PlanContext,
        read: &ReadView,
        params: &[ScalarValue],
    ) -> Result<(Vec<usize>, RecordBatch), SqlError> {
        if self.statement.source.is_none() {
            // DEFAULT VALUES: one row of no columns.
            let options = RecordBatchOptions::new().with_row_count(Some(1));
            let batch =
                RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?;
            return Ok((Vec::new(), batch));
        }
        if let Some(values) = self.values() {
            let columns = self.columns_for(values);
            if let Some(batch) = literal::rows(values, &columns, params)? {
                return Ok((self.columns[..batch.num_columns()].to_vec(), batch));
            }
        }
        let mut types = params.iter().map(|value| Some(value.data_type())).collect();
        let plan = on_large_stack(|| self.source_plan(ctx, &mut types))?;
        let batches = run::collect(ctx, &plan, read, params, &BTreeMap::new()).await?;
        let batch = positional(&batches, &plan)?;
        Ok((self.columns[..batch.num_columns()].to_vec(), batch))
    }

    fn source_plan(
        &self,
        ctx: &PlanContext,
        param_types: &mut Vec<Option<DataType>>,
    ) -> Result<LogicalPlan, SqlError> {
        let Some(source) = &self.statement.source else {
            return Err(SqlError::unsupported("DEFAULT VALUES has no plan"));
        };
        let mut query: Query = (**source).clone();
        self.type_literals(&mut query.body)?;
        let session = session_state(ctx);
        let resolver = Resolver::new(ctx, &session);
        let plan = to_rel(&resolver, &query, param_types)?;
        let plan = finish(&session, plan, param_types)?;
        self.check_width(plan.schema().fields().len())?;
        for (index, field) in self.columns.iter().zip(plan.schema().fields()) {
            assign::check(field.data_type(), &self.target.columns()[*index])?;
        }
        Ok(plan)
    }

    fn check_width(&self, width: usize) -> Result<(), SqlError> {
        if width > self.columns.len() {
            return Err(SqlError::syntax("INSERT has more expressions than target columns"));
        }
        if self.named && width < self.columns.len() {
            return Err(SqlError::syntax("INSERT has more target columns than expressions"));
        }
        Ok(())
    }

    /// Gives literals and parameters the type of the column they are for, and DEFAULT its
    /// expression.
    fn type_literals(&self, body: &mut SetExpr) -> Result<(), SqlError> {
        match body {
            SetExpr::Values(values) => {
                let width = values.rows.first().map_or(0, |row| row.content.len());
                if values.rows.iter().any(|row| row.content.len() != width) {
                    return Err(SqlError::syntax("VALUES lists must all be the same length"));
                }
                for row in &mut values.rows {
                    self.check_width(row.content.len())?;
                    for (expr, index) in row.content.iter_mut().zip(&self.columns) {
                        let column = &self.target.columns()[*index];
                        *expr = if is_default(expr) {
                            default_expr(column)?
                        } else {
                            typed(expr.clone(), column)
                        };
                    }
                }
                Ok(())
            }
            SetExpr::Select(select) => {
                let wildcard = |item: &SelectItem| {
                    matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
                };
                if select.projection.iter().any(wildcard) {
                    return Ok(());
                }
                for (item, index) in select.projection.iter_mut().zip(&self.columns) {
                    if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } =
                        item
                    {
                        *expr = typed(expr.clone(), &self.target.columns()[*index]);
                    }
                }
                Ok(())
            }
            SetExpr::SetOperation { left, right, .. } => {
                self.type_literals(left)?;
                self.type_literals(right)
            }
            SetExpr::Query(query) => self.type_literals(&mut query.body),
            _ => Ok(()),
        }
    }
}

/// All rows in one batch whose columns go by position: their names may repeat.
fn positional(batches: &[RecordBatch], plan: &LogicalPlan) -> Result<RecordBatch, SqlError> {
    let schema: SchemaRef = match batches.first() {
        Some(batch) => batch.schema(),
        None => Arc::new(plan.schema().as_arrow().clone()),
    };
    let batch = concat_batches(&schema, batches)?;
    let columns: Vec<ArrayRef> = batch.columns().to_vec();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let fields: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(n, c)| arrow::datatypes::Field::new(n.to_string(), c.data_type().clone(), true))
        .collect();
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
}
