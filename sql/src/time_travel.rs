//! Relations at times other than the statement's: `x FOR SYSTEM_TIME AS OF t` with a t that is the
//! same for all rows, `SET as_of`, and the logs `changes('x')` and `history('x')`.
//!
//! Law      at t, a relation is what it was then: a view is its version in force at t over the
//!          tables as they stood, with now() = t, and a row that fails is not in it (S10, S12)
//!          `FOR EVENT_TIME AS OF t`: of what is known at the statement's time, what had happened
//!          by t; a view is its newest version over tables that are each re-timed by themselves
//!          (S13)
//! Errors   22023 for a time in the future or before what can be read, with the limits in the
//!          detail; 22004 for NULL
//!
//! A [`TimeTravel`] carries the relation from the text to the run: its times may need parameters,
//! now() and subqueries, so they are known there alone. [`bind::travel`] puts rows in its place.

mod bind;
mod clause;
mod log;
mod view_at;

use std::cmp::Ordering;
use std::fmt;

use datafusion::common::{DFSchemaRef, Result, TableReference};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use tidemark_catalog::{ObjectId, VersionSelection};

use crate::time_join::Clock;

pub(crate) use bind::{statement_view, travel};
pub(crate) use clause::{TimeClauses, as_of, log_of, spell};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TimeTravel {
    /// The name of its columns' relation.
    pub name: TableReference,
    pub relation: ObjectId,
    pub clock: Clock,
    /// Which definition of a view; `None`: the one in force at the time.
    pub version: Option<VersionSelection>,
    pub what: What,
    /// Of a table's rows at a time: the last column is when they arrived.
    pub with_arrivals: bool,
    /// Timestamptz without columns: of the state, its time; of a log, from and to, as far as given.
    pub times: Vec<Expr>,
    schema: DFSchemaRef,
}

/// What is read of a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// Its rows at a time.
    State,
    /// `changes('x')`: its rows with `_time` and `_diff`.
    Changes,
    /// `history('x')`: its rows with `valid_from` and `valid_to`.
    History,
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
        let what = match self.what {
            What::State => "time",
            What::Changes => "changes",
            What::History => "history",
        };
        let times: Vec<String> = self.times.iter().map(ToString::to_string).collect();
        write!(f, " {clock} {what}=[{}]", times.join(", "))
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
        self.times.clone()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }

    fn with_exprs_and_inputs(&self, times: Vec<Expr>, _: Vec<LogicalPlan>) -> Result<Self> {
        Ok(TimeTravel { times, ..self.clone() })
    }
}

/// The node, if a plan is one.
pub(crate) fn of(plan: &LogicalPlan) -> Option<&TimeTravel> {
    match plan {
        LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
        _ => None,
    }
}
