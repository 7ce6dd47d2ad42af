//! Filter: the rows for which a predicate is true.
//!
//! Law      out(t) = { r in in(t) : p(r) is true }
//! Delta    linear: each update by itself, at its own time
//! State    none
//! Errors   a row for which the predicate fails leaves the output and is reported

use std::fmt;

use super::{Operator, StepContext};
use crate::checkpoint::record::Kept;
use crate::expression::{Expr, select};
use crate::plan::Plan;
use crate::updates::Updates;

/// What was decided: the predicate, boolean over the input's columns; NULL is not true.
#[derive(Clone, Debug)]
pub struct FilterPlan {
    pub input: Plan,
    pub predicate: Expr,
}

impl fmt::Display for FilterPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter {}", self.predicate)
    }
}

pub(crate) struct Filter {
    predicate: Expr,
}

impl Filter {
    pub fn new(plan: &FilterPlan) -> Self {
        Filter { predicate: plan.predicate.clone() }
    }
}

/// It keeps nothing.
impl Kept for Filter {}

impl Operator for Filter {
    fn step(&mut self, context: &StepContext<'_>, inputs: Vec<Updates>) -> Updates {
        let [input] = <[Updates; 1]>::try_from(inputs).expect("one input");
        let (rows, errors) = select(&self.predicate, &input.data);
        context.report_rows("Filter", &input, &errors);
        match rows {
            None => input,
            Some(rows) => input.take(&rows),
        }
    }

    fn takes_parts(&self, _input: usize) -> bool {
        true
    }

    fn kept(&mut self) -> Option<&mut dyn Kept> {
        Some(self)
    }
}
