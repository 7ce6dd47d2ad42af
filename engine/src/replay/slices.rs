//! Slices: a plan's operators run over its tables' spans, a stretch of time after the other.
//!
//! Law      the slices follow each other without a gap from `from` to `to`, none cuts a time, and
//!          each brings about [`SLICE`] changes of the tables at most, unless one time does

use std::collections::BTreeMap;

use arrow::array::{Array, RecordBatch};
use arrow::compute::interleave;
use arrow::datatypes::SchemaRef;

use super::{Cancelled, Watch, check};
use crate::operator::StepContext;
use crate::operator::nested::Nested;
use crate::plan::{InputPlan, Plan};
use crate::quarantine::{Quarantine, QuarantinedRow};
use crate::store::Spans;
use crate::time::{CollectionId, Timestamp};
use crate::updates::{Updates, batch_of};

/// Few in tests, so that they see what happens between slices.
const SLICE: usize = if cfg!(test) { 7 } else { 1 << 20 };

/// See the head of this file.
pub(super) struct Slices {
    operators: Nested,
    feeds: BTreeMap<CollectionId, Feed>,
    quarantine: Quarantine,
    lower: u64,
    end: u64,
    started: bool,
}

/// What a plan gives, from where the slice before ended to before `upper`.
pub(super) struct Slice {
    pub upper: u64,
    pub updates: Updates,
}

impl Slices {
    pub fn new(
        plan: &Plan,
        spans: &dyn Fn(CollectionId) -> Vec<Spans>,
        from: Timestamp,
        to: Timestamp,
    ) -> Self {
        let mut feeds = BTreeMap::new();
        for input in inputs_of(plan) {
            let feed = || Feed::new(input, spans(input.id), from, to);
            feeds.entry(input.id).or_insert_with(feed);
        }
        Slices {
            operators: Nested::new(plan),
            feeds,
            quarantine: Quarantine::default(),
            lower: from.0,
            end: to.0.saturating_add(1),
            started: false,
        }
    }

    /// The next slice; none when all is done.
    pub fn next(&mut self, watch: &dyn Watch) -> Result<Option<Slice>, Cancelled> {
        check(watch)?;
        if self.lower >= self.end {
            return Ok(None);
        }
        if !self.started {
            watch.expect(self.feeds.values().map(|feed| feed.changes.len()).sum());
        }
        let lower = self.lower;
        let upper = self.upper();
        let context =
            StepContext { lower, upper, view: CollectionId(0), quarantine: &self.quarantine };
        let inputs: BTreeMap<CollectionId, Updates> =
            self.feeds.iter_mut().map(|(&id, feed)| (id, feed.before(upper))).collect();
        let updates = self.operators.step(&context, &mut |id| inputs.get(&id).cloned());
        (self.lower, self.started) = (upper, true);
        watch.done(inputs.values().map(Updates::len).sum());
        Ok(Some(Slice { upper, updates }))
    }

    /// The rows that fail as of now.
    pub fn failed(&self) -> Vec<QuarantinedRow> {
        self.quarantine.rows()
    }

    /// How far the next slice goes.
    fn upper(&self) -> u64 {
        let cuts = self.feeds.values().filter_map(Feed::cut);
        let upper = cuts.min().unwrap_or(self.end).min(self.end);
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

/// A table's changes in order of time.
struct Feed {
    schema: SchemaRef,
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
    fn new(input: &InputPlan, parts: Vec<Spans>, from: Timestamp, to: Timestamp) -> Self {
        let schema = SchemaRef::clone(&input.schema);
        let parts: Vec<Spans> = match input.versions {
            true => parts.iter().flat_map(|part| part.versions(&schema, to)).collect(),
            false => parts.into_iter().map(|part| part.for_input(input)).collect(),
        };
        let mut changes = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let number = u32::try_from(2 * number).expect("fewer than 2^31 parts");
            for (row, (&begin, &end)) in part.begins.iter().zip(&part.ends).enumerate() {
                let (row, begin) = (row as u32, begin.max(from.0));
                if begin > to.0 || begin >= end {
                    continue;
                }
                changes.push(Change { time: begin, row, part: number });
                if end <= to.0 {
                    changes.push(Change { time: end, row, part: number + 1 });
                }
            }
        }
        changes.sort_unstable_by_key(|change| change.time);
        let parts = parts.into_iter().map(|part| part.batch).collect();
        Feed { schema, parts, changes, next: 0 }
    }

    /// Where a slice ends that begins here and takes all it may; none if all is taken.
    fn cut(&self) -> Option<u64> {
        let first = self.changes.get(self.next)?.time;
        let last = self.changes.get(self.next + SLICE)?.time;
        Some(last.max(first + 1))
    }

    /// The changes before `upper` that were not given yet.
    fn before(&mut self, upper: u64) -> Updates {
        let rest = &self.changes[self.next..];
        let taken = &rest[..rest.partition_point(|change| change.time < upper)];
        if taken.is_empty() {
            return Updates::empty(SchemaRef::clone(&self.schema));
        }
        let places: Vec<(usize, usize)> =
            taken.iter().map(|change| ((change.part / 2) as usize, change.row as usize)).collect();
        let column = |column: usize| {
            let parts: Vec<&dyn Array> =
                self.parts.iter().map(|part| part.column(column).as_ref()).collect();
            interleave(&parts, &places).expect("parts of one table, of fewer rows than overflow")
        };
        let columns = (0..self.schema.fields().len()).map(column).collect();
        let data = batch_of(SchemaRef::clone(&self.schema), columns, places.len());
        let times: Vec<u64> = taken.iter().map(|change| change.time).collect();
        let diffs: Vec<i64> =
            taken.iter().map(|change| if change.part % 2 == 0 { 1 } else { -1 }).collect();
        self.next += places.len();
        Updates::new(data, times, diffs)
    }
}
