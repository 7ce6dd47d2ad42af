//! Arguments by name: `make_interval(days => 10)`, also in the old spelling `days := 10`.
//!
//! Law: the call means the one with its arguments in their places, those left out being what the
//! function takes them for. Functions without names for their arguments are 42883.

use sqlparser::ast::{BinaryOperator, DataType, Expr, FunctionArg, FunctionArgExpr, Ident};

use super::ast::{cast_to, number};
use crate::error::{SqlError, state};
use crate::parse::fold;

/// The names of a function's arguments; `optional` ones are zero when they are left out.
struct Named {
    function: &'static str,
    arguments: &'static [&'static str],
    optional: bool,
}

const NAMED: &[Named] = &[
    Named {
        function: "make_interval",
        arguments: &["years", "months", "weeks", "days", "hours", "mins", "secs"],
        optional: true,
    },
    Named { function: "make_date", arguments: &["year", "month", "day"], optional: false },
    Named { function: "make_time", arguments: &["hour", "min", "sec"], optional: false },
    Named {
        function: "make_timestamp",
        arguments: &["year", "month", "mday", "hour", "min", "sec"],
        optional: false,
    },
    Named {
        function: "make_timestamptz",
        arguments: &["year", "month", "mday", "hour", "min", "sec"],
        optional: false,
    },
];

/// Puts named arguments in their places.
pub fn place(function: &str, args: &mut Vec<FunctionArg>) -> Result<(), SqlError> {
    let Some(first) = args.iter().position(|arg| name(arg).is_some()) else { return Ok(()) };
    let undefined = |name: &str| {
        let message = format!("function {function} has no argument named \"{name}\"");
        SqlError::new(state::UNDEFINED_FUNCTION, message)
    };
    let Some(named) = NAMED.iter().find(|named| named.function == function) else {
        return Err(undefined(&name(&args[first]).unwrap_or_default()));
    };
    let mut places: Vec<Option<Expr>> = vec![None; named.arguments.len()];
    for (n, arg) in std::mem::take(args).into_iter().enumerate() {
        let at = match name(&arg) {
            Some(name) => named.arguments.iter().position(|argument| *argument == name),
            None if n < first => Some(n),
            None => {
                let message = "positional argument cannot follow named argument";
                return Err(SqlError::syntax(message));
            }
        };
        let at = at.filter(|at| *at < places.len());
        let at = at.ok_or_else(|| undefined(&name(&arg).unwrap_or_default()))?;
        if places[at].is_some() {
            let name = named.arguments[at];
            let message = format!("argument name \"{name}\" used more than once");
            return Err(SqlError::syntax(message));
        }
        places[at] = Some(value(arg)?);
    }
    for (place, argument) in places.into_iter().zip(named.arguments) {
        let expr = match place {
            Some(expr) => expr,
            None if named.optional => cast_to(number(0), DataType::Int4(None)),
            None => {
                let message = format!("function {function} needs its argument \"{argument}\"");
                return Err(SqlError::new(state::UNDEFINED_FUNCTION, message));
            }
        };
        args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)));
    }
    Ok(())
}

fn name(arg: &FunctionArg) -> Option<String> {
    match arg {
        FunctionArg::Named { name, .. }
        | FunctionArg::ExprNamed { name: Expr::Identifier(name), .. } => Some(fold(name)),
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => assigned(expr).map(fold),
        _ => None,
    }
}

/// The name in `name := value`, which reads as an operator.
fn assigned(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::Assignment, .. } => match left.as_ref() {
            Expr::Identifier(name) => Some(name),
            _ => None,
        },
        _ => None,
    }
}

fn value(arg: FunctionArg) -> Result<Expr, SqlError> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::BinaryOp {
            op: BinaryOperator::Assignment,
            right,
            ..
        })) => Ok(*right),
        FunctionArg::Named { arg: FunctionArgExpr::Expr(expr), .. }
        | FunctionArg::ExprNamed { arg: FunctionArgExpr::Expr(expr), .. }
        | FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
        _ => Err(SqlError::syntax("an argument is a value")),
    }
}
