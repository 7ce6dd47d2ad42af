//! Window: each row with the values of functions over its partition.
//!
//! Law      out(t) = { (r, f1(r), …, fn(r)) : r in in(t) }, where f is computed over r's partition
//!          of in(t), in `order` completed by `tie_break`, over the frame of r

use std::fmt;

use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;

use crate::aggregate::AggregateFunction;
use crate::plan::{Plan, SortKey, listed};

/// What was decided: one partition and order, and the calls over it.
#[derive(Clone, Debug)]
pub struct WindowPlan {
    pub input: Plan,
    pub partition: Vec<usize>,
    /// ORDER BY as written: rows equal in it are peers.
    pub order: Vec<SortKey>,
    /// The remaining columns, which make the order total (S9).
    pub tie_break: Vec<SortKey>,
    pub calls: Vec<WindowCall>,
    /// The input's columns, then one a call.
    pub schema: SchemaRef,
}

/// One call of a function over a window.
#[derive(Clone, Debug)]
pub struct WindowCall {
    pub function: WindowFunction,
    /// Columns of the input. Of `lag` and `lead`: value, offset (bigint), default, all three there;
    /// of `nth_value`: value, n; of `ntile`: n.
    pub arguments: Vec<usize>,
    /// Of aggregates: constants behind the arguments.
    pub parameters: Vec<ScalarValue>,
    /// FILTER (WHERE …), of aggregates: a boolean column of the input.
    pub filter: Option<usize>,
    pub frame: Frame,
    /// IGNORE NULLS.
    pub ignore_nulls: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum WindowFunction {
    RowNumber,
    Rank,
    DenseRank,
    PercentRank,
    CumeDist,
    Ntile,
    Lag,
    Lead,
    FirstValue,
    LastValue,
    NthValue,
    Aggregate(&'static dyn AggregateFunction),
}

/// The rows of the partition that a row's aggregates and first, last and nth values see.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub units: FrameUnits,
    pub start: FrameBound,
    pub end: FrameBound,
    pub exclude: Exclude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameUnits {
    Rows,
    Range,
    Groups,
}

/// An offset is a bigint for ROWS and GROUPS; for RANGE of the type that is added to the one order
/// column: its own, or an interval. Never negative, never NULL.
#[derive(Clone, Debug, PartialEq)]
pub enum FrameBound {
    UnboundedPreceding,
    Preceding(ScalarValue),
    CurrentRow,
    Following(ScalarValue),
    UnboundedFollowing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclude {
    NoOthers,
    CurrentRow,
    Group,
    Ties,
}

impl WindowFunction {
    /// Its SQL name.
    pub fn name(&self) -> &'static str {
        match self {
            WindowFunction::RowNumber => "row_number",
            WindowFunction::Rank => "rank",
            WindowFunction::DenseRank => "dense_rank",
            WindowFunction::PercentRank => "percent_rank",
            WindowFunction::CumeDist => "cume_dist",
            WindowFunction::Ntile => "ntile",
            WindowFunction::Lag => "lag",
            WindowFunction::Lead => "lead",
            WindowFunction::FirstValue => "first_value",
            WindowFunction::LastValue => "last_value",
            WindowFunction::NthValue => "nth_value",
            WindowFunction::Aggregate(function) => function.name(),
        }
    }
}

impl fmt::Display for WindowPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.input.schema();
        let partition = self.partition.iter().map(|&key| schema.field(key).name());
        let order = self.order.iter().map(|key| key.display(&schema));
        write!(f, "Window partition=[{}] order=[{}]", listed(partition), listed(order))?;
        if !self.tie_break.is_empty() {
            let ties = self.tie_break.iter().map(|key| key.display(&schema));
            write!(f, " ties=[{}]", listed(ties))?;
        }
        let calls = self.calls.iter().map(|call| {
            let arguments = call.arguments.iter().map(|&column| schema.field(column).name());
            format!("{}({}) {}", call.function.name(), listed(arguments), call.frame)
        });
        write!(f, " calls=[{}]", listed(calls))
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = match self.units {
            FrameUnits::Rows => "rows",
            FrameUnits::Range => "range",
            FrameUnits::Groups => "groups",
        };
        write!(f, "{units} {} to {}", self.start, self.end)?;
        match self.exclude {
            Exclude::NoOthers => Ok(()),
            Exclude::CurrentRow => write!(f, " without the row"),
            Exclude::Group => write!(f, " without its peers and itself"),
            Exclude::Ties => write!(f, " without its peers"),
        }
    }
}

impl fmt::Display for FrameBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameBound::UnboundedPreceding => write!(f, "unbounded preceding"),
            FrameBound::Preceding(offset) => write!(f, "{offset} preceding"),
            FrameBound::CurrentRow => write!(f, "current row"),
            FrameBound::Following(offset) => write!(f, "{offset} following"),
            FrameBound::UnboundedFollowing => write!(f, "unbounded following"),
        }
    }
}
