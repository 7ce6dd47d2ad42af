//! A query's plan: names resolved, types and meaning PostgreSQL's, nothing read yet.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, DataFusionError};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::planner::{PlannerContext, SqlToRel};
use sqlparser::ast;
use tidemark_catalog::{Catalog, ObjectId, ObjectKind};

use crate::context::PlanContext;
use crate::error::{Notice, SqlError, state};
use crate::parse::position::of_span;
use crate::parse::{Statement, fold, parse};
use crate::point_read::PointRead;
use crate::resolve::{RelationSource, Resolver, ScannedRelation};
use crate::rewrite;
use crate::session_state::session_state;
use crate::time_join::PointInTimeJoin;
use crate::time_travel;

/// A planned query. Valid while the catalog's version and the settings it was planned under stay.
#[derive(Debug, Clone)]
pub struct QueryPlan {
    /// With PostgreSQL's types and functions in place, not optimized; `now()` and `$n` stand in it
    /// as such.
    pub logical: LogicalPlan,
    /// What the client sees: PostgreSQL's column names, which may repeat, and the Arrow types.
    pub schema: SchemaRef,
    /// Type of `$1`, `$2`, …: given or inferred, text where nothing says.
    pub parameters: Vec<DataType>,
    /// Tables and materialized views it scans, also inside plain views.
    pub reads: Vec<ObjectId>,
    /// Of `reads`, the materialized views, and all there are where it reads what they report: wait
    /// for these before running.
    pub views: Vec<ObjectId>,
    /// Tables under `views` and `reads` all the way down: what a transaction locks and validates.
    pub base_tables: Vec<ObjectId>,
    /// Objects a view of this query would depend on: `reads` of its own text and the plain views it
    /// names.
    pub depends_on: Vec<ObjectId>,
    /// Functions of the user's that its own text uses, also inside other functions.
    pub functions: Vec<ObjectId>,
    /// What each relation name meant, by the name as written.
    pub bindings: BTreeMap<String, ObjectId>,
    pub notices: Vec<Notice>,
    /// How to read it by its key alone, if that is all it does.
    pub(crate) point: Option<PointRead>,
}

/// Plans a query.
///
/// `param_types[i]` is the type of `$i+1` if the client gave one; on return every slot is set.
pub fn plan_query(
    ctx: &PlanContext,
    query: &ast::Query,
    param_types: &mut Vec<Option<DataType>>,
) -> Result<QueryPlan, SqlError> {
    let session = session_state(ctx);
    let resolver = Resolver::new(ctx, &session);
    plan_resolved(&resolver, query, param_types)
}

/// The same with the names of a resolver made before.
pub(crate) fn plan_resolved(
    resolver: &Resolver<'_>,
    query: &ast::Query,
    param_types: &mut Vec<Option<DataType>>,
) -> Result<QueryPlan, SqlError> {
    let plan = to_rel(resolver, query, param_types)?;
    let plan = finish(resolver.state, plan, param_types)?;
    let catalog = &resolver.ctx.catalog;
    let reads = scanned(&plan)?;
    let resolved = resolver.resolved();
    let direct: BTreeSet<ObjectId> = resolved.names.values().copied().collect();
    let past = replayed(&plan)?;
    let read = |id: &ObjectId| {
        reads.contains(id) || past.contains(id) || resolved.plain_views.contains(id)
    };
    Ok(QueryPlan {
        schema: shown_schema(&plan),
        parameters: param_types.iter().flatten().cloned().collect(),
        views: awaited(resolver.ctx, &plan, &reads)?,
        base_tables: base_tables(catalog, &reads).into_iter().collect(),
        depends_on: direct.into_iter().filter(read).collect(),
        functions: resolved.functions.into_iter().collect(),
        bindings: resolved.names.into_iter().filter(|(_, id)| read(id)).collect(),
        reads: reads.into_iter().collect(),
        notices: Vec::new(),
        point: PointRead::of(resolver.ctx, &plan),
        logical: plan,
    })
}

/// Meaning and parameter types of a plan that `SqlToRel` made.
pub(crate) fn finish(
    session: &SessionState,
    plan: LogicalPlan,
    param_types: &mut Vec<Option<DataType>>,
) -> Result<LogicalPlan, SqlError> {
    on_large_stack(|| {
        let plan = rewrite::parameters::infer(plan, param_types)?;
        Ok(rewrite::postgres_semantics(plan, session.config_options())?)
    })
}

/// Runs what recurses over a statement's tree with stack for the deepest that `parse` lets through,
/// whatever thread it is on: DML is planned on the committer's.
pub(crate) fn on_large_stack<T>(work: impl FnOnce() -> T) -> T {
    const RED_ZONE_BYTES: usize = 4 << 20;
    const STACK_BYTES: usize = 32 << 20;
    stacker::maybe_grow(RED_ZONE_BYTES, STACK_BYTES, work)
}

/// A query through the AST passes and `SqlToRel`.
pub(crate) fn to_rel(
    resolver: &Resolver<'_>,
    query: &ast::Query,
    param_types: &[Option<DataType>],
) -> Result<LogicalPlan, SqlError> {
    on_large_stack(|| to_rel_or_again(resolver, query, param_types))
}

fn to_rel_or_again(
    resolver: &Resolver<'_>,
    query: &ast::Query,
    param_types: &[Option<DataType>],
) -> Result<LogicalPlan, SqlError> {
    let planned = match to_rel_once(resolver, query, param_types, false) {
        // A column named beside a wildcard that has it too: legal, and rare enough to plan twice.
        Err(error) if is_repeated_name(&error) => to_rel_once(resolver, query, param_types, true),
        planned => planned,
    };
    planned.map_err(|error| match rewrite::using::missing_column(&error, query) {
        Some(error) => error,
        None => locate_function(SqlError::from(error), query),
    })
}

/// Where the text calls the function that an error is about.
fn locate_function(error: SqlError, query: &ast::Query) -> SqlError {
    let name = match error.message.strip_prefix("function ").and_then(|rest| rest.split_once('(')) {
        Some((name, _)) if error.position.is_none() && error.code == state::UNDEFINED_FUNCTION => {
            name.to_string()
        }
        _ => return error,
    };
    let found = ast::visit_expressions(query, |expr| {
        if let ast::Expr::Function(function) = expr
            && let Some(ident) = function.name.0.last().and_then(|part| part.as_ident())
            && fold(ident) == name
        {
            return ControlFlow::Break(of_span(ident.span));
        }
        ControlFlow::Continue(())
    });
    match found {
        ControlFlow::Break(position) => error.at(position),
        ControlFlow::Continue(()) => error,
    }
}

fn to_rel_once(
    resolver: &Resolver<'_>,
    query: &ast::Query,
    param_types: &[Option<DataType>],
    mark_all: bool,
) -> Result<LogicalPlan> {
    let mut query = Box::new(query.clone());
    let columns = |query: &ast::Query| {
        let plan = to_rel_or_again(resolver, query, param_types)?;
        Ok(shown_schema(&plan).fields().iter().map(|field| field.name().clone()).collect())
    };
    rewrite::natural::expand(&mut query, &columns)?;
    rewrite::derived::hoist(&mut query);
    rewrite::outer_aggregate::lift(&mut query, &columns);
    rewrite::names::name_columns(&mut query, mark_all);
    rewrite::sorted_names::part(&mut query);
    rewrite::having::qualify(&mut query, &columns)?;
    rewrite::whole_row::spell(&mut query, &columns)?;
    rewrite::shadow::rename(&mut query);
    rewrite::functions::inline(&mut query, resolver)?;
    rewrite::arrived_at::mark(&mut query, resolver);
    rewrite::ast::rewrite(query.as_mut())?;
    let fields = param_types
        .iter()
        .enumerate()
        .map(|(n, ty)| {
            let name = format!("${}", n + 1);
            ty.clone().map(|ty| Arc::new(Field::new(name, ty, true)))
        })
        .collect();
    let mut context = PlannerContext::new().with_prepare_param_data_types(fields);
    let statement = ast::Statement::Query(query);
    SqlToRel::new(resolver).sql_statement_to_plan_with_context(statement, &mut context)
}

fn is_repeated_name(error: &DataFusionError) -> bool {
    let text = error.strip_backtrace();
    text.contains("require unique expression names")
        || text.contains("duplicate unqualified field name")
        || text.contains("duplicate qualified field name")
}

/// The plan of a view's text, its first columns renamed to `names`.
pub(crate) fn plan_body<'n>(
    resolver: &Resolver<'_>,
    sql: &str,
    names: impl Iterator<Item = &'n str>,
) -> Result<LogicalPlan, SqlError> {
    let mut statements = parse(sql)?;
    let query = match (statements.pop().map(|parsed| parsed.statement), statements.len()) {
        (Some(Statement::Query(query)), 0) => query,
        _ => return Err(SqlError::internal("a view's text is one query")),
    };
    let plan = to_rel(resolver, &query, &[])?;
    rename(plan, names)
}

/// A projection that renames the first columns.
pub(crate) fn rename<'n>(
    plan: LogicalPlan,
    names: impl Iterator<Item = &'n str>,
) -> Result<LogicalPlan, SqlError> {
    let mut names = names.map(str::to_string);
    let columns: Vec<Expr> = plan
        .schema()
        .iter()
        .map(|(qualifier, field)| {
            let column = Expr::Column(Column::from((qualifier, field)));
            match names.next() {
                Some(name) => column.alias(name),
                None => column,
            }
        })
        .collect();
    if names.next().is_some() {
        let message = "CREATE VIEW specifies more column names than columns";
        return Err(SqlError::syntax(message));
    }
    Ok(LogicalPlanBuilder::from(plan).project(columns)?.build()?)
}

/// Output columns under the names the client sees.
pub(crate) fn shown_schema(plan: &LogicalPlan) -> SchemaRef {
    let field = |field: &Arc<Field>| {
        let name = rewrite::names::shown(field.name());
        Field::new(name, field.data_type().clone(), field.is_nullable())
            .with_metadata(rewrite::bpchar::mark_of(field))
    };
    Arc::new(Schema::new(plan.schema().fields().iter().map(field).collect::<Vec<_>>()))
}

/// Tables and materialized views that a plan scans, subqueries included.
pub(crate) fn scanned(plan: &LogicalPlan) -> Result<BTreeSet<ObjectId>, SqlError> {
    let mut found = BTreeSet::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(source) = scan.source.downcast_ref::<RelationSource>()
            && let ScannedRelation::Table(id) | ScannedRelation::MaterializedView(id) =
                source.relation
        {
            found.insert(id);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// Tables and views whose past a plan joins. They are not read at its snapshot.
pub(crate) fn replayed(plan: &LogicalPlan) -> Result<BTreeSet<ObjectId>, SqlError> {
    let mut found = BTreeSet::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Extension(extension) = node
            && let Some(join) = extension.node.as_any().downcast_ref::<PointInTimeJoin>()
        {
            found.insert(join.relation()?.1);
        }
        found.extend(time_travel::of(node).map(|node| node.relation));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// Relations that a plan reads at another time, which may be a moment ago.
fn traveled(plan: &LogicalPlan) -> Result<BTreeSet<ObjectId>, SqlError> {
    let mut found = BTreeSet::new();
    plan.apply_with_subqueries(|node| {
        found.extend(time_travel::of(node).map(|node| node.relation));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// See [`QueryPlan::views`].
fn awaited(
    ctx: &PlanContext,
    plan: &LogicalPlan,
    reads: &BTreeSet<ObjectId>,
) -> Result<Vec<ObjectId>, SqlError> {
    let mut reports = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(source) = scan.source.downcast_ref::<RelationSource>()
            && let ScannedRelation::System(table) = source.relation
        {
            reports |= (table.schema, table.name) == ("tidemark", "quarantine");
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let maintained = |id: &ObjectId| {
        is_materialized(&ctx.catalog, *id) && ctx.engine.relation(ctx.collection(*id)).is_some()
    };
    Ok(match reports {
        true => ctx.catalog.objects().map(|object| object.id).filter(maintained).collect(),
        false => reads
            .iter()
            .chain(&traveled(plan)?)
            .copied()
            .filter(|id| is_materialized(&ctx.catalog, *id))
            .collect(),
    })
}

pub(crate) fn is_materialized(catalog: &Catalog, id: ObjectId) -> bool {
    let kind = catalog.get(id).map(|object| &object.kind);
    matches!(kind, Some(ObjectKind::MaterializedView(_)))
}

/// The tables under some objects, all the way down.
pub(crate) fn base_tables(catalog: &Catalog, ids: &BTreeSet<ObjectId>) -> BTreeSet<ObjectId> {
    let mut tables = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut open: Vec<ObjectId> = ids.iter().copied().collect();
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        match catalog.get(id) {
            Some(object) if object.table().is_some() => drop(tables.insert(id)),
            Some(object) => open.extend(object.depends_on()),
            None => {}
        }
    }
    tables
}

/// Refuses columns without a name of their own type or with the same name twice: for tables and
/// views made of a query.
pub fn check_column_names(schema: &Schema) -> Result<(), SqlError> {
    let mut seen = BTreeSet::new();
    for field in schema.fields() {
        if !seen.insert(field.name()) {
            let message = format!("column \"{}\" specified more than once", field.name());
            return Err(SqlError::new(state::DUPLICATE_COLUMN, message));
        }
    }
    Ok(())
}
