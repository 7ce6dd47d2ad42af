//! Rendering: a plan becomes operators on this worker.
//!
//! The plan decided; here it is obeyed, straight down the tree. What a view reads arrives through
//! sources, what it gives leaves through its sink.

use std::rc::Rc;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use timely::dataflow::Scope;
use timely::dataflow::operators::Concatenate;

use crate::dataflow::drive::{
    DataflowContext, Driven, InputStream, OnAdvance, Routing, UpdateStream, drive,
};
use crate::dataflow::sink::Sink;
use crate::dataflow::source::{self, Source, SourceQueue};
use crate::dataflow::worker::NextTimes;
use crate::operator::Operator;
use crate::operator::aggregate::Aggregate;
use crate::operator::filter::Filter;
use crate::operator::join::Join;
use crate::operator::join::versions::VersionJoin;
use crate::operator::project::Project;
use crate::operator::recursive::{CutInput, Recursive};
use crate::operator::session::Session;
use crate::operator::set_operation::SetOperation;
use crate::operator::temporal::Temporal;
use crate::operator::top_k::TopK;
use crate::operator::unnest::Unnest;
use crate::operator::window::Window;
use crate::plan::{InputPlan, Plan, RecursivePlan};

/// What renders one dataflow.
pub(crate) struct Renderer<'s> {
    pub scope: Scope<'s, u64>,
    pub context: DataflowContext,
    /// The sources made so far, one for each place that reads a collection.
    pub sources: Vec<(InputPlan, Source)>,
    pub constants: Vec<Source>,
    /// Told the next time of every temporal operator after each of its steps.
    pub next_times: Rc<NextTimes>,
    /// The place in the plan of what comes next, and of those around it.
    pub next_place: usize,
    pub places: Vec<usize>,
    /// What keeps state and was made so far: what stands twice in a plan is kept once.
    pub made: Vec<(Plan, UpdateStream<'s>)>,
}

impl<'s> Renderer<'s> {
    /// The view's plan, then its sink. Rows reach the sink on the worker of their key, so that a
    /// row leaves from where it came in; those that never leave stay where they are.
    pub fn render_view(&mut self, plan: &Plan, key: Vec<usize>, sink: Sink, done: OnAdvance) {
        let stream = self.render(plan);
        let routing = if plan.append_only() { Routing::Stay } else { Routing::ByKey(key) };
        let input = InputStream { stream, schema: plan.schema(), routing };
        self.operator("Sink", vec![input], Box::new(sink), false, Some(done));
    }

    fn render(&mut self, plan: &Plan) -> UpdateStream<'s> {
        let place = self.next_place;
        let made = self.made.iter().find(|(made, _)| made.is_same(plan));
        if let Some((_, stream)) = made {
            self.next_place = place + plan.operators();
            return stream.clone();
        }
        self.next_place += 1;
        self.places.push(place);
        let stream = self.render_here(plan);
        self.places.pop();
        self.next_place = place + plan.operators();
        if plan.keeps_state() {
            self.made.push((plan.clone(), stream.clone()));
        }
        stream
    }

    fn render_here(&mut self, plan: &Plan) -> UpdateStream<'s> {
        match plan {
            Plan::Input(input) => self.input(input),
            Plan::Constant(constant) => self.constant(&constant.rows),
            Plan::Project(project) => {
                self.unary("Project", &project.input, Box::new(Project::new(project)))
            }
            Plan::Filter(filter) => {
                self.unary("Filter", &filter.input, Box::new(Filter::new(filter)))
            }
            Plan::Temporal(temporal) => {
                let rows = (0..temporal.input.schema().fields().len()).collect();
                let input = self.routed(&temporal.input, Routing::ByKey(rows));
                let on_advance = NextTimes::register(&self.next_times);
                let operator = Box::new(Temporal::new(temporal));
                self.operator("Temporal", vec![input], operator, true, Some(on_advance))
            }
            Plan::Join(join) => {
                let mut inputs = vec![self.routed(&join.left, by_key(&join.left_keys))];
                if !join.is_of_itself() {
                    inputs.push(self.routed(&join.right, by_key(&join.right_keys)));
                }
                self.operator("Join", inputs, Box::new(Join::new(join)), false, None)
            }
            Plan::VersionJoin(join) => {
                let left = self.routed(&join.left, by_key(&join.left_keys));
                let right = self.routed(&join.right, by_key(&join.right_keys));
                let operator = Box::new(VersionJoin::new(join));
                self.operator("VersionJoin", vec![left, right], operator, false, None)
            }
            Plan::Aggregate(aggregate) => {
                let routing = Routing::ByKey(aggregate.keys.clone());
                let input = self.routed(&aggregate.input, routing);
                let operator = Box::new(Aggregate::new(aggregate, self.is_first()));
                self.operator("Aggregate", vec![input], operator, false, None)
            }
            Plan::Union(union) => {
                let streams: Vec<_> = union.inputs.iter().map(|input| self.render(input)).collect();
                self.scope.concatenate(streams)
            }
            Plan::Unnest(unnest) => {
                self.unary("Unnest", &unnest.input, Box::new(Unnest::new(unnest)))
            }
            Plan::Session(session) => {
                let input = self.routed(&session.input, Routing::ByKey(session.keys.clone()));
                self.operator("Session", vec![input], Box::new(Session::new(session)), false, None)
            }
            Plan::Recursive(recursive) => self.recursive(recursive),
            Plan::SetOperation(operation) => {
                let columns: Vec<usize> = (0..operation.schema.fields().len()).collect();
                let left = self.routed(&operation.left, Routing::ByKey(columns.clone()));
                let right = self.routed(&operation.right, Routing::ByKey(columns));
                let operator = Box::new(SetOperation::new(operation));
                self.operator("SetOperation", vec![left, right], operator, false, None)
            }
            Plan::TopK(top) => {
                let input = self.routed(&top.input, Routing::ByKey(top.keys.clone()));
                self.operator("TopK", vec![input], Box::new(TopK::new(top)), false, None)
            }
            Plan::Window(window) => {
                let input = self.routed(&window.input, Routing::ByKey(window.partition.clone()));
                self.operator("Window", vec![input], Box::new(Window::new(window)), false, None)
            }
        }
    }

    /// All of it on one worker; what doesn't depend on the recursion is rendered as ever.
    fn recursive(&mut self, plan: &RecursivePlan) -> UpdateStream<'s> {
        let cut = plan.cut();
        let own = self.places.last().copied().expect("the recursion's own");
        let input = |input: &CutInput| {
            self.next_place = own + input.place;
            self.routed(&input.plan, Routing::ByKey(vec![]))
        };
        let inputs: Vec<_> = cut.inputs.iter().map(input).collect();
        let operator = Box::new(Recursive::new(plan, &cut));
        let temporal = cut.step.is_temporal();
        let on_advance = temporal.then(|| NextTimes::register(&self.next_times));
        self.operator("Recursive", inputs, operator, temporal, on_advance)
    }

    fn is_first(&self) -> bool {
        self.scope.index() == 0
    }

    fn input(&mut self, input: &InputPlan) -> UpdateStream<'s> {
        let as_of = self.context.as_of;
        let source = SourceQueue::new(as_of);
        let (name, schema) = (format!("Input {}", input.id.0), Some(Arc::clone(&input.schema)));
        let stream = source::stream(self.scope, &name, &source, as_of, schema);
        self.sources.push((input.clone(), source));
        stream
    }

    fn constant(&mut self, rows: &arrow::array::RecordBatch) -> UpdateStream<'s> {
        let as_of = self.context.as_of;
        let source = SourceQueue::new(as_of);
        if self.is_first() && !self.context.restored {
            source.borrow_mut().push(crate::updates::Updates::at(rows.clone(), as_of, 1));
        }
        let stream = source::stream(self.scope, "Constant", &source, as_of, None);
        self.constants.push(source);
        stream
    }

    fn unary(&mut self, name: &str, input: &Plan, operator: Box<dyn Operator>) -> UpdateStream<'s> {
        let input = self.routed(input, Routing::Stay);
        self.operator(name, vec![input], operator, false, None)
    }

    fn routed(&mut self, plan: &Plan, routing: Routing) -> InputStream<'s> {
        let schema: SchemaRef = plan.schema();
        InputStream { stream: self.render(plan), schema: Arc::clone(&schema), routing }
    }

    fn operator(
        &mut self,
        name: &str,
        inputs: Vec<InputStream<'s>>,
        operator: Box<dyn Operator>,
        temporal: bool,
        on_advance: Option<OnAdvance>,
    ) -> UpdateStream<'s> {
        let (context, place) = (self.context.clone(), self.places.last().copied());
        drive(self.scope, name, context, inputs, Driven { operator, temporal, on_advance, place })
    }
}

fn by_key(columns: &[usize]) -> Routing {
    Routing::ByKey(columns.to_vec())
}
