//! VALUES whose cells of one column say different types.
//!
//! Law: a quoted literal takes the type of the others in its column, and a number beside a float is
//! a float. `SqlToRel` casts every cell to a type of its own choice as it plans, so this is done
//! before, as far as the text says the types.

use std::ops::ControlFlow;

use sqlparser::ast::{
    DataType, ExactNumberInfo, Expr, Ident, SelectItem, SetExpr, SetOperator, SetQuantifier,
    UnaryOperator, Value, Values, visit_expressions,
};
use tidemark_catalog::PgType;

use super::ast::{cast_to, empty_query, take};
use super::literal;

/// VALUES with subqueries in them, which `SqlToRel` has no place for: a UNION ALL of its rows.
pub fn without_subqueries(body: &mut SetExpr) {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            without_subqueries(left);
            without_subqueries(right);
        }
        SetExpr::Values(values) if has_subquery(values) => {
            let rows =
                std::mem::take(&mut values.rows).into_iter().map(|row| selected(row.content));
            let union = |left: SetExpr, right: SetExpr| SetExpr::SetOperation {
                op: SetOperator::Union,
                set_quantifier: SetQuantifier::All,
                left: Box::new(left),
                right: Box::new(right),
            };
            *body = rows.reduce(union).expect("a row with a subquery");
        }
        _ => {}
    }
}

fn has_subquery(values: &Values) -> bool {
    let found = visit_expressions(values, |expr| match expr {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

fn selected(row: Vec<Expr>) -> SetExpr {
    let item = |(n, expr): (usize, Expr)| SelectItem::ExprWithAlias {
        expr,
        alias: Ident::with_quote('"', format!("column{}", n + 1)),
    };
    let mut query = empty_query();
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection = row.into_iter().enumerate().map(item).collect();
    }
    *query.body
}

/// Aligns the columns of every VALUES of a query's body.
pub fn align(body: &mut SetExpr) {
    match body {
        SetExpr::Values(values) => align_values(values),
        SetExpr::SetOperation { left, right, .. } => {
            align(left);
            align(right);
        }
        _ => {}
    }
}

fn align_values(values: &mut Values) {
    if values.rows.len() < 2 {
        return;
    }
    for column in 0..values.rows.iter().map(|row| row.content.len()).min().unwrap_or(0) {
        let cells = || values.rows.iter().map(|row| &row.content[column]);
        let Some(ty) = column_type(cells()) else { continue };
        let float = float_width(&ty).is_some();
        for row in &mut values.rows {
            let cell = &mut row.content[column];
            if is_quoted(cell) || (float && number(cell).is_some()) {
                *cell = cast_to(take(cell), ty.clone());
            }
        }
    }
}

/// The widest float if there is one, else the first type that a cell says.
fn column_type<'a>(cells: impl Iterator<Item = &'a Expr> + Clone) -> Option<DataType> {
    let typed = cells.clone().filter_map(|cell| match literal::unwrapped(cell) {
        Expr::Cast { data_type, .. } => Some(data_type),
        _ => None,
    });
    let float = typed.clone().max_by_key(|ty| float_width(ty));
    if let Some(float) = float.filter(|ty| float_width(ty).is_some()) {
        return Some(float.clone());
    }
    let mut typed = typed;
    if let Some(ty) = typed.next() {
        return Some(ty.clone());
    }
    let mut numbers = cells.filter_map(number).peekable();
    numbers.peek()?;
    Some(match numbers.all(|text| text.bytes().all(|byte| byte.is_ascii_digit())) {
        true => DataType::Int4(None),
        false => DataType::Numeric(ExactNumberInfo::None),
    })
}

fn float_width(ty: &DataType) -> Option<u8> {
    match PgType::parse(&ty.to_string()).ok()?.0 {
        PgType::Float4 => Some(4),
        PgType::Float8 => Some(8),
        _ => None,
    }
}

fn is_quoted(cell: &Expr) -> bool {
    matches!(cell, Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)))
}

/// The digits of a number, with or without a sign.
fn number(cell: &Expr) -> Option<&str> {
    match literal::unwrapped(cell) {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => Some(text),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => number(expr),
        _ => None,
    }
}
