//! Row expressions, column by column: `(a, b) = (c, d)`, `(a, b) IN (…)`.

use sqlparser::ast::{
    self, BinaryOperator, Expr, Ident, Query, SelectItem, SetExpr, TableAlias, TableFactor,
};

use super::ast::{binary, empty_query, not, number, take};
use crate::error::SqlError;

/// `(a, b) = (c, d)` column by column; only (in)equality, whose meaning is a conjunction.
pub fn compare_rows(
    left: Vec<Expr>,
    op: &BinaryOperator,
    right: Vec<Expr>,
) -> Result<Expr, SqlError> {
    if left.len() != right.len() {
        return Err(SqlError::syntax("unequal number of entries in row expressions"));
    }
    let equal = |(l, r): (Expr, Expr)| binary(l, BinaryOperator::Eq, r);
    let all = left.clone().into_iter().zip(right.clone()).map(equal);
    let all = all.reduce(|a, b| binary(a, BinaryOperator::And, b));
    let all = all.ok_or_else(|| SqlError::unsupported("cannot compare rows of zero length"))?;
    match op {
        BinaryOperator::Eq => Ok(Expr::Nested(Box::new(all))),
        BinaryOperator::NotEq => Ok(not(all)),
        BinaryOperator::Lt | BinaryOperator::LtEq | BinaryOperator::Gt | BinaryOperator::GtEq => {
            Ok(Expr::Nested(Box::new(row_order(&left, op, &right))))
        }
        other => {
            Err(SqlError::unsupported(format!("operator {other} between rows is not supported")))
        }
    }
}

/// `a < c OR (a = c AND (b, …) < (d, …))`.
fn row_order(left: &[Expr], op: &BinaryOperator, right: &[Expr]) -> Expr {
    let (l, r) = (left[0].clone(), right[0].clone());
    if left.len() == 1 {
        return binary(l, op.clone(), r);
    }
    let strict = match op {
        BinaryOperator::Lt | BinaryOperator::LtEq => BinaryOperator::Lt,
        _ => BinaryOperator::Gt,
    };
    let rest = Expr::Nested(Box::new(row_order(&left[1..], op, &right[1..])));
    let tie = binary(binary(l.clone(), BinaryOperator::Eq, r.clone()), BinaryOperator::And, rest);
    binary(binary(l, strict, r), BinaryOperator::Or, Expr::Nested(Box::new(tie)))
}

pub fn rows_in_list(left: &mut Expr, list: Vec<Expr>, negated: bool) -> Result<Expr, SqlError> {
    let Expr::Tuple(left) = left else {
        return Err(SqlError::internal("not a row expression"));
    };
    let mut any: Option<Expr> = None;
    for row in list {
        let Expr::Tuple(row) = row else {
            return Err(SqlError::syntax("a list of rows must consist of rows"));
        };
        let equal = compare_rows(left.clone(), &BinaryOperator::Eq, row)?;
        any = Some(match any {
            Some(any) => binary(any, BinaryOperator::Or, equal),
            None => equal,
        });
    }
    let any = any.ok_or_else(|| SqlError::syntax("an IN list cannot be empty"))?;
    Ok(if negated { not(any) } else { Expr::Nested(Box::new(any)) })
}

/// `(a, b) IN (SELECT …)` as EXISTS over the query with names for its columns.
pub fn row_in_subquery(left: &mut Expr, subquery: &mut Box<Query>) -> Result<Expr, SqlError> {
    let Expr::Tuple(row) = take(left) else {
        return Err(SqlError::internal("not a row expression"));
    };
    let name = |n: usize| Ident::with_quote('"', format!("\u{2}row{n}"));
    let columns = (0..row.len())
        .map(|n| ast::TableAliasColumnDef { name: name(n), data_type: None })
        .collect();
    let alias =
        TableAlias { explicit: true, name: Ident::with_quote('"', "\u{2}rows"), columns, at: None };
    let names = (0..row.len()).map(|n| Expr::Identifier(name(n))).collect();
    let condition = compare_rows(row, &BinaryOperator::Eq, names)?;
    let relation = TableFactor::Derived {
        lateral: false,
        subquery: std::mem::replace(subquery, empty_query()),
        alias: Some(alias),
        sample: None,
    };
    let mut exists = empty_query();
    if let SetExpr::Select(select) = exists.body.as_mut() {
        select.projection = vec![SelectItem::UnnamedExpr(number(1))];
        select.from = vec![ast::TableWithJoins { relation, joins: vec![] }];
        select.selection = Some(condition);
    }
    Ok(Expr::Exists { subquery: exists, negated: false })
}
