//! The driver: runs an operator as its contract asks, on a timely worker.
//!
//! It buffers what arrives, and when all input frontiers have passed `upper` calls `step` once with
//! everything in [lower, upper), or a few times if the operator wants short steps. It holds a
//! capability only while something is buffered, before the first step, or, for an operator that
//! changes with time alone, always.
//!
//! What many rows do at one time comes in parts where time alone makes them do it: their operator
//! gives some, holding its frontier, and lets the worker go on; those after it take each part as it
//! comes. The time is complete, and seen by readers, when the frontier has passed it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
use crate::checkpoint::record::Kept;
use crate::checkpoint::{Cut, Cuttable, Operators};
use crate::memory;
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
    /// Its operators get their states as of before `as_of` elsewhere: only changes come.
    pub restored: bool,
    /// By place in the plan.
    pub counters: Arc<[Counters]>,
    /// Nobody wants it any more, so that no step need be taken.
    pub dropped: Arc<AtomicBool>,
    /// Counts how often operators of the worker were asked to go on.
    pub activity: Rc<Cell<u64>>,
    /// All operators made so far.
    pub operators: Rc<RefCell<Operators>>,
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

/// So many updates of one time are a part of it that an operator is given ahead of the others: what
/// flows before it goes on meanwhile. Few in tests, so that they see what happens there.
pub(crate) const PART_ROWS: usize = if cfg!(test) { 2 } else { 4 * 1024 };

/// Adds an operator to the dataflow.
pub(crate) fn drive<'s>(
    scope: Scope<'s, u64>,
    name: &str,
    context: DataflowContext,
    inputs: Vec<InputStream<'s>>,
    driven: Driven,
) -> UpdateStream<'s> {
    let mut builder = OperatorBuilder::new(name.to_string(), scope);
    let schemas: Vec<SchemaRef> = inputs.iter().map(|input| input.schema.clone()).collect();
    let mut receivers: Vec<Receive> =
        inputs.into_iter().map(|input| receiver(&mut builder, input)).collect();
    let (output, stream) = builder.new_output::<Updates>();
    let mut output = OutputBuilder::<u64, NoopBuilder<Updates>>::from(output);
    let activator = scope.activator_for(builder.operator_info().address);

    builder.build(move |mut capabilities| {
        let mut held = capabilities.pop();
        held.iter_mut().for_each(|held| held.downgrade(&context.as_of));
        let operators = Rc::clone(&context.operators);
        let running = Rc::new(RefCell::new(Running::new(driven, context, schemas, held)));
        operators.borrow_mut().push(Rc::clone(&running) as Rc<RefCell<dyn Cuttable>>);
        move |frontiers: &[MutableAntichain<u64>]| {
            let running = &mut *running.borrow_mut();
            running.context.activity.update(|count| count + 1);
            if running.context.dropped.load(Ordering::Relaxed) {
                // The worker is about to take the dataflow away.
                return;
            }
            for (receive, buffer) in receivers.iter_mut().zip(&mut running.buffers) {
                receive(buffer);
            }
            // An input that has ended holds nothing back.
            let upper = frontiers.iter().filter_map(|f| f.frontier().first().copied()).min();
            let Some(complete) = upper else {
                running.held = None;
                return;
            };
            let mut give = |capability: &Capability<u64>, mut out: Updates| {
                output.activate().session_with_builder(capability).give_container(&mut out);
            };
            if !running.advance(complete, &mut give) {
                // The rest after others have had their turn.
                activator.activate();
            }
        }
    });
    stream
}

/// What a step gives, under a capability of its time.
type Give<'a> = &'a mut dyn FnMut(&Capability<u64>, Updates);

/// When a step began, and what this thread had waited for until then.
struct Begun {
    at: Instant,
    page_faults: u64,
}

impl Begun {
    fn now() -> Begun {
        Begun { at: Instant::now(), page_faults: memory::page_faults() }
    }
}

/// An operator as it is driven.
struct Running {
    driven: Driven,
    context: DataflowContext,
    schemas: Vec<SchemaRef>,
    /// It has been given everything before it.
    lower: u64,
    started: bool,
    state: StateSize,
    buffers: Vec<Received>,
    held: Option<Capability<u64>>,
    /// Where its state is to be copied.
    cut: Option<Cut>,
}

impl Running {
    fn new(
        driven: Driven,
        context: DataflowContext,
        schemas: Vec<SchemaRef>,
        held: Option<Capability<u64>>,
    ) -> Self {
        let buffers = schemas.iter().map(|_| Vec::new()).collect();
        let (lower, started, state) = (context.as_of, context.restored, StateSize::default());
        let held = held.filter(|_| !started || driven.temporal);
        Running { driven, context, schemas, lower, started, state, buffers, held, cut: None }
    }

    /// Goes on, towards `complete`. Whether it is there.
    fn advance(&mut self, complete: u64, give: Give<'_>) -> bool {
        self.cut_if_there();
        match self.cut.as_ref().map(|cut| cut.upper) {
            Some(upper) if upper < complete => {
                if self.advance_to(upper, give) {
                    self.cut_if_there();
                }
                false
            }
            _ => {
                let there = self.advance_to(complete, give);
                self.cut_if_there();
                there
            }
        }
    }

    /// Has its state copied if it is as of where it is to be cut. No part of that time was given
    /// yet: nobody was told of it when the cut was.
    fn cut_if_there(&mut self) {
        if let Some(cut) = self.cut.take_if(|cut| cut.upper <= self.lower)
            && let (Some(place), Some(kept)) = (self.driven.place, self.driven.operator.kept())
        {
            cut.copy(place, kept);
        }
    }

    fn advance_to(&mut self, complete: u64, give: Give<'_>) -> bool {
        if (complete > self.lower || self.has_part()) && self.go_ahead(give) {
            return false;
        }
        if complete > self.lower {
            self.go_to(self.driven.operator.slice(self.lower, complete), give);
            // Before a part of this time is given.
            self.cut_if_there();
        }
        if complete == self.lower && self.has_part() {
            self.step(self.lower + 1, true, give);
        }
        complete <= self.lower
    }

    /// Whether much has come of the time `lower`, which more may come of, and the operator should
    /// have it already.
    fn has_part(&self) -> bool {
        let now = |(cap, updates): &(Capability<u64>, Updates)| match *cap.time() <= self.lower {
            true => updates.times.iter().filter(|&&time| time == self.lower).count(),
            false => 0,
        };
        let buffers = self.buffers.iter().enumerate();
        let parts = buffers.filter(|(input, _)| self.driven.operator.takes_parts(*input));
        self.started && parts.flat_map(|(_, buffer)| buffer).map(now).sum::<usize>() >= PART_ROWS
    }

    /// Part of what the operator does at `lower` by itself, where that is too much for a step.
    fn go_ahead(&mut self, give: Give<'_>) -> bool {
        let Some(capability) = self.held.clone().filter(|_| self.started) else { return false };
        let begun = Begun::now();
        let Some(out) = self.driven.operator.ahead(self.lower) else { return false };
        self.done(0, begun, &out);
        self.give(&capability, out, self.lower + 1, give);
        true
    }

    /// Moves `lower` to `upper`, by a step if there is something to do.
    fn go_to(&mut self, upper: u64, give: Give<'_>) {
        let ready = |buffer: &Received| buffer.iter().any(|(cap, _)| *cap.time() < upper);
        let due = self.driven.operator.next_time().is_some_and(|time| time < upper);
        if !self.started || due || self.buffers.iter().any(ready) {
            self.step(upper, false, give);
            self.started = true;
        }
        self.lower = upper;
        if let Some(on_advance) = &mut self.driven.on_advance {
            on_advance(upper, self.driven.operator.next_time());
        }
        match &mut self.held {
            Some(held) if self.driven.temporal => held.downgrade(&upper),
            _ => self.held = None,
        }
    }

    /// Gives the operator what has come before `upper`; in a `part`, of the inputs of which it
    /// takes parts.
    fn step(&mut self, upper: u64, part: bool, give: Give<'_>) {
        let mut capability = self.held.clone();
        let mut batches = Vec::with_capacity(self.buffers.len());
        let buffers = self.buffers.iter_mut().zip(&self.schemas);
        for (input, (buffer, schema)) in buffers.enumerate() {
            batches.push(match part && !self.driven.operator.takes_parts(input) {
                true => Updates::empty(schema.clone()),
                false => take_before(buffer, upper, schema, &mut capability),
            });
        }
        let capability = capability.expect("a step has data or holds a capability");
        let (view, quarantine) = (self.context.view, &*self.context.quarantine);
        let context = StepContext { lower: self.lower, upper, view, quarantine };
        let updates_in = batches.iter().map(Updates::len).sum();
        let begun = Begun::now();
        let out = self.driven.operator.step(&context, batches);
        self.done(updates_in, begun, &out);
        self.give(&capability, out, upper, give);
    }

    /// Counts what the operator did, from `begun` until now.
    fn done(&mut self, updates_in: usize, begun: Begun, out: &Updates) {
        let Driven { operator, place, .. } = &mut self.driven;
        let Some(place) = *place else { return };
        let before = std::mem::replace(&mut self.state, operator.state());
        let (updates_out, busy, after) = (out.len(), begun.at.elapsed(), self.state);
        let page_faults = memory::page_faults() - begun.page_faults;
        let step = Step { steps: 1, updates_in, updates_out, page_faults, busy, before, after };
        let counters = &self.context.counters;
        counters[place].add(&step);
        operator.take_steps(&mut |within, step| counters[place + within].add(&step));
    }

    fn give(&self, capability: &Capability<u64>, out: Updates, upper: u64, give: Give<'_>) {
        let within = out.times.iter().all(|time| (self.lower..upper).contains(time));
        assert!(within, "an output's times are those of the step");
        if !out.is_empty() {
            give(capability, out);
        }
    }
}

impl Cuttable for Running {
    fn place(&self) -> Option<usize> {
        self.driven.place
    }

    fn kept(&mut self) -> Option<&mut dyn Kept> {
        self.driven.operator.kept()
    }

    fn cut_at(&mut self, cut: Cut) {
        self.cut = Some(cut);
        self.cut_if_there();
    }

    fn is_to_be_cut(&self) -> bool {
        self.cut.is_some()
    }

    fn forget_cut(&mut self) {
        self.cut = None;
    }
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
