//! Join: pairs of rows that match, and rows by whether they do.
//!
//! Law      l ++ r matches when their keys are equal, none of them NULL (or both, where NULLs are
//!          equal), and the condition is true; without keys, when the condition is.
//!          Inner gives the pairs that match; Left, Right and Full also that side's rows without
//!          a partner, beside NULLs; Semi and Anti the left rows with and without one
//! Delta    in order of time: a change of one side meets the other side as it stands, then joins
//!          its own, at one time retractions first; so pairs are never made only to be taken
//!          back. A row enters or leaves alone when the number of its partners reaches or leaves
//!          0, net at each time
//! State    the keys of both sides, once, and the rows of each, by the rest of their content,
//!          chained by key; bounded by the rows present. Of the right side of Semi and Anti without
//!          a condition only how many each key has. Of an inner join of something with itself, by
//!          the same key, the rows stand once, for both sides: see [`JoinPlan::is_of_itself`]
//! Errors   a pair for which the condition fails does not match, and is reported while it is there

mod alone;
mod side;
pub mod versions;

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::{Schema, SchemaRef};

use self::alone::{Alone, When};
use self::side::{NONE, Side, SideInput};
use super::{Operator, StateSize, StepContext};
use crate::checkpoint::record::{Changed, Copied, Cursor, Kept, Stored};
use crate::expression::{Expr, select};
use crate::plan::{Plan, listed};
use crate::state::key_index::{KeyCodec, KeyIndex, hash_bytes, types_of};
use crate::updates::{Updates, batch_of, take_rows};

/// What was decided: the key columns of both sides, of equal types, pairwise.
#[derive(Clone, Debug)]
pub struct JoinPlan {
    pub left: Plan,
    pub right: Plan,
    pub left_keys: Vec<usize>,
    pub right_keys: Vec<usize>,
    /// For each pair of keys, whether NULL equals NULL (IS NOT DISTINCT FROM).
    pub null_equal: Vec<bool>,
    /// What else a pair must fulfil: boolean, over the left columns, then the right ones.
    pub condition: Option<Expr>,
    pub kind: JoinKind,
    /// The left columns, then the right ones; of `Semi` and `Anti` the left ones alone.
    pub schema: SchemaRef,
}

/// Which rows a join gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    /// The pairs.
    Inner,
    /// The pairs, and left rows without a partner beside NULLs.
    Left,
    /// The pairs, and right rows without a partner beside NULLs.
    Right,
    /// The pairs, and both.
    Full,
    /// Left rows with a partner, each as often as it is there.
    Semi,
    /// Left rows without one.
    Anti,
}

impl JoinKind {
    fn gives_pairs(self) -> bool {
        !matches!(self, JoinKind::Semi | JoinKind::Anti)
    }

    /// When rows of the left and of the right side stand in the output by themselves.
    fn alone(self) -> [Option<When>; 2] {
        match self {
            JoinKind::Inner => [None, None],
            JoinKind::Left | JoinKind::Anti => [Some(When::Unmatched), None],
            JoinKind::Right => [None, Some(When::Unmatched)],
            JoinKind::Full => [Some(When::Unmatched), Some(When::Unmatched)],
            JoinKind::Semi => [Some(When::Matched), None],
        }
    }
}

impl JoinPlan {
    /// Whether both sides are the same rows by the same key. They are read and kept once then, and
    /// the operator has one input.
    pub(crate) fn is_of_itself(&self) -> bool {
        self.kind == JoinKind::Inner
            && self.left_keys == self.right_keys
            && self.left.is_same(&self.right)
    }
}

impl fmt::Display for JoinPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.kind {
            JoinKind::Inner => "Join",
            JoinKind::Left => "Left join",
            JoinKind::Right => "Right join",
            JoinKind::Full => "Full join",
            JoinKind::Semi => "Semi join",
            JoinKind::Anti => "Anti join",
        };
        let (left, right) = (self.left.schema(), self.right.schema());
        let pairs = self.left_keys.iter().zip(&self.right_keys).zip(&self.null_equal);
        let keys = pairs.map(|((&l, &r), &null_equal)| {
            let equals = if null_equal { "is not distinct from" } else { "=" };
            format!("{} {equals} {}", left.field(l).name(), right.field(r).name())
        });
        match self.left_keys.is_empty() {
            true => write!(f, "{name} every pair")?,
            false => write!(f, "{name} [{}]", listed(keys))?,
        }
        if let Some(condition) = &self.condition {
            write!(f, " where {condition}")?;
        }
        match self.is_of_itself() {
            true => write!(f, " both sides kept once"),
            false => Ok(()),
        }
    }
}

/// So many pairs wait for the condition, and as many more as one row meets. Few in tests, so that
/// they see what happens there.
const PAIRS_MAX: usize = if cfg!(test) { 5 } else { 1 << 16 };

/// What runs. Both sides share the key ids.
pub(crate) struct Join {
    codec: KeyCodec,
    index: KeyIndex,
    /// The left and the right one, or one that is both.
    sides: Vec<Side>,
    gives_pairs: bool,
    condition: Option<Expr>,
    pair_schema: SchemaRef,
    schema: SchemaRef,
    /// For [`Join::settle`]; empty between its calls.
    crossed: Vec<u32>,
    /// Keys that may have lost their last row in this step.
    idle: Vec<u32>,
    /// Keys.
    changed: Changed,
}

/// Pairs that changes of one side made: its row in the batch, the other side's by id.
#[derive(Default)]
struct Pairs {
    batch: Vec<u32>,
    state: Vec<u32>,
    /// How often the other side's row was there.
    counts: Vec<i64>,
}

impl Pairs {
    fn push(&mut self, row: usize, id: u32, count: i64) {
        self.batch.push(row as u32);
        self.state.push(id);
        self.counts.push(count);
    }
}

impl Join {
    pub fn new(plan: &JoinPlan) -> Self {
        let gives_pairs = plan.kind.gives_pairs();
        let conditional = plan.condition.is_some();
        let alone = plan.kind.alone();
        let side = |number: usize, input: &Plan, keys: &[usize]| {
            let mut side = Side::new(input.schema(), keys, &plan.null_equal);
            side.keep = gives_pairs || conditional || alone[number].is_some();
            side.total = !conditional && alone[1 - number].is_some();
            side.alone = alone[number].map(Alone::new);
            side
        };
        let pair_schema = match gives_pairs {
            true => plan.schema.clone(),
            false => {
                let (left, right) = (plan.left.schema(), plan.right.schema());
                let fields = left.fields().iter().chain(right.fields()).cloned();
                Arc::new(Schema::new(fields.collect::<Vec<_>>()))
            }
        };
        let mut sides = vec![side(0, &plan.left, &plan.left_keys)];
        if !plan.is_of_itself() {
            sides.push(side(1, &plan.right, &plan.right_keys));
        }
        Join {
            codec: KeyCodec::for_keys(types_of(&plan.left.schema(), &plan.left_keys)),
            index: KeyIndex::default(),
            sides,
            gives_pairs,
            condition: plan.condition.clone(),
            pair_schema,
            schema: plan.schema.clone(),
            crossed: Vec::new(),
            idle: Vec::new(),
            changed: Changed::default(),
        }
    }

    /// The side of this number, which may be the other one too.
    fn side(&self, number: usize) -> &Side {
        &self.sides[number.min(self.sides.len() - 1)]
    }

    /// The sweep where both sides are one. Each change meets the rows as a left one, joins or
    /// leaves them, and meets them as a right one; at one time what goes goes first.
    fn sweep_itself(&mut self, context: &StepContext<'_>, input: &SideInput) -> Vec<Updates> {
        let mut parts = Vec::new();
        let mut pairs = [Pairs::default(), Pairs::default()];
        let updates = &input.updates;
        let mut first = 0;
        for same in updates.times.chunk_by(|a, b| a == b) {
            let rows = first..first + same.len();
            first = rows.end;
            for goes in [true, false] {
                for row in rows.clone().filter(|&row| (updates.diffs[row] < 0) == goes) {
                    self.apply_to_itself(input, row, &mut pairs);
                    for (side, pairs) in pairs.iter_mut().enumerate() {
                        if self.condition.is_some() && pairs.batch.len() >= PAIRS_MAX {
                            let pairs = std::mem::take(pairs);
                            parts.extend(self.judge(context, side, updates, pairs));
                        }
                    }
                }
            }
        }
        for (side, pairs) in pairs.into_iter().enumerate() {
            parts.extend(self.judge(context, side, updates, pairs));
        }
        parts
    }

    fn apply_to_itself(&mut self, input: &SideInput, row: usize, pairs: &mut [Pairs; 2]) {
        if input.null_key[row] {
            return;
        }
        let (key, new) = self.index.get_or_insert(input.keys.key(row));
        if new {
            self.sides[0].begin_key(key, self.index.id_limit());
            self.changed.mark(key);
        }
        let [as_left, as_right] = pairs;
        self.sides[0].each_of_key(key, |id, count| as_left.push(row, id, count));
        let rows = input.rows.as_ref().expect("an inner join keeps rows");
        self.sides[0].add(key, rows.key(row), input.updates.diffs[row]);
        self.sides[0].each_of_key(key, |id, count| as_right.push(row, id, count));
    }

    /// One sweep over both sides in order of time. At one time what goes goes first, on both sides,
    /// so that what comes doesn't meet it.
    fn sweep(&mut self, context: &StepContext<'_>, inputs: &[SideInput; 2]) -> Vec<Updates> {
        let mut parts = Vec::new();
        let mut pairs = [Pairs::default(), Pairs::default()];
        let mut next = [0, 0];
        let time_at = |side: usize, row: usize| inputs[side].updates.times.get(row).copied();
        while let Some(time) = earlier(time_at(0, next[0]), time_at(1, next[1])) {
            let rows = [0, 1].map(|side| {
                let first = next[side];
                while time_at(side, next[side]) == Some(time) {
                    next[side] += 1;
                }
                first..next[side]
            });
            for (goes, side) in [(true, 0), (true, 1), (false, 0), (false, 1)] {
                let updates = &inputs[side].updates;
                for row in rows[side].clone().filter(|&row| (updates.diffs[row] < 0) == goes) {
                    self.apply(side, &inputs[side], row, &mut pairs[side]);
                    if self.condition.is_some() && pairs[side].batch.len() >= PAIRS_MAX {
                        let pairs = std::mem::take(&mut pairs[side]);
                        parts.extend(self.judge(context, side, updates, pairs));
                    }
                }
            }
            self.settle(0, time);
            self.settle(1, time);
        }
        for (side, pairs) in pairs.into_iter().enumerate() {
            parts.extend(self.judge(context, side, &inputs[side].updates, pairs));
        }
        parts
    }

    /// Applies one update: pairs with the other side go to `pairs`, the row into its own.
    fn apply(&mut self, side: usize, input: &SideInput, row: usize, pairs: &mut Pairs) {
        if input.null_key[row] {
            return;
        }
        let (time, diff) = (input.updates.times[row], input.updates.diffs[row]);
        let (key, new) = self.index.get_or_insert(input.keys.key(row));
        if new {
            let keys = self.index.id_limit();
            self.sides.iter_mut().for_each(|side| side.begin_key(key, keys));
        }
        let [left, right] = self.sides.as_mut_slice() else { unreachable!("there are two") };
        let (own, other) = if side == 0 { (left, right) } else { (right, left) };
        if self.gives_pairs || self.condition.is_some() {
            other.each_of_key(key, |id, count| pairs.push(row, id, count));
        }
        if new || own.total {
            self.changed.mark(key);
        }
        if own.total {
            own.pending.push((key, diff));
        }
        if let Some(rows) = &input.rows {
            let (id, new) = own.add(key, rows.key(row), diff);
            match &mut own.alone {
                None => {}
                Some(alone) if other.total => {
                    alone.change_of_count(id, time, diff, other.totals[key as usize] > 0)
                }
                Some(alone) => alone.row_changed(row, id, new, time, diff),
            }
        }
    }

    /// After all changes at `time`: the totals of `side` follow, and rows of the other side whose
    /// key got its first partners or lost its last leave or enter.
    fn settle(&mut self, side: usize, time: u64) {
        let [left, right] = self.sides.as_mut_slice() else { unreachable!("there are two") };
        let (own, other) = if side == 0 { (left, right) } else { (right, left) };
        own.settle(&mut self.crossed, &mut self.idle);
        for crossings in self.crossed.chunk_by(|a, b| a == b) {
            if crossings.len() % 2 == 1 {
                let key = crossings[0];
                other.change_partners_of_key(key, time, own.totals[key as usize] > 0);
            }
        }
        self.crossed.clear();
    }

    /// Holds the pairs that changes of `side` made against the condition: those that match are
    /// counted, and given as rows of the output.
    fn judge(
        &mut self,
        context: &StepContext<'_>,
        side: usize,
        input: &Updates,
        pairs: Pairs,
    ) -> Option<Updates> {
        if pairs.batch.is_empty() {
            return None;
        }
        let data = self.pair_rows(side, &input.data, &pairs);
        let rows = pairs.batch.iter().map(|&row| row as usize);
        let times: Vec<u64> = rows.clone().map(|row| input.times[row]).collect();
        let diffs: Vec<i64> =
            rows.zip(&pairs.counts).map(|(row, count)| input.diffs[row] * count).collect();
        let updates = Updates::new(data, times, diffs);
        let Some(condition) = &self.condition else {
            return Some(updates);
        };
        let (matching, errors) = select(condition, &updates.data);
        context.report_rows("Join", &updates, &errors);
        match &matching {
            None => self.count_partners(side, input, &pairs, 0..pairs.batch.len()),
            Some(rows) => {
                self.count_partners(side, input, &pairs, rows.iter().map(|&pair| pair as usize))
            }
        }
        let matching = self.gives_pairs.then(|| match matching {
            None => updates,
            Some(rows) => updates.take(&rows),
        });
        matching.filter(|updates| !updates.is_empty())
    }

    fn pair_rows(&self, side: usize, input: &RecordBatch, pairs: &Pairs) -> RecordBatch {
        let own = take_rows(input, &pairs.batch);
        let key = |number: usize| self.side(side).key_column(&own, number);
        let met = self.side(1 - side).rows_of(&pairs.state, key);
        let (left, right) = if side == 0 { (own, met) } else { (met, own) };
        let columns: Vec<ArrayRef> =
            left.columns().iter().chain(right.columns()).cloned().collect();
        batch_of(self.pair_schema.clone(), columns, pairs.batch.len())
    }

    fn count_partners(
        &mut self,
        side: usize,
        input: &Updates,
        pairs: &Pairs,
        matching: impl Iterator<Item = usize> + Clone,
    ) {
        if self.sides.len() == 1 {
            return;
        }
        let time = |pair: usize| input.times[pairs.batch[pair] as usize];
        if let Some(alone) = &mut self.sides[side].alone {
            for pair in matching.clone() {
                alone.met(pairs.batch[pair], time(pair), pairs.counts[pair]);
            }
        }
        if let Some(alone) = &mut self.sides[1 - side].alone {
            for pair in matching {
                let diff = input.diffs[pairs.batch[pair] as usize];
                alone.change_of_partners(pairs.state[pair], time(pair), diff);
            }
        }
    }

    /// The rows of `side` that enter and leave the output by themselves.
    fn alone(&mut self, side: usize, input: &SideInput) -> Vec<Updates> {
        let Some(mut alone) = self.sides[side].alone.take() else {
            return Vec::new();
        };
        let mut parts = Vec::new();
        if alone.when() == When::Unmatched {
            let null = (0..input.updates.len() as u32).filter(|&row| input.null_key[row as usize]);
            let null: Vec<u32> = null.collect();
            if !null.is_empty() {
                let updates = input.updates.take(&null);
                parts.push(updates.with_data(self.beside_nulls(side, &updates.data)));
            }
        }
        alone.changed().for_each(|row| self.sides[side].changed.mark(row));
        let (rows, times, diffs) = alone.finish(|row| self.sides[side].count(row));
        if !rows.is_empty() {
            let keys = rows.iter().map(|&row| self.index.bytes(self.sides[side].key_of(row)));
            let keys = if self.sides[side].tells_less() { self.codec.decode(keys) } else { vec![] };
            let rows = self.sides[side].rows_of(&rows, |number| keys[number].clone());
            parts.push(Updates::new(self.beside_nulls(side, &rows), times, diffs));
        }
        self.sides[side].alone = Some(alone);
        parts
    }

    /// Rows of `side` as rows of the output.
    fn beside_nulls(&self, side: usize, rows: &RecordBatch) -> RecordBatch {
        let count = rows.num_rows();
        let own = rows.columns().iter().cloned();
        if !self.gives_pairs {
            return batch_of(self.schema.clone(), own.collect(), count);
        }
        let fields = self.sides[1 - side].schema.fields().iter();
        let nulls = fields.map(|field| new_null_array(field.data_type(), count));
        let columns =
            if side == 0 { own.chain(nulls).collect() } else { nulls.chain(own).collect() };
        batch_of(self.schema.clone(), columns, count)
    }

    /// Gives back what the step removed: rows, and keys that neither side has rows of.
    fn release(&mut self) {
        let mut keys = std::mem::take(&mut self.idle);
        self.sides.iter_mut().for_each(|side| side.release(&mut keys));
        keys.sort_unstable();
        keys.dedup();
        keys.retain(|&key| self.sides.iter().all(|side| !side.has_key(key)));
        keys.iter().for_each(|&key| self.index.unlink(key));
        keys.iter().for_each(|&key| self.changed.mark(key));
        self.index.release(keys);
    }
}

fn earlier(left: Option<u64>, right: Option<u64>) -> Option<u64> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left.min(right)),
        (left, right) => left.or(right),
    }
}

/// Records: the keys, with how many rows each has where that is kept; the rows of either side.
impl Kept for Join {
    fn families(&self) -> usize {
        1 + self.sides.len()
    }

    fn changed(&mut self, family: usize) -> &mut Changed {
        match family.checked_sub(1) {
            None => &mut self.changed,
            Some(side) => &mut self.sides[side].changed,
        }
    }

    fn id_limit(&self, family: usize) -> usize {
        match family.checked_sub(1) {
            None => self.index.id_limit(),
            Some(side) => self.sides[side].rows_limit(),
        }
    }

    fn copy(&self, family: usize, id: u32, out: &mut Vec<u8>) -> Copied {
        if let Some(side) = family.checked_sub(1) {
            return self.sides[side].copy_row(id, out);
        }
        let Some(key) = self.index.linked(id) else { return Copied::Gone };
        for side in self.sides.iter().filter(|side| side.total) {
            side.totals[id as usize].put(out);
        }
        out.extend_from_slice(key);
        Copied::Record
    }

    fn restore(&mut self, family: usize, id: u32, record: &mut Cursor<'_>) -> Option<()> {
        if let Some(side) = family.checked_sub(1) {
            return self.sides[side].restore_row(id, record);
        }
        for side in self.sides.iter_mut().filter(|side| side.total) {
            side.totals.resize(side.totals.len().max(id as usize + 1), 0);
            side.totals[id as usize] = i64::take(record)?;
        }
        self.index.restore(id, hash_bytes(record.0), record.0)
    }

    fn restored(&mut self) -> Option<()> {
        self.index.restored();
        let keys = self.index.id_limit();
        for side in self.sides.iter_mut().filter(|side| side.total) {
            side.totals.resize(keys, 0);
        }
        self.sides.iter_mut().try_for_each(|side| side.rows_restored(keys))
    }
}

impl Operator for Join {
    fn step(&mut self, context: &StepContext<'_>, inputs: Vec<Updates>) -> Updates {
        assert_eq!(inputs.len(), self.sides.len(), "an input a side");
        let sides = self.sides.iter().zip(inputs);
        let inputs: Vec<SideInput> =
            sides.map(|(side, updates)| side.encode(&self.codec, updates)).collect();
        let parts = match <[SideInput; 2]>::try_from(inputs) {
            Ok(inputs) => {
                let mut parts = self.sweep(context, &inputs);
                parts.extend(self.alone(0, &inputs[0]));
                parts.extend(self.alone(1, &inputs[1]));
                parts
            }
            Err(inputs) => self.sweep_itself(context, &inputs[0]),
        };
        self.release();
        Updates::concat(&self.schema.clone(), parts)
    }

    fn state(&self) -> StateSize {
        let keys = StateSize { rows: 0, ..self.index.size() };
        self.sides.iter().fold(keys, |all, side| all + side.size())
    }

    fn kept(&mut self) -> Option<&mut dyn Kept> {
        Some(self)
    }

    fn takes_parts(&self, _input: usize) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
