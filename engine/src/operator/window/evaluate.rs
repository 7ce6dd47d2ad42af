//! Evaluate: from what was noted of rows to columns of values, and from those to updates.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float64Array, Int64Array, RecordBatch, UInt32Array, make_comparator,
    new_null_array,
};
use arrow::compute::{cast, interleave, take};
use arrow::datatypes::{DataType, SchemaRef};

use super::call::{Call, Extremum, Pick, Shift};
use crate::aggregate::Swept;
use crate::operator::StepContext;
use crate::state::consolidate::consolidate;
use crate::state::key_index::normalize_floats;
use crate::state::order_tree::NONE;
use crate::state::sorted_rows::SortedRows;
use crate::time::Timestamp;
use crate::updates::{Updates, batch_of};

/// What a value is made of.
pub(super) enum Found {
    Number(Option<i64>),
    Fraction(f64),
    Source(Source),
    /// The value of an aggregate: before (0) or after (1) its run of this number.
    Value(usize, usize),
}

/// Where lag, first_value and their like take their value from.
#[derive(Clone, Copy)]
pub(super) enum Source {
    Null,
    Value(u32),
    Default(u32),
}

/// What was noted of rows, an entry a unit.
#[derive(Default)]
pub(super) struct Evaluation {
    /// The row of each entry.
    pub rows: Vec<u32>,
    /// Of each call.
    notes: Vec<Notes>,
    /// (entry, call, message).
    errors: Vec<(u32, u32, String)>,
    pairs: Vec<Pair>,
    /// Whether a row has several units.
    pub repeated: bool,
    /// By row, where it is among those decoded; [`NONE`] of all others.
    slots: Vec<u32>,
}

/// What was found for a call, entry by entry.
#[derive(Default)]
struct Notes {
    numbers: Vec<Option<i64>>,
    fractions: Vec<f64>,
    sources: Vec<Source>,
    values: Vec<(usize, usize)>,
}

/// A unit before and after a time; [`NONE`] where it is not there.
#[derive(Clone, Copy)]
struct Pair {
    before: u32,
    after: u32,
    time: u64,
}

impl Evaluation {
    pub fn new(calls: usize) -> Self {
        let notes = (0..calls).map(|_| Notes::default()).collect();
        Evaluation { notes, ..Evaluation::default() }
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Notes a call's value of the last entry.
    pub fn push(&mut self, call: usize, found: Result<Found, &'static str>) {
        let notes = &mut self.notes[call];
        match found {
            Ok(Found::Number(number)) => notes.numbers.push(number),
            Ok(Found::Fraction(fraction)) => notes.fractions.push(fraction),
            Ok(Found::Source(source)) => notes.sources.push(source),
            Ok(Found::Value(side, number)) => notes.values.push((side, number)),
            Err(message) => {
                // Which of them the call has is known only where it is computed.
                notes.numbers.push(None);
                notes.sources.push(Source::Null);
                let entry = (self.rows.len() - 1) as u32;
                self.errors.push((entry, call as u32, message.to_string()));
            }
        }
    }

    /// Entries `start..middle` are rows before a time, those from `middle` on after it, both in
    /// order: pairs the same units.
    pub fn pair(&mut self, rows: &SortedRows, start: usize, middle: usize, time: u64) {
        let end = self.rows.len();
        let (mut before, mut after) = (start, middle);
        while before < middle || after < end {
            let ordering = match (before < middle, after < end) {
                (true, false) => Ordering::Less,
                (false, _) => Ordering::Greater,
                _ if self.rows[before] == self.rows[after] => Ordering::Equal,
                _ => rows.key(self.rows[before]).cmp(rows.key(self.rows[after])),
            };
            let mut pair = Pair { before: NONE, after: NONE, time };
            if ordering != Ordering::Greater {
                pair.before = before as u32;
                before += 1;
            }
            if ordering != Ordering::Less {
                pair.after = after as u32;
                after += 1;
            }
            self.pairs.push(pair);
        }
    }

    /// The updates that all that was noted comes to. `whole` are the values of whole-partition
    /// aggregates, call by call.
    pub fn updates(
        &mut self,
        context: &StepContext<'_>,
        rows: &SortedRows,
        calls: &mut [Call],
        whole: &[Option<Swept>],
        schema: &SchemaRef,
    ) -> Updates {
        let empty = Evaluation::new(calls.len());
        let mut noted = std::mem::replace(self, empty);
        let slots = Slots::new(rows, &mut noted, calls);
        let inputs = slots.data.num_columns();
        let mut errors = noted.errors;
        let mut values: Vec<ArrayRef> = Vec::new();
        for (i, (call, notes)) in calls.iter_mut().zip(&noted.notes).enumerate() {
            let swept;
            let swept = match call {
                Call::Whole(_) => whole[i].as_ref(),
                Call::Sliding { sliding, .. } => {
                    let columns = slots.data.columns();
                    let partitions = rows.partition_limit();
                    swept = sliding.values(columns, |row| slots.of(row), partitions);
                    Some(&swept)
                }
                _ => None,
            };
            if let Some(swept) = swept {
                add_errors(&mut errors, i, &notes.values, swept);
            }
            let column = column_of(call, notes, &slots, swept);
            let data_type = schema.field(inputs + i).data_type();
            values.push(match column.data_type() == data_type {
                true => column,
                false => cast(&column, data_type).expect("the plan's type holds the value"),
            });
        }
        errors.sort();
        errors.dedup_by_key(|(entry, ..)| *entry);
        let emitted = emit(context, &noted.rows, &noted.pairs, &errors, &values, &slots);
        let places: UInt32Array = emitted.entries.iter().copied().collect();
        let of_rows = emitted.entries.iter().map(|&entry| slots.of(noted.rows[entry as usize]));
        let of_rows: UInt32Array = of_rows.collect();
        let taken = |column: &ArrayRef, at: &UInt32Array| {
            take(column.as_ref(), at, None).expect("places are in range")
        };
        let columns = slots.data.columns().iter().map(|column| taken(column, &of_rows));
        let columns = columns.chain(values.iter().map(|column| taken(column, &places)));
        let data = batch_of(schema.clone(), columns.collect(), places.len());
        let updates = Updates::new(data, emitted.times, emitted.diffs);
        self.slots = slots.give_back();
        // Of equal rows one may have now what another had before.
        if noted.repeated { consolidate(updates) } else { updates }
    }
}

/// The rows that values are made of, decoded, each once.
struct Slots {
    data: RecordBatch,
    rows: Vec<u32>,
    slots: Vec<u32>,
}

impl Slots {
    fn new(rows: &SortedRows, noted: &mut Evaluation, calls: &[Call]) -> Self {
        let mut slots = std::mem::take(&mut noted.slots);
        slots.resize(rows.row_limit(), NONE);
        let mut ids = Vec::new();
        let mut add = |row: u32| {
            let slot = &mut slots[row as usize];
            if *slot == NONE {
                *slot = ids.len() as u32;
                ids.push(row);
            }
        };
        noted.rows.iter().for_each(|&row| add(row));
        for (call, notes) in calls.iter().zip(&noted.notes) {
            if let Call::Sliding { sliding, .. } = call {
                sliding.rows().iter().for_each(|&row| add(row));
            }
            for source in &notes.sources {
                if let Source::Value(row) | Source::Default(row) = source {
                    add(*row);
                }
            }
        }
        Slots { data: rows.decode(&ids), rows: ids, slots }
    }

    /// The vector of slots for another time, all [`NONE`].
    fn give_back(mut self) -> Vec<u32> {
        self.rows.iter().for_each(|&row| self.slots[row as usize] = NONE);
        self.slots
    }

    fn of(&self, row: u32) -> u32 {
        self.slots[row as usize]
    }
}

fn add_errors(
    errors: &mut Vec<(u32, u32, String)>,
    call: usize,
    values: &[(usize, usize)],
    swept: &Swept,
) {
    for (side, failed) in [&swept.before_errors, &swept.after_errors].into_iter().enumerate() {
        if failed.is_empty() {
            continue;
        }
        for (entry, _) in values.iter().enumerate().filter(|(_, value)| value.0 == side) {
            let number = values[entry].1 as u32;
            if let Ok(found) = failed.binary_search_by_key(&number, |(run, _)| *run) {
                errors.push((entry as u32, call as u32, failed[found].1.clone()));
            }
        }
    }
}

fn column_of(call: &Call, notes: &Notes, slots: &Slots, swept: Option<&Swept>) -> ArrayRef {
    match call {
        Call::PercentRank | Call::CumeDist => Arc::new(Float64Array::from(notes.fractions.clone())),
        Call::Shift(Shift { value, default, .. }) => {
            sources(&notes.sources, slots, *value, *default)
        }
        Call::Extreme(Extremum { value, normalized, .. }) => {
            let column = sources(&notes.sources, slots, *value, *value);
            if *normalized { normalize_floats(&column) } else { column }
        }
        Call::Pick(Pick { value, .. }) => sources(&notes.sources, slots, *value, *value),
        Call::Whole(_) | Call::Sliding { .. } => {
            let swept = swept.expect("an aggregate was swept");
            interleave(&[swept.before.as_ref(), swept.after.as_ref()], &notes.values)
                .expect("before and after are of one type")
        }
        _ => Arc::new(notes.numbers.iter().copied().collect::<Int64Array>()),
    }
}

fn sources(sources: &[Source], slots: &Slots, value: usize, default: usize) -> ArrayRef {
    let (values, defaults) = (slots.data.column(value), slots.data.column(default));
    let null = new_null_array(values.data_type(), 1);
    let at = |source: &Source| match source {
        Source::Null => (2, 0),
        Source::Value(row) => (0, slots.of(*row) as usize),
        Source::Default(row) => (1, slots.of(*row) as usize),
    };
    let places: Vec<(usize, usize)> = sources.iter().map(at).collect();
    interleave(&[values.as_ref(), defaults.as_ref(), null.as_ref()], &places)
        .expect("the default is of the value's type")
}

/// Entries that come and go.
#[derive(Default)]
struct Emitted {
    entries: Vec<u32>,
    times: Vec<u64>,
    diffs: Vec<i64>,
}

/// The sides of pairs that differ; those with an error are reported in place of emitted.
fn emit(
    context: &StepContext<'_>,
    rows: &[u32],
    pairs: &[Pair],
    errors: &[(u32, u32, String)],
    values: &[ArrayRef],
    slots: &Slots,
) -> Emitted {
    let comparators: Vec<_> = values.iter().map(comparator).collect();
    let error = |entry: u32| {
        let found = errors.binary_search_by_key(&entry, |(entry, ..)| *entry);
        found.ok().map(|found| errors[found].2.as_str())
    };
    let mut emitted = Emitted::default();
    for pair in pairs {
        let (before, after) = (error(pair.before), error(pair.after));
        if pair.before != NONE && pair.after != NONE {
            let (a, b) = (pair.before as usize, pair.after as usize);
            let same = match (before, after) {
                (None, None) => comparators.iter().all(|compare| compare(a, b).is_eq()),
                _ => before == after,
            };
            if same {
                continue;
            }
        }
        for (entry, error, diff) in [(pair.before, before, -1), (pair.after, after, 1)] {
            if entry == NONE {
                continue;
            }
            match error {
                Some(message) => {
                    let slot = slots.of(rows[entry as usize]) as usize;
                    let row = slots.data.slice(slot, 1);
                    let (view, time) = (context.view, Timestamp(pair.time));
                    context.quarantine.record(view, "Window", &row, message, time, diff);
                }
                None => {
                    emitted.entries.push(entry);
                    emitted.times.push(pair.time);
                    emitted.diffs.push(diff);
                }
            }
        }
    }
    emitted
}

fn comparator(column: &ArrayRef) -> impl Fn(usize, usize) -> Ordering {
    if *column.data_type() == DataType::Null {
        return Box::new(|_, _| Ordering::Equal) as Box<dyn Fn(usize, usize) -> Ordering>;
    }
    make_comparator(column, column, Default::default()).expect("values are comparable")
}
