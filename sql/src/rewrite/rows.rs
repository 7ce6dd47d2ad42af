//! Row expressions, column by column: `(a, b) = (c, d)`, `(a, b) IN (…)`, `(a, b) < ANY (…)`.

use sqlparser::ast::helpers::attached_token::AttachedToken;
use std::ops::ControlFlow;

use sqlparser::ast::{
    self, BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    JoinOperator, Query, Select, SelectItem, SetExpr, TableAlias, TableFactor, Value,
    visit_expressions,
};

use super::ast::{binary, call, empty_query, not, number};
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

/// `(a, b) IS NULL`: every field is; IS NOT NULL: none is.
pub fn all_null(fields: Vec<Expr>, null: bool) -> Expr {
    let test = |field: Expr| match null {
        true => Expr::IsNull(Box::new(field)),
        false => Expr::IsNotNull(Box::new(field)),
    };
    let all = fields.into_iter().map(test);
    let all = all.reduce(|a, b| binary(a, BinaryOperator::And, b));
    Expr::Nested(Box::new(all.unwrap_or_else(|| Expr::value(Value::Boolean(true)))))
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

/// The fields of `(a, b)` or `ROW(a, b)`, if an expression is one of them.
pub fn fields(expr: &Expr) -> Option<Vec<Expr>> {
    match expr {
        Expr::Tuple(fields) => Some(fields.clone()),
        Expr::Nested(inner) => fields(inner),
        Expr::Function(Function { name, args: FunctionArguments::List(list), .. })
            if list.clauses.is_empty() && name.to_string().eq_ignore_ascii_case("row") =>
        {
            let field = |arg: &FunctionArg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(field)) => Some(field.clone()),
                _ => None,
            };
            list.args.iter().map(field).collect()
        }
        _ => None,
    }
}

pub fn rows_in_list(left: &[Expr], list: Vec<Expr>, negated: bool) -> Result<Expr, SqlError> {
    let mut any: Option<Expr> = None;
    for row in list {
        let Some(row) = fields(&row) else {
            return Err(SqlError::syntax("a list of rows must consist of rows"));
        };
        let equal = compare_rows(left.to_vec(), &BinaryOperator::Eq, row)?;
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
        _ => {
            let Some(mut sought) = sought(expr) else { return Ok(()) };
            let rows = Rows::new(&mut sought)?;
            *expr = match sought.all {
                false => rows.exists(rows.holds.clone()),
                true => not(rows.exists(Expr::IsNotTrue(Box::new(rows.holds.clone())))),
            };
            Ok(())
        }
    }
}

/// A row that is compared with those of a subquery.
struct Sought {
    row: Vec<Expr>,
    op: BinaryOperator,
    subquery: Box<Query>,
    /// With all of them, rather than any.
    all: bool,
}

/// `(a, b) IN (SELECT …)` and `(a, b) < ANY (SELECT …)`, if an expression is one of them.
fn sought(expr: &mut Expr) -> Option<Sought> {
    let (left, op, subquery, all) = match expr {
        Expr::InSubquery { expr: left, subquery, negated } => {
            let op = if *negated { BinaryOperator::NotEq } else { BinaryOperator::Eq };
            (left, op, subquery, *negated)
        }
        Expr::AnyOp { left, compare_op, right, .. } => {
            (left, compare_op.clone(), in_parentheses(right)?, false)
        }
        Expr::AllOp { left, compare_op, right } => {
            (left, compare_op.clone(), in_parentheses(right)?, true)
        }
        _ => return None,
    };
    let row = fields(left)?;
    Some(Sought { row, op, subquery: std::mem::replace(subquery, empty_query()), all })
}

fn in_parentheses(right: &mut Expr) -> Option<&mut Box<Query>> {
    match right {
        Expr::Subquery(query) => Some(query),
        _ => None,
    }
}

/// A comparison of a row with those of a subquery: true if it holds for some row, else unknown if
/// that is unknown of some; or false if it does not hold for some, else unknown. Whether the
/// expression was one.
pub fn compare_with_subquery(expr: &mut Expr) -> Result<bool, SqlError> {
    let Some(mut sought) = sought(expr) else { return Ok(false) };
    let rows = Rows::new(&mut sought)?;
    let decisive = match sought.all {
        false => rows.holds.clone(),
        true => Expr::IsFalse(Box::new(rows.holds.clone())),
    };
    let decided = rows.exists(decisive);
    let unknown = rows.exists(Expr::IsNull(Box::new(rows.holds.clone())));
    let when =
        |condition: Expr, value: Value| ast::CaseWhen { condition, result: Expr::value(value) };
    let (decided, unknown) =
        (when(decided, Value::Boolean(!sought.all)), when(unknown, Value::Null));
    *expr = Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![decided, unknown],
        else_result: Some(Box::new(Expr::value(Value::Boolean(sought.all)))),
    };
    Ok(true)
}

/// The rows of a subquery with names for its columns.
struct Rows {
    relation: TableFactor,
    /// The comparison with one of them.
    holds: Expr,
}

impl Rows {
    fn new(sought: &mut Sought) -> Result<Self, SqlError> {
        let row = std::mem::take(&mut sought.row);
        let name = |n: usize| Ident::with_quote('"', format!("\u{2}row{n}"));
        let columns = (0..row.len())
            .map(|n| ast::TableAliasColumnDef { name: name(n), data_type: None })
            .collect();
        let alias = Ident::with_quote('"', "\u{2}rows");
        let alias = Some(TableAlias { explicit: true, name: alias, columns, at: None });
        let names = (0..row.len()).map(|n| Expr::Identifier(name(n))).collect();
        let holds = compare_rows(row, &sought.op, names)?;
        let subquery = std::mem::replace(&mut sought.subquery, empty_query());
        let relation = TableFactor::Derived { lateral: false, subquery, alias, sample: None };
        Ok(Rows { relation, holds })
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
