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

use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::aggregate::Aggregate;
use super::filter::Filter;
use super::join::Join;
use super::join::versions::VersionJoin;
use super::project::Project;
use super::recursive::{CutInput, Recursive};
use super::session::Session;
use super::set_operation::SetOperation;
use super::temporal::Temporal;
use super::top_k::TopK;
use super::unnest::Unnest;
use super::window::Window;
use super::{Operator, StateSize, StepContext};
use crate::dataflow::statistics::Step;
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
        done: Done,
    },
}

/// What an operator has done since it was last asked.
#[derive(Default)]
struct Done {
    /// Where it stands in the printed plan.
    place: usize,
    step: Step,
}

impl Done {
    /// A step of the operator, noted.
    fn step(
        &mut self,
        operator: &mut dyn Operator,
        context: &StepContext<'_>,
        inputs: Vec<Updates>,
    ) -> Updates {
        self.step.steps += 1;
        self.step.updates_in += inputs.iter().map(Updates::len).sum::<usize>();
        let begun = Instant::now();
        let out = operator.step(context, inputs);
        self.step.busy += begun.elapsed();
        self.step.updates_out += out.len();
        self.step.after = operator.state();
        out
    }
}

impl Nested {
    pub fn new(plan: &Plan) -> Self {
        Self::at(plan, 0)
    }

    fn at(plan: &Plan, place: usize) -> Self {
        let mut inputs: Vec<Nested> = Vec::new();
        let operator: Box<dyn Operator> = match plan {
            Plan::Input(input) => return Self::leaf(Kind::Input(input.id), plan),
            Plan::Constant(constant) => {
                return Self::leaf(Kind::Constant(Some(constant.rows.clone())), plan);
            }
            Plan::Union(union) => {
                let inputs = Self::inputs(union.inputs.iter(), place);
                return Nested { kind: Kind::Union, inputs, schema: plan.schema() };
            }
            Plan::Project(plan) => Box::new(Project::new(plan)),
            Plan::Filter(plan) => Box::new(Filter::new(plan)),
            Plan::Temporal(plan) => Box::new(Temporal::new(plan)),
            Plan::Join(plan) => Box::new(Join::new(plan)),
            Plan::VersionJoin(plan) => Box::new(VersionJoin::new(plan)),
            Plan::Aggregate(plan) => Box::new(Aggregate::new(plan, true)),
            Plan::Unnest(plan) => Box::new(Unnest::new(plan)),
            Plan::Session(plan) => Box::new(Session::new(plan)),
            Plan::Recursive(plan) => {
                let cut = plan.cut();
                let of_cut = |input: &CutInput| Nested::at(&input.plan, place + input.place);
                inputs = cut.inputs.iter().map(of_cut).collect();
                Box::new(Recursive::new(plan, &cut))
            }
            Plan::SetOperation(plan) => Box::new(SetOperation::new(plan)),
            Plan::TopK(plan) => Box::new(TopK::new(plan)),
            Plan::Window(plan) => Box::new(Window::new(plan)),
        };
        if !matches!(plan, Plan::Recursive(_)) {
            inputs = Self::inputs(plan.given().into_iter(), place);
        }
        let done = Done { place, step: Step::default() };
        let kind = Kind::Operator { operator, started: false, done };
        Nested { kind, inputs, schema: plan.schema() }
    }

    /// The inputs of the operator at `place`.
    fn inputs<'a>(plans: impl Iterator<Item = &'a Plan>, place: usize) -> Vec<Nested> {
        let mut next = place + 1;
        let input = |plan: &Plan| {
            let place = next;
            next += plan.operators();
            Nested::at(plan, place)
        };
        plans.map(input).collect()
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
        self.step_unless(context, feed, &|| false)
    }

    /// The same, or anything once `cancelled` says that nobody needs it.
    pub fn step_unless(
        &mut self,
        context: &StepContext<'_>,
        feed: &mut dyn FnMut(CollectionId) -> Option<Updates>,
        cancelled: &dyn Fn() -> bool,
    ) -> Updates {
        let inputs = self.inputs.iter_mut();
        let inputs: Vec<Updates> =
            inputs.map(|input| input.step_unless(context, feed, cancelled)).collect();
        let empty = || Updates::empty(self.schema.clone());
        if cancelled() {
            return empty();
        }
        let out = match &mut self.kind {
            Kind::Input(id) => {
                feed(*id).map_or_else(empty, |updates| updates.first_columns(&self.schema))
            }
            Kind::Constant(rows) => {
                rows.take().map_or_else(empty, |rows| Updates::at(rows, context.lower, 1))
            }
            Kind::Union => Updates::concat(&self.schema, inputs),
            Kind::Operator { operator, started, done } => {
                let due = operator.next_time().is_some_and(|time| time < context.upper);
                let first = !std::mem::replace(started, true);
                match first || due || inputs.iter().any(|input| !input.is_empty()) {
                    true => done.step(&mut **operator, context, inputs),
                    false => empty(),
                }
            }
        };
        let within = out.times.iter().all(|time| (context.lower..context.upper).contains(time));
        assert!(within, "an output's times are those of the step");
        out
    }

    /// How far a step from `lower` on should go that may go to `upper`, so that it stays short.
    pub fn slice(&self, lower: u64, upper: u64) -> u64 {
        let upper = match &self.kind {
            Kind::Operator { operator, .. } => operator.slice(lower, upper),
            _ => upper,
        };
        self.inputs.iter().fold(upper, |upper, input| input.slice(lower, upper))
    }

    /// Gives what its operators have done since it was last asked, each with its place in the
    /// printed plan.
    pub fn take_steps(&mut self, found: &mut dyn FnMut(usize, Step)) {
        if let Kind::Operator { operator, done, .. } = &mut self.kind {
            if done.step.steps > 0 {
                let next = Step { before: done.step.after, ..Step::default() };
                found(done.place, std::mem::replace(&mut done.step, next));
            }
            let place = done.place;
            operator.take_steps(&mut |within, step| found(place + within, step));
        }
        self.inputs.iter_mut().for_each(|input| input.take_steps(found));
    }

    /// What its operators keep.
    pub fn state(&self) -> StateSize {
        let own = match &self.kind {
            Kind::Operator { operator, .. } => operator.state(),
            _ => StateSize::default(),
        };
        self.inputs.iter().fold(own, |all, input| all + input.state())
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
