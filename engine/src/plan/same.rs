//! Whether two plans are one: their operators would keep the same and give the same rows, under
//! the same names. What is asked about is what one query is likely to say twice; no two recursions
//! or joins of versions are the same.

use super::{
    AggregateCall, AggregatePlan, Bound, JoinPlan, NowSide, Plan, SessionPlan, TopKPlan,
    WindowCall, WindowFunction, WindowPlan,
};

impl Plan {
    /// See the module.
    pub(crate) fn is_same(&self, other: &Plan) -> bool {
        let own = match (self, other) {
            (Plan::Input(a), Plan::Input(b)) => {
                (a.id, a.arrived_at, a.versions) == (b.id, b.arrived_at, b.versions)
            }
            (Plan::Project(a), Plan::Project(b)) => a.exprs == b.exprs,
            (Plan::Filter(a), Plan::Filter(b)) => a.predicate.eq(&b.predicate),
            (Plan::Unnest(a), Plan::Unnest(b)) => {
                a.lists == b.lists && a.ordinality == b.ordinality
            }
            (Plan::Temporal(a), Plan::Temporal(b)) => {
                a.mode == b.mode && all_same(&a.bounds, &b.bounds, Bound::is_same)
            }
            (Plan::Join(a), Plan::Join(b)) => a.joins_as(b),
            (Plan::SetOperation(a), Plan::SetOperation(b)) => a.kind == b.kind,
            (Plan::TopK(a), Plan::TopK(b)) => a.takes_as(b),
            (Plan::Window(a), Plan::Window(b)) => a.looks_as(b),
            (Plan::Session(a), Plan::Session(b)) => a.parts_as(b),
            (Plan::Aggregate(a), Plan::Aggregate(b)) => return a.is_same(b),
            (Plan::Constant(a), Plan::Constant(b)) => a.rows == b.rows,
            (Plan::Union(_), Plan::Union(_)) => true,
            _ => false,
        };
        own && self.schema() == other.schema()
            && all_same(&self.inputs(), &other.inputs(), |a, b| a.is_same(b))
    }

    /// Whether its operator keeps state of its own, so that one that stands twice in a plan is run
    /// once.
    pub(crate) fn keeps_state(&self) -> bool {
        match self {
            Plan::Input(_) | Plan::Constant(_) | Plan::Project(_) | Plan::Filter(_) => false,
            Plan::Union(_) | Plan::Unnest(_) => false,
            Plan::Temporal(_) | Plan::Join(_) | Plan::VersionJoin(_) | Plan::Aggregate(_) => true,
            Plan::SetOperation(_) | Plan::TopK(_) | Plan::Window(_) => true,
            Plan::Session(_) | Plan::Recursive(_) => true,
        }
    }
}

fn all_same<T>(some: &[T], others: &[T], is_same: impl Fn(&T, &T) -> bool) -> bool {
    some.len() == others.len() && some.iter().zip(others).all(|(a, b)| is_same(a, b))
}

impl Bound {
    fn is_same(&self, other: &Bound) -> bool {
        let now = match (&self.now, &other.now) {
            (NowSide::Offset(a), NowSide::Offset(b)) => a == b,
            (NowSide::Monotone(a), NowSide::Monotone(b)) => a.eq(b),
            _ => false,
        };
        now && self.edge == other.edge && self.strict == other.strict && self.value.eq(&other.value)
    }
}

/// Of operators whose inputs are the same.
impl JoinPlan {
    fn joins_as(&self, other: &JoinPlan) -> bool {
        let condition = match (&self.condition, &other.condition) {
            (Some(a), Some(b)) => a.eq(b),
            (None, None) => true,
            _ => false,
        };
        condition
            && self.kind == other.kind
            && self.left_keys == other.left_keys
            && self.right_keys == other.right_keys
            && self.null_equal == other.null_equal
    }
}

impl TopKPlan {
    fn takes_as(&self, other: &TopKPlan) -> bool {
        self.keys == other.keys
            && self.order == other.order
            && (self.offset, self.limit, self.ties) == (other.offset, other.limit, other.ties)
            && self.append_only == other.append_only
    }
}

impl SessionPlan {
    fn parts_as(&self, other: &SessionPlan) -> bool {
        self.keys == other.keys && (self.time, self.gap_us) == (other.time, other.gap_us)
    }
}

impl WindowPlan {
    fn looks_as(&self, other: &WindowPlan) -> bool {
        self.partition == other.partition
            && self.order == other.order
            && self.tie_break == other.tie_break
            && all_same(&self.calls, &other.calls, WindowCall::is_same)
    }
}

impl WindowCall {
    fn is_same(&self, other: &WindowCall) -> bool {
        let function = match (&self.function, &other.function) {
            (WindowFunction::Aggregate(a), WindowFunction::Aggregate(b)) => a.name() == b.name(),
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        };
        function
            && self.arguments == other.arguments
            && self.parameters == other.parameters
            && self.filter == other.filter
            && self.frame == other.frame
            && self.ignore_nulls == other.ignore_nulls
    }
}

impl AggregatePlan {
    /// The same of two aggregates.
    pub(crate) fn is_same(&self, other: &AggregatePlan) -> bool {
        self.keys == other.keys
            && self.schema == other.schema
            && self.append_only == other.append_only
            && all_same(&self.calls, &other.calls, AggregateCall::is_same)
            && self.input.is_same(&other.input)
    }
}

impl AggregateCall {
    fn is_same(&self, other: &AggregateCall) -> bool {
        self.function.name() == other.function.name()
            && self.arguments == other.arguments
            && self.parameters == other.parameters
            && self.distinct == other.distinct
            && self.order_by == other.order_by
            && self.filter == other.filter
    }
}
