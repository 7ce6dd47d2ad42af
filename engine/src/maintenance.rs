//! Maintenance: what to tell the workers, in which order, and when a view is ready to be read.
//!
//! Law: a read of a view at t sees V(t). So a view must have every commit ≤ t that touches its
//! inputs, and have made the expiries up to t. A commit's tick is sequenced before anyone may read
//! at its time; a read of a view that changes with time alone moves it forward first, unless its
//! present contents hold until after t. Idle views are told nothing.

mod backlog;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::thread::Thread;
use std::time::Instant;

use crossbeam_channel::Sender;
use futures::channel::oneshot;

use crate::checkpoint::{Found, Manifest, Restorable, Run, Since};
use crate::commit::ViewDef;
use crate::dataflow::statistics::{Counters, OperatorStatistics};
use crate::dataflow::worker::{Command, CreateView, RestoredView, ViewProgress};
use crate::plan::Plan;
use crate::quarantine::Quarantine;
use crate::state::key_index::hash_bytes;
use crate::store::{Horizon, ReadGuard, Relation};
use crate::time::{CollectionId, SystemClock, Timestamp, WallClock};
use crate::updates::Updates;
use backlog::{Backlog, Tick};

/// What a view keeps of its past takes no more than this, however long it is to be kept.
const HISTORY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A view's state as `Engine::views` tells it.
#[derive(Clone, Copy, Debug)]
pub struct ViewStatus {
    pub id: CollectionId,
    /// Complete before it.
    pub upper: Timestamp,
    /// When it next changes with time alone.
    pub next_time: Option<Timestamp>,
    /// As long as it is not there for readers.
    pub filling: Option<Filling>,
}

/// A view that takes what is already there.
#[derive(Clone, Copy, Debug)]
pub struct Filling {
    /// By the machine's clock, in µs since the Unix epoch.
    pub started_at: Timestamp,
    /// The time at which it begins: it is filled with what is there then.
    pub as_of: Timestamp,
    /// The rows of what it reads.
    pub rows: usize,
    /// Of the operators, each of which takes all of its input at once: how many have done that, and
    /// how many there are.
    pub operators_done: usize,
    pub operators: usize,
}

struct View {
    plan: Plan,
    /// Whether it has expressions that can fail.
    can_fail: bool,
    counters: Arc<[Counters]>,
    relation: Arc<Relation>,
    progress: Arc<ViewProgress>,
    /// The tables below it, through other views too.
    tables: BTreeSet<CollectionId>,
    /// The views below it, through other views too.
    upstream: BTreeSet<CollectionId>,
    /// Whether it, or a view below it, changes with time alone.
    temporal: bool,
    /// What the workers have been told: complete before it.
    issued: u64,
    /// How it was as it began to be filled.
    filling: Filling,
    /// Says to the workers that nobody wants it any more.
    dropped: Arc<AtomicBool>,
    /// Of its plan and key.
    fingerprint: u64,
    /// It went on from a checkpoint.
    restored: bool,
}

/// A view that a checkpoint may keep.
pub(crate) struct Keepable {
    pub id: CollectionId,
    pub fingerprint: u64,
    /// The views below it, which stand before it.
    pub upstream: Vec<CollectionId>,
}

/// A view where a checkpoint cuts it.
pub(crate) struct CutView {
    pub relation: Arc<Relation>,
    /// The last time that its kept state has seen.
    pub at: ReadGuard,
    /// The last time of the state that was kept before.
    pub since: Option<ReadGuard>,
    /// Of its operators.
    pub state_rows: u64,
}

struct Waiter {
    views: Vec<CollectionId>,
    at: u64,
    ready: oneshot::Sender<()>,
}

#[derive(Default)]
struct State {
    views: BTreeMap<CollectionId, View>,
    waiters: Vec<Waiter>,
    /// The time of the last commit that changed something.
    last_commit: u64,
    backlog: Backlog,
    /// Nothing is made ready any more.
    closed: bool,
}

/// See the module.
pub(crate) struct Maintenance {
    state: Mutex<State>,
    workers: Vec<(Sender<Command>, Thread)>,
    quarantine: Arc<Quarantine>,
    horizon: Arc<Horizon>,
    /// What checkpoints had kept of views that were not made since.
    found: Mutex<Found>,
    this: Weak<Maintenance>,
}

impl Maintenance {
    pub fn new(
        workers: Vec<(Sender<Command>, Thread)>,
        quarantine: Arc<Quarantine>,
        horizon: Arc<Horizon>,
        found: Found,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Maintenance {
            state: Mutex::default(),
            workers,
            quarantine,
            horizon,
            found: Mutex::new(found),
            this: this.clone(),
        })
    }

    /// A durable group of commits: its changes, then the views it drops and makes. `table` finds a
    /// table. Called in order of time, before anyone may read at `time`.
    pub fn publish(
        &self,
        time: Timestamp,
        updates: Vec<(CollectionId, Updates)>,
        create: Vec<ViewDef>,
        drop: Vec<CollectionId>,
        table: &dyn Fn(CollectionId) -> Option<Arc<Relation>>,
    ) {
        let mut state = self.lock();
        if !updates.is_empty() {
            state.last_commit = time.0;
        }
        self.tick(&mut state, time, updates);
        for view in drop {
            self.drop_view(&mut state, view);
        }
        for view in create {
            self.create_view(&mut state, time, view, table);
        }
    }

    /// Rows with earlier times came into these tables: what views above them kept of their pasts
    /// is not true any more.
    pub fn forget_loaded(&self, time: Timestamp, tables: &[CollectionId]) {
        if tables.is_empty() {
            return;
        }
        let state = self.lock();
        let above = |view: &&View| tables.iter().any(|table| view.tables.contains(table));
        for view in state.views.values().filter(above) {
            view.relation.forget_before(time);
            view.relation.rewritten(time);
        }
    }

    /// Resolves when all of `views` hold V(at); cancelled when one of them is dropped.
    pub fn wait_for(&self, views: &[CollectionId], at: Timestamp) -> oneshot::Receiver<()> {
        let (ready, receiver) = oneshot::channel();
        let mut state = self.lock();
        if state.closed || views.iter().any(|view| !state.views.contains_key(view)) {
            return receiver;
        }
        for view in views {
            self.demand(&mut state, *view, at.0);
        }
        if state.all_ready(views, at.0) {
            // The receiver may be gone already: then nobody waits.
            let _ = ready.send(());
        } else {
            state.waiters.push(Waiter { views: views.to_vec(), at: at.0, ready });
        }
        receiver
    }

    /// The latest time up to `at` for which all of `views` are complete without being moved;
    /// `None` if one of them is not there, or not filled yet.
    pub fn complete_until(&self, views: &[CollectionId], at: Timestamp) -> Option<Timestamp> {
        let state = self.lock();
        let until =
            |id: &CollectionId| state.views.contains_key(id).then(|| state.until(*id, at.0));
        let until = views.iter().map(until).collect::<Option<Vec<u64>>>()?;
        let least = until.into_iter().min().unwrap_or(at.0);
        (least > 0).then_some(Timestamp(least))
    }

    /// Whether a view is due to change with time alone by `now`.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let state = self.lock();
        state.views.values().any(|view| view.is_behind(now.0))
    }

    /// Moves the views that are due forward to `at`, a time that is closed.
    pub fn expire(&self, at: Timestamp) {
        let mut state = self.lock();
        let due: Vec<CollectionId> = state
            .views
            .iter()
            .filter(|(_, view)| view.is_behind(at.0))
            .map(|(id, _)| *id)
            .collect();
        for view in due {
            self.demand(&mut state, view, at.0);
        }
    }

    pub fn relation(&self, view: CollectionId) -> Option<Arc<Relation>> {
        self.lock().views.get(&view).map(|view| view.relation.clone())
    }

    pub fn status(&self) -> Vec<ViewStatus> {
        let state = self.lock();
        let status = state.views.iter().map(|(&id, view)| {
            let upper = Timestamp(view.progress.upper());
            let next_time = Some(view.progress.next_time()).filter(|&next| next != u64::MAX);
            let filling = view.filling(upper, self.workers.len());
            ViewStatus { id, upper, next_time: next_time.map(Timestamp), filling }
        });
        status.collect()
    }

    pub fn views_that_can_fail(&self, tables: &[CollectionId]) -> Vec<CollectionId> {
        self.reached(tables, |view| view.can_fail)
    }

    /// The plan of a view and what its operators have done, by their places in it.
    pub fn operators(&self, view: CollectionId) -> Option<(Plan, Vec<OperatorStatistics>)> {
        let state = self.lock();
        let view = state.views.get(&view)?;
        Some((view.plan.clone(), view.counters.iter().map(Counters::read).collect()))
    }

    /// Whether views take too long for more changes of these tables to be acknowledged.
    pub fn is_behind(&self, tables: &[CollectionId]) -> bool {
        self.lock().backlog.is_behind(Instant::now(), tables)
    }

    /// Whether any view reads the table.
    pub fn is_read(&self, table: CollectionId) -> bool {
        self.lock().views.values().any(|view| view.tables.contains(&table))
    }

    /// The views that changes of these tables reach.
    pub fn views_over(&self, tables: &[CollectionId]) -> Vec<CollectionId> {
        self.reached(tables, |_| true)
    }

    /// Those of these views that changes of these tables reach.
    fn reached(&self, tables: &[CollectionId], of: impl Fn(&View) -> bool) -> Vec<CollectionId> {
        let reached =
            |view: &View| of(view) && tables.iter().any(|table| view.tables.contains(table));
        let state = self.lock();
        state.views.iter().filter(|(_, view)| reached(view)).map(|(id, _)| *id).collect()
    }

    /// Who waits is told that there is nothing to wait for.
    pub fn shutdown(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waiters.clear();
        drop(state);
        self.send(Command::Shutdown);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// Every view there was has been made: what checkpoints kept of others is let go.
    pub fn all_made(&self) {
        let mut found = self.lock_found();
        if found.all_restored() {
            let state = self.lock();
            let restored = state.views.values().filter(|view| view.restored).count();
            let filled = state.views.len() - restored;
            tracing::info!(restored, filled, "views are ready");
        }
    }

    /// Where checkpoints are, and what those to come go on from.
    pub fn found(&self) -> (PathBuf, Manifest) {
        self.lock_found().begin()
    }

    /// Whether each view went on from a checkpoint.
    #[cfg(test)]
    pub fn restored(&self) -> BTreeMap<CollectionId, bool> {
        self.lock().views.iter().map(|(id, view)| (*id, view.restored)).collect()
    }

    pub fn worker_count(&self) -> usize {
        self.workers.len()
    }

    /// The views that are filled, those below before those above.
    pub fn keepable(&self) -> Vec<Keepable> {
        let state = self.lock();
        let filled = state
            .views
            .iter()
            .filter(|(id, view)| view.progress.upper() > 0 && !self.quarantine.was_ever_in(**id));
        let mut keepable: Vec<Keepable> = filled
            .map(|(&id, view)| Keepable {
                id,
                fingerprint: view.fingerprint,
                upstream: view.upstream.iter().copied().collect(),
            })
            .collect();
        // What is below a view has fewer below itself.
        keepable.sort_by_key(|view| view.upstream.len());
        keepable
    }

    /// Has every worker begin to copy what the run wants.
    pub fn begin_checkpoint(&self, run: &Arc<Run>) {
        let _state = self.lock();
        self.send(Command::Copy(Arc::clone(run)));
    }

    /// Has every worker cut these views where they have been told to go by now. Gives those that
    /// are there, the time of the last commit, and how many views there are.
    pub fn cut_checkpoint(&self, since: &Since) -> (BTreeMap<CollectionId, CutView>, u64, usize) {
        let state = self.lock();
        let mut cut = BTreeMap::new();
        let mut uppers = BTreeMap::new();
        for (&id, &since) in since {
            let Some(view) = state.views.get(&id) else { continue };
            uppers.insert(id, view.issued);
            let hold = |at| self.horizon.hold_past(Timestamp(at));
            let rows = view.counters.iter().map(|counters| counters.read().state.rows);
            let relation = Arc::clone(&view.relation);
            let (at, since) = (hold(view.issued - 1), since.map(hold));
            cut.insert(id, CutView { relation, at, since, state_rows: rows.sum() });
        }
        self.send(Command::Cut(Arc::new(uppers)));
        (cut, state.last_commit, state.views.len())
    }

    pub fn abandon_checkpoint(&self) {
        let _state = self.lock();
        self.send(Command::Abandon);
    }

    /// Whether a view had rows that it could not compute, which no checkpoint keeps.
    pub fn was_ever_in_quarantine(&self, view: CollectionId) -> bool {
        self.quarantine.was_ever_in(view)
    }

    fn lock_found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().expect("no holder panics")
    }

    /// To every worker; the lock on the state makes it one order for all.
    fn send(&self, command: Command) {
        for (sender, thread) in &self.workers {
            // A worker that is gone has taken the process with it, or is being shut down.
            let _ = sender.send(command.clone());
            thread.unpark();
        }
    }

    fn tick(&self, state: &mut State, time: Timestamp, updates: Vec<(CollectionId, Updates)>) {
        let changed: BTreeSet<CollectionId> = updates.iter().map(|(table, _)| *table).collect();
        let touched = state.views.iter().filter(|(_, view)| !view.tables.is_disjoint(&changed));
        let views = state.moving_with(touched.map(|(id, _)| *id));
        if views.is_empty() {
            return;
        }
        let upper = time.0 + 1;
        state.issue(&views, upper);
        // A view that is being filled is not behind: it has never been there.
        let filled = |view: &CollectionId| state.views[view].progress.upper() > 0;
        state.backlog.push(Tick {
            upper,
            rows: updates.iter().map(|(_, updates)| updates.len()).sum(),
            tables: changed,
            views: views.iter().copied().filter(filled).collect(),
            published: Instant::now(),
        });
        let views = views.into_iter().collect();
        self.send(Command::Tick { upper, updates: Arc::new(updates), views });
    }

    fn drop_view(&self, state: &mut State, view: CollectionId) {
        // What nobody named may still stand on it.
        let above = state.views.iter().filter(|(_, other)| other.upstream.contains(&view));
        for above in above.map(|(id, _)| *id).collect::<Vec<_>>() {
            if state.views.contains_key(&above) {
                self.drop_view(state, above);
            }
        }
        if let Some(view) = state.views.remove(&view) {
            view.dropped.store(true, Ordering::Relaxed);
        }
        state.waiters.retain(|waiter| !waiter.views.contains(&view));
        state.settle();
        self.quarantine.forget(view);
        self.send(Command::Drop(view));
    }

    fn create_view(
        &self,
        state: &mut State,
        time: Timestamp,
        def: ViewDef,
        table: &dyn Fn(CollectionId) -> Option<Arc<Relation>>,
    ) {
        let schema = def.plan.schema();
        let (relation, writers) = Relation::new(
            def.id,
            schema.clone(),
            def.key.clone(),
            self.workers.len(),
            &self.horizon,
        );
        relation.limit_past(Some(def.history_retention), Some(HISTORY_BYTES_MAX));
        let (mut tables, mut open_tables) = (BTreeMap::new(), BTreeMap::new());
        let mut upstream = BTreeSet::new();
        let mut below = BTreeSet::new();
        let mut temporal = def.plan.is_temporal();
        let reads = def.plan.reads();
        for &id in &reads {
            if let Some(view) = state.views.get(&id) {
                upstream.extend(view.upstream.iter().copied().chain([id]));
                below.extend(view.tables.iter().copied());
                temporal |= view.temporal;
            } else {
                let relation = table(id).expect("a plan reads what exists");
                if relation.is_open() {
                    // A load must not come between this view's beginning and its backfill.
                    open_tables.insert(id, relation.scan_arrived(time));
                }
                tables.insert(id, relation);
                below.insert(id);
            }
        }
        let rows = upstream.iter().filter(|id| reads.contains(id)).map(|id| {
            let view = &state.views[id];
            view.relation.count(time)
        });
        let rows = rows.chain(tables.values().map(|table| table.count(time))).sum();
        let fingerprint = fingerprint(&def);
        let kept = self.lock_found().take(def.id, fingerprint);
        let kept = kept.filter(|kept| {
            upstream.iter().all(|below| state.views[below].restored)
                && def.plan.reads_no_versions()
                && below
                    .iter()
                    .filter_map(|id| table(*id))
                    .all(|table| table.is_as_of(kept.at(), time))
        });
        relation.forget_before(kept.as_ref().map_or(time, Restorable::at));
        let restored = kept.map(|kept| {
            let changes = |(id, table): (&CollectionId, &Arc<Relation>)| {
                (*id, table.changes_arrived(kept.at(), time))
            };
            let changes = tables.iter().map(changes).collect();
            RestoredView { kept, changes }
        });
        let is_restored = restored.is_some();
        let upper = time.0 + 1;
        let moving = state.moving_with(upstream.iter().copied());
        state.issue(&moving, upper);
        if !moving.is_empty() {
            let views = moving.into_iter().collect();
            self.send(Command::Advance { upper, views });
        }
        let progress = self.no_progress();
        let key = def.key.unwrap_or_else(|| (0..schema.fields().len()).collect());
        let plan = def.plan.clone();
        let counters: Arc<[Counters]> =
            (0..plan.operators()).map(|_| Counters::default()).collect();
        let dropped: Arc<AtomicBool> = Arc::default();
        let filling = Filling {
            started_at: SystemClock::default().wall(),
            as_of: time,
            rows,
            operators_done: 0,
            operators: stepped(&plan, &counters).count(),
        };
        self.send(Command::Create(Arc::new(CreateView {
            id: def.id,
            plan: def.plan,
            key,
            relation: relation.clone(),
            writers: writers.into_iter().map(|writer| Mutex::new(Some(writer))).collect(),
            tables,
            open_tables,
            progress: progress.clone(),
            counters: counters.clone(),
            restored,
            hold: self.horizon.hold(time),
            dropped: dropped.clone(),
        })));
        let issued = upper;
        let can_fail = plan.can_fail();
        let view = View {
            plan,
            can_fail,
            counters,
            relation,
            progress,
            tables: below,
            upstream,
            temporal,
            issued,
            filling,
            dropped,
            fingerprint,
            restored: is_restored,
        };
        state.views.insert(def.id, view);
    }

    /// The progress of a view that has not begun; whoever waits is woken when it advances.
    fn no_progress(&self) -> Arc<ViewProgress> {
        let this = self.this.clone();
        let on_advance = move || {
            if let Some(this) = this.upgrade() {
                this.lock().wake();
            }
        };
        Arc::new(ViewProgress::new(self.workers.len(), Box::new(on_advance)))
    }

    /// The views that keep the versions of a table.
    pub fn keepers_of_versions(&self, table: CollectionId) -> Vec<CollectionId> {
        let state = self.lock();
        let keeps = |(_, view): &(&CollectionId, &View)| view.plan.keeps_versions(table);
        state.views.iter().filter(keeps).map(|(id, _)| *id).collect()
    }

    /// Has the view brought up to `at`, if it is not there and nothing on its way brings it.
    fn demand(&self, state: &mut State, id: CollectionId, at: u64) {
        let view = &state.views[&id];
        if !view.temporal || view.issued > at || state.is_ready(id, at) {
            return;
        }
        let views = state.moving_with([id]);
        state.issue(&views, at + 1);
        let views = views.into_iter().collect();
        self.send(Command::Advance { upper: at + 1, views });
    }
}

/// The counters of the operators of a plan that take steps.
fn stepped<'a>(plan: &Plan, counters: &'a [Counters]) -> impl Iterator<Item = &'a Counters> {
    let mut steps = Vec::with_capacity(counters.len());
    let passes = |plan: &Plan| matches!(plan, Plan::Input(_) | Plan::Constant(_) | Plan::Union(_));
    plan.visit(&mut |plan| steps.push(!passes(plan)));
    counters.iter().zip(steps).filter(|(_, steps)| *steps).map(|(counters, _)| counters)
}

/// Two views with the same one have the same states, if the same program runs them.
fn fingerprint(def: &ViewDef) -> u64 {
    let version = env!("CARGO_PKG_VERSION");
    let text = format!("{version} {:?} {:?} {:?}", def.key, def.plan.schema(), def.plan);
    hash_bytes(text.as_bytes())
}

impl View {
    /// What is left to do until it is there for readers.
    fn filling(&self, upper: Timestamp, workers: usize) -> Option<Filling> {
        let filled = |counters: &&Counters| counters.read().steps >= workers as u64;
        let operators_done = || stepped(&self.plan, &self.counters).filter(filled).count();
        let is_filled = upper > self.filling.as_of;
        (!is_filled).then(|| Filling { operators_done: operators_done(), ..self.filling })
    }

    /// Whether its contents, complete as they are, have changed by `now` with time alone.
    fn is_behind(&self, now: u64) -> bool {
        self.temporal && self.issued <= now && self.progress.next_time() <= now
    }
}

impl State {
    /// The views that move when these do. A view answers when all it reads has, so what stands
    /// below it moves with it; and what stands above a view that changes with time alone must see
    /// that change as of the same time.
    fn moving_with(&self, views: impl IntoIterator<Item = CollectionId>) -> BTreeSet<CollectionId> {
        let mut moving = BTreeSet::new();
        let mut open: Vec<CollectionId> = views.into_iter().collect();
        while let Some(id) = open.pop() {
            if !moving.insert(id) {
                continue;
            }
            let view = &self.views[&id];
            open.extend(&view.upstream);
            if view.temporal {
                let above = self.views.iter().filter(|(_, other)| other.upstream.contains(&id));
                open.extend(above.map(|(above, _)| *above));
            }
        }
        moving
    }

    fn issue(&mut self, views: &BTreeSet<CollectionId>, upper: u64) {
        for view in views {
            let view = self.views.get_mut(view).expect("views below a view exist");
            view.issued = view.issued.max(upper);
        }
    }

    fn is_ready(&self, id: CollectionId, at: u64) -> bool {
        let view = &self.views[&id];
        let upper = view.progress.upper();
        if upper > at {
            return true;
        }
        // All that was issued is done, which is every commit ≤ at; what remains is time alone.
        let quiet = |id: &CollectionId| self.views[id].progress.next_time() > at;
        upper >= view.issued && (!view.temporal || (quiet(&id) && view.upstream.iter().all(quiet)))
    }

    /// The latest time up to `at` that it is ready for; 0: none.
    fn until(&self, id: CollectionId, at: u64) -> u64 {
        if self.is_ready(id, at) {
            return at;
        }
        let view = &self.views[&id];
        let upper = view.progress.upper();
        if upper < view.issued {
            return upper.saturating_sub(1);
        }
        let changes =
            view.upstream.iter().chain([&id]).map(|id| self.views[id].progress.next_time());
        let next = changes.min().unwrap_or(u64::MAX);
        next.max(upper).saturating_sub(1)
    }

    fn all_ready(&self, views: &[CollectionId], at: u64) -> bool {
        views.iter().all(|&view| self.is_ready(view, at))
    }

    /// Some view has moved, or is gone.
    fn settle(&mut self) {
        let views = &self.views;
        let has = |id, upper| {
            let view: Option<&View> = views.get(&id);
            view.is_none_or(|view| view.progress.upper() >= upper)
        };
        self.backlog.settle(Instant::now(), has);
    }

    fn wake(&mut self) {
        self.settle();
        let waiters = std::mem::take(&mut self.waiters);
        for waiter in waiters {
            match self.all_ready(&waiter.views, waiter.at) {
                // Whoever waited may have gone away.
                true => drop(waiter.ready.send(())),
                false => self.waiters.push(waiter),
            }
        }
    }
}
