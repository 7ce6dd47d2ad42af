//! Whether two plans are one: their operators would keep the same and give the same rows, under
//! the same names. What is asked about is what one query is likely to say twice; of other operators
//! no two are the same.

use super::{AggregateCall, AggregatePlan, Plan};

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
            (Plan::Aggregate(a), Plan::Aggregate(b)) => return a.is_same(b),
            (Plan::Union(_), Plan::Union(_)) => true,
            _ => false,
        };
        let (inputs, others) = (self.inputs(), other.inputs());
        own && self.schema() == other.schema()
            && inputs.len() == others.len()
            && inputs.iter().zip(others).all(|(a, b)| a.is_same(b))
    }
}

impl AggregatePlan {
    /// The same of two aggregates.
    pub(crate) fn is_same(&self, other: &AggregatePlan) -> bool {
        let mut calls = self.calls.iter().zip(&other.calls);
        self.keys == other.keys
            && self.schema == other.schema
            && self.append_only == other.append_only
            && self.calls.len() == other.calls.len()
            && calls.all(|(a, b)| a.is_same(b))
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
