//! Join: pairs of rows with equal keys.
//!
//! Law      out(t) = { l ++ r : l in left(t), r in right(t), key(l) = key(r), no key NULL };
//!          without key columns, every pair
//! Delta    in order of time: a change of one side meets the other side as it stands, then joins
//!          its own; so pairs are never made only to be taken back
//! State    the rows of both sides, by content, chained by key; bounded by the rows present
//! Errors   none of its own

use std::fmt;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;

use super::{Operator, StateSize, StepContext};
use crate::aggregate::columns_at;
use crate::expression::Expr;
use crate::plan::Plan;
use crate::state::key_index::{KeyCodec, KeyIndex, Keys, types_of};
use crate::state::row_set::RowSet;
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

impl fmt::Display for JoinPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.left_keys.is_empty() {
            return write!(f, "Join every pair");
        }
        let (left, right) = (self.left.schema(), self.right.schema());
        let pairs = self.left_keys.iter().zip(&self.right_keys);
        let keys: Vec<String> = pairs
            .map(|(&l, &r)| format!("{} = {}", left.field(l).name(), right.field(r).name()))
            .collect();
        write!(f, "Join [{}]", keys.join(", "))
    }
}

const NONE: u32 = u32::MAX;

/// A row of one side: its multiplicity, and its place in the chain of its key.
struct Link {
    key: u32,
    count: i64,
    previous: u32,
    next: u32,
}

/// One side's rows.
struct Side {
    keys: Vec<usize>,
    schema: SchemaRef,
    rows: RowSet<Link>,
    /// The first row of each key id's chain.
    heads: Vec<u32>,
    /// Unlinked in this step, released at its end.
    released: Vec<u32>,
}

/// What runs. Both sides share the key ids.
pub(crate) struct Join {
    codec: KeyCodec,
    index: KeyIndex,
    sides: [Side; 2],
    schema: SchemaRef,
}

/// Pairs to emit that a change of one side made: its row in the batch, the other side's by id.
#[derive(Default)]
struct Pairs {
    batch: Vec<u32>,
    state: Vec<u32>,
    times: Vec<u64>,
    diffs: Vec<i64>,
}

/// One side's updates, encoded.
struct SideInput {
    updates: Updates,
    keys: Keys,
    /// Rows with a NULL in the key meet nothing.
    null_key: Vec<bool>,
    rows: Keys,
}

impl Join {
    pub fn new(plan: &JoinPlan) -> Self {
        let side = |input: &Plan, keys: &[usize]| Side {
            keys: keys.to_vec(),
            schema: input.schema(),
            rows: RowSet::new(&input.schema()),
            heads: Vec::new(),
            released: Vec::new(),
        };
        Join {
            codec: KeyCodec::for_keys(types_of(&plan.left.schema(), &plan.left_keys)),
            index: KeyIndex::default(),
            sides: [side(&plan.left, &plan.left_keys), side(&plan.right, &plan.right_keys)],
            schema: plan.schema.clone(),
        }
    }

    fn encode(&self, side: usize, updates: Updates) -> SideInput {
        let updates = updates.sorted_by_time();
        let columns = columns_at(&updates.data, &self.sides[side].keys);
        SideInput {
            keys: self.codec.encode(&columns, updates.len()),
            null_key: null_keys(&columns, updates.len()),
            rows: self.sides[side].rows.encode(&updates.data),
            updates,
        }
    }

    /// Applies one update: pairs with the other side go to `pairs`, the row into its own.
    fn apply(&mut self, side: usize, input: &SideInput, row: usize, pairs: &mut Pairs) {
        if input.null_key[row] {
            return;
        }
        let (time, diff) = (input.updates.times[row], input.updates.diffs[row]);
        let (key, new) = self.index.get_or_insert(input.keys.key(row));
        if new {
            for side in &mut self.sides {
                side.heads.resize(self.index.id_limit(), NONE);
                side.heads[key as usize] = NONE;
            }
        }
        let other = &self.sides[1 - side];
        let mut at = other.heads[key as usize];
        while at != NONE {
            let link = other.rows.get(at);
            pairs.batch.push(row as u32);
            pairs.state.push(at);
            pairs.times.push(time);
            pairs.diffs.push(diff * link.count);
            at = link.next;
        }
        self.sides[side].add(key, input.rows.key(row), diff);
    }

    /// The pairs that changes of `side` made, as rows of the output.
    fn output(&self, side: usize, input: &RecordBatch, pairs: Pairs) -> Updates {
        let own = take_rows(input, &pairs.batch);
        let other = &self.sides[1 - side];
        let met = other.rows.rows(&pairs.state, &other.schema);
        let (left, right) = if side == 0 { (own, met) } else { (met, own) };
        let columns: Vec<ArrayRef> =
            left.columns().iter().chain(right.columns()).cloned().collect();
        let data = batch_of(self.schema.clone(), columns, pairs.times.len());
        Updates::new(data, pairs.times, pairs.diffs)
    }

    /// Gives back what the step removed: rows, and keys that neither side has rows of.
    fn release(&mut self) {
        let mut keys = Vec::new();
        for side in &mut self.sides {
            let released = std::mem::take(&mut side.released);
            keys.extend(released.iter().map(|&row| side.rows.get(row).key));
            side.rows.release(released);
        }
        keys.sort_unstable();
        keys.dedup();
        keys.retain(|&key| self.sides.iter().all(|side| side.heads[key as usize] == NONE));
        keys.iter().for_each(|&key| self.index.unlink(key));
        self.index.release(keys);
    }
}

impl Side {
    fn add(&mut self, key: u32, row: (u64, &[u8]), diff: i64) {
        let link = || Link { key, count: 0, previous: NONE, next: NONE };
        let (id, new) = self.rows.get_or_insert(row, link);
        if new {
            let head = std::mem::replace(&mut self.heads[key as usize], id);
            self.rows.get_mut(id).next = head;
            if head != NONE {
                self.rows.get_mut(head).previous = id;
            }
        }
        let link = self.rows.get_mut(id);
        link.count += diff;
        if link.count == 0 {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: u32) {
        let &Link { key, previous, next, .. } = self.rows.get(id);
        match previous {
            NONE => self.heads[key as usize] = next,
            _ => self.rows.get_mut(previous).next = next,
        }
        if next != NONE {
            self.rows.get_mut(next).previous = previous;
        }
        self.rows.unlink(id);
        self.released.push(id);
    }
}

/// Whether any key column of a row is NULL.
fn null_keys(columns: &[ArrayRef], rows: usize) -> Vec<bool> {
    let mut null = vec![false; rows];
    for nulls in columns.iter().filter_map(|column| column.logical_nulls()) {
        for (row, null) in null.iter_mut().enumerate() {
            *null |= nulls.is_null(row);
        }
    }
    null
}

impl Operator for Join {
    fn step(&mut self, _context: &StepContext<'_>, inputs: Vec<Updates>) -> Updates {
        let [left, right] = <[Updates; 2]>::try_from(inputs).expect("two inputs");
        let inputs = [self.encode(0, left), self.encode(1, right)];
        let mut pairs = [Pairs::default(), Pairs::default()];
        let mut next = [0, 0];
        loop {
            let time = |side: usize| inputs[side].updates.times.get(next[side]).copied();
            let side = match (time(0), time(1)) {
                (None, None) => break,
                (Some(left), Some(right)) => usize::from(right < left),
                (left, _) => usize::from(left.is_none()),
            };
            self.apply(side, &inputs[side], next[side], &mut pairs[side]);
            next[side] += 1;
        }
        let [left, right] = pairs;
        let left = self.output(0, &inputs[0].updates.data, left);
        let right = self.output(1, &inputs[1].updates.data, right);
        self.release();
        Updates::concat(&self.schema.clone(), vec![left, right])
    }

    fn state(&self) -> StateSize {
        let [left, right] = &self.sides;
        let keys = StateSize { rows: 0, ..self.index.size() };
        left.rows.size() + right.rows.size() + keys
    }
}

#[cfg(test)]
mod tests;
