//! Calls: what each call of a window is computed from.

use super::frame::Edge;
use super::frame::FrameSpec;
use super::places::Counted;
use super::reach::Reach;
use super::sliding::{Frames, Sliding};
use super::trailer::{Measure, Trailer};
use super::{Exclude, WindowCall, WindowFunction, WindowPlan};
use crate::aggregate::AggregateFunction;

/// One call, resolved.
pub(super) enum Call {
    RowNumber,
    Rank,
    DenseRank,
    PercentRank,
    CumeDist,
    Ntile {
        buckets: usize,
    },
    Shift(Shift),
    Pick(Pick),
    /// An aggregate over the whole partition: one state of it each, as in `Aggregate`.
    Whole(Frames),
    /// The extremum of any other frame: found in the order tree.
    Extreme(Extremum),
    /// Any other aggregate.
    Sliding {
        frame: FrameSpec,
        sliding: Sliding,
        /// Where the trailer says that a row doesn't count.
        is_out: usize,
    },
}

/// An aggregate that is the value of one row of the frame.
pub(super) struct Extremum {
    pub frame: FrameSpec,
    /// The number of the measure of which that row has the least.
    pub measure: usize,
    /// The column of the value, and whether −0 comes out of it as 0.
    pub value: usize,
    pub normalized: bool,
}

/// lag and lead. Places in the trailer: the offset, whether the value is NULL if such don't count.
pub(super) struct Shift {
    pub lag: bool,
    pub offset: usize,
    pub nulls: Option<usize>,
    pub value: usize,
    pub default: usize,
}

/// first_value, last_value, nth_value.
pub(super) struct Pick {
    pub which: Which,
    pub frame: FrameSpec,
    pub nulls: Option<usize>,
    pub value: usize,
}

#[derive(Clone, Copy)]
pub(super) enum Which {
    First,
    Last,
    /// n is at this place of the trailer.
    Nth(usize),
}

impl Call {
    /// What is aggregated over whole partitions.
    pub fn whole(&self) -> Option<&Frames> {
        match self {
            Call::Whole(frames) => Some(frames),
            _ => None,
        }
    }

    pub fn whole_mut(&mut self) -> Option<&mut Frames> {
        match self {
            Call::Whole(frames) => Some(frames),
            _ => None,
        }
    }
}

impl Call {
    pub fn new(plan: &WindowPlan, call: &WindowCall, trailer: &mut Trailer) -> Self {
        let nulls =
            |trailer: &mut Trailer| call.ignore_nulls.then(|| trailer.is_null(call.arguments[0]));
        let pick = |which: Which, nulls: Option<usize>, trailer: &mut Trailer| {
            let frame = FrameSpec::new(plan, &call.frame, trailer);
            Call::Pick(Pick { which, frame, nulls, value: call.arguments[0] })
        };
        match call.function {
            WindowFunction::RowNumber => Call::RowNumber,
            WindowFunction::Rank => Call::Rank,
            WindowFunction::DenseRank => Call::DenseRank,
            WindowFunction::PercentRank => Call::PercentRank,
            WindowFunction::CumeDist => Call::CumeDist,
            WindowFunction::Ntile => Call::Ntile { buckets: trailer.number(call.arguments[0]) },
            WindowFunction::Lag | WindowFunction::Lead => Call::Shift(Shift {
                lag: matches!(call.function, WindowFunction::Lag),
                offset: trailer.number(call.arguments[1]),
                nulls: nulls(trailer),
                value: call.arguments[0],
                default: call.arguments[2],
            }),
            WindowFunction::FirstValue => pick(Which::First, nulls(trailer), trailer),
            WindowFunction::LastValue => pick(Which::Last, nulls(trailer), trailer),
            WindowFunction::NthValue => {
                let n = trailer.number(call.arguments[1]);
                pick(Which::Nth(n), nulls(trailer), trailer)
            }
            WindowFunction::Aggregate(function) => Self::aggregate(
                plan,
                call,
                function,
                FrameSpec::new(plan, &call.frame, trailer),
                trailer,
            ),
        }
    }

    fn aggregate(
        plan: &WindowPlan,
        call: &WindowCall,
        function: &dyn AggregateFunction,
        frame: FrameSpec,
        trailer: &mut Trailer,
    ) -> Self {
        let aggregate = plan.aggregate_of(call).expect("it is one");
        let frames = Frames::new(&aggregate, &plan.input.schema());
        let unbounded = (frame.start, frame.end) == (Edge::Unbounded, Edge::Unbounded);
        if unbounded && frame.exclude == Exclude::NoOthers {
            return Call::Whole(frames);
        }
        if let Some(extreme) = aggregate.extreme(&plan.input.schema()) {
            let value = call.arguments[extreme.value];
            let normalized = extreme.gives_key();
            let (arguments, filter) = (call.arguments.clone(), call.filter);
            let measure = trailer.measure(Measure { extreme, arguments, filter });
            return Call::Extreme(Extremum { frame, measure, value, normalized });
        }
        let argument = call.arguments.first().copied();
        let argument = argument.filter(|_| function.passes_over_nulls());
        let is_out = trailer.is_out(call.filter, argument);
        Call::Sliding { sliding: Sliding::new(frames, &frame), frame, is_out }
    }

    /// How far a change reaches; `None` where it is known otherwise. `number` is the call's.
    pub fn reach(&self, number: usize) -> Option<Reach> {
        Some(match self {
            Call::RowNumber => Reach::Places(Counted::Rows),
            Call::Rank => Reach::Places(Counted::RowsBeforePeers),
            Call::DenseRank => Reach::Places(Counted::Peers),
            Call::PercentRank => Reach::Share(Counted::RowsBeforePeers),
            Call::CumeDist => Reach::Share(Counted::RowsToPeers),
            Call::Ntile { buckets } => Reach::Buckets(*buckets),
            Call::Shift(shift) => Reach::Shift { call: number, lag: shift.lag, nulls: shift.nulls },
            Call::Pick(pick) => match pick.which {
                Which::First => Reach::first_of(pick.frame, pick.nulls),
                Which::Last => Reach::last_of(pick.frame, pick.nulls),
                Which::Nth(_) => Reach::Frame(pick.frame),
            },
            Call::Whole(_) => return None,
            Call::Extreme(extremum) => Reach::Extreme(extremum.frame, extremum.measure),
            Call::Sliding { frame, is_out, .. } => Reach::Sum(*frame, *is_out),
        })
    }

    /// The frame it looks at.
    pub fn frame(&self) -> Option<&FrameSpec> {
        match self {
            Call::Pick(Pick { frame, .. })
            | Call::Extreme(Extremum { frame, .. })
            | Call::Sliding { frame, .. } => Some(frame),
            _ => None,
        }
    }
}
