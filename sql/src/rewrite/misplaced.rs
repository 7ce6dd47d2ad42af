//! Aggregates where there is nothing to aggregate, and functions that give rows where one value is
//! chosen.
//!
//! Law: VALUES and RETURNING take no aggregates (42803), CASE and COALESCE no function that gives
//! rows (0A000); what stands in a subquery is its own affair.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Function, Ident, Query, Visit, Visitor};

use crate::error::{SqlError, state};
use crate::function::aggregate_functions;
use crate::parse::fold;
use crate::parse::position::of_span;

/// Refuses the aggregates of a clause.
pub fn refuse<T: Visit>(clause: &T, name: &str) -> Result<(), SqlError> {
    find(clause, &|function, ident| {
        let aggregate = function.over.is_none() && is_aggregate(&fold(ident));
        aggregate.then(|| {
            let message = format!("aggregate functions are not allowed in {name}");
            SqlError::new(state::GROUPING_ERROR, message)
        })
    })
}

/// Refuses the functions that give rows of an expression, which are spelled as unnest already.
pub fn refuse_rows(expr: &Expr, name: &str) -> Result<(), SqlError> {
    find(expr, &|_, ident| {
        (fold(ident) == "unnest").then(|| {
            let message = format!("set-returning functions are not allowed in {name}");
            let hint = "You might be able to move the set-returning function into a LATERAL FROM \
                        item.";
            SqlError::unsupported(message).with_hint(hint)
        })
    })
}

/// What is wrong with a call.
type Fault<'f> = &'f dyn Fn(&Function, &Ident) -> Option<SqlError>;

fn find<T: Visit>(tree: &T, fault: Fault<'_>) -> Result<(), SqlError> {
    match tree.visit(&mut Finder { fault, depth: 0 }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Finder<'f> {
    fault: Fault<'f>,
    /// Subqueries around the expression.
    depth: usize,
}

impl Visitor for Finder<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<SqlError> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<SqlError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlError> {
        if let Expr::Function(function) = expr
            && self.depth == 0
            && let Some(ident) = function.name.0.last().and_then(|part| part.as_ident())
            && let Some(error) = (self.fault)(function, ident)
        {
            return ControlFlow::Break(error.at(of_span(ident.span)));
        }
        ControlFlow::Continue(())
    }
}

fn is_aggregate(name: &str) -> bool {
    let called = |alias: &String| alias == name;
    aggregate_functions().iter().any(|f| f.name() == name || f.aliases().iter().any(called))
}
