//! A timely worker: takes commands in their one order, and otherwise sleeps.
//!
//! Every worker sees every command, so all create and drop dataflows in the same sequence. A
//! command costs the views it names, and nothing to the others.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use crossbeam_channel::{Receiver, TryRecvError};
use timely::worker::Worker;

use super::drive::{DataflowContext, OnAdvance};
use super::sink::Sink;
use super::source::{Export, Source};
use super::statistics::Counters;
use crate::checkpoint::{Copying, Operators, Restorable, Run};
use crate::plan::{InputPlan, Plan};
use crate::quarantine::Quarantine;
use crate::render::Renderer;
use crate::store::{ReadGuard, Relation, Rows, Writer, changes_of_versions};
use crate::time::{CollectionId, Timestamp};
use crate::updates::{Updates, take_rows};

/// What the maintenance tells every worker.
#[derive(Clone)]
pub(crate) enum Command {
    Create(Arc<CreateView>),
    Drop(CollectionId),
    /// Changes of tables, complete up to `upper` for `views`.
    Tick {
        upper: u64,
        updates: Arc<Vec<(CollectionId, Updates)>>,
        views: Arc<[CollectionId]>,
    },
    /// No changes, but time has passed for `views`.
    Advance {
        upper: u64,
        views: Arc<[CollectionId]>,
    },
    /// A checkpoint begins.
    Copy(Arc<Run>),
    /// It is as of before these times.
    Cut(Arc<BTreeMap<CollectionId, u64>>),
    /// There will be none.
    Abandon,
    Shutdown,
}

/// A view to begin at the time of `hold`, which is over: its inputs' states then are readable. One
/// that is restored goes on from what was kept of it instead.
pub(crate) struct CreateView {
    pub id: CollectionId,
    pub plan: Plan,
    pub key: Vec<usize>,
    pub relation: Arc<Relation>,
    /// By worker, until it takes it.
    pub writers: Vec<Mutex<Option<Writer>>>,
    /// The tables that it reads; what else it reads is a view.
    pub tables: BTreeMap<CollectionId, Arc<Relation>>,
    /// Of those whose pasts are open: the rows as they are, with their times of arrival.
    pub open_tables: BTreeMap<CollectionId, Vec<Rows>>,
    pub progress: Arc<ViewProgress>,
    /// One for each operator of the plan.
    pub counters: Arc<[Counters]>,
    pub restored: Option<RestoredView>,
    /// Keeps the inputs' rows of `as_of` until every worker has read them.
    pub hold: ReadGuard,
    /// Nobody wants it any more: what is on its way need not be done.
    pub dropped: Arc<AtomicBool>,
}

/// What a view goes on from.
pub(crate) struct RestoredView {
    pub kept: Restorable,
    /// What tables have changed by since then, up to the view's beginning, with times of arrival.
    pub changes: BTreeMap<CollectionId, Updates>,
}

/// How far each worker has brought a view.
pub(crate) struct ViewProgress {
    /// By worker: its shard holds every update before it.
    pub uppers: Vec<AtomicU64>,
    /// By worker: when the view next changes with time alone, as of its upper; MAX for never.
    pub next_times: Vec<AtomicU64>,
    /// Called after each advance, on the worker's thread.
    pub on_advance: Box<dyn Fn() + Send + Sync>,
}

impl ViewProgress {
    pub fn new(workers: usize, on_advance: Box<dyn Fn() + Send + Sync>) -> Self {
        ViewProgress {
            uppers: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            next_times: (0..workers).map(|_| AtomicU64::new(u64::MAX)).collect(),
            on_advance,
        }
    }

    /// Complete before it.
    pub fn upper(&self) -> u64 {
        minimum(&self.uppers)
    }

    /// The next time at which the view changes with time alone. Read it after [`Self::upper`]: it
    /// is as of that upper or a later one.
    pub fn next_time(&self) -> u64 {
        minimum(&self.next_times)
    }
}

fn minimum(cells: &[AtomicU64]) -> u64 {
    cells.iter().map(|cell| cell.load(Ordering::SeqCst)).min().expect("at least one worker")
}

/// The next times of a dataflow's temporal operators on one worker, and their minimum.
pub(crate) struct NextTimes {
    of: RefCell<Vec<Option<u64>>>,
    minimum: Cell<u64>,
    progress: Arc<ViewProgress>,
    worker: usize,
}

impl NextTimes {
    /// One more operator; what it returns is told after each of its advances.
    pub fn register(times: &Rc<Self>) -> OnAdvance {
        let number = times.of.borrow().len();
        times.of.borrow_mut().push(None);
        let times = Rc::clone(times);
        Box::new(move |_, next| {
            times.of.borrow_mut()[number] = next;
            let minimum = times.of.borrow().iter().flatten().copied().min().unwrap_or(u64::MAX);
            if times.minimum.replace(minimum) != minimum {
                times.progress.next_times[times.worker].store(minimum, Ordering::SeqCst);
            }
        })
    }
}

/// A view's dataflow on this worker.
struct Dataflow {
    timely_index: usize,
    /// Its rows as of before it are where it began: no change of it made them.
    as_of: u64,
    /// Ends of tables; the ends of views are moved by those views.
    table_sources: Vec<(InputPlan, Source)>,
    export: Rc<RefCell<Export>>,
    relation: Arc<Relation>,
    operators: Rc<RefCell<Operators>>,
}

struct WorkerState {
    dataflows: HashMap<CollectionId, Dataflow>,
    /// The checkpoint being taken.
    copying: Option<Copying>,
    /// See [`DataflowContext`].
    activity: Rc<Cell<u64>>,
    quarantine: Arc<Quarantine>,
}

/// Runs of 2^this ids are backfilled by one worker.
const BACKFILL_BLOCK_BITS: u32 = 13;
/// Rows of a table's change below which one worker takes all of them.
const SPLIT_ROWS_MIN: usize = 1024;

/// Runs until it is told to shut down.
pub(crate) fn run(worker: &mut Worker, commands: Receiver<Command>, quarantine: Arc<Quarantine>) {
    let (dataflows, activity) = (HashMap::new(), Rc::default());
    let mut state = WorkerState { dataflows, copying: None, activity, quarantine };
    loop {
        state.copy();
        match commands.try_recv() {
            Ok(Command::Create(create)) => state.create(worker, &create),
            Ok(Command::Drop(view)) => state.drop_view(worker, view),
            Ok(Command::Tick { upper, updates, views }) => {
                state.tick(worker, &updates);
                state.advance(upper, &views);
            }
            Ok(Command::Advance { upper, views }) => state.advance(upper, &views),
            Ok(Command::Copy(run)) => state.begin_copying(worker, &run),
            Ok(Command::Cut(uppers)) => state.cut(&uppers),
            Ok(Command::Abandon) => state.abandon(),
            Ok(Command::Shutdown) | Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                worker.step_or_park(state.copying.as_ref().and_then(Copying::patience));
            }
        }
    }
    for (_, dataflow) in state.dataflows.drain() {
        worker.drop_dataflow(dataflow.timely_index);
    }
}

impl WorkerState {
    fn create(&mut self, worker: &mut Worker, create: &CreateView) {
        let (index, timely_index) = (worker.index(), worker.next_dataflow_index());
        let restored = create.restored.as_ref();
        let as_of = restored.map_or(create.hold.at.0, |restored| restored.kept.upper);
        let export = Rc::new(RefCell::new(Export::new(as_of)));
        let writer = create.writers[index].lock().expect("no holder panics").take();
        let mut writer = writer.expect("each worker makes a view once");
        if let Some(restored) = restored {
            restore_output(&restored.kept, index, &mut writer);
        }
        let sink = Sink { writer, export: Rc::clone(&export) };
        let next_times = Rc::new(NextTimes {
            of: RefCell::default(),
            minimum: Cell::new(u64::MAX),
            progress: create.progress.clone(),
            worker: index,
        });
        let done = on_sink_advance(export.clone(), create.progress.clone(), index);
        let context = DataflowContext {
            view: create.id,
            quarantine: self.quarantine.clone(),
            as_of,
            restored: restored.is_some(),
            counters: create.counters.clone(),
            dropped: create.dropped.clone(),
            activity: Rc::clone(&self.activity),
            operators: Rc::default(),
        };
        let operators = Rc::clone(&context.operators);
        let name = format!("view {}", create.id.0);
        let (sources, constants) = worker.dataflow_named::<u64, _, _>(&name, |scope| {
            let mut renderer = Renderer {
                scope,
                context,
                sources: vec![],
                constants: vec![],
                next_times,
                next_place: 0,
                places: vec![],
                made: vec![],
            };
            renderer.render_view(&create.plan, create.key.clone(), sink, done);
            (renderer.sources, renderer.constants)
        });
        if let Some(restored) = restored {
            let restored = restored.kept.restore(index, &operators.borrow());
            restored.unwrap_or_else(|error| cannot_restore(create.id, &error));
        }
        // What never changes is complete for ever.
        constants.iter().for_each(|source| source.borrow_mut().advance(u64::MAX));
        let mut table_sources = Vec::new();
        for (input, source) in sources {
            match create.tables.get(&input.id) {
                Some(table) => {
                    match restored {
                        Some(restored) => catch_up(worker, create, restored, &input, &source),
                        None => backfill(worker, create, table, &input, &source),
                    }
                    table_sources.push((input, source));
                }
                None => self.import(input.id, index, restored.map(|_| as_of), &source),
            }
        }
        let relation = create.relation.clone();
        let dataflow = Dataflow { timely_index, as_of, table_sources, export, relation, operators };
        self.dataflows.insert(create.id, dataflow);
    }

    /// Gives `source` the view's shard on this worker as it is, then its changes; to one that knows
    /// all before `known`, what has changed since. A view that went on from a later time than that
    /// had not changed until then: both were kept at one moment.
    fn import(&mut self, view: CollectionId, shard: usize, known: Option<u64>, source: &Source) {
        let upstream = self.dataflows.get(&view).expect("views are made after those they read");
        let mut export = upstream.export.borrow_mut();
        let present = Timestamp(export.frontier.saturating_sub(1));
        if let Some(known) = known {
            let from = Timestamp(known.max(upstream.as_of) - 1);
            source.borrow_mut().push(upstream.relation.changes_of_shard(shard, from, present));
        } else {
            for rows in upstream.relation.scan_shard(shard, present) {
                source.borrow_mut().push(Updates::at(rows.batch, present.0, 1));
            }
        }
        export.subscribe(source);
    }

    fn drop_view(&mut self, worker: &mut Worker, view: CollectionId) {
        if let Some(dataflow) = self.dataflows.remove(&view) {
            worker.drop_dataflow(dataflow.timely_index);
        }
    }

    fn tick(&mut self, worker: &Worker, updates: &[(CollectionId, Updates)]) {
        for (table, updates) in updates {
            let part = part_of(updates, worker.index(), worker.peers(), table.0);
            if part.is_empty() {
                continue;
            }
            let sources = self.dataflows.values().flat_map(|dataflow| &dataflow.table_sources);
            for (input, source) in sources.filter(|(input, _)| input.id == *table) {
                let part = match input.versions {
                    true => changes_of_versions(&part, &input.schema),
                    false => part.clone(),
                };
                source.borrow_mut().push(part);
            }
        }
    }

    fn begin_copying(&mut self, worker: &Worker, run: &Arc<Run>) {
        self.abandon();
        let dataflows = &self.dataflows;
        let copying = Copying::begin(run, worker.index(), |view| operators_of(dataflows, view));
        self.copying = Some(copying);
    }

    /// A little of what a checkpoint takes.
    fn copy(&mut self) {
        let Some(mut copying) = self.copying.take() else { return };
        let dataflows = &self.dataflows;
        if copying.is_turn(self.activity.get()) {
            copying.slice(|view| operators_of(dataflows, view));
        }
        if !copying.is_over(|view| operators_of(dataflows, view)) {
            self.copying = Some(copying);
        }
    }

    fn cut(&mut self, uppers: &BTreeMap<CollectionId, u64>) {
        if let Some(copying) = &mut self.copying {
            copying.cut(uppers, |view| operators_of(&self.dataflows, view));
        }
    }

    fn abandon(&mut self) {
        if let Some(copying) = self.copying.take() {
            copying.abandon(|view| operators_of(&self.dataflows, view));
        }
    }

    fn advance(&mut self, upper: u64, views: &[CollectionId]) {
        for dataflow in views.iter().filter_map(|view| self.dataflows.get(view)) {
            for (_, source) in &dataflow.table_sources {
                source.borrow_mut().advance(upper);
            }
        }
    }
}

fn operators_of(
    dataflows: &HashMap<CollectionId, Dataflow>,
    view: CollectionId,
) -> Option<Rc<RefCell<Operators>>> {
    Some(Rc::clone(&dataflows.get(&view)?.operators))
}

/// Gives the writer of a view's shard the rows that were kept.
fn restore_output(kept: &Restorable, worker: usize, writer: &mut Writer) {
    let since = Timestamp(kept.upper - 1);
    let rows = kept.rows(worker, |rows| writer.restore(rows, since));
    let next = rows.unwrap_or_else(|error| cannot_restore(kept.id, &error));
    writer.restored(next);
}

/// It was whole when it was checked, so its disk fails. The next start will do without it.
fn cannot_restore(view: CollectionId, error: &dyn std::fmt::Display) -> ! {
    panic!("the checkpoint of view {} cannot be read: {error}", view.0)
}

/// Gives `source` this worker's part of what a table has changed by since the view was kept.
fn catch_up(
    worker: &Worker,
    create: &CreateView,
    restored: &RestoredView,
    input: &InputPlan,
    source: &Source,
) {
    let changes = restored.changes.get(&input.id).expect("those of every table");
    let part = part_of(changes, worker.index(), worker.peers(), input.id.0);
    let mut source = source.borrow_mut();
    source.push(part);
    source.advance(create.hold.at.0 + 1);
}

fn on_sink_advance(
    export: Rc<RefCell<Export>>,
    progress: Arc<ViewProgress>,
    worker: usize,
) -> OnAdvance {
    Box::new(move |upper, _| {
        export.borrow_mut().advance(upper);
        progress.uppers[worker].store(upper, Ordering::SeqCst);
        (progress.on_advance)();
    })
}

/// Gives `source` this worker's part of what a table holds as the view begins.
fn backfill(
    worker: &Worker,
    create: &CreateView,
    table: &Relation,
    input: &InputPlan,
    source: &Source,
) {
    let (at, index, peers) = (create.hold.at, worker.index(), worker.peers());
    let part = if input.versions {
        // Exchanged by key: it does not matter who reads them.
        if index == 0 { versions_of(table, input, at) } else { vec![] }
    } else if let Some(share) = table.scan_share(at, input.arrived_at, index, peers) {
        share
    } else {
        let scan = match create.open_tables.get(&input.id) {
            Some(rows) => rows.clone(),
            None if input.arrived_at => table.scan_arrived(at),
            None => table.scan(at),
        };
        scan.into_iter().map(|rows| rows_of_worker(rows, index, peers)).collect()
    };
    let mut source = source.borrow_mut();
    part.into_iter().for_each(|batch| source.push(Updates::at(batch, at.0, 1)));
    source.advance(at.0 + 1);
}

/// A worker's part of some rows of a table: those of some ids. Every worker looks at a moment of
/// its own, and the store may have put its chunks together differently in between; only the ids
/// stay.
fn rows_of_worker(rows: Rows, worker: usize, peers: usize) -> RecordBatch {
    let ids = rows.ids.values();
    let is_mine = |id: u64| (id >> BACKFILL_BLOCK_BITS) as usize % peers == worker;
    let mine: Vec<u32> = (0..ids.len() as u32).filter(|&row| is_mine(ids[row as usize])).collect();
    if mine.len() == ids.len() { rows.batch } else { take_rows(&rows.batch, &mine) }
}

/// The versions that a table had had by `at`.
fn versions_of(table: &Relation, input: &InputPlan, at: Timestamp) -> Vec<RecordBatch> {
    let spans = table.spans(Timestamp::MIN, at);
    let parts = spans.iter().flat_map(|spans| spans.versions(&input.schema, at));
    let there = parts.map(|part| {
        let there = |&row: &u32| part.ends[row as usize] > at.0;
        let rows: Vec<u32> = (0..part.ends.len() as u32).filter(there).collect();
        take_rows(&part.batch, &rows)
    });
    there.collect()
}

/// This worker's rows of a table's change: any split will do, as stateful operators exchange.
fn part_of(updates: &Updates, worker: usize, peers: usize, table: u64) -> Updates {
    let rows = updates.len();
    if rows < SPLIT_ROWS_MIN {
        let taker = table as usize % peers;
        return updates.slice(0, if taker == worker { rows } else { 0 });
    }
    let start = rows * worker / peers;
    updates.slice(start, rows * (worker + 1) / peers - start)
}
