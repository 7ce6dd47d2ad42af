//! Relations at times other than the statement's: `x FOR SYSTEM_TIME AS OF t` with a t that is the
//! same for all rows, `SET as_of`, and the logs `changes('x')` and `history('x')`.
//!
//! Law      at t, a relation is what it was then: a view is its version in force at t over the
//!          tables as they stood, with now() = t, and a row that fails is not in it (S10, S12)
//! Errors   22023 for a time in the future or before what can be read, with the limits in the
//!          detail; 22004 for NULL
//! Missing  FOR EVENT_TIME AS OF a time that is the same for all rows
//!
//! A [`TimeTravel`] carries the relation from the text to the run: its times may need parameters,
//! now() and subqueries, so they are known there alone. [`bind::travel`] puts rows in its place.

mod bind;
mod clause;
mod told;
mod view_at;

use std::cmp::Ordering;
use std::fmt;

use datafusion::common::{DFSchemaRef, Result, TableReference};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use tidemark_catalog::{ObjectId, VersionSelection};

use crate::time_join::Clock;

pub(crate) use bind::{statement_view, travel};
pub(crate) use clause::{TimeClauses, as_of, spell};
pub use told::Told;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TimeTravel {
    /// The name of its columns' relation.
    pub name: TableReference,
    pub relation: ObjectId,
    pub clock: Clock,
    /// Which definition of a view; `None`: the one in force at the time.
    pub version: Option<VersionSelection>,
    /// A timestamptz without columns.
    pub time: Expr,
    schema: DFSchemaRef,
}

impl PartialOrd for TimeTravel {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl fmt::Display for TimeTravel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TimeTravel: {}", self.name)?;
        match self.version {
            Some(VersionSelection::Number(number)) => write!(f, " version={number}")?,
            Some(VersionSelection::Current) => f.write_str(" version=current")?,
            Some(VersionSelection::InForce(_)) | None => {}
        }
        let clock = match self.clock {
            Clock::System => "system",
            Clock::Event => "event",
        };
        write!(f, " {clock} time=[{}]", self.time)
    }
}

impl UserDefinedLogicalNodeCore for TimeTravel {
    fn name(&self) -> &str {
        "TimeTravel"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.time.clone()]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, _: Vec<LogicalPlan>) -> Result<Self> {
        match <[Expr; 1]>::try_from(exprs) {
            Ok([time]) => Ok(TimeTravel { time, ..self.clone() }),
            Err(_) => datafusion::common::internal_err!("a relation is read at one time"),
        }
    }
}

/// The node, if a plan is one.
pub(crate) fn of(plan: &LogicalPlan) -> Option<&TimeTravel> {
    match plan {
        LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
        _ => None,
    }
}
