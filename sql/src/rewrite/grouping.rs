//! GROUP BY with more than one list of sets, tuples or `()`: as the sets they multiply out to.
//!
//! Law: the sets of a GROUP BY are the product of the sets of its items. ROLLUP has its prefixes,
//! CUBE its subsets, a tuple standing for all of its columns at once. What `SqlToRel` reads is left
//! as it is.

use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Select};

use crate::error::{SqlError, state};

/// As PostgreSQL limits them.
const CUBE_MAX: usize = 12;
const SETS_MAX: usize = 4096;

/// Multiplies out the GROUP BY of a SELECT.
pub fn multiply_out(select: &mut Select) -> Result<(), SqlError> {
    let GroupByExpr::Expressions(items, _) = &mut select.group_by else { return Ok(()) };
    if items.iter().all(|item| is_read(item, items.len() == 1)) {
        return Ok(());
    }
    let mut sets: Vec<Vec<Expr>> = vec![vec![]];
    let mut grouping = false;
    for item in items.iter() {
        grouping |= is_grouping(item);
        let of_item = sets_of(item)?;
        if sets.len() * of_item.len() > SETS_MAX {
            let message = format!("too many grouping sets present (maximum {SETS_MAX})");
            return Err(SqlError::new(state::STATEMENT_TOO_COMPLEX, message));
        }
        sets = sets.iter().flat_map(|set| of_item.iter().map(|more| both(set, more))).collect();
    }
    *items = match <[Vec<Expr>; 1]>::try_from(sets) {
        Ok([set]) if !grouping && !set.is_empty() => set,
        Ok([set]) => vec![Expr::GroupingSets(vec![set])],
        Err(sets) => vec![Expr::GroupingSets(sets)],
    };
    Ok(())
}

/// A set with what another adds.
fn both(set: &[Expr], more: &[Expr]) -> Vec<Expr> {
    let mut both = set.to_vec();
    for expr in more {
        if !both.contains(expr) {
            both.push(expr.clone());
        }
    }
    both
}

/// Whether `SqlToRel` reads an item, which stands alone or not.
fn is_read(item: &Expr, alone: bool) -> bool {
    let single = |lists: &[Vec<Expr>]| lists.iter().all(|list| list.len() == 1);
    match item {
        Expr::Rollup(lists) | Expr::Cube(lists) => alone && single(lists),
        Expr::GroupingSets(lists) => alone && lists.iter().flatten().all(|e| nested(e).is_none()),
        Expr::Tuple(_) => false,
        _ => true,
    }
}

fn is_grouping(item: &Expr) -> bool {
    matches!(item, Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_))
}

fn sets_of(item: &Expr) -> Result<Vec<Vec<Expr>>, SqlError> {
    Ok(match item {
        Expr::Rollup(lists) => (0..=lists.len()).rev().map(|n| lists[..n].concat()).collect(),
        Expr::Cube(lists) if lists.len() > CUBE_MAX => {
            let message = format!("CUBE is limited to {CUBE_MAX} elements");
            return Err(SqlError::new(state::TOO_MANY_COLUMNS, message));
        }
        Expr::Cube(lists) => (0..1usize << lists.len())
            .map(|left_out| {
                let kept = lists.iter().enumerate().filter(|(i, _)| left_out >> i & 1 == 0);
                kept.flat_map(|(_, list)| list.clone()).collect()
            })
            .collect(),
        Expr::GroupingSets(lists) => {
            let mut sets = Vec::new();
            for list in lists {
                match list.as_slice() {
                    [one] if let Some(inner) = nested(one) => sets.extend(sets_of(&inner)?),
                    list => sets.push(list.to_vec()),
                }
            }
            sets
        }
        Expr::Tuple(exprs) => vec![exprs.clone()],
        other => vec![vec![other.clone()]],
    })
}

/// ROLLUP and CUBE inside of GROUPING SETS, which are read as calls.
fn nested(expr: &Expr) -> Option<Expr> {
    let Expr::Function(function) = expr else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    let lists = list.args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Tuple(exprs))) => Some(exprs.clone()),
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(vec![expr.clone()]),
        _ => None,
    });
    let lists = lists.collect::<Option<Vec<_>>>()?;
    match function.name.to_string().to_lowercase().as_str() {
        "rollup" => Some(Expr::Rollup(lists)),
        "cube" => Some(Expr::Cube(lists)),
        _ => None,
    }
}
