//! Calls: what each call of a window is computed from.

use super::frame::Edge;
use super::frame::FrameSpec;
use super::reach::Reach;
use super::sliding::{Frames, Sliding};
use super::trailer::Trailer;
use super::{Exclude, WindowCall, WindowFunction, WindowPlan};

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
    /// Any other aggregate.
    Sliding {
        frame: FrameSpec,
        sliding: Sliding,
    },
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
            WindowFunction::Aggregate(_) => {
                let frame = FrameSpec::new(plan, &call.frame, trailer);
                let aggregate = plan.aggregate_of(call).expect("it is one");
                let frames = Frames::new(&aggregate, &plan.input.schema());
                let unbounded = (frame.start, frame.end) == (Edge::Unbounded, Edge::Unbounded);
                match unbounded && frame.exclude == Exclude::NoOthers {
                    true => Call::Whole(frames),
                    false => Call::Sliding { sliding: Sliding::new(frames, &frame), frame },
                }
            }
        }
    }

    /// How far a change reaches; `None` where it is known otherwise. `number` is the call's.
    pub fn reach(&self, number: usize) -> Option<Reach> {
        Some(match self {
            Call::RowNumber => Reach::Behind,
            Call::Rank => Reach::BehindPeers,
            Call::DenseRank => Reach::BehindNewPeers,
            Call::PercentRank | Call::CumeDist | Call::Ntile { .. } => Reach::Everything,
            Call::Shift(shift) => Reach::Shift { call: number, lag: shift.lag, nulls: shift.nulls },
            Call::Pick(pick) => match pick.which {
                Which::First => Reach::first_of(pick.frame, pick.nulls),
                Which::Last => Reach::last_of(pick.frame, pick.nulls),
                Which::Nth(_) => Reach::Frame(pick.frame),
            },
            Call::Whole(_) => return None,
            Call::Sliding { frame, .. } => Reach::Frame(*frame),
        })
    }

    /// The frame it looks at.
    pub fn frame(&self) -> Option<&FrameSpec> {
        match self {
            Call::Pick(Pick { frame, .. }) | Call::Sliding { frame, .. } => Some(frame),
            _ => None,
        }
    }
}
