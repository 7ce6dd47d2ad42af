//! UPDATE and DELETE: a SELECT of the rows that go, with what becomes of them beside their ids.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::logical_expr::LogicalPlan;
use datafusion::scalar::ScalarValue;
use sqlparser::ast::{
    self, Assignment, AssignmentTarget, Expr, FromTable, Ident, Query, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableFactor, TableWithJoins, UpdateTableFromKind,
    VisitMut, VisitorMut,
};
use std::sync::Arc;
use tidemark_engine::{ARRIVED_AT, RowId, TableWrite};

use super::complete::{default_expr, is_default};
use super::target::{Target, ast_type, column_of, typed};
use super::{DmlPlan, DmlResult, assign, describe, returning, unique};
use crate::context::{PlanContext, ReadView};
use crate::error::SqlError;
use crate::parse::fold;
use crate::plan::{finish, shown_schema, to_rel};
use crate::provider::row_ids;
use crate::resolve::{ROW_ID, Resolver};
use crate::rewrite::ast::{cast_to, empty_query};
use crate::rewrite::names::{self, MARK};
use crate::run;
use crate::session_state::session_state;

/// A planned UPDATE or DELETE.
pub struct Change {
    target: Target,
    /// Row ids, the new row (UPDATE), then RETURNING where it is computed beside them.
    pub plan: LogicalPlan,
    /// None: DELETE.
    assignments: Option<Assignments>,
    returning: Returning,
}

/// Where RETURNING is computed.
enum Returning {
    No,
    /// Over the new rows, each expression of SET evaluated once.
    After(LogicalPlan),
    /// In the same SELECT, because it may name the other tables of the statement. Columns from this
    /// one on.
    Beside(usize),
}

/// Plans an UPDATE.
pub fn update(
    ctx: &PlanContext,
    statement: &ast::Update,
    param_types: &mut Vec<Option<DataType>>,
) -> Result<Change, SqlError> {
    if statement.or.is_some() || !statement.order_by.is_empty() || statement.limit.is_some() {
        return Err(SqlError::syntax("this spelling of UPDATE is not supported"));
    }
    let (target, first) = target_of(ctx, &statement.table)?;
    let assignments = Assignments::new(&target, &statement.assignments)?;
    let mut from = vec![first];
    match &statement.from {
        None => {}
        Some(UpdateTableFromKind::AfterSet(tables)) => from.extend(tables.iter().cloned()),
        Some(UpdateTableFromKind::BeforeSet(_)) => {
            return Err(SqlError::syntax("FROM stands after SET"));
        }
    }
    let alone = from.len() == 1 && from[0].joins.is_empty();
    let items = match &statement.returning {
        Some(items) if !alone => beside(&target, &from, items, Some(&assignments))?,
        _ => vec![],
    };
    let fixed = 1 + target.columns().len();
    let row_id = column_of(&target.name, ROW_ID);
    let selection = statement.selection.clone();
    let query = select_new_rows(&target, &assignments, row_id, from, selection, items);
    let session = session_state(ctx);
    let resolver = Resolver::new(ctx, &session).with_given(target.stored());
    let plan = assignments.plan(&resolver, &target, &query, param_types)?;
    let returning = match &statement.returning {
        None => Returning::No,
        Some(items) if alone => {
            Returning::After(returning::plan(ctx, &target, items, param_types)?)
        }
        Some(_) => Returning::Beside(fixed),
    };
    Ok(Change { target, plan, assignments: Some(assignments), returning })
}

/// Plans a DELETE.
pub fn delete(
    ctx: &PlanContext,
    statement: &ast::Delete,
    param_types: &mut Vec<Option<DataType>>,
) -> Result<Change, SqlError> {
    if !statement.tables.is_empty() || !statement.order_by.is_empty() || statement.limit.is_some() {
        return Err(SqlError::syntax("this spelling of DELETE is not supported"));
    }
    let (FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables)) = &statement.from;
    let [table] = tables.as_slice() else {
        return Err(SqlError::syntax("DELETE is from one table"));
    };
    let (target, first) = target_of(ctx, table)?;
    let mut from = vec![first];
    from.extend(statement.using.iter().flatten().cloned());
    let mut projection = vec![named(column_of(&target.name, ROW_ID), 0)];
    if let Some(items) = &statement.returning {
        projection.extend(beside(&target, &from, items, None)?);
    }
    let mut query = empty_query();
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection = projection;
        select.from = from;
        select.selection = statement.selection.clone();
    }
    let session = session_state(ctx);
    let resolver = Resolver::new(ctx, &session).with_given(target.stored());
    let plan = to_rel(&resolver, &query, param_types)?;
    let plan = finish(&session, plan, param_types)?;
    let returning = match statement.returning {
        None => Returning::No,
        Some(_) => Returning::Beside(1),
    };
    Ok(Change { target, plan, assignments: None, returning })
}

impl Change {
    /// What it reads, writes and returns.
    pub fn describe(
        &self,
        ctx: &PlanContext,
        param_types: &[Option<DataType>],
    ) -> Result<DmlPlan, SqlError> {
        let mut plans = vec![&self.plan];
        let schema = match &self.returning {
            Returning::No => None,
            Returning::After(plan) => {
                plans.push(plan);
                Some(shown_schema(plan))
            }
            Returning::Beside(from) => Some(tail(&shown_schema(&self.plan), *from)),
        };
        describe(ctx, self.target.object.id, &plans, schema, param_types)
    }

    /// What it changes.
    pub async fn run(
        &self,
        ctx: &PlanContext,
        read: &ReadView,
        params: &[ScalarValue],
    ) -> Result<DmlResult, SqlError> {
        let batches = run::collect(ctx, &self.plan, read, params, &BTreeMap::new()).await?;
        let batches = each_row_once(batches)?;
        let delete: Vec<RowId> = batches.iter().flat_map(|batch| row_ids(batch, 0)).collect();
        let schema = self.target.schema();
        let mut insert = RecordBatch::new_empty(Arc::clone(&schema));
        if let Some(assignments) = &self.assignments {
            insert = self.new_rows(assignments, &batches, &schema)?;
            if assignments.touch(&self.target.table().primary_key) {
                unique::check_unique(ctx, &self.target.object, &insert, &delete, read)?;
            }
        }
        let returning = match &self.returning {
            Returning::No => None,
            Returning::After(plan) => {
                Some(returning::run(ctx, plan, insert.clone(), read, params).await?)
            }
            Returning::Beside(from) => Some(self.beside(*from, &batches)?),
        };
        let count = delete.len() as u64;
        let tag = if self.assignments.is_some() { "UPDATE" } else { "DELETE" };
        let writes = vec![TableWrite { table: self.target.collection(), delete, insert }];
        Ok(DmlResult { writes, returning, count, tag })
    }

    fn new_rows(
        &self,
        assignments: &Assignments,
        batches: &[RecordBatch],
        schema: &SchemaRef,
    ) -> Result<RecordBatch, SqlError> {
        let width = self.target.columns().len();
        let rows: Vec<RecordBatch> = batches
            .iter()
            .map(|batch| {
                let columns = assignments.store(&self.target, &batch.columns()[1..=width])?;
                assign::rows(&self.target.object, schema, columns)
            })
            .collect::<Result<_, _>>()?;
        Ok(concat_batches(schema, &rows)?)
    }

    fn beside(
        &self,
        from: usize,
        batches: &[RecordBatch],
    ) -> Result<(SchemaRef, Vec<RecordBatch>), SqlError> {
        let schema = tail(&shown_schema(&self.plan), from);
        let rows = batches
            .iter()
            .map(|batch| {
                let columns = batch.columns()[from..].to_vec();
                RecordBatch::try_new(Arc::clone(&schema), columns)
            })
            .collect::<Result<_, _>>()?;
        Ok((schema, rows))
    }
}

fn tail(schema: &SchemaRef, from: usize) -> SchemaRef {
    Arc::new(Schema::new(schema.fields()[from..].to_vec()))
}

/// A row that the join meets several times is changed once, by the first.
fn each_row_once(batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, SqlError> {
    let mut seen = HashSet::new();
    batches
        .into_iter()
        .map(|batch| {
            let first: BooleanArray =
                row_ids(&batch, 0).into_iter().map(|id| Some(seen.insert(id))).collect();
            Ok(filter_record_batch(&batch, &first)?)
        })
        .collect()
}

/// The target and its place in FROM.
fn target_of(
    ctx: &PlanContext,
    table: &TableWithJoins,
) -> Result<(Target, TableWithJoins), SqlError> {
    let TableFactor::Table { name, alias, args: None, .. } = &table.relation else {
        return Err(SqlError::unsupported("only tables can be changed"));
    };
    let alias = alias.as_ref().map(|alias| &alias.name);
    let target = Target::changed(ctx, name, alias)?;
    let first = TableWithJoins { relation: target.factor(), joins: table.joins.clone() };
    Ok((target, first))
}

/// What an UPDATE or DO UPDATE assigns.
pub struct Assignments {
    /// By column; None keeps the old value.
    values: Vec<Option<Expr>>,
}

impl Assignments {
    pub fn new(target: &Target, assignments: &[Assignment]) -> Result<Assignments, SqlError> {
        let mut values = vec![None; target.columns().len()];
        for assignment in assignments {
            for (name, value) in single_assignments(assignment)? {
                let ident = name.0.last().and_then(|part| part.as_ident());
                let ident = ident.ok_or_else(|| SqlError::syntax("a column's name is expected"))?;
                let index = target.column(ident)?;
                let column = &target.columns()[index];
                let value =
                    if is_default(&value) { default_expr(column)? } else { typed(value, column) };
                if values[index].replace(value).is_some() {
                    let name = fold(ident);
                    let message = format!("multiple assignments to same column \"{name}\"");
                    return Err(SqlError::syntax(message));
                }
            }
        }
        Ok(Assignments { values })
    }

    pub fn touch(&self, columns: &[usize]) -> bool {
        columns.iter().any(|column| self.values[*column].is_some())
    }

    /// Plans the SELECT of new rows and checks that each value can be assigned.
    pub fn plan(
        &self,
        resolver: &Resolver<'_>,
        target: &Target,
        query: &Query,
        param_types: &mut Vec<Option<DataType>>,
    ) -> Result<LogicalPlan, SqlError> {
        let plan = to_rel(resolver, query, param_types)?;
        let plan = finish(resolver.state, plan, param_types)?;
        for (index, column) in target.columns().iter().enumerate() {
            if self.values[index].is_some() {
                assign::check(plan.schema().field(index + 1).data_type(), column)?;
            }
        }
        Ok(plan)
    }

    /// New columns as they are stored.
    pub fn store(&self, target: &Target, columns: &[ArrayRef]) -> Result<Vec<ArrayRef>, SqlError> {
        let one = |(index, array): (usize, &ArrayRef)| match self.values[index] {
            Some(_) => assign::store(array, &target.columns()[index]),
            None => Ok(Arc::clone(array)),
        };
        columns.iter().enumerate().map(one).collect()
    }
}

/// `(a, b) = (1, 2)` taken apart.
fn single_assignments(assignment: &Assignment) -> Result<Vec<(ast::ObjectName, Expr)>, SqlError> {
    match (&assignment.target, &assignment.value) {
        (AssignmentTarget::ColumnName(name), value) => Ok(vec![(name.clone(), value.clone())]),
        (AssignmentTarget::Tuple(names), Expr::Tuple(values)) => {
            if names.len() != values.len() {
                return Err(SqlError::syntax("number of columns does not match number of values"));
            }
            Ok(names.iter().cloned().zip(values.iter().cloned()).collect())
        }
        (AssignmentTarget::Tuple(names), value) if names.len() == 1 => {
            Ok(vec![(names[0].clone(), value.clone())])
        }
        _ => Err(SqlError::unsupported("assigning a row from a subquery is not supported")
            .with_hint("use UPDATE … FROM (subquery)")),
    }
}

/// SELECT of an id, each column's new value, and further items.
pub fn select_new_rows(
    target: &Target,
    assignments: &Assignments,
    id: Expr,
    from: Vec<TableWithJoins>,
    selection: Option<Expr>,
    items: Vec<SelectItem>,
) -> Box<Query> {
    let mut projection = vec![named(id, 0)];
    for (index, column) in target.columns().iter().enumerate() {
        let value = match &assignments.values[index] {
            Some(value) => value.clone(),
            None => column_of(&target.name, &column.name),
        };
        projection.push(named(value, index + 1));
    }
    projection.extend(items);
    let mut query = empty_query();
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection = projection;
        select.from = from;
        select.selection = selection;
    }
    query
}

/// A column under a name that cannot be in anybody's way.
fn named(expr: Expr, n: usize) -> SelectItem {
    SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', format!("{MARK}{n}")) }
}

/// RETURNING as part of the same SELECT: wildcards spelt out, and the target's columns as they
/// become.
fn beside(
    target: &Target,
    from: &[TableWithJoins],
    items: &[SelectItem],
    assignments: Option<&Assignments>,
) -> Result<Vec<SelectItem>, SqlError> {
    let mut spelt = Vec::new();
    for item in items {
        match item {
            SelectItem::Wildcard(options) => {
                spelt.extend(own_columns(target));
                for (n, table) in from.iter().enumerate() {
                    let first = (n > 0).then_some(&table.relation);
                    let factors = first.into_iter().chain(table.joins.iter().map(|j| &j.relation));
                    for name in factors.filter_map(factor_name) {
                        let kind = SelectItemQualifiedWildcardKind::ObjectName(name);
                        spelt.push(SelectItem::QualifiedWildcard(kind, options.clone()));
                    }
                }
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _)
                if is_target(target, name) =>
            {
                spelt.extend(own_columns(target))
            }
            item => spelt.push(item.clone()),
        }
    }
    for item in &mut spelt {
        if let SelectItem::UnnamedExpr(expr) = item {
            let name = names::column_name(expr);
            let expr = expr.clone();
            *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) };
        }
        if let (SelectItem::ExprWithAlias { expr, .. }, Some(assignments)) = (item, assignments) {
            let changed = expr.visit(&mut Become { target, assignments });
            if let ControlFlow::Break(error) = changed {
                return Err(error);
            }
        }
    }
    Ok(spelt)
}

/// The target's columns, as a star in RETURNING means them.
pub(super) fn own_columns(target: &Target) -> impl Iterator<Item = SelectItem> + '_ {
    let present = target.columns().iter().filter(|column| !column.is_dropped());
    present.map(|column| SelectItem::ExprWithAlias {
        expr: column_of(&target.name, &column.name),
        alias: Ident::with_quote('"', column.name.clone()),
    })
}

fn factor_name(factor: &TableFactor) -> Option<ast::ObjectName> {
    let part =
        |ident: &Ident| ast::ObjectName(vec![ast::ObjectNamePart::Identifier(ident.clone())]);
    match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. } => Some(part(&alias.name)),
        TableFactor::Table { name, .. } => Some(name.clone()),
        _ => None,
    }
}

fn is_target(target: &Target, name: &ast::ObjectName) -> bool {
    let last = name.0.last().and_then(|part| part.as_ident()).map(fold);
    last.as_deref() == Some(target.name.as_str())
}

/// Puts what is assigned in the place of the target's columns.
struct Become<'a> {
    target: &'a Target,
    assignments: &'a Assignments,
}

impl VisitorMut for Become<'_> {
    type Break = SqlError;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        let ident = match expr {
            Expr::Identifier(ident) => ident,
            Expr::CompoundIdentifier(parts) if parts.len() == 2 => {
                if fold(&parts[0]) != self.target.name {
                    return ControlFlow::Continue(());
                }
                &parts[1]
            }
            _ => return ControlFlow::Continue(()),
        };
        let name = fold(ident);
        if name == ARRIVED_AT {
            // The other tables are read as they were before the commit, which has no time yet.
            let message = format!("{ARRIVED_AT} in RETURNING of an UPDATE with FROM");
            let error = SqlError::unsupported(format!("{message} is not supported"));
            return ControlFlow::Break(error.with_hint("Read it afterwards, by the row's key."));
        }
        if let Some(index) = self.target.object.column(&name)
            && let Some(value) = &self.assignments.values[index]
        {
            let column = &self.target.columns()[index];
            *expr = cast_to(value.clone(), ast_type(column.ty));
        }
        ControlFlow::Continue(())
    }
}
