//! Nested: the operators of a plan, called one after the other within another operator's step.
//!
//! Law      a step gives what the plan's dataflow would give of the same inputs over [lower, upper)
//! Delta    each operator is stepped when it has input, when it is due, and the first time, as the
//!          driver does it
//! State    that of the operators
//! Errors   those of the operators, reported as theirs
//!
//! Beyond the operators' contract a step may be repeated for one time, [t, t + 1): what an earlier
//! step of t brought is present, and what was due by t has been made. Operators keep that by
//! themselves: their state knows no lower bound, and none is due at a time it was asked for.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::aggregate::Aggregate;
use super::filter::Filter;
use super::join::Join;
use super::project::Project;
use super::recursive::Recursive;
use super::session::Session;
use super::set_operation::SetOperation;
use super::temporal::Temporal;
use super::top_k::TopK;
use super::unnest::Unnest;
use super::window::Window;
use super::{Operator, StateSize, StepContext};
use crate::plan::Plan;
use crate::time::CollectionId;
use crate::updates::Updates;

/// A plan's operators.
pub(crate) struct Nested {
    kind: Kind,
    inputs: Vec<Nested>,
    schema: SchemaRef,
}

enum Kind {
    Input(CollectionId),
    /// Until it was given out.
    Constant(Option<RecordBatch>),
    Union,
    Operator {
        operator: Box<dyn Operator>,
        started: bool,
    },
}

impl Nested {
    pub fn new(plan: &Plan) -> Self {
        let mut inputs: Vec<Nested> = Vec::new();
        let operator: Box<dyn Operator> = match plan {
            Plan::Input(input) => return Self::leaf(Kind::Input(input.id), plan),
            Plan::Constant(constant) => {
                return Self::leaf(Kind::Constant(Some(constant.rows.clone())), plan);
            }
            Plan::Union(union) => {
                let inputs = union.inputs.iter().map(Nested::new).collect();
                return Nested { kind: Kind::Union, inputs, schema: plan.schema() };
            }
            Plan::Project(plan) => Box::new(Project::new(plan)),
            Plan::Filter(plan) => Box::new(Filter::new(plan)),
            Plan::Temporal(plan) => Box::new(Temporal::new(plan)),
            Plan::Join(plan) => Box::new(Join::new(plan)),
            Plan::Aggregate(plan) => Box::new(Aggregate::new(plan, true)),
            Plan::Unnest(plan) => Box::new(Unnest::new(plan)),
            Plan::Session(plan) => Box::new(Session::new(plan)),
            Plan::Recursive(plan) => {
                let cut = plan.cut();
                inputs = cut.inputs.iter().map(Nested::new).collect();
                Box::new(Recursive::new(plan, &cut))
            }
            Plan::SetOperation(plan) => Box::new(SetOperation::new(plan)),
            Plan::TopK(plan) => Box::new(TopK::new(plan)),
            Plan::Window(plan) => Box::new(Window::new(plan)),
        };
        if !matches!(plan, Plan::Recursive(_)) {
            inputs = plan.inputs().into_iter().map(Nested::new).collect();
        }
        let kind = Kind::Operator { operator, started: false };
        Nested { kind, inputs, schema: plan.schema() }
    }

    fn leaf(kind: Kind, plan: &Plan) -> Self {
        Nested { kind, inputs: vec![], schema: plan.schema() }
    }

    /// The output over [lower, upper). `feed` gives the updates of an input in it, if there are
    /// any; it is asked once for each place that reads it.
    pub fn step(
        &mut self,
        context: &StepContext<'_>,
        feed: &mut dyn FnMut(CollectionId) -> Option<Updates>,
    ) -> Updates {
        let inputs: Vec<Updates> =
            self.inputs.iter_mut().map(|input| input.step(context, feed)).collect();
        let empty = || Updates::empty(self.schema.clone());
        let out = match &mut self.kind {
            Kind::Input(id) => {
                feed(*id).map_or_else(empty, |updates| updates.first_columns(&self.schema))
            }
            Kind::Constant(rows) => {
                rows.take().map_or_else(empty, |rows| Updates::at(rows, context.lower, 1))
            }
            Kind::Union => Updates::concat(&self.schema, inputs),
            Kind::Operator { operator, started } => {
                let due = operator.next_time().is_some_and(|time| time < context.upper);
                let first = !std::mem::replace(started, true);
                match first || due || inputs.iter().any(|input| !input.is_empty()) {
                    true => operator.step(context, inputs),
                    false => empty(),
                }
            }
        };
        let within = out.times.iter().all(|time| (context.lower..context.upper).contains(time));
        assert!(within, "an output's times are those of the step");
        out
    }

    /// How far a step should go that may go to `upper`, so that it stays short.
    pub fn slice(&self, upper: u64) -> u64 {
        let upper = match &self.kind {
            Kind::Operator { operator, .. } => operator.slice(upper),
            _ => upper,
        };
        self.inputs.iter().fold(upper, |upper, input| input.slice(upper))
    }

    /// What all operators keep.
    pub fn state(&self) -> StateSize {
        let own = match &self.kind {
            Kind::Operator { operator, .. } => operator.state(),
            _ => StateSize::default(),
        };
        self.inputs.iter().map(Nested::state).fold(own, |sum, state| sum + state)
    }

    /// The next time at which an operator changes its output with no input.
    pub fn next_time(&self) -> Option<u64> {
        let own = match &self.kind {
            Kind::Operator { operator, .. } => operator.next_time(),
            _ => None,
        };
        self.inputs.iter().filter_map(Nested::next_time).chain(own).min()
    }
}
