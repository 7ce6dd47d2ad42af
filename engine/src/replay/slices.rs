//! Slices: a plan's operators run over its tables' past, a stretch of time after the other.
//!
//! Law      the slices follow each other without a gap from `from` to `to`, none cuts a time, and
//!          each brings about [`SLICE`] changes of the tables at most, unless one time does
//! State    that of the operators; what changes in a stretch of time that is as long as that is
//!          about [`STRETCH`] rows of a table at most. What is there at `from` comes first and
//!          whole

use std::collections::BTreeMap;

use arrow::array::{Array, RecordBatch};
use arrow::compute::interleave;
use arrow::datatypes::SchemaRef;

use super::restrict::Restriction;
use super::{Stopped, Watch, check};
use crate::operator::StepContext;
use crate::operator::nested::Nested;
use crate::plan::{InputPlan, Plan};
use crate::quarantine::{Quarantine, QuarantinedRow};
use crate::store::Spans;
use crate::time::{CollectionId, Timestamp};
use crate::updates::{Updates, batch_of};

/// Few in tests, so that they see what happens between slices.
const SLICE: usize = if cfg!(test) { 7 } else { 1 << 20 };
const STRETCH: usize = if cfg!(test) { 16 } else { 1 << 22 };

/// See the head of this file.
pub(super) struct Slices<'a> {
    tables: Restriction<'a>,
    operators: Nested,
    feeds: BTreeMap<CollectionId, Feed>,
    quarantine: Quarantine,
    lower: u64,
    end: u64,
    /// The feeds have what changes before it.
    fed: u64,
    /// How long the next stretch may be.
    stretch: u64,
    started: bool,
    /// The rows that were looked at for the stretch, and how many changes of it are left.
    looked_at: usize,
    left: usize,
}

/// What a plan gives, from where the slice before ended to before `upper`.
pub(super) struct Slice {
    pub upper: u64,
    pub updates: Updates,
}

impl<'a> Slices<'a> {
    pub fn new(tables: Restriction<'a>, from: Timestamp, to: Timestamp) -> Self {
        let feeds = inputs_of(tables.plan).into_iter().map(|input| (input.id, Feed::new(input)));
        let end = to.0.saturating_add(1);
        Slices {
            operators: Nested::new(tables.plan),
            feeds: feeds.collect(),
            tables,
            quarantine: Quarantine::default(),
            lower: from.0,
            end,
            fed: from.0,
            stretch: end.saturating_sub(from.0).max(1),
            started: false,
            looked_at: 0,
            left: 0,
        }
    }

    /// The next slice; none when all is done.
    pub fn next(&mut self, watch: &dyn Watch) -> Result<Option<Slice>, Stopped> {
        check(watch)?;
        if self.lower >= self.end {
            return Ok(None);
        }
        if self.lower >= self.fed {
            match self.started {
                true => self.feed(),
                false => self.feed_first(watch),
            }
        }
        let lower = self.lower;
        let upper = self.upper();
        let context =
            StepContext { lower, upper, view: CollectionId(0), quarantine: &self.quarantine };
        let inputs: BTreeMap<CollectionId, Updates> =
            self.feeds.iter_mut().map(|(&id, feed)| (id, feed.before(upper))).collect();
        let updates = self.operators.step(&context, &mut |id| inputs.get(&id).cloned());
        (self.lower, self.started) = (upper, true);
        self.tell_done(&inputs, watch);
        let held = self.bytes() + updates.data.get_array_memory_size();
        match watch.may_hold(held) {
            true => Ok(Some(Slice { upper, updates })),
            false => Err(Stopped::TooLarge(held)),
        }
    }

    /// The rows that fail as of now.
    pub fn failed(&self) -> Vec<QuarantinedRow> {
        self.quarantine.rows()
    }

    /// What is there at the first time.
    fn feed_first(&mut self, watch: &dyn Watch) {
        let at = Timestamp(self.lower);
        self.fed = self.lower + 1;
        let mut rows = 0;
        for leaf in 0..self.tables.leaves.len() {
            let parts = self.tables.state(leaf, at);
            rows += parts.iter().map(|part| part.begins.len()).sum::<usize>();
            let id = self.tables.leaves[leaf].0.id;
            if let Some(feed) = self.feeds.get_mut(&id) {
                feed.fill(parts, at, at, true);
            }
        }
        let to_come = self.tables.changed_rows(at, Timestamp(self.end - 1));
        watch.expect(rows + to_come);
        self.note_fed(rows);
    }

    /// What changes in the next stretch of time.
    fn feed(&mut self) {
        let from = self.fed;
        let after = Timestamp(from - 1);
        let (upper, parts) = loop {
            let upper = from.saturating_add(self.stretch).min(self.end);
            let rows_max = if upper - from > 1 { STRETCH } else { usize::MAX };
            let changed = |leaf| self.tables.changed(leaf, (after, Timestamp(upper - 1)), rows_max);
            let parts: Option<Vec<_>> = (0..self.tables.leaves.len()).map(changed).collect();
            match parts {
                Some(parts) => break (upper, parts),
                None => self.stretch = ((upper - from) / 2).max(1),
            }
        };
        self.fed = upper;
        self.stretch = self.stretch.saturating_mul(2);
        let mut rows = 0;
        for (leaf, (parts, looked_at)) in parts.into_iter().enumerate() {
            rows += looked_at;
            let id = self.tables.leaves[leaf].0.id;
            if let Some(feed) = self.feeds.get_mut(&id) {
                feed.fill(parts, Timestamp(from), Timestamp(upper - 1), false);
            }
        }
        self.note_fed(rows);
    }

    fn note_fed(&mut self, rows: usize) {
        self.looked_at += rows;
        self.left = self.feeds.values().map(|feed| feed.changes.len()).sum();
    }

    /// Of the rows that were looked at, so many are done as of the changes that came of them.
    fn tell_done(&mut self, inputs: &BTreeMap<CollectionId, Updates>, watch: &dyn Watch) {
        let taken: usize = inputs.values().map(Updates::len).sum();
        let done = match self.lower >= self.fed || self.left == 0 {
            true => self.looked_at,
            false => (self.looked_at as f64 / self.left as f64 * taken as f64) as usize,
        };
        self.looked_at -= done.min(self.looked_at);
        self.left -= taken.min(self.left);
        watch.done(done);
    }

    fn bytes(&self) -> usize {
        let feeds = self.feeds.values().map(Feed::bytes).sum::<usize>();
        feeds + self.operators.state().bytes as usize
    }

    /// How far the next slice goes.
    fn upper(&self) -> u64 {
        let cuts = self.feeds.values().filter_map(Feed::cut);
        let upper = cuts.min().unwrap_or(self.fed).min(self.fed);
        match self.started {
            true => self.operators.slice(self.lower, upper),
            false => upper,
        }
    }
}

/// The inputs of a plan.
fn inputs_of(plan: &Plan) -> Vec<&InputPlan> {
    let read = plan.reads();
    let mut found = Vec::new();
    plan.visit(&mut |plan| {
        if let Plan::Input(input) = plan
            && read.contains(&input.id)
        {
            found.push(input);
        }
    });
    found
}

/// A table's changes in a stretch of time, in order of time.
struct Feed {
    input: InputPlan,
    parts: Vec<RecordBatch>,
    changes: Vec<Change>,
    next: usize,
}

/// A row begins or ends.
#[derive(Clone, Copy)]
struct Change {
    time: u64,
    row: u32,
    /// Twice the number of its part, one more where the row ends.
    part: u32,
}

impl Feed {
    fn new(input: &InputPlan) -> Self {
        Feed { input: input.clone(), parts: vec![], changes: vec![], next: 0 }
    }

    /// The next changes, all those from `from` to `to`; of the `first`, what was there before
    /// counts as begun at `from`.
    fn fill(&mut self, parts: Vec<Spans>, from: Timestamp, to: Timestamp, first: bool) {
        let schema = &self.input.schema;
        let parts: Vec<Spans> = match self.input.versions {
            true => parts.iter().flat_map(|part| part.versions(schema, to)).collect(),
            false => parts.into_iter().map(|part| part.for_input(&self.input)).collect(),
        };
        let mut changes = Vec::new();
        let within = |time: u64| from.0 <= time && time <= to.0;
        for (number, part) in parts.iter().enumerate() {
            let number = u32::try_from(2 * number).expect("fewer than 2^31 parts");
            for (row, (&begin, &end)) in part.begins.iter().zip(&part.ends).enumerate() {
                let row = row as u32;
                let begin = if first { begin.max(from.0) } else { begin };
                if begin >= end {
                    continue;
                }
                if within(begin) {
                    changes.push(Change { time: begin, row, part: number });
                }
                if within(end) {
                    changes.push(Change { time: end, row, part: number + 1 });
                }
            }
        }
        changes.sort_unstable_by_key(|change| change.time);
        self.parts = parts.into_iter().map(|part| part.batch).collect();
        (self.changes, self.next) = (changes, 0);
    }

    /// Beside the rows, which are the table's unless they were taken out of it.
    fn bytes(&self) -> usize {
        self.changes.len() * size_of::<Change>()
    }

    /// Where a slice ends that begins here and takes all it may; none if all is taken.
    fn cut(&self) -> Option<u64> {
        let first = self.changes.get(self.next)?.time;
        let last = self.changes.get(self.next + SLICE)?.time;
        Some(last.max(first + 1))
    }

    /// The changes before `upper` that were not given yet.
    fn before(&mut self, upper: u64) -> Updates {
        let schema = || SchemaRef::clone(&self.input.schema);
        let rest = &self.changes[self.next..];
        let taken = &rest[..rest.partition_point(|change| change.time < upper)];
        if taken.is_empty() {
            return Updates::empty(schema());
        }
        let places: Vec<(usize, usize)> =
            taken.iter().map(|change| ((change.part / 2) as usize, change.row as usize)).collect();
        let column = |column: usize| {
            let parts: Vec<&dyn Array> =
                self.parts.iter().map(|part| part.column(column).as_ref()).collect();
            interleave(&parts, &places).expect("parts of one table, of fewer rows than overflow")
        };
        let columns = (0..schema().fields().len()).map(column).collect();
        let data = batch_of(schema(), columns, places.len());
        let times: Vec<u64> = taken.iter().map(|change| change.time).collect();
        let diffs: Vec<i64> =
            taken.iter().map(|change| if change.part % 2 == 0 { 1 } else { -1 }).collect();
        self.next += places.len();
        Updates::new(data, times, diffs)
    }
}
