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
    DataflowContext, InputStream, OnAdvance, Routing, UpdateStream, drive,
};
use crate::dataflow::sink::Sink;
use crate::dataflow::source::{self, Source, SourceQueue};
use crate::dataflow::worker::NextTimes;
use crate::operator::Operator;
use crate::operator::aggregate::Aggregate;
use crate::operator::filter::Filter;
use crate::operator::join::Join;
use crate::operator::project::Project;
use crate::operator::set_operation::SetOperation;
use crate::operator::temporal::Temporal;
use crate::plan::Plan;
use crate::time::CollectionId;

/// What renders one dataflow.
pub(crate) struct Renderer<'s> {
    pub scope: Scope<'s, u64>,
    pub context: DataflowContext,
    /// The sources made so far, one for each place that reads a collection.
    pub sources: Vec<(CollectionId, Source)>,
    pub constants: Vec<Source>,
    /// Told the next time of every temporal operator after each of its steps.
    pub next_times: Rc<NextTimes>,
}

impl<'s> Renderer<'s> {
    /// The view's plan, then its sink. Rows reach the sink on the worker of their key, so that a
    /// row leaves from where it came in.
    pub fn render_view(&mut self, plan: &Plan, key: Vec<usize>, sink: Sink, done: OnAdvance) {
        let stream = self.render(plan);
        let input = InputStream { stream, schema: plan.schema(), routing: Routing::ByKey(key) };
        self.operator("Sink", vec![input], Box::new(sink), false, Some(done));
    }

    fn render(&mut self, plan: &Plan) -> UpdateStream<'s> {
        match plan {
            Plan::Input(input) => self.input(input.id),
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
                let left = self.routed(&join.left, Routing::ByKey(join.left_keys.clone()));
                let right = self.routed(&join.right, Routing::ByKey(join.right_keys.clone()));
                self.operator("Join", vec![left, right], Box::new(Join::new(join)), false, None)
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
            Plan::SetOperation(operation) => {
                let columns: Vec<usize> = (0..operation.schema.fields().len()).collect();
                let left = self.routed(&operation.left, Routing::ByKey(columns.clone()));
                let right = self.routed(&operation.right, Routing::ByKey(columns));
                let operator = Box::new(SetOperation::new(operation));
                self.operator("SetOperation", vec![left, right], operator, false, None)
            }
            Plan::TopK(_)
            | Plan::Window(_)
            | Plan::Unnest(_)
            | Plan::Session(_)
            | Plan::Recursive(_) => unimplemented!("skeleton"),
        }
    }

    fn is_first(&self) -> bool {
        self.scope.index() == 0
    }

    fn input(&mut self, id: CollectionId) -> UpdateStream<'s> {
        let as_of = self.context.as_of;
        let source = SourceQueue::new(as_of);
        let stream = source::stream(self.scope, &format!("Input {}", id.0), &source, as_of);
        self.sources.push((id, source));
        stream
    }

    fn constant(&mut self, rows: &arrow::array::RecordBatch) -> UpdateStream<'s> {
        let as_of = self.context.as_of;
        let source = SourceQueue::new(as_of);
        if self.is_first() {
            source.borrow_mut().push(crate::updates::Updates::at(rows.clone(), as_of, 1));
        }
        let stream = source::stream(self.scope, "Constant", &source, as_of);
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
        drive(self.scope, name, self.context.clone(), inputs, operator, temporal, on_advance)
    }
}
