//! Operators in PostgreSQL's spellings: with ANY and ALL, and by their qualified names.

use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value,
};

use super::ast::{call, not, take};
use crate::error::{SqlError, state};

/// A comparison with each element of an array, or each row of a subquery.
pub fn quantified(expr: &mut Expr) -> Result<(), SqlError> {
    match expr {
        Expr::AnyOp { left, compare_op, right, .. } if !matches!(**right, Expr::Subquery(_)) => {
            let op = Expr::value(Value::SingleQuotedString(comparison(compare_op)?));
            *expr = call("compare_any", vec![op, take(left), take(right)]);
            Ok(())
        }
        Expr::AllOp { left, compare_op, right } if !matches!(**right, Expr::Subquery(_)) => {
            let op = Expr::value(Value::SingleQuotedString(comparison(compare_op)?));
            *expr = call("compare_all", vec![op, take(left), take(right)]);
            Ok(())
        }
        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => {
            *expr = in_subquery(left, right, false);
            Ok(())
        }
        Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } => {
            *expr = in_subquery(left, right, true);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// `LIKE ANY (array)` and `LIKE ALL (array)`.
pub fn like_each(left: Expr, pattern: Expr, any: bool, negated: bool) -> Expr {
    let array = match pattern {
        Expr::Function(Function { args: FunctionArguments::List(mut list), .. }) if !any => {
            match list.args.pop() {
                Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(array))) => array,
                _ => Expr::value(Value::Null),
            }
        }
        other => other,
    };
    let op = Expr::value(Value::SingleQuotedString("~~".to_owned()));
    // What is like none of them is not like any.
    let name = if any == negated { "compare_all" } else { "compare_any" };
    let like = call(name, vec![op, left, array]);
    if negated { not(like) } else { like }
}

/// `= ANY (SELECT …)` is IN, `<> ALL (SELECT …)` NOT IN.
fn in_subquery(left: &mut Expr, right: &mut Expr, negated: bool) -> Expr {
    match take(right) {
        Expr::Subquery(subquery) => {
            Expr::InSubquery { expr: Box::new(take(left)), subquery, negated }
        }
        other => other,
    }
}

/// The operator of `OPERATOR(pg_catalog.~)`.
pub fn named_operator(parts: &[String]) -> Result<BinaryOperator, SqlError> {
    let symbol = parts.last().map(String::as_str).unwrap_or_default();
    Ok(match symbol {
        "=" => BinaryOperator::Eq,
        "<>" | "!=" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        ">" => BinaryOperator::Gt,
        "<=" => BinaryOperator::LtEq,
        ">=" => BinaryOperator::GtEq,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "%" => BinaryOperator::Modulo,
        "||" => BinaryOperator::StringConcat,
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "~~*" => BinaryOperator::PGILikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "!~~*" => BinaryOperator::PGNotILikeMatch,
        "->" => BinaryOperator::Arrow,
        "->>" => BinaryOperator::LongArrow,
        _ => {
            let message = format!("operator does not exist: {}", parts.join("."));
            return Err(SqlError::new(state::UNDEFINED_FUNCTION, message));
        }
    })
}

fn comparison(op: &BinaryOperator) -> Result<String, SqlError> {
    let op = match op {
        BinaryOperator::PGCustomBinaryOperator(parts) => named_operator(parts)?,
        other => other.clone(),
    };
    match op {
        BinaryOperator::Eq
        | BinaryOperator::NotEq
        | BinaryOperator::Lt
        | BinaryOperator::LtEq
        | BinaryOperator::Gt
        | BinaryOperator::GtEq
        | BinaryOperator::PGLikeMatch
        | BinaryOperator::PGRegexMatch => Ok(op.to_string()),
        other => {
            Err(SqlError::unsupported(format!("{other} ANY/ALL over arrays is not supported")))
        }
    }
}
