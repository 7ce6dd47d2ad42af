//! `l JOIN x FOR SYSTEM_TIME AS OF l.ts`: carried through `SqlToRel` as a LATERAL of a known shape,
//! and made a [`PointInTimeJoin`] when types are settled (S14).
//!
//! `x FOR SYSTEM_TIME AS OF t AS f` is read as
//! `LATERAL (SELECT x.* FROM (SELECT t::timestamptz) AS ‹time› CROSS JOIN x AS ‹x›) AS f`.
//!
//! Law: the time is over what stands before the join, never over `x`; ON means what it means in any
//! join. A time without columns is not ours: it is the same for all rows.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Expr, Extension, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Projection,
};
use sqlparser::ast::{
    self, Expr as AstExpr, Ident, JoinConstraint, JoinOperator, Query, SelectItem, SetExpr,
    TableAlias, TableFactor, TableVersion, TableWithJoins, Value, Visit, Visitor,
};
use sqlparser::parser::Parser;

use super::as_of::is_as_of;
use super::ast::cast_to;
use crate::error::SqlError;
use crate::parse::fold;
use crate::resolve::PAST;
use crate::time_join::{Clock, PointInTimeJoin};

/// Names of the two relations inside the LATERAL.
const SYSTEM_TIME: &str = "\u{2}system_time";
const EVENT_TIME: &str = "\u{2}event_time";
const RELATION: &str = "\u{2}relation";

/// Spells joins whose time has columns as LATERAL ones.
pub fn spell(tables: &mut TableWithJoins) -> Result<(), SqlError> {
    for join in &mut tables.joins {
        let Some((clock, time)) = row_time(&join.relation) else { continue };
        let words = match clock {
            Clock::System => "FOR SYSTEM_TIME AS OF",
            Clock::Event => "FOR EVENT_TIME AS OF",
        };
        match &mut join.join_operator {
            operator @ JoinOperator::CrossJoin(JoinConstraint::None) => {
                let all = JoinConstraint::On(AstExpr::value(Value::Boolean(true)));
                *operator = JoinOperator::Inner(all);
            }
            JoinOperator::Join(_)
            | JoinOperator::Inner(_)
            | JoinOperator::Left(_)
            | JoinOperator::LeftOuter(_) => {}
            operator => {
                let what = if is_as_of(operator) { "ASOF" } else { "RIGHT and FULL" };
                let message = format!("{words} a column is not supported in {what} JOIN");
                return Err(SqlError::unsupported(message)
                    .with_detail("Each left row meets the relation as it was at its own time.")
                    .with_hint("Use [INNER] JOIN or LEFT JOIN."));
            }
        }
        join.relation = lateral(&mut join.relation, clock, time)?;
    }
    Ok(())
}

/// The relation under what [`spell`] makes of a join.
pub fn relation_of(factor: &TableFactor) -> Option<&ast::ObjectName> {
    let TableFactor::Derived { lateral: true, subquery, .. } = factor else { return None };
    let [tables] = subquery.body.as_select()?.from.as_slice() else { return None };
    let [join] = tables.joins.as_slice() else { return None };
    match &join.relation {
        TableFactor::Table { name, alias: Some(alias), .. } if is_inner(&alias.name) => Some(name),
        _ => None,
    }
}

/// Whether a name is that of the relation inside, whose columns are all handed on.
pub fn is_inner(name: &Ident) -> bool {
    name.value == RELATION
}

/// Refuses a time with columns in a place without a left side.
pub fn refuse_first(tables: &TableWithJoins) -> Result<(), SqlError> {
    match row_time(&tables.relation) {
        None => Ok(()),
        Some(_) => Err(SqlError::unsupported("AS OF a column is supported after JOIN only")
            .with_hint("Write l JOIN x FOR SYSTEM_TIME AS OF l.ts AS f ON …")),
    }
}

/// The clock and the time of a relation, if the time has columns.
fn row_time(factor: &TableFactor) -> Option<(Clock, AstExpr)> {
    let TableFactor::Table { version: Some(version), .. } = factor else { return None };
    let (clock, time) = match version {
        TableVersion::ForSystemTimeAsOf(time) => (Clock::System, time),
        TableVersion::TimestampAsOf(time) => (Clock::Event, time),
        _ => return None,
    };
    has_columns(time).then(|| (clock, time.clone()))
}

fn has_columns(expr: &AstExpr) -> bool {
    /// How deep in subqueries, whose columns are their own.
    struct Columns(usize);
    impl Visitor for Columns {
        type Break = ();

        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.0 += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.0 -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &AstExpr) -> ControlFlow<()> {
            match expr {
                AstExpr::Identifier(_) | AstExpr::CompoundIdentifier(_) if self.0 == 0 => {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    expr.visit(&mut Columns(0)).is_break()
}

fn lateral(factor: &mut TableFactor, clock: Clock, time: AstExpr) -> Result<TableFactor, SqlError> {
    let TableFactor::Table { alias, version, name, .. } = factor else {
        return Err(SqlError::internal("only a name has a time"));
    };
    *version = None;
    let own = name.0.last().and_then(|part| part.as_ident()).cloned();
    let own = own.ok_or_else(|| SqlError::internal("a relation without a name"))?;
    let of_past = format!("{PAST}{}", fold(&own));
    let of_past = Ident { value: of_past, quote_style: Some('"'), span: own.span };
    name.0.pop();
    name.0.push(ast::ObjectNamePart::Identifier(of_past));
    let named = |name| TableAlias { explicit: true, name, columns: vec![], at: None };
    let outer = alias.take().unwrap_or_else(|| named(own));
    *alias = Some(named(Ident::with_quote('"', RELATION)));
    let relation = std::mem::replace(
        factor,
        TableFactor::NestedJoin {
            table_with_joins: Box::new(TableWithJoins {
                relation: TableFactor::Derived {
                    lateral: false,
                    subquery: super::ast::empty_query(),
                    alias: None,
                    sample: None,
                },
                joins: vec![],
            }),
            alias: None,
        },
    );
    let mut subquery = template(clock)?;
    let SetExpr::Select(select) = subquery.body.as_mut() else {
        return Err(SqlError::internal("a template is a SELECT"));
    };
    let [tables] = select.from.as_mut_slice() else {
        return Err(SqlError::internal("a template has one FROM"));
    };
    if let TableFactor::Derived { subquery, .. } = &mut tables.relation
        && let SetExpr::Select(select) = subquery.body.as_mut()
    {
        let zone = ast::TimezoneInfo::Tz;
        let time = cast_to(AstExpr::Nested(Box::new(time)), ast::DataType::Timestamp(None, zone));
        let alias = Ident::with_quote('"', "time");
        select.projection = vec![SelectItem::ExprWithAlias { expr: time, alias }];
    }
    for join in &mut tables.joins {
        join.relation = relation.clone();
    }
    Ok(TableFactor::Derived { lateral: true, subquery, alias: Some(outer), sample: None })
}

fn template(clock: Clock) -> Result<Box<Query>, SqlError> {
    let time = match clock {
        Clock::System => SYSTEM_TIME,
        Clock::Event => EVENT_TIME,
    };
    let text = format!(
        "SELECT \"{RELATION}\".* FROM (SELECT NULL AS time) AS \"{time}\" \
         CROSS JOIN relation AS \"{RELATION}\""
    );
    let dialect = sqlparser::dialect::PostgreSqlDialect {};
    let query = Parser::new(&dialect).try_with_sql(&text).and_then(|mut p| p.parse_query());
    query.map_err(|error| SqlError::internal(error.to_string()))
}

/// Puts [`PointInTimeJoin`]s in the place of joins with such a LATERAL.
pub fn place(plan: LogicalPlan) -> Result<LogicalPlan> {
    let marked = |node: &LogicalPlan| match node {
        LogicalPlan::Join(join) => Marked::of(&join.right).is_some(),
        _ => false,
    };
    let plan = super::map_marked(plan, &marked, &mut |node| match node {
        LogicalPlan::Join(join) => point_in_time_join(join),
        node => Ok(node),
    })?;
    let plan = filter_first(plan)?;
    // What is left would be read as of now.
    plan.apply_with_subqueries(|node| match node {
        LogicalPlan::SubqueryAlias(alias)
            if [SYSTEM_TIME, EVENT_TIME].contains(&alias.alias.table()) =>
        {
            Err(SqlError::unsupported("AS OF a column is not supported in this place")
                .with_hint("Write l [LEFT] JOIN x FOR SYSTEM_TIME AS OF l.ts AS f ON …")
                .into())
        }
        _ => Ok(TreeNodeRecursion::Continue),
    })?;
    Ok(plan)
}

/// Puts conditions of the left side alone below the joins: rows that WHERE leaves out ask for
/// nothing, and may have a time in the future.
fn filter_first(plan: LogicalPlan) -> Result<LogicalPlan> {
    let above_join = |node: &LogicalPlan| match node {
        LogicalPlan::Filter(filter) => side(&filter.input).is_some(),
        _ => false,
    };
    super::map_marked(plan, &above_join, &mut |node| match node {
        LogicalPlan::Filter(filter) => {
            let conjuncts = split_conjunction_owned(filter.predicate);
            filtered(Arc::unwrap_or_clone(filter.input), conjuncts)
        }
        node => Ok(node),
    })
}

/// The left side of a point-in-time join, or of a join that has one below its left side.
fn side(plan: &LogicalPlan) -> Option<&Arc<LogicalPlan>> {
    match plan {
        LogicalPlan::Extension(extension) => {
            let join: Option<&PointInTimeJoin> = extension.node.as_any().downcast_ref();
            join.map(|join| &join.left)
        }
        LogicalPlan::Join(join) if matches!(join.join_type, JoinType::Inner | JoinType::Left) => {
            side(&join.left).map(|_| &join.left)
        }
        _ => None,
    }
}

fn filtered(plan: LogicalPlan, conjuncts: Vec<Expr>) -> Result<LogicalPlan> {
    let Some(left) = side(&plan) else { return with_filter(plan, conjuncts) };
    let of_left = |expr: &Expr| {
        let columns = expr.column_refs();
        !columns.is_empty()
            && columns.into_iter().all(|column| left.schema().has_column(column))
            && refuse_subqueries(expr, "").is_ok()
    };
    let (first, rest): (Vec<Expr>, Vec<Expr>) = conjuncts.into_iter().partition(of_left);
    if first.is_empty() {
        return with_filter(plan, rest);
    }
    let left = filtered(left.as_ref().clone(), first)?;
    let plan = match plan {
        LogicalPlan::Join(join) => LogicalPlan::Join(Join { left: Arc::new(left), ..join }),
        plan => plan.with_new_exprs(plan.expressions(), vec![left])?,
    };
    with_filter(plan, rest)
}

fn with_filter(plan: LogicalPlan, conjuncts: Vec<Expr>) -> Result<LogicalPlan> {
    match conjunction(conjuncts) {
        Some(predicate) => LogicalPlanBuilder::from(plan).filter(predicate)?.build(),
        None => Ok(plan),
    }
}

/// What [`lateral`] wrote, in a plan.
struct Marked<'a> {
    alias: &'a TableReference,
    clock: Clock,
    time: &'a Expr,
    relation: &'a LogicalPlan,
    /// The projections above it, outermost first: the one of [`lateral`], and one of the alias if
    /// that names columns.
    columns: Vec<&'a [Expr]>,
}

impl<'a> Marked<'a> {
    fn of(right: &'a LogicalPlan) -> Option<Self> {
        let LogicalPlan::SubqueryAlias(alias) = right else { return None };
        let mut columns = Vec::new();
        let mut below = alias.input.as_ref();
        let cross = loop {
            below = match below {
                LogicalPlan::Subquery(inner) => inner.subquery.as_ref(),
                LogicalPlan::Projection(Projection { expr, input, .. }) => {
                    columns.push(expr.as_slice());
                    input.as_ref()
                }
                LogicalPlan::Join(cross) => break cross,
                _ => return None,
            };
        };
        let LogicalPlan::SubqueryAlias(time) = cross.left.as_ref() else { return None };
        let clock = match time.alias.table() {
            SYSTEM_TIME => Clock::System,
            EVENT_TIME => Clock::Event,
            _ => return None,
        };
        let LogicalPlan::Projection(row) = time.input.as_ref() else { return None };
        let [time] = row.expr.as_slice() else { return None };
        let (alias, relation) = (&alias.alias, cross.right.as_ref());
        Some(Marked { alias, clock, time, relation, columns })
    }
}

fn point_in_time_join(join: Join) -> Result<LogicalPlan> {
    let Some(marked) = Marked::of(&join.right) else {
        return Err(SqlError::internal("a join without its mark").into());
    };
    let mut right = LogicalPlanBuilder::from(marked.relation.clone());
    for columns in marked.columns.iter().rev() {
        right = right.project(columns.to_vec())?;
    }
    let right = right.alias(marked.alias.clone())?.build()?;
    let left = join.left.schema();
    let time = marked.time.clone().unalias().transform_up(|expr| match expr {
        Expr::OuterReferenceColumn(_, column) if left.has_column(&column) => {
            Ok(Transformed::yes(Expr::Column(column)))
        }
        Expr::OuterReferenceColumn(_, column) => {
            let message = format!("AS OF {column}, a column of an outer query, is not supported");
            Err(SqlError::unsupported(message)
                .with_hint("Join the relation where the column is, on the left side.")
                .into())
        }
        expr => Ok(Transformed::no(expr)),
    })?;
    refuse_subqueries(&time.data, "the time of AS OF")?;
    let equalities = join.on.into_iter().map(|(left, right)| left.eq(right));
    let filter = join.filter.into_iter().flat_map(split_conjunction_owned);
    let conditions: Vec<Expr> = equalities.chain(filter).collect();
    for condition in &conditions {
        refuse_subqueries(condition, "ON of a point-in-time join")?;
    }
    let outer = join.join_type == JoinType::Left;
    let node = PointInTimeJoin::new(join.left, right, outer, marked.clock, time.data, conditions)?;
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

fn refuse_subqueries(expr: &Expr, place: &str) -> Result<()> {
    expr.apply(|expr| match expr {
        Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) => {
            Err(SqlError::unsupported(format!("a subquery in {place} is not supported"))
                .with_hint("Compute its value as a column of a subquery in FROM.")
                .into())
        }
        _ => Ok(TreeNodeRecursion::Continue),
    })?;
    Ok(())
}
