//! Version join: each row beside the rows of a table as they stood at the row's own time (S16).
//!
//! Law      l ++ r is there as often as l and r are when their keys are equal, none of them NULL, r
//!          had begun by l's time and had not ended then, and the condition is true. An outer join
//!          gives the left rows without such an r beside NULLs. A NULL time meets nothing
//! Delta    a change of l meets the versions of its key. What begins or ends later changes no pair,
//!          so a change of the right side gives nothing: l's time is never after now()
//! State    the versions of the right side, for ever, chained by key; of the left side nothing
//! Errors   a pair for which the condition fails does not match, and is reported while l is there

use std::fmt;

use arrow::array::{Array, AsArray, RecordBatch, new_null_array};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};

use super::side::{Side, null_keys};
use crate::aggregate::columns_at;
use crate::expression::{Expr, select};
use crate::operator::{Operator, StateSize, StepContext};
use crate::plan::{Plan, listed};
use crate::state::key_index::{KeyCodec, KeyIndex, types_of};
use crate::updates::{Updates, batch_of, take_rows};

/// What was decided: the key columns of both sides, of equal types, pairwise.
#[derive(Clone, Debug)]
pub struct VersionJoinPlan {
    pub left: Plan,
    /// Versions: columns, then when each began, then when it ended or NULL, both in µs.
    pub right: Plan,
    pub left_keys: Vec<usize>,
    pub right_keys: Vec<usize>,
    /// The left column that has each row's time, in µs: not after now().
    pub time: usize,
    /// What else a pair must fulfil: boolean, over the columns of `schema`.
    pub condition: Option<Expr>,
    /// Whether left rows that meet nothing stand beside NULLs.
    pub outer: bool,
    /// The left columns, then the right ones without the last.
    pub schema: SchemaRef,
}

impl fmt::Display for VersionJoinPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.outer { "Left version join" } else { "Version join" };
        let (left, right) = (self.left.schema(), self.right.schema());
        let pairs = self.left_keys.iter().zip(&self.right_keys);
        let keys =
            pairs.map(|(&l, &r)| format!("{} = {}", left.field(l).name(), right.field(r).name()));
        match self.left_keys.is_empty() {
            true => write!(f, "{name} every pair")?,
            false => write!(f, "{name} [{}]", listed(keys))?,
        }
        write!(f, " as of {}", left.field(self.time).name())?;
        match &self.condition {
            Some(condition) => write!(f, " where {condition}"),
            None => Ok(()),
        }
    }
}

/// So many left rows are looked at together. Few in tests, so that they see what happens between.
const ROWS: usize = if cfg!(test) { 3 } else { 1 << 14 };

/// What runs.
pub(crate) struct VersionJoin {
    codec: KeyCodec,
    index: KeyIndex,
    left_keys: Vec<usize>,
    time: usize,
    versions: Side,
    /// By the id of a version: when it began, and before when it ended.
    spans: Vec<(i64, i64)>,
    condition: Option<Expr>,
    outer: bool,
    schema: SchemaRef,
}

/// Pairs of left rows and versions.
#[derive(Default)]
struct Pairs {
    left: Vec<u32>,
    versions: Vec<u32>,
    /// How often the version is there.
    counts: Vec<i64>,
}

impl VersionJoin {
    pub fn new(plan: &VersionJoinPlan) -> Self {
        let null_equal = vec![false; plan.right_keys.len()];
        VersionJoin {
            codec: KeyCodec::for_keys(types_of(&plan.left.schema(), &plan.left_keys)),
            index: KeyIndex::default(),
            left_keys: plan.left_keys.clone(),
            time: plan.time,
            versions: Side::new(plan.right.schema(), &plan.right_keys, &null_equal),
            spans: Vec::new(),
            condition: plan.condition.clone(),
            outer: plan.outer,
            schema: plan.schema.clone(),
        }
    }

    /// Brings the versions up to date.
    fn learn(&mut self, right: Updates) {
        let input = self.versions.encode(&self.codec, right);
        let spans = spans_of(&input.updates.data);
        let rows = input.rows.as_ref().expect("this side keeps its rows");
        for (row, &span) in spans.iter().enumerate() {
            if input.null_key[row] {
                continue;
            }
            let (key, new) = self.index.get_or_insert(input.keys.key(row));
            if new {
                self.versions.begin_key(key, self.index.id_limit());
            }
            let (id, new) = self.versions.add(key, rows.key(row), input.updates.diffs[row]);
            if new {
                let limit = self.spans.len().max(id as usize + 1);
                self.spans.resize(limit, (0, 0));
                self.spans[id as usize] = span;
            }
        }
        // Keys stay: a version that ends is there still.
        self.versions.release(&mut Vec::new());
    }

    fn meet(&self, context: &StepContext<'_>, left: &Updates) -> Vec<Updates> {
        let pairs = self.pairs(left);
        let rows = pairs.left.iter().map(|&row| row as usize);
        let times: Vec<u64> = rows.clone().map(|row| left.times[row]).collect();
        let diffs: Vec<i64> =
            rows.zip(&pairs.counts).map(|(row, count)| left.diffs[row] * count).collect();
        let updates = Updates::new(self.rows(&left.data, &pairs), times, diffs);
        let matching = self.condition.as_ref().and_then(|condition| {
            let (matching, errors) = select(condition, &updates.data);
            context.report_rows("Join", &updates, &errors);
            matching
        });
        let mut parts = Vec::new();
        if self.outer {
            let mut met = vec![false; left.len()];
            match &matching {
                None => pairs.left.iter().for_each(|&row| met[row as usize] = true),
                Some(places) => {
                    places.iter().for_each(|&place| met[pairs.left[place as usize] as usize] = true)
                }
            }
            let alone = (0..left.len() as u32).filter(|&row| !met[row as usize]);
            parts.push(self.beside_nulls(&left.take(&alone.collect::<Vec<_>>())));
        }
        parts.push(match matching {
            None => updates,
            Some(places) => updates.take(&places),
        });
        parts
    }

    /// The versions that each left row meets.
    fn pairs(&self, left: &Updates) -> Pairs {
        let key_columns = columns_at(&left.data, &self.left_keys);
        let keys = self.codec.encode(&key_columns, left.len());
        let null_key = null_keys(&key_columns, left.len());
        let times = left.data.column(self.time).as_primitive::<TimestampMicrosecondType>();
        let mut pairs = Pairs::default();
        for row in (0..left.len()).filter(|&row| !null_key[row] && times.is_valid(row)) {
            let Some(key) = self.index.get(keys.key(row)) else { continue };
            let time = times.value(row);
            self.versions.each_of_key(key, |version, count| {
                let (begin, end) = self.spans[version as usize];
                if begin <= time && time < end {
                    pairs.left.push(row as u32);
                    pairs.versions.push(version);
                    pairs.counts.push(count);
                }
            });
        }
        pairs
    }

    fn rows(&self, left: &RecordBatch, pairs: &Pairs) -> RecordBatch {
        let own = take_rows(left, &pairs.left);
        let key = |number: usize| own.column(self.left_keys[number]).clone();
        let met = self.versions.rows_of(&pairs.versions, key);
        let met = met.columns().iter().take(met.num_columns() - 1);
        let columns = own.columns().iter().chain(met).cloned().collect();
        batch_of(self.schema.clone(), columns, pairs.left.len())
    }

    fn beside_nulls(&self, left: &Updates) -> Updates {
        let own = left.data.columns();
        let fields = self.schema.fields().iter().skip(own.len());
        let nulls = fields.map(|field| new_null_array(field.data_type(), left.len()));
        let columns = own.iter().cloned().chain(nulls).collect();
        left.with_data(batch_of(self.schema.clone(), columns, left.len()))
    }
}

/// When each version began, and when it ended; one that did not ends never.
fn spans_of(versions: &RecordBatch) -> Vec<(i64, i64)> {
    let width = versions.num_columns();
    let times = |place: usize| versions.column(place).as_primitive::<TimestampMicrosecondType>();
    let (begins, ends) = (times(width - 2), times(width - 1));
    let span = |row: usize| {
        let end = if ends.is_valid(row) { ends.value(row) } else { i64::MAX };
        (begins.value(row), end)
    };
    (0..versions.num_rows()).map(span).collect()
}

impl Operator for VersionJoin {
    fn step(&mut self, context: &StepContext<'_>, inputs: Vec<Updates>) -> Updates {
        let [left, right] = <[Updates; 2]>::try_from(inputs).expect("two inputs");
        self.learn(right);
        let starts = (0..left.len()).step_by(ROWS);
        let slices = starts.map(|start| left.slice(start, ROWS.min(left.len() - start)));
        let parts = slices.flat_map(|left| self.meet(context, &left)).collect();
        Updates::concat(&self.schema, parts)
    }

    fn state(&self) -> StateSize {
        let spans = (self.spans.len() * size_of::<(i64, i64)>()) as u64;
        let keys = StateSize { rows: 0, ..self.index.size() };
        self.versions.size() + keys + StateSize { rows: 0, bytes: spans }
    }
}

#[cfg(test)]
mod tests;
