//! From DataFusion's meaning to PostgreSQL's: AST passes before planning, plan passes after.
//!
//! Law: what a statement means is decided here and nowhere else, so that ad-hoc and maintained
//! plans agree.
//!
//! Before `SqlToRel`: [`names`] (column names, which PostgreSQL lets repeat), `functions` (calls of
//! the user's functions, by their bodies), [`ast`] (spellings it does not know). After it: `types`
//! (operators and literals as PostgreSQL resolves them), then DataFusion's own coercion, then
//! `casts` (casts and arithmetic by PostgreSQL's rules).

mod absent_row;
pub(crate) mod argument;
mod array_comparison;
mod array_or_empty;
pub mod arrived_at;
pub mod as_of;
pub mod ast;
pub mod bpchar;
mod casts;
mod checked;
mod common_type;
mod complete_order;
pub mod derived;
mod distinct_on;
pub mod exclude;
mod float_zero;
mod from;
pub mod functions;
mod grouping;
pub mod having;
mod hypothetical;
mod interval_literal;
mod literal;
pub mod misplaced;
mod named_arguments;
pub mod names;
pub mod natural;
pub mod now;
mod operators;
pub mod outer_aggregate;
pub mod parameters;
mod point_in_time;
mod reg;
mod rows;
pub mod scope;
mod set_all;
pub mod shadow;
mod sort_keys;
pub mod sorted_names;
mod table_function;
pub mod ties;
mod time_window;
mod types;
pub mod using;
mod values;
pub mod version_clause;
pub mod whole_row;
mod windows;

pub use absent_row::absent_rows;
pub use checked::check_overflow;
pub use complete_order::complete_order;
pub use float_zero::one_zero;
pub use set_all::keep_count;
pub use types::planner;

use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{grouping_set_to_exprlist, merge_schema};
use datafusion::logical_expr::{Expr, GroupingSet, LogicalPlan, ScalarUDF};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::resolve_grouping_function::ResolveGroupingFunction;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;

/// Puts PostgreSQL's types, casts, division and comparisons in place of DataFusion's. Ad-hoc and
/// maintained plans share this one pass; its result needs no further type coercion. `config` is the
/// planning session's.
pub fn postgres_semantics(plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
    let plan = sort_keys::without_subqueries(plan)?;
    let plan = grouping_by_name(types::resolve(plan)?)?;
    let plan = ResolveGroupingFunction::new().analyze(plan, config)?;
    let plan = TypeCoercion::new().analyze(plan, config)?;
    point_in_time::place(as_of::place(casts::replace(plan)?)?)
}

/// Functions that the AST passes put in place of operators.
pub fn functions() -> impl Iterator<Item = &'static Arc<ScalarUDF>> {
    let comparisons = array_comparison::functions().iter();
    let marks =
        [array_or_empty::function(), ties::function(), exclude::function(), as_of::function()];
    comparisons.chain(reg::functions()).chain(marks)
}

/// What an expression of a node may name: the columns of its inputs, or of the table it scans.
pub(crate) fn input_schema(node: &LogicalPlan) -> DFSchema {
    let mut schema = merge_schema(&node.inputs());
    if let LogicalPlan::TableScan(scan) = node
        && let Ok(table) =
            DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())
    {
        schema.merge(&table);
    }
    schema
}

/// Rewrites the expressions of every node, subqueries included, from the leaves up, keeping column
/// names.
pub(crate) fn map_plan(
    plan: LogicalPlan,
    rewrite: &mut dyn FnMut(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    map_nodes(plan, &mut |node| map_node(node, rewrite))
}

/// Rewrites every node, subqueries included, from the leaves up.
pub(crate) fn map_nodes(
    plan: LogicalPlan,
    rewrite: &mut dyn FnMut(LogicalPlan) -> Result<LogicalPlan>,
) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| Ok(Transformed::yes(rewrite(node)?)))?;
    Ok(plan.data)
}

/// The same, where a node is as asked; untouched without such a node.
pub(crate) fn map_marked(
    plan: LogicalPlan,
    marked: &dyn Fn(&LogicalPlan) -> bool,
    rewrite: &mut dyn FnMut(LogicalPlan) -> Result<LogicalPlan>,
) -> Result<LogicalPlan> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= marked(node);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if !found {
        return Ok(plan);
    }
    map_nodes(plan, &mut |node| match marked(&node) {
        true => rewrite(node),
        // Above a join whose sides are other nodes now.
        false => Ok(node),
    })
}

/// Rewrites the expressions of one node, keeping column names; its schema follows their types.
pub(crate) fn map_node(
    node: LogicalPlan,
    rewrite: &mut dyn FnMut(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    let schema = input_schema(&node);
    let names = NamePreserver::new(&node);
    let node = node.map_expressions(|expr| {
        let name = names.save(&expr);
        let keys = group_names(&expr);
        let expr = rewrite(expr, &schema)?;
        Ok(expr.update_data(|expr| match expr {
            Expr::GroupingSet(sets) => renamed_groups(sets, &keys),
            expr => name.restore(expr),
        }))
    })?;
    node.data.recompute_schema()
}

/// The names of the columns that grouping sets make, which stand inside one expression.
fn group_names(expr: &Expr) -> Vec<String> {
    match expr {
        Expr::GroupingSet(sets) => {
            sets.distinct_expr().into_iter().map(|key| key.schema_name().to_string()).collect()
        }
        _ => vec![],
    }
}

/// Has the arguments of grouping() be the keys as they are called since their types are known:
/// DataFusion compares them as they stand.
fn grouping_by_name(plan: LogicalPlan) -> Result<LogicalPlan> {
    map_nodes(plan, &mut |node| {
        let LogicalPlan::Aggregate(mut aggregate) = node else { return Ok(node) };
        let keys = grouping_set_to_exprlist(&aggregate.group_expr)?;
        let keys: Vec<Expr> = keys.into_iter().cloned().collect();
        let key_of = |expr: &Expr| {
            let is_it = |key: &&Expr| matches!(key, Expr::Alias(key) if *key.expr == *expr);
            keys.iter().find(is_it).cloned()
        };
        for call in &mut aggregate.aggr_expr {
            let mut call = call;
            while let Expr::Alias(alias) = call {
                call = &mut alias.expr;
            }
            let Expr::AggregateFunction(call) = call else { continue };
            if call.func.name() == "grouping" {
                let args = call.params.args.iter_mut();
                args.for_each(|arg| *arg = key_of(arg).unwrap_or_else(|| arg.clone()));
            }
        }
        Ok(LogicalPlan::Aggregate(aggregate))
    })
}

/// Gives the keys of grouping sets, which were rewritten one for one, the names they had.
fn renamed_groups(sets: GroupingSet, names: &[String]) -> Expr {
    let keys: Vec<Expr> = sets.distinct_expr().into_iter().cloned().collect();
    let renamed = |key: Expr| match keys.iter().position(|known| *known == key) {
        Some(place) if names.get(place).is_some_and(|n| *n != key.schema_name().to_string()) => {
            key.alias(names[place].clone())
        }
        _ => key,
    };
    let all = |keys: Vec<Expr>| -> Vec<Expr> { keys.into_iter().map(renamed).collect() };
    Expr::GroupingSet(match sets {
        GroupingSet::Rollup(keys) => GroupingSet::Rollup(all(keys)),
        GroupingSet::Cube(keys) => GroupingSet::Cube(all(keys)),
        GroupingSet::GroupingSets(sets) => {
            GroupingSet::GroupingSets(sets.into_iter().map(all).collect())
        }
    })
}
