//! `SELECT DISTINCT ON (…)` as `SqlToRel` wants it: no places of the list, and in the order of
//! ORDER BY, which names all of them.
//!
//! Law: the expressions of DISTINCT ON are a set, and the first ones of ORDER BY are of it (42P10
//! otherwise). An ORDER BY that names fewer goes on with the others, ascending.

use sqlparser::ast::{
    Distinct, Expr, OrderBy, OrderByExpr, OrderByKind, OrderByOptions, Query, Select, SelectItem,
    SetExpr, Spanned, Value,
};

use super::outer_aggregate::same;
use crate::error::{SqlError, state};
use crate::parse::fold;
use crate::parse::position::of_span;

/// Spells the DISTINCT ON of a query's own SELECT.
pub fn spell(query: &mut Query) -> Result<(), SqlError> {
    let SetExpr::Select(select) = query.body.as_mut() else { return Ok(()) };
    let Some(Distinct::On(keys)) = &select.distinct else { return Ok(()) };
    let mut open = keys.iter().map(|key| of_list(key, select)).collect::<Result<Vec<_>, _>>()?;
    let mut keys = Vec::new();
    if let Some(OrderBy { kind: OrderByKind::Expressions(items), .. }) = &mut query.order_by {
        for item in items.iter_mut() {
            if open.is_empty() {
                break;
            }
            let Some(sorted) = named(&item.expr, select) else { return Ok(()) };
            if keys.iter().any(|key| same(key, &sorted)) {
                continue;
            }
            let Some(at) = open.iter().position(|key| same(key, &sorted)) else {
                let message =
                    "SELECT DISTINCT ON expressions must match initial ORDER BY expressions";
                return Err(SqlError::new(state::INVALID_COLUMN_REFERENCE, message));
            };
            let key = open.remove(at);
            item.expr = key.clone();
            keys.push(key);
        }
        let ascending = OrderByOptions { asc: None, nulls_first: None };
        let rest = open.iter().cloned();
        items.extend(rest.map(|expr| OrderByExpr { expr, options: ascending, with_fill: None }));
    }
    keys.append(&mut open);
    select.distinct = Some(Distinct::On(keys));
    Ok(())
}

/// An expression of DISTINCT ON, or what it means by its place in the list.
fn of_list(key: &Expr, select: &Select) -> Result<Expr, SqlError> {
    let Some(place) = place(key) else { return Ok(key.clone()) };
    let items = &select.projection;
    let wildcard = |item: &SelectItem| {
        matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
    };
    if items.iter().take(place).any(wildcard) {
        return Err(SqlError::unsupported(
            "places of a list with * are not supported in DISTINCT ON",
        )
        .with_hint("Name the column."));
    }
    let item = place.checked_sub(1).and_then(|place| items.get(place)).and_then(value);
    item.cloned().ok_or_else(|| {
        let message = format!("DISTINCT ON position {place} is not in select list");
        SqlError::new(state::INVALID_COLUMN_REFERENCE, message).at(of_span(key.span()))
    })
}

/// What ORDER BY means by a place, or by the name of a column of the list.
fn named(expr: &Expr, select: &Select) -> Option<Expr> {
    let items = &select.projection;
    if let Some(place) = place(expr) {
        return items.get(place.checked_sub(1)?).and_then(value).cloned();
    }
    if let Expr::Identifier(name) = expr {
        let alias = items.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if fold(alias) == fold(name) => Some(expr),
            _ => None,
        });
        return Some(alias.unwrap_or(expr).clone());
    }
    Some(expr.clone())
}

fn place(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => number.to_string().parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

fn value(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}
