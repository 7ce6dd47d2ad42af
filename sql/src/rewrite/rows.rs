//! Row expressions, column by column: `(a, b) = (c, d)`, `(a, b) IN (…)`.

use sqlparser::ast::helpers::attached_token::AttachedToken;
use std::ops::ControlFlow;

use sqlparser::ast::{
    self, BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    JoinOperator, Query, Select, SelectItem, SetExpr, TableAlias, TableFactor, Value,
    visit_expressions,
};

use super::ast::{binary, call, empty_query, not, number, take};
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

/// `(a, b) OVERLAPS (c, d)`.
pub fn overlaps(left: Vec<Expr>, right: Vec<Expr>) -> Result<Expr, SqlError> {
    for (row, side) in [(&left, "left"), (&right, "right")] {
        if row.len() != 2 {
            let message =
                format!("wrong number of parameters on {side} side of OVERLAPS expression");
            return Err(SqlError::syntax(message));
        }
    }
    Ok(call("overlaps", left.into_iter().chain(right).collect()))
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

/// Row memberships that are conditions of WHERE: as EXISTS or its negation, which are joins.
pub fn in_where(select: &mut Select) -> Result<(), SqlError> {
    select.selection.iter_mut().try_for_each(in_conjunct)
}

fn in_conjunct(expr: &mut Expr) -> Result<(), SqlError> {
    match expr {
        Expr::Nested(inner) => in_conjunct(inner),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            in_conjunct(left)?;
            in_conjunct(right)
        }
        Expr::InSubquery { expr: left, subquery, negated } if matches!(**left, Expr::Tuple(_)) => {
            let rows = Rows::new(left, std::mem::replace(subquery, empty_query()))?;
            let negated = *negated;
            *expr = match negated {
                false => rows.exists(rows.equal.clone()),
                true => not(rows.exists(Expr::IsNotFalse(Box::new(rows.equal.clone())))),
            };
            Ok(())
        }
        _ => Ok(()),
    }
}

/// `(a, b) IN (SELECT …)`: true if some row is equal, else unknown if that is unknown of some.
pub fn row_in_subquery(left: &mut Expr, subquery: &mut Box<Query>) -> Result<Expr, SqlError> {
    let rows = Rows::new(left, std::mem::replace(subquery, empty_query()))?;
    let equal = rows.exists(rows.equal.clone());
    let unknown = rows.exists(Expr::IsNull(Box::new(rows.equal.clone())));
    let when =
        |condition: Expr, value: Value| ast::CaseWhen { condition, result: Expr::value(value) };
    let unknown = when(unknown, Value::Null);
    Ok(Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![when(equal, Value::Boolean(true)), unknown],
        else_result: Some(Box::new(Expr::value(Value::Boolean(false)))),
    })
}

/// The rows of a subquery with names for its columns.
struct Rows {
    relation: TableFactor,
    /// A row that is sought against one of them.
    equal: Expr,
}

impl Rows {
    fn new(left: &mut Expr, subquery: Box<Query>) -> Result<Self, SqlError> {
        let Expr::Tuple(row) = take(left) else {
            return Err(SqlError::internal("not a row expression"));
        };
        let name = |n: usize| Ident::with_quote('"', format!("\u{2}row{n}"));
        let columns = (0..row.len())
            .map(|n| ast::TableAliasColumnDef { name: name(n), data_type: None })
            .collect();
        let alias = Ident::with_quote('"', "\u{2}rows");
        let alias = Some(TableAlias { explicit: true, name: alias, columns, at: None });
        let names = (0..row.len()).map(|n| Expr::Identifier(name(n))).collect();
        let equal = compare_rows(row, &BinaryOperator::Eq, names)?;
        let relation = TableFactor::Derived { lateral: false, subquery, alias, sample: None };
        Ok(Rows { relation, equal })
    }

    /// Whether there is a row for which a condition is true.
    fn exists(&self, condition: Expr) -> Expr {
        let mut exists = empty_query();
        if let SetExpr::Select(select) = exists.body.as_mut() {
            let relation = self.relation.clone();
            select.projection = vec![SelectItem::UnnamedExpr(number(1))];
            select.from = vec![ast::TableWithJoins { relation, joins: vec![] }];
            select.selection = Some(condition);
        }
        Expr::Exists { subquery: exists, negated: false }
    }
}

/// `count(t.*)` counts rows of t, of which an outer join's filler is none: refused there, as it
/// would
/// count that as well.
pub fn refuse_counted(select: &Select) -> Result<(), SqlError> {
    let mut joins = select.from.iter().flat_map(|tables| &tables.joins);
    let outer = joins.any(|join| {
        !matches!(
            join.join_operator,
            JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_)
        )
    });
    let of_table = |arg: &FunctionArg| {
        matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(_)))
    };
    let found = visit_expressions(&select.projection, |expr| match expr {
        Expr::Function(Function { args: FunctionArguments::List(list), .. })
            if list.args.iter().any(of_table) =>
        {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    match outer && found.is_break() {
        false => Ok(()),
        true => Err(SqlError::unsupported("count(t.*) over an outer join is not supported")
            .with_hint("Count a column of the table that is never NULL.")),
    }
}
