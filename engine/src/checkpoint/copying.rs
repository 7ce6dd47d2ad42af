//! A worker's part in a checkpoint.
//!
//! It copies, between what it does otherwise, the records that have changed, a millisecond's worth
//! at a time, until few are left; that state is of no one time. Then it is told for each view a
//! time to cut at, and each operator, when it has come exactly so far and before it goes on, copies
//! what has changed since: the last copies of all records are its state as of that time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::part::{Block, Section, copy_records};
use super::record::Kept;
use crate::time::CollectionId;

/// How long it copies at a time.
const SLICE: Duration = Duration::from_millis(1);
/// How long others go first.
const SLICE_INTERVAL: Duration = Duration::from_millis(20);
/// So many changed records may be left on a worker when it is ready for the cut.
const LEFT_MAX: usize = 8 * 1024;
/// Nothing more is copied ahead while so many bytes wait to be written.
const WAITING_MAX: usize = 64 * 1024 * 1024;

/// A checkpoint being taken, as all who take part share it.
pub(crate) struct Run {
    /// The views whose states are wanted.
    pub views: Vec<RunView>,
    pub told: Sender<Told>,
    /// Bytes that were told and are not written yet.
    pub waiting: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct RunView {
    pub id: CollectionId,
    /// All records, not only those changed since the last checkpoint.
    pub all: bool,
}

/// What workers tell of a run.
#[derive(Debug)]
pub(crate) enum Told {
    Block(Block),
    /// The view cannot be kept, and why.
    Not(CollectionId, &'static str),
    /// This worker has little left to copy.
    Ready,
    /// All operators of this worker were cut.
    Cut,
}

/// Where an operator is to be cut.
pub(crate) struct Cut {
    pub upper: u64,
    pub view: CollectionId,
    pub worker: u32,
    pub run: Arc<Run>,
}

/// An operator on its worker, as a checkpoint sees it.
pub(crate) trait Cuttable {
    /// Its place in the plan; `None` if it is none of the plan's.
    fn place(&self) -> Option<usize>;

    /// `None` if its state cannot be copied.
    fn kept(&mut self) -> Option<&mut dyn Kept>;

    /// Has it copied what is left when it has come to a time.
    fn cut_at(&mut self, cut: Cut);

    /// Whether that is still to come.
    fn is_to_be_cut(&self) -> bool;

    fn forget_cut(&mut self);
}

pub(crate) type Operators = Vec<Rc<RefCell<dyn Cuttable>>>;

/// A run as one worker takes part in it.
pub(crate) struct Copying {
    pub run: Arc<Run>,
    worker: u32,
    views: Vec<CollectionId>,
    phase: Phase,
    /// The view to go on with.
    next: usize,
    scratch: Vec<u8>,
    /// The worker's activity as it was last asked about, and when it copied last.
    activity: u64,
    last_slice: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Ahead,
    /// Little was left; the cut is to come.
    Ready,
    Cutting,
}

impl Cut {
    /// Copies all that has changed.
    pub fn copy(&self, place: usize, kept: &mut dyn Kept) {
        let mut scratch = Vec::new();
        for family in 0..kept.families() {
            while kept.changed(family).len() > 0 {
                let copied = copy_records(kept, family, &mut scratch, || false);
                if tell(&self.run, self.view, self.worker, (place, family), copied).is_err() {
                    return;
                }
            }
        }
    }
}

/// `Err` if the view cannot be kept.
fn tell(
    run: &Run,
    view: CollectionId,
    worker: u32,
    (place, family): (usize, usize),
    copied: Result<(Vec<u8>, u64), ()>,
) -> Result<(), ()> {
    let told = match copied {
        Ok((bytes, records)) => {
            run.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
            let section = Section { worker, place: place as u32, family: family as u32 };
            Told::Block(Block { view, section, bytes, records })
        }
        Err(()) => Told::Not(view, "one of its groups is too large"),
    };
    let failed = matches!(told, Told::Not(..));
    // Who took the checkpoint may have given up.
    let _ = run.told.send(told);
    if failed { Err(()) } else { Ok(()) }
}

impl Copying {
    /// Begins: `operators` gives those of a view on this worker, if it is there.
    pub fn begin(
        run: &Arc<Run>,
        worker: usize,
        operators: impl Fn(CollectionId) -> Option<Rc<RefCell<Operators>>>,
    ) -> Copying {
        let mut views = Vec::new();
        for view in &run.views {
            let Some(operators) = operators(view.id) else { continue };
            let mut keeps = true;
            for operator in operators.borrow().iter() {
                let mut operator = operator.borrow_mut();
                match operator.kept() {
                    None => keeps = false,
                    Some(kept) if view.all => {
                        for family in 0..kept.families() {
                            let limit = kept.id_limit(family);
                            kept.changed(family).mark_below(limit);
                        }
                    }
                    Some(_) => {}
                }
            }
            match keeps {
                true => views.push(view.id),
                false => drop(run.told.send(Told::Not(view.id, "an operator keeps no records"))),
            }
        }
        let (run, worker) = (Arc::clone(run), worker as u32);
        let (phase, next, scratch) = (Phase::Ahead, 0, Vec::new());
        let (activity, last_slice) = (0, Instant::now());
        Copying { run, worker, views, phase, next, scratch, activity, last_slice }
    }

    /// Whether to copy now: when the worker's operators are idle, and now and then when they never
    /// are. `activity` counts what they do.
    pub fn is_turn(&mut self, activity: u64) -> bool {
        let is_idle = std::mem::replace(&mut self.activity, activity) == activity;
        self.is_copying() && (is_idle || self.last_slice.elapsed() >= SLICE_INTERVAL)
    }

    fn is_copying(&self) -> bool {
        self.phase != Phase::Cutting && self.run.waiting.load(Ordering::Relaxed) < WAITING_MAX
    }

    /// How long a worker may sleep that has nothing else to do; `None`: for ever.
    pub fn patience(&self) -> Option<Duration> {
        let is_ahead = self.phase == Phase::Ahead;
        is_ahead.then(|| if self.is_copying() { Duration::ZERO } else { SLICE })
    }

    /// Copies for about a millisecond.
    pub fn slice(&mut self, operators: impl Fn(CollectionId) -> Option<Rc<RefCell<Operators>>>) {
        let begun = Instant::now();
        let mut left = 0;
        for turn in 0..self.views.len() {
            let place = (self.next + turn) % self.views.len();
            let view = self.views[place];
            let Some(operators) = operators(view) else { continue };
            for operator in operators.borrow().iter() {
                let mut operator = operator.borrow_mut();
                let Some(number) = operator.place() else { continue };
                let Some(kept) = operator.kept() else { continue };
                for family in 0..kept.families() {
                    while kept.changed(family).len() > 0 && begun.elapsed() < SLICE {
                        if self.phase == Phase::Ready && kept.changed(family).len() < LEFT_MAX {
                            break;
                        }
                        self.next = place;
                        let scratch = &mut self.scratch;
                        let stop = || begun.elapsed() >= SLICE;
                        let copied = copy_records(kept, family, scratch, stop);
                        let section = (number, family);
                        if tell(&self.run, view, self.worker, section, copied).is_err() {
                            self.views.remove(place);
                            return;
                        }
                    }
                    left += kept.changed(family).len();
                }
            }
        }
        self.last_slice = Instant::now();
        if self.phase == Phase::Ahead && left <= LEFT_MAX {
            self.phase = Phase::Ready;
            let _ = self.run.told.send(Told::Ready);
        }
    }

    /// Has every operator cut at its view's time.
    pub fn cut(
        &mut self,
        uppers: &BTreeMap<CollectionId, u64>,
        operators: impl Fn(CollectionId) -> Option<Rc<RefCell<Operators>>>,
    ) {
        self.phase = Phase::Cutting;
        self.views.retain(|view| uppers.contains_key(view));
        for &view in &self.views {
            let Some(operators) = operators(view) else { continue };
            for operator in operators.borrow().iter() {
                let (upper, worker, run) = (uppers[&view], self.worker, Arc::clone(&self.run));
                operator.borrow_mut().cut_at(Cut { upper, view, worker, run });
            }
        }
    }

    /// Whether all are cut, which is told.
    pub fn is_over(
        &self,
        operators: impl Fn(CollectionId) -> Option<Rc<RefCell<Operators>>>,
    ) -> bool {
        let is_cut = |operators: Rc<RefCell<Operators>>| {
            operators.borrow().iter().all(|operator| !operator.borrow().is_to_be_cut())
        };
        let mut views = self.views.iter().filter_map(|&view| operators(view));
        let over = self.phase == Phase::Cutting && views.all(is_cut);
        if over {
            let _ = self.run.told.send(Told::Cut);
        }
        over
    }

    /// Gives up: nothing is to be cut any more.
    pub fn abandon(self, operators: impl Fn(CollectionId) -> Option<Rc<RefCell<Operators>>>) {
        let views = self.views.iter().filter_map(|&view| operators(view));
        for operators in views {
            operators.borrow().iter().for_each(|operator| operator.borrow_mut().forget_cut());
        }
    }
}
