//! From a query's text to the plan that keeps its rows up to date (design §6).
//!
//! logical plan → [`rel`] (positions for names; subqueries as joins, by [`decorrelate`]; what is
//! not maintained refused) → predicates to their places ([`pushdown`]) → unused columns out
//! ([`prune`]) → `engine::Plan` ([`lower`]).
//!
//! Law      the plan's rows at t are the query's rows at t with now() = t; it depends on the text,
//!          the catalog and the settings alone, on no statistics
//! Errors   an expression that can fail stays where the text has it (S10): see [`fallible`]
//! Missing  whatever [`refuse`] lists: refused with 0A000, the reason and a way out
//!
//! DataFusion's own optimizer is not used: its rules merge filters in the wrong order, drop and
//! duplicate expressions that fail, and move them below joins.

mod columns;
mod decorrelate;
mod fallible;
mod interval;
mod key;
mod lower;
mod notice;
mod nullable;
mod prune;
mod pushdown;
mod refuse;
mod rel;
mod replayed;
mod resolve;
mod scalar;
mod shift;
mod single_row;
mod temporal;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::logical_expr::{LogicalPlan, TableScan};
use sqlparser::ast;
use tidemark_catalog::{Catalog, Column, Object, ObjectId, ObjectKind, PgType};
use tidemark_engine::{CollectionId, OperatorStatistics, Plan, with_arrived_at, with_versions};

use crate::context::{PlanContext, collection};
use crate::error::{Notice, SqlError};
use crate::plan::plan_query;
use crate::resolve::{RelationSource, Resolver, ScannedRelation, relation_schema};
use crate::rewrite::postgres_semantics;
use crate::session_state::session_state;
pub use columns::{column_type, pseudo_type};
pub(crate) use fallible::{can_fail, expression_can_fail};
use rel::Scan;
pub(crate) use replayed::{Replayed, ReplayedColumns, plan_replayed};
use scalar::Scalars;

/// What CREATE MATERIALIZED VIEW makes of a query.
#[derive(Debug, Clone)]
pub struct MaintainedPlan {
    /// Its columns have the names and Arrow types of `columns`.
    pub plan: Plan,
    pub columns: Vec<Column>,
    /// Columns that identify a row at every time; empty: there is one row at most. `None`: rows may
    /// repeat, or the columns that would tell them apart are not in the output.
    pub key: Option<Vec<usize>>,
    /// Objects the query's own text names.
    pub depends_on: Vec<ObjectId>,
    /// Functions of the user's that it uses.
    pub functions: Vec<ObjectId>,
    /// What each relation name meant, by the name as written.
    pub bindings: BTreeMap<String, ObjectId>,
    pub notices: Vec<Notice>,
    /// The OPTIMIZED stage of EXPLAIN, a line each.
    pub optimized: Vec<String>,
}

/// Plans a materialized view with the query's column names.
pub fn plan_view(ctx: &PlanContext, query: &ast::Query) -> Result<MaintainedPlan, SqlError> {
    plan_named_view(ctx, query, &[])
}

/// Plans a materialized view, its first columns renamed to `names`.
///
/// Errors: those of the query; 0A000 for what is not maintained; 42701 where two columns have one
/// name; 42601 for more names than columns.
pub fn plan_named_view(
    ctx: &PlanContext,
    query: &ast::Query,
    names: &[ast::Ident],
) -> Result<MaintainedPlan, SqlError> {
    let planned = plan_query(ctx, query, &mut Vec::new())?;
    let names = columns::output_names(&planned.schema, names)?;
    let session = session_state(ctx);
    let options = Arc::clone(session.config_options());
    let maintained =
        maintain(&planned.logical, &names, options, &|scan| scanned(&ctx.catalog, scan))?;
    Ok(MaintainedPlan {
        plan: maintained.plan,
        columns: maintained.columns,
        key: maintained.key,
        depends_on: planned.depends_on,
        functions: planned.functions,
        bindings: planned.bindings,
        notices: planned.notices.into_iter().chain(maintained.notices).collect(),
        optimized: maintained.optimized,
    })
}

/// Plans a materialized view again, from its definition: its text, by the names and settings it was
/// created with. What it reads is looked up in the catalog, itself it need not be there.
///
/// Errors: whatever makes the text impossible by now; XX000 if it is no view.
pub fn plan_stored_view(ctx: &PlanContext, object: &Object) -> Result<MaintainedPlan, SqlError> {
    let view = object.view();
    let view = view.ok_or_else(|| SqlError::internal(format!("\"{}\" is no view", object.name)))?;
    let ctx = &ctx.under(view)?;
    let session = session_state(ctx);
    let (body, resolved) = Resolver::new(ctx, &session).expand_version(object)?;
    let logical = postgres_semantics(body, session.config_options())?;
    let names: Vec<String> = view.columns.iter().map(|column| column.name.clone()).collect();
    let options = Arc::clone(session.config_options());
    let maintained = maintain(&logical, &names, options, &|scan| scanned(&ctx.catalog, scan))?;
    Ok(MaintainedPlan {
        plan: maintained.plan,
        columns: maintained.columns,
        key: maintained.key,
        depends_on: view.depends_on.clone(),
        functions: resolved.functions.into_iter().collect(),
        bindings: view.bindings.clone(),
        notices: maintained.notices,
        optimized: maintained.optimized,
    })
}

/// The lines of EXPLAIN (PLAN): an operator each, inputs by their names.
pub fn explain_plan(catalog: &Catalog, plan: &Plan) -> Vec<String> {
    plan.explain(&input_name(catalog)).lines().map(str::to_owned).collect()
}

fn input_name(catalog: &Catalog) -> impl Fn(CollectionId) -> String {
    |id| match catalog.of_collection(ObjectId(id.0)) {
        Some(object) => relation_name(object),
        None => format!("#{}", id.0),
    }
}

/// The same of a running view, each operator with what it has done so far.
pub fn explain_running(
    catalog: &Catalog,
    plan: &Plan,
    statistics: &[OperatorStatistics],
) -> Vec<String> {
    let note = |place: usize| match statistics.get(place) {
        Some(of) if of.steps > 0 => format!(
            " (steps={} in={} out={} state={} rows {} bytes, time={:.3} ms)",
            of.steps,
            of.updates_in,
            of.updates_out,
            of.state.rows,
            of.state.bytes,
            of.busy.as_secs_f64() * 1000.0
        ),
        _ => String::new(),
    };
    let name = input_name(catalog);
    plan.explain_with(&name, &note).lines().map(str::to_owned).collect()
}

/// The operators of a plan, as EXPLAIN shows them, in the order of their statistics.
pub(crate) fn explain_operators(catalog: &Catalog, plan: &Plan) -> Vec<String> {
    let text = plan.explain_with(&input_name(catalog), &|_| String::new());
    text.lines().map(|line| line.trim_start().to_owned()).collect()
}

/// What is made of a logical plan alone.
struct Maintained {
    plan: Plan,
    columns: Vec<Column>,
    key: Option<Vec<usize>>,
    notices: Vec<Notice>,
    optimized: Vec<String>,
}

fn maintain(
    logical: &LogicalPlan,
    names: &[String],
    options: Arc<ConfigOptions>,
    relations: resolve::Relations<'_>,
) -> Result<Maintained, SqlError> {
    let scalars = Scalars::new(options);
    let resolved = resolve::resolve(logical, relations, &scalars)?;
    let columns = columns::output_columns(&resolved, names)?;
    let pushed = pushdown::push_down(columns::typed(resolved, &columns)?)?;
    let notices = notice::notices(&pushed, &scalars)?;
    let optimized = prune::prune(pushed);
    let key = key::key(&optimized);
    let plan = columns::renamed(lower::lower(&optimized, &scalars)?, &columns);
    let optimized = optimized.explain().lines().map(str::to_owned).collect();
    Ok(Maintained { plan, columns, key, notices, optimized })
}

/// A relation that a plan bound to a snapshot scans.
pub(crate) struct Input {
    /// What the engine's plan calls it.
    pub number: u64,
    pub schema: SchemaRef,
}

/// Plans a query that is bound to a snapshot, with the columns it has; `input` is asked about every
/// scan.
pub(crate) fn plan_bound(
    logical: &LogicalPlan,
    options: Arc<ConfigOptions>,
    input: &dyn Fn(&TableScan) -> Result<Input, SqlError>,
) -> Result<Plan, SqlError> {
    let scalars = Scalars::for_session(options);
    let relation = |scan: &TableScan| {
        if let Some(source) = scan.source.downcast_ref::<RelationSource>()
            && matches!(source.relation, ScannedRelation::Past(..))
        {
            return Err(refuse::point_in_time());
        }
        let Input { number, schema } = input(scan)?;
        let (collection, name) = (CollectionId(number), scan.table_name.to_string());
        Ok(Scan {
            collection,
            name,
            schema,
            types: vec![],
            key: None,
            append_only: false,
            arrived_at: false,
            versions: false,
        })
    };
    let resolved = resolve::resolve(logical, &relation, &scalars)?;
    lower::lower(&prune::prune(pushdown::push_down(resolved)?), &scalars)
}

/// The table or materialized view that a plan scans.
fn scanned(catalog: &Catalog, scan: &TableScan) -> Result<Scan, SqlError> {
    let Some(source) = scan.source.downcast_ref::<RelationSource>() else {
        return Err(refuse::relation(&format!("{} in FROM", scan.table_name)));
    };
    let id = match &source.relation {
        ScannedRelation::Table(id)
        | ScannedRelation::MaterializedView(id)
        | ScannedRelation::Past(id, _) => *id,
        ScannedRelation::System(_) | ScannedRelation::Given(_) => {
            return Err(refuse::system_table(scan.table_name.table()));
        }
    };
    let object = catalog.get(id).expect("planned in this catalog");
    let versions = matches!(source.relation, ScannedRelation::Past(..));
    if versions && object.table().is_none() {
        return Err(refuse::versions_of_view(&object.name));
    }
    let key = match &object.kind {
        ObjectKind::Table(table) if table.primary_key.is_empty() => None,
        ObjectKind::Table(table) => Some(table.primary_key.clone()),
        ObjectKind::View(view) | ObjectKind::MaterializedView(view) => view.key.clone(),
        ObjectKind::Source(_) => None,
    };
    let mut schema = relation_schema(object.columns());
    let mut types: Vec<_> =
        object.columns().iter().map(|column| (column.ty, column.typmod)).collect();
    if source.with_arrivals || versions {
        schema = if versions { with_versions(&schema) } else { with_arrived_at(&schema) };
        types.push((PgType::Timestamptz, -1));
    }
    Ok(Scan {
        collection: collection(catalog, id),
        name: relation_name(object),
        schema,
        types,
        arrived_at: source.with_arrivals && !versions,
        versions,
        key,
        append_only: match &object.kind {
            ObjectKind::Table(table) => table.keeps_rows(),
            ObjectKind::View(view) | ObjectKind::MaterializedView(view) => view.append_only,
            ObjectKind::Source(_) => false,
        },
    })
}

fn relation_name(object: &Object) -> String {
    match object.schema.as_str() {
        "public" => object.name.clone(),
        schema => format!("{schema}.{}", object.name),
    }
}
