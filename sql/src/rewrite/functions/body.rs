//! A function's body: one expression, and where its parameters stand in it.
//!
//! Law: a body that passes here stands anywhere: it reads no relation, so that no name in it can
//! mean a column of the query it is put into, and knows no position in that query's text.

use std::ops::ControlFlow;

use sqlparser::ast::{
    self, Expr, Ident, Select, SelectItem, SetExpr, Value, VisitMut, Visitor, VisitorMut,
};
use sqlparser::tokenizer::Span;
use tidemark_catalog::{Function, FunctionBody};

use super::outcome;
use crate::error::{SqlError, state};
use crate::parse::{Statement, VIEW_INSTEAD, fold, parse};
use crate::rewrite::ast::empty_query;

/// The one expression that a function's body is, as written.
///
/// Errors: those of its syntax, 42P13 for a body that returns no single value, 0A000 for a query.
pub fn expression(function: &Function) -> Result<Expr, SqlError> {
    let wrong = |detail: &str| {
        let returns = function.returns.sql_name();
        let message = format!("return type mismatch in function declared to return {returns}");
        Err(SqlError::new(state::INVALID_FUNCTION_DEFINITION, message).with_detail(detail))
    };
    let text = match &function.body {
        FunctionBody::Query(text) => text.clone(),
        FunctionBody::Expression(text) => format!("SELECT {text}"),
    };
    let mut statements = parse(&text)?;
    let last = statements.pop().map(|parsed| parsed.statement);
    if !statements.is_empty() {
        return Err(SqlError::unsupported("a function of several statements is not supported")
            .with_hint("Its body can be SELECT and an expression."));
    }
    let Some(Statement::Query(mut query)) = last else {
        return wrong(
            "Function's final statement must be SELECT or INSERT/UPDATE/DELETE RETURNING.",
        );
    };
    let projection = match query.body.as_mut() {
        SetExpr::Select(select) => std::mem::take(&mut select.projection),
        _ => Vec::new(),
    };
    let is_bare = *query == *empty_query();
    let mut items = projection.into_iter();
    let mut expr = match (is_bare, items.next(), items.next()) {
        (false, ..) => return Err(reads_relations()),
        (_, Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }), None) => {
            expr
        }
        _ => return wrong("Final statement must return exactly one column."),
    };
    outcome(VisitMut::visit(&mut expr, &mut Standing))?;
    Ok(expr)
}

fn reads_relations() -> SqlError {
    SqlError::unsupported("a function's body can be SELECT and an expression, without FROM")
        .with_hint(VIEW_INSTEAD)
}

/// Makes a body stand anywhere: no position in a text that the client has not sent, and no names
/// but the parameters.
struct Standing;

impl VisitorMut for Standing {
    type Break = SqlError;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        match select.from.is_empty() {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(reads_relations()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        let forget = |ident: &mut Ident| ident.span = Span::empty();
        match expr {
            Expr::Identifier(ident) => forget(ident),
            Expr::CompoundIdentifier(parts) => parts.iter_mut().for_each(forget),
            Expr::Value(value) => value.span = Span::empty(),
            Expr::Function(call) => {
                for part in &mut call.name.0 {
                    if let ast::ObjectNamePart::Identifier(ident) = part {
                        forget(ident);
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Puts arguments in the place of parameters.
pub struct Substituter<'a> {
    pub function: &'a Function,
    pub arguments: &'a [Expr],
}

impl VisitorMut for Substituter<'_> {
    type Break = SqlError;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        match parameter_of(self.function, expr) {
            Ok(Some(at)) => *expr = self.arguments[at].clone(),
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

/// Counts where each parameter stands.
pub struct Uses<'a> {
    pub function: &'a Function,
    pub of: Vec<usize>,
}

impl Visitor for Uses<'_> {
    type Break = SqlError;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlError> {
        match parameter_of(self.function, expr) {
            Ok(Some(at)) => self.of[at] += 1,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

/// Which parameter a name is.
pub fn parameter(function: &Function, name: &str) -> Option<usize> {
    function.arguments.iter().position(|argument| argument.name.as_deref() == Some(name))
}

/// Which parameter an expression of the body is, if any.
fn parameter_of(function: &Function, expr: &Expr) -> Result<Option<usize>, SqlError> {
    match expr {
        Expr::Identifier(ident) => Ok(parameter(function, &fold(ident))),
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [of, name] if fold(of) == function.name => Ok(parameter(function, &fold(name))),
            _ => Ok(None),
        },
        Expr::Value(value) => {
            let Value::Placeholder(text) = &value.value else { return Ok(None) };
            let number = text.strip_prefix('$').and_then(|n| n.parse::<usize>().ok());
            let at = number.and_then(|n| n.checked_sub(1));
            match at.filter(|at| *at < function.arguments.len()) {
                Some(at) => Ok(Some(at)),
                None => {
                    let message = format!("there is no parameter {text}");
                    Err(SqlError::new(state::UNDEFINED_PARAMETER, message))
                }
            }
        }
        _ => Ok(None),
    }
}
