//! Sources and exports: how collections enter a dataflow.
//!
//! Streams don't cross dataflows. Whoever produces a collection on a worker (the tick, for a table;
//! the sink, for a view) pushes shared updates and its frontier into the queues of those who read
//! it there, and wakes them. A queue that nobody pushes to costs nothing.
//!
//! What is much for one time is sent in pieces, and the worker goes on with other things between
//! them: a source holds the time of what it has not sent.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use arrow::datatypes::SchemaRef;
use timely::container::NoopBuilder;
use timely::dataflow::Scope;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::scheduling::Activator;

use super::drive::{PART_ROWS, UpdateStream};
use crate::updates::Updates;

/// So many rows are sent at once, as parts that the operators behind a source take.
const SENT_ROWS: usize = 4 * PART_ROWS;

/// What a source has not sent yet.
pub(crate) struct SourceQueue {
    /// Pieces of at most [`SENT_ROWS`], with the first time in each.
    pending: VecDeque<(u64, Updates)>,
    frontier: u64,
    activator: Option<Activator>,
}

/// One reader's end of a collection.
pub(crate) type Source = Rc<RefCell<SourceQueue>>;

/// A collection that a worker makes, and its readers there.
pub(crate) struct Export {
    readers: Vec<Weak<RefCell<SourceQueue>>>,
    /// All updates before it have been pushed.
    pub frontier: u64,
}

impl Export {
    pub fn new(frontier: u64) -> Self {
        Export { readers: Vec::new(), frontier }
    }

    /// `source` is given what is pushed from now on.
    pub fn subscribe(&mut self, source: &Source) {
        self.readers.retain(|reader| reader.strong_count() > 0);
        self.readers.push(Rc::downgrade(source));
        source.borrow_mut().advance(self.frontier);
    }

    pub fn push(&self, updates: &Updates) {
        for reader in self.readers.iter().filter_map(Weak::upgrade) {
            reader.borrow_mut().push(updates.clone());
        }
    }

    pub fn advance(&mut self, frontier: u64) {
        self.frontier = frontier;
        for reader in self.readers.iter().filter_map(Weak::upgrade) {
            reader.borrow_mut().advance(frontier);
        }
    }
}

impl SourceQueue {
    /// A source of a dataflow that begins at `as_of`.
    pub fn new(as_of: u64) -> Source {
        let queue = SourceQueue { pending: VecDeque::new(), frontier: as_of, activator: None };
        Rc::new(RefCell::new(queue))
    }

    pub fn push(&mut self, updates: Updates) {
        let rows = updates.len();
        match rows <= SENT_ROWS {
            true => self.push_piece(updates),
            false => (0..rows).step_by(SENT_ROWS).for_each(|start| {
                self.push_piece(updates.slice(start, SENT_ROWS.min(rows - start)));
            }),
        }
        if self.has_part()
            && let Some(activator) = &self.activator
        {
            activator.activate();
        }
    }

    fn push_piece(&mut self, updates: Updates) {
        if let Some(&first) = updates.times.iter().min() {
            self.pending.push_back((first, updates));
        }
    }

    /// Whether so much is pending that its readers should have it before its time is complete.
    fn has_part(&self) -> bool {
        self.pending.iter().map(|(_, updates)| updates.len()).sum::<usize>() >= PART_ROWS
    }

    /// What is to be sent now, and the first time of what is not.
    fn take(&mut self) -> (Vec<Updates>, Option<u64>) {
        let (mut taken, mut rows) = (Vec::new(), 0);
        while let Some((_, updates)) = self.pending.front()
            && (taken.is_empty() || rows + updates.len() <= SENT_ROWS)
        {
            rows += updates.len();
            taken.extend(self.pending.pop_front().map(|(_, updates)| updates));
        }
        (taken, self.pending.iter().map(|(first, _)| *first).min())
    }

    /// All updates before `frontier` have been pushed.
    pub fn advance(&mut self, frontier: u64) {
        if frontier > self.frontier {
            self.frontier = frontier;
            if let Some(activator) = &self.activator {
                activator.activate();
            }
        }
    }
}

/// The source as a stream. Updates before the dataflow's beginning count as of its beginning: the
/// state then, however it came to be. With a `schema`, columns that it has not are left out: what
/// is read may have got more.
pub(crate) fn stream<'s>(
    scope: Scope<'s, u64>,
    name: &str,
    source: &Source,
    as_of: u64,
    schema: Option<SchemaRef>,
) -> UpdateStream<'s> {
    let mut builder = OperatorBuilder::new(name.to_string(), scope);
    let activator = scope.activator_for(builder.operator_info().address);
    activator.activate();
    source.borrow_mut().activator = Some(activator);
    let (output, stream) = builder.new_output::<Updates>();
    let mut output = OutputBuilder::<u64, NoopBuilder<Updates>>::from(output);
    let source = Rc::clone(source);
    builder.build(move |mut capabilities| {
        let mut capability = capabilities.pop().expect("one output");
        capability.downgrade(&as_of);
        move |_frontiers| {
            let (taken, frontier) = {
                let mut queue = source.borrow_mut();
                if *capability.time() >= queue.frontier && !queue.has_part() {
                    // Not complete yet: a little of a time waits for the rest.
                    return;
                }
                let (taken, rest) = queue.take();
                if rest.is_some()
                    && let Some(activator) = &queue.activator
                {
                    activator.activate();
                }
                let frontier = rest.map_or(queue.frontier, |rest| rest.min(queue.frontier));
                (taken, frontier)
            };
            let mut output = output.activate();
            let mut session = output.session_with_builder(&capability);
            for mut updates in taken {
                if let Some(schema) = &schema {
                    updates = updates.first_columns(schema);
                }
                if updates.times.iter().any(|&time| time < as_of) {
                    updates.times = updates.times.iter().map(|&time| time.max(as_of)).collect();
                }
                session.give_container(&mut updates);
            }
            drop(session);
            if *capability.time() < frontier {
                capability.downgrade(&frontier);
            }
        }
    });
    stream
}
