//! Predicates to the places where they cost least, and products to joins.
//!
//! Law      a predicate moves down only if it cannot fail, and only through columns that cannot
//!          fail: so nothing that can fail is asked about more rows than the text asks (S10)
//! Joins    inner joins in a row are ordered by their equalities ([`product`]); outer, semi and
//!          anti joins stay where the text has them ([`outer`])
//! Top-k    a filter `row_number() <= n` above a window lets only the first n rows of a partition
//!          into it
//! But      an equality that can fail becomes the key of a join that has no other: its side is then
//!          computed for each row below the join, and a row that fails is reported there. It could
//!          meet nothing; making every pair instead would be worse
//! Missing  statistics: the order depends on the text alone

mod outer;
mod product;

use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::{Expr, Operator};
use datafusion::scalar::ScalarValue;
use tidemark_engine::plan::{JoinKind, WindowFunction};

use super::fallible::is_fallible;
use super::interval::cast_of;
use super::rel::{
    Aggregate, Filter, Project, Recursive, Rel, Session, SetOperation, TopK, Union, Unnest,
    VersionJoin, Window, as_column, column, references, substitute,
};
use super::temporal::has_now;
use crate::error::SqlError;
use product::push_join;

/// The relation with its predicates in their places.
///
/// Errors: 0A000 for a comparison with now() in an outer join that no side of it can compute.
pub(super) fn push_down(rel: Rel) -> Result<Rel, SqlError> {
    push(outer::flag_times(rel)?, vec![])
}

/// `rel` with only the rows for which all of `predicates` are true; none of them can fail.
fn push(rel: Rel, predicates: Vec<Expr>) -> Result<Rel, SqlError> {
    Ok(match rel {
        Rel::Filter(filter) => push_filter(filter, predicates)?,
        Rel::Project(project) => push_project(project, predicates)?,
        Rel::Join(ref join) if join.kind == JoinKind::Inner => push_join(rel, predicates, vec![])?,
        Rel::Join(join) => outer::push_outer(join, predicates)?,
        Rel::VersionJoin(join) => {
            let own: Vec<usize> = (0..join.input.width()).collect();
            let (below, above) = of_columns(predicates, &own);
            let input = Box::new(push(*join.input, below)?);
            Rel::VersionJoin(VersionJoin { input, ..join }).filter(above)
        }
        Rel::Aggregate(aggregate) => push_aggregate(aggregate, predicates)?,
        Rel::Union(union) => {
            let inputs = union.inputs.into_iter();
            let inputs = inputs.map(|input| push(input, predicates.clone()));
            let inputs = inputs.collect::<Result<_, SqlError>>()?;
            Rel::Union(Union { inputs, schema: union.schema })
        }
        Rel::SetOperation(operation) => {
            let left = Box::new(push(*operation.left, predicates.clone())?);
            let right = Box::new(push(*operation.right, predicates)?);
            Rel::SetOperation(SetOperation { left, right, ..operation })
        }
        Rel::TopK(top) => {
            let (below, above) = of_columns(predicates, &top.keys);
            let input = Box::new(push(*top.input, below)?);
            Rel::TopK(TopK { input, ..top }).filter(above)
        }
        Rel::Window(window) => push_window(window, predicates)?,
        Rel::Unnest(unnest) => push_unnest(unnest, predicates)?,
        Rel::Session(session) => {
            let (below, above) = of_columns(predicates, &session.keys);
            let input = Box::new(push(*session.input, below)?);
            Rel::Session(Session { input, ..session }).filter(above)
        }
        Rel::Recursive(recursive) => {
            let base = Box::new(push(*recursive.base, vec![])?);
            let step = Box::new(push(*recursive.step, vec![])?);
            Rel::Recursive(Recursive { base, step, ..recursive }).filter(predicates)
        }
        Rel::Scan(_) | Rel::Constant(_) => rel.filter(predicates),
    })
}

/// The predicates about these columns alone, which group the rows, and the others. One without
/// columns stays with the others.
fn of_columns(predicates: Vec<Expr>, columns: &[usize]) -> (Vec<Expr>, Vec<Expr>) {
    predicates.into_iter().partition(|predicate| {
        let used = references(predicate);
        !used.is_empty() && used.iter().all(|column| columns.contains(column))
    })
}

fn push_filter(filter: Filter, predicates: Vec<Expr>) -> Result<Rel, SqlError> {
    let schema = filter.input.schema();
    let (fallible, mut movable): (Vec<Expr>, Vec<Expr>) =
        filter.predicates.into_iter().partition(|predicate| is_fallible(predicate, &schema));
    movable.extend(predicates);
    match *filter.input {
        join if is_inner(&join) => push_join(join, movable, fallible),
        input => Ok(push(input, movable)?.filter(fallible)),
    }
}

fn push_project(project: Project, predicates: Vec<Expr>) -> Result<Rel, SqlError> {
    let input = project.input.schema();
    let through = |predicate: &Expr| {
        references(predicate).into_iter().all(|i| !is_fallible(&project.exprs[i], &input))
    };
    let (below, above): (Vec<Expr>, Vec<Expr>) = predicates.into_iter().partition(through);
    let below = below
        .into_iter()
        .map(|predicate| substitute(predicate, &|i| project.exprs[i].clone()))
        .collect();
    let input = Box::new(push(*project.input, below)?);
    Ok(Rel::Project(Project { input, exprs: project.exprs, schema: project.schema }).filter(above))
}

/// Through the keys of groups. What is asked of the one group of no keys stays: it is there even
/// over no rows.
fn push_aggregate(aggregate: Aggregate, predicates: Vec<Expr>) -> Result<Rel, SqlError> {
    let keys = aggregate.keys.len();
    let of_keys = |predicate: &Expr| keys > 0 && references(predicate).iter().all(|&i| i < keys);
    let (below, above): (Vec<Expr>, Vec<Expr>) = predicates.into_iter().partition(of_keys);
    let below = below
        .into_iter()
        .map(|predicate| substitute(predicate, &|i| column(aggregate.keys[i])))
        .collect();
    let input = Box::new(push(*aggregate.input, below)?);
    Ok(Rel::Aggregate(Aggregate { input, ..aggregate }).filter(above))
}

/// Through the columns of the partition; and the first rows of each partition, where no others are
/// asked for.
fn push_window(window: Window, predicates: Vec<Expr>) -> Result<Rel, SqlError> {
    let first = first_rows(&window, &predicates);
    let (below, above) = of_columns(predicates, &window.partition);
    let mut input = push(*window.input, below)?;
    if let Some((limit, ties)) = first {
        input = Rel::TopK(TopK {
            input: Box::new(input),
            keys: window.partition.clone(),
            order: window.order.iter().chain(&window.tie_break).copied().collect(),
            offset: 0,
            limit: Some(limit),
            ties: ties.then_some(window.order.len()),
        });
    }
    Ok(Rel::Window(Window { input: Box::new(input), ..window }).filter(above))
}

/// How many rows of each partition the predicates let through, and whether with those equal to the
/// last: only where a row's values depend on no row behind it.
fn first_rows(window: &Window, predicates: &[Expr]) -> Option<(u64, bool)> {
    let width = window.input.width();
    let numbers = |call: &tidemark_engine::plan::WindowCall| {
        matches!(call.function, WindowFunction::RowNumber | WindowFunction::Rank)
    };
    if !window.calls.iter().all(numbers) {
        return None;
    }
    let bounds = predicates.iter().filter_map(|predicate| {
        let (number, limit) = upper_bound(predicate)?;
        let call = window.calls.get(number.checked_sub(width)?)?;
        Some((limit, matches!(call.function, WindowFunction::Rank)))
    });
    bounds.min()
}

/// `column <= n`, and what is as much.
fn upper_bound(predicate: &Expr) -> Option<(usize, u64)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = predicate else { return None };
    let (of, op, bound) = match literal(right) {
        Some(bound) => (left, *op, bound),
        None => (right, op.swap()?, literal(left)?),
    };
    let limit = match op {
        Operator::Lt => bound.checked_sub(1)?,
        Operator::LtEq | Operator::Eq => bound,
        _ => return None,
    };
    let limit = u64::try_from(limit.max(0)).ok()?;
    let inner = cast_of(of).map_or(of.as_ref(), |(inner, _)| inner);
    Some((as_column(inner)?, limit))
}

fn literal(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::Int64(n), _) => *n,
        Expr::Literal(ScalarValue::Int32(n), _) => n.map(i64::from),
        Expr::Literal(ScalarValue::Decimal128(Some(n), _, 0), _) => i64::try_from(*n).ok(),
        _ => None,
    }
}

/// Through the columns that stand beside each element.
fn push_unnest(unnest: Unnest, predicates: Vec<Expr>) -> Result<Rel, SqlError> {
    let kept: Vec<usize> =
        (0..unnest.input.width()).filter(|column| !unnest.lists.contains(column)).collect();
    let beside = |predicate: &Expr| references(predicate).iter().all(|&i| i < kept.len());
    let (below, above): (Vec<Expr>, Vec<Expr>) = predicates.into_iter().partition(beside);
    let below = below.into_iter().map(|p| substitute(p, &|i| column(kept[i]))).collect();
    let input = Box::new(push(*unnest.input, below)?);
    Ok(Rel::Unnest(Unnest { input, ..unnest }).filter(above))
}

fn is_inner(rel: &Rel) -> bool {
    matches!(rel, Rel::Join(join) if join.kind == JoinKind::Inner)
}

/// The sides of an equality that could be a join's key, and whether NULL equals NULL in it.
pub(super) fn equality(predicate: &Expr) -> Option<(&Expr, &Expr, bool)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = predicate else { return None };
    let null_equal = match op {
        Operator::Eq => false,
        Operator::IsNotDistinctFrom => true,
        _ => return None,
    };
    (!has_now(predicate)).then_some((left, right, null_equal))
}

pub(super) fn is_not_distinct(left: Expr, right: Expr) -> Expr {
    let op = Operator::IsNotDistinctFrom;
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}
