//! The driver: runs an operator as its contract asks, on a timely worker.
//!
//! It buffers what arrives, and when all input frontiers have passed `upper` calls `step` once with
//! everything in [lower, upper), or a few times if the operator wants short steps. It holds a
//! capability only while something is buffered, before the first step, or, for an operator that
//! changes with time alone, always.

use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::SchemaRef;
use timely::container::NoopBuilder;
use timely::dataflow::channels::pact::{DistributorPact, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, Stream};
use timely::progress::frontier::MutableAntichain;

use super::container::KeyDistributor;
use super::statistics::{Counters, Step};
use crate::operator::{Operator, StateSize, StepContext};
use crate::quarantine::Quarantine;
use crate::time::CollectionId;
use crate::updates::Updates;

pub(crate) type UpdateStream<'s> = Stream<'s, u64, Updates>;
type Received = Vec<(Capability<u64>, Updates)>;
/// Moves what has arrived at an input into the buffer.
type Receive = Box<dyn FnMut(&mut Received)>;

/// How an input reaches the worker that needs it.
pub(crate) enum Routing {
    /// Rows stay where they are.
    Stay,
    /// Rows go to the worker of their key, over these columns.
    ByKey(Vec<usize>),
}

/// One input of an operator.
pub(crate) struct InputStream<'s> {
    pub stream: UpdateStream<'s>,
    pub schema: SchemaRef,
    pub routing: Routing,
}

/// What the operators of a dataflow share.
#[derive(Clone)]
pub(crate) struct DataflowContext {
    pub view: CollectionId,
    pub quarantine: Arc<Quarantine>,
    /// Where the dataflow begins: its inputs are their states at this time, then their changes.
    pub as_of: u64,
    /// By place in the plan.
    pub counters: Arc<[Counters]>,
}

/// Told after each advance: the upper up to which the operator has answered, and its next time.
pub(crate) type OnAdvance = Box<dyn FnMut(u64, Option<u64>)>;

/// An operator, and what the driver has to know of it.
pub(crate) struct Driven {
    pub operator: Box<dyn Operator>,
    /// Whether it changes with time alone.
    pub temporal: bool,
    pub on_advance: Option<OnAdvance>,
    /// Where it stands in the plan, if it does.
    pub place: Option<usize>,
}

/// Adds an operator to the dataflow.
pub(crate) fn drive<'s>(
    scope: Scope<'s, u64>,
    name: &str,
    context: DataflowContext,
    inputs: Vec<InputStream<'s>>,
    driven: Driven,
) -> UpdateStream<'s> {
    let Driven { mut operator, temporal, mut on_advance, place } = driven;
    let mut builder = OperatorBuilder::new(name.to_string(), scope);
    let schemas: Vec<SchemaRef> = inputs.iter().map(|input| input.schema.clone()).collect();
    let mut receivers: Vec<Receive> =
        inputs.into_iter().map(|input| receiver(&mut builder, input)).collect();
    let (output, stream) = builder.new_output::<Updates>();
    let mut output = OutputBuilder::<u64, NoopBuilder<Updates>>::from(output);
    let mut lower = context.as_of;
    let activator = scope.activator_for(builder.operator_info().address);

    builder.build(move |mut capabilities| {
        let mut held = capabilities.pop();
        held.iter_mut().for_each(|held| held.downgrade(&lower));
        let mut started = false;
        let mut state = StateSize::default();
        let mut buffers: Vec<Received> = schemas.iter().map(|_| Vec::new()).collect();
        move |frontiers: &[MutableAntichain<u64>]| {
            for (receive, buffer) in receivers.iter_mut().zip(&mut buffers) {
                receive(buffer);
            }
            // An input that has ended holds nothing back.
            let upper = frontiers.iter().filter_map(|f| f.frontier().first().copied()).min();
            let Some(complete) = upper else {
                held = None;
                return;
            };
            if complete <= lower {
                return;
            }
            let upper = operator.slice(complete);
            if upper < complete {
                // The rest after others have had their turn.
                activator.activate();
            }
            let ready = |buffer: &Received| buffer.iter().any(|(cap, _)| *cap.time() < upper);
            let due = operator.next_time().is_some_and(|time| time < upper);
            if !started || due || buffers.iter().any(ready) {
                started = true;
                let mut capability = held.clone();
                let mut batches = Vec::with_capacity(buffers.len());
                for (buffer, schema) in buffers.iter_mut().zip(&schemas) {
                    batches.push(take_before(buffer, upper, schema, &mut capability));
                }
                let capability = capability.expect("a step has data or holds a capability");
                let quarantine = &*context.quarantine;
                let step = StepContext { lower, upper, view: context.view, quarantine };
                let updates_in = batches.iter().map(Updates::len).sum();
                let begun = Instant::now();
                let mut out = operator.step(&step, batches);
                if let Some(place) = place {
                    let before = std::mem::replace(&mut state, operator.state());
                    let (updates_out, busy, after) = (out.len(), begun.elapsed(), state);
                    let step = Step { steps: 1, updates_in, updates_out, busy, before, after };
                    context.counters[place].add(&step);
                    operator.take_steps(&mut |within, step| {
                        context.counters[place + within].add(&step);
                    });
                }
                let within = out.times.iter().all(|time| (lower..upper).contains(time));
                assert!(within, "an output's times are those of the step");
                if !out.is_empty() {
                    output.activate().session_with_builder(&capability).give_container(&mut out);
                }
            }
            lower = upper;
            if let Some(on_advance) = &mut on_advance {
                on_advance(upper, operator.next_time());
            }
            match &mut held {
                Some(held) if temporal => held.downgrade(&upper),
                _ => held = None,
            }
        }
    });
    stream
}

fn receiver<'s>(builder: &mut OperatorBuilder<'s, u64>, input: InputStream<'s>) -> Receive {
    macro_rules! receive {
        ($handle:expr) => {{
            let mut handle = $handle;
            Box::new(move |buffer: &mut Received| {
                handle.for_each(|capability, data| {
                    let capability = capability.retain_least(0).expect("a stamp with a time");
                    buffer.push((capability, std::mem::take(data)));
                })
            })
        }};
    }
    match input.routing {
        Routing::Stay => receive!(builder.new_input(input.stream, Pipeline)),
        Routing::ByKey(keys) => {
            let pact = DistributorPact(move |_peers: usize| KeyDistributor::new(keys));
            receive!(builder.new_input(input.stream, pact))
        }
    }
}

/// Takes the updates before `upper` out of the buffer; `capability` becomes the earliest.
///
/// A source sends all it has under the capability of its last frontier, so a batch may reach beyond
/// what another input allows by now: the rest of it waits.
fn take_before(
    buffer: &mut Received,
    upper: u64,
    schema: &SchemaRef,
    capability: &mut Option<Capability<u64>>,
) -> Updates {
    let mut parts = Vec::new();
    let mut rests = Vec::new();
    for (cap, updates) in buffer.extract_if(.., |(cap, _)| *cap.time() < upper) {
        let (before, rest) = split_at_time(updates, upper);
        if let Some(earliest) = rest.times.iter().min() {
            rests.push((cap.delayed(earliest), rest));
        }
        if capability.as_ref().is_none_or(|earliest| cap.time() < earliest.time()) {
            *capability = Some(cap);
        }
        parts.push(before);
    }
    buffer.extend(rests);
    Updates::concat(schema, parts)
}

/// The updates before `upper`, and those from it on.
fn split_at_time(updates: Updates, upper: u64) -> (Updates, Updates) {
    if updates.times.iter().all(|&time| time < upper) {
        let none = updates.slice(0, 0);
        return (updates, none);
    }
    let rows = 0..updates.len() as u32;
    let (before, rest): (Vec<u32>, Vec<u32>) =
        rows.partition(|&row| updates.times[row as usize] < upper);
    (updates.take(&before), updates.take(&rest))
}
