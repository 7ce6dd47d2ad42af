//! `FROM tumble(t, ts, size)`, `hop(t, ts, slide, size)`, `session(t, ts, gap [, column …])`: the
//! rows of a relation with the time windows they are in, as `window_start` and `window_end`.
//!
//! Law: windows begin at multiples of size or slide since the epoch, and hold their start but not
//! their end; a row is in each window that holds its time, one without a time in none. A session is
//! one of rows equal in the further columns.

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, TableAlias, TableFactor,
};
use sqlparser::parser::Parser;

use crate::error::SqlError;
use crate::parse::fold;

/// The rows as a derived table, if the factor is a time window.
pub fn expand(factor: &mut TableFactor) -> Result<(), SqlError> {
    let TableFactor::Table { name, args: Some(args), alias, .. } = factor else { return Ok(()) };
    let function = name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default();
    let known = ["tumble", "hop", "session"].contains(&function.as_str());
    if !known || args.args.is_empty() {
        return Ok(());
    }
    let args = args.args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
        _ => Err(SqlError::syntax(format!("{function} takes a relation, a column and intervals"))),
    });
    let args = args.collect::<Result<Vec<_>, SqlError>>()?;
    let rows = match (function.as_str(), args.as_slice()) {
        ("tumble", [relation, time, size]) => tumble(relation, &column(time)?, size),
        ("hop", [relation, time, slide, size]) => hop(relation, &column(time)?, slide, size),
        ("session", [relation, time, gap, keys @ ..]) => {
            let keys = keys.iter().map(|key| column(key)).collect::<Result<Vec<_>, _>>()?;
            session(relation, &column(time)?, gap, &keys)
        }
        _ => {
            let usage = "tumble(relation, time, size), hop(relation, time, slide, size), \
                         session(relation, time, gap [, column …])";
            return Err(SqlError::syntax(format!("wrong number of arguments of {function}"))
                .with_hint(usage));
        }
    };
    let dialect = sqlparser::dialect::PostgreSqlDialect {};
    let parsed = Parser::new(&dialect).try_with_sql(&rows).and_then(|mut p| p.parse_query());
    let subquery = parsed.map_err(|error| SqlError::syntax(error.to_string()))?;
    let named = || TableAlias {
        explicit: true,
        name: Ident::with_quote('"', &function),
        columns: vec![],
        at: None,
    };
    let alias = Some(alias.take().unwrap_or_else(named));
    *factor = TableFactor::Derived { lateral: false, subquery, alias, sample: None };
    Ok(())
}

/// The name of a column of the relation.
fn column(expr: &Expr) -> Result<String, SqlError> {
    let name = match expr {
        Expr::Identifier(name) => Some(name),
        Expr::CompoundIdentifier(names) => names.last(),
        Expr::Function(function) => return described(function),
        _ => None,
    };
    name.map(ToString::to_string).ok_or_else(|| SqlError::syntax(format!("{expr} is no column")))
}

/// `DESCRIPTOR(column)`, as SQL:2016 spells it.
fn described(function: &Function) -> Result<String, SqlError> {
    if let FunctionArguments::List(list) = &function.args
        && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(expr @ Expr::Identifier(_)))] =
            list.args.as_slice()
        && function.name.to_string().eq_ignore_ascii_case("descriptor")
    {
        return column(expr);
    }
    Err(SqlError::syntax(format!("{function} is no column")))
}

fn tumble(relation: &Expr, time: &str, size: &Expr) -> String {
    format!(
        "SELECT r.*, tumble_start({size}, r.{time}) AS window_start, \
         tumble_start({size}, r.{time}) + {size} AS window_end \
         FROM {relation} AS r WHERE r.{time} IS NOT NULL"
    )
}

fn hop(relation: &Expr, time: &str, slide: &Expr, size: &Expr) -> String {
    format!(
        "SELECT r.*, w.window_start, w.window_start + {size} AS window_end \
         FROM {relation} AS r CROSS JOIN LATERAL generate_series(\
         hop_start({slide}, r.{time} - {size}, r.{time}), tumble_start({slide}, r.{time}), \
         {slide}) AS w(window_start) WHERE r.{time} IS NOT NULL"
    )
}

fn session(relation: &Expr, time: &str, gap: &Expr, keys: &[String]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| format!("r.{key}")).collect();
    let partition = match keys.is_empty() {
        true => String::new(),
        false => format!("PARTITION BY {} ", keys.join(", ")),
    };
    let over = format!("OVER ({partition}ORDER BY r.{time})");
    format!(
        "SELECT r.*, session_start(r.{time}, {gap}) {over} AS window_start, \
         session_end(r.{time}, {gap}) {over} AS window_end \
         FROM {relation} AS r WHERE r.{time} IS NOT NULL"
    )
}
