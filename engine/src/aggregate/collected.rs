//! Collecting: functions of a group's rows in order.
//!
//! Law      the rows of a group stand in the order of the call's keys, completed with the arguments
//!          ascending, NULLs last (S9): the value is a function of the multiset
//! Delta    a change finds its row's place among the group's; what a value costs is its function's:
//!          one row of an order, or all of them
//! State    the distinct rows of each group, in Arrow's row format, whose bytes are in their order
//! Errors   the function's own
//!
//! Order keys are normalized (−0 is 0), arguments stand as they came. Intervals are ordered by
//! their length, as Postgres does.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, UInt32Array, new_null_array};
use arrow::compute::{SortOptions, take};
use arrow::datatypes::{DataType, Decimal128Type, IntervalMonthDayNanoType, IntervalUnit};
use arrow::row::{RowConverter, Rows, SortField};

use super::interval::length_ns;
use super::{Accumulator, CallTypes, Run, Side, SweepInput, Swept, kept_states, sweep_runs};
use crate::checkpoint::record::{Cursor, Stored};
use crate::state::key_index::normalize_floats;
use crate::state::ordered_counts::OrderedCounts;

/// Ascending, NULLs last: how an order is completed.
const ASCENDING: SortOptions = SortOptions { descending: false, nulls_first: false };

/// How a function orders a group's rows, keeps them and reads its value from them.
pub(super) trait Collecting: Send {
    type State: Ordered;

    /// Arguments that must not be NULL for a row to count.
    fn required(&self) -> &[usize] {
        &[]
    }

    /// Puts the rows from which the value is made into `picked`, and ends the value.
    fn pick(&self, state: &Self::State, picked: &mut Picked);

    /// The values made of the picked rows' columns.
    fn finish(&self, picked: &Picked, columns: &[ArrayRef]) -> Result<ArrayRef, Vec<Failed>>;
}

/// (number of the value, message).
pub(super) type Failed = (u32, String);

/// What keeps a group's rows.
pub(super) trait Ordered: Clone + Default + Send + Stored {
    fn add(&mut self, row: &[u8], diff: i64);

    /// What it takes in memory beside itself.
    fn bytes(&self) -> usize;
}

impl Ordered for OrderedCounts {
    fn add(&mut self, row: &[u8], diff: i64) {
        OrderedCounts::add(self, row, diff);
    }

    fn bytes(&self) -> usize {
        OrderedCounts::bytes(self)
    }
}

/// The one row that a function reads from those of a group.
pub(super) trait One: Ordered {
    fn one(&self) -> Option<&[u8]>;
}

/// The first of rows that come and go.
impl One for OrderedCounts {
    fn one(&self) -> Option<&[u8]> {
        self.first()
    }
}

/// The last of rows that come and go.
#[derive(Clone, Default)]
pub(super) struct LastOf(OrderedCounts);

impl Stored for LastOf {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn take(from: &mut Cursor<'_>) -> Option<Self> {
        Stored::take(from).map(LastOf)
    }

    fn is_small(&self) -> bool {
        self.0.is_small()
    }
}

impl Ordered for LastOf {
    fn add(&mut self, row: &[u8], diff: i64) {
        self.0.add(row, diff);
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

impl One for LastOf {
    fn one(&self) -> Option<&[u8]> {
        self.0.last()
    }
}

/// Of rows that never leave, the first or the last one, which alone is kept.
#[derive(Clone, Default)]
pub(super) struct Only<const LAST: bool>(Option<Box<[u8]>>);

impl<const LAST: bool> Stored for Only<LAST> {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn take(from: &mut Cursor<'_>) -> Option<Self> {
        Stored::take(from).map(Only)
    }
}

impl<const LAST: bool> Ordered for Only<LAST> {
    fn add(&mut self, row: &[u8], _: i64) {
        let goes_beyond = |kept: &[u8]| if LAST { row > kept } else { row < kept };
        if self.0.as_deref().is_none_or(goes_beyond) {
            self.0 = Some(row.into());
        }
    }

    fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |row| row.len())
    }
}

impl<const LAST: bool> One for Only<LAST> {
    fn one(&self) -> Option<&[u8]> {
        self.0.as_deref()
    }
}

/// A function that is a column of one of a group's rows.
pub(super) struct Pick<S> {
    /// Of the columns of a row that is kept.
    column: usize,
    /// Arguments that must not be NULL for a row to count.
    required: &'static [usize],
    kept: PhantomData<S>,
}

impl<S> Pick<S> {
    pub fn new(column: usize, required: &'static [usize]) -> Self {
        Pick { column, required, kept: PhantomData }
    }
}

impl<S: One> Collecting for Pick<S> {
    type State = S;

    fn required(&self) -> &[usize] {
        self.required
    }

    fn pick(&self, state: &S, picked: &mut Picked) {
        if let Some(row) = state.one() {
            picked.push(row, 1);
        }
        picked.end_value();
    }

    fn finish(&self, picked: &Picked, columns: &[ArrayRef]) -> Result<ArrayRef, Vec<Failed>> {
        Ok(picked.firsts(&columns[self.column]))
    }
}

/// Rows that were picked, and of which values they are.
#[derive(Default)]
pub(super) struct Picked {
    bytes: Vec<u8>,
    /// Where each row ends in `bytes`.
    ends: Vec<usize>,
    /// Numbers of rows, those of a value side by side.
    rows: Vec<u32>,
    /// Where each value ends in `rows`.
    values: Vec<usize>,
    /// Of rows that were pushed with one.
    weights: Vec<f64>,
}

impl Picked {
    /// Adds a row to the value being made, `times` times.
    pub fn push(&mut self, row: &[u8], times: i64) {
        self.bytes.extend_from_slice(row);
        let number = self.ends.len() as u32;
        self.ends.push(self.bytes.len());
        self.rows.extend((0..times.max(0)).map(|_| number));
    }

    /// Adds a row once, with a weight that belongs to it.
    pub fn push_weighted(&mut self, row: &[u8], weight: f64) {
        self.push(row, 1);
        self.weights.push(weight);
    }

    /// The weight of row number `row`, where every row has one.
    pub fn weight(&self, row: u32) -> f64 {
        self.weights[row as usize]
    }

    pub fn end_value(&mut self) {
        self.values.push(self.rows.len());
    }

    /// The rows of each value, as numbers of rows.
    pub fn values(&self) -> impl Iterator<Item = &[u32]> {
        let starts = std::iter::once(0).chain(self.values.iter().copied());
        starts.zip(&self.values).map(|(start, &end)| &self.rows[start..end])
    }

    /// All rows of all values.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    fn row_bytes(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.bytes[start..end])
    }

    /// For functions of one row at most: a value a row, NULL without one.
    pub fn firsts(&self, column: &ArrayRef) -> ArrayRef {
        if column.is_empty() {
            return new_null_array(column.data_type(), self.values.len());
        }
        let rows: UInt32Array = self.values().map(|rows| rows.first().copied()).collect();
        take(column, &rows, None).expect("numbers of picked rows")
    }
}

/// Rows of order keys and arguments to bytes that are in their order, and back.
pub(super) struct RowCodec {
    converter: RowConverter,
    keys: Vec<DataType>,
    arguments: usize,
}

impl RowCodec {
    pub fn new(keys: &[(DataType, SortOptions)], arguments: &[DataType]) -> Self {
        let mut fields = Vec::new();
        for (ty, options) in keys {
            if is_interval(ty) {
                let length = DataType::Decimal128(38, 0);
                fields.push(SortField::new_with_options(length, *options));
            }
            fields.push(SortField::new_with_options(ty.clone(), *options));
        }
        let argument = |ty: &DataType| SortField::new_with_options(ty.clone(), ASCENDING);
        fields.extend(arguments.iter().map(argument));
        let converter = RowConverter::new(fields).expect("every SQL type has a row format");
        let keys = keys.iter().map(|(ty, _)| ty.clone()).collect();
        RowCodec { converter, keys, arguments: arguments.len() }
    }

    pub fn encode(&self, keys: &[ArrayRef], arguments: &[ArrayRef]) -> Rows {
        let mut columns: Vec<ArrayRef> = Vec::new();
        for key in keys {
            if is_interval(key.data_type()) {
                columns.push(lengths(key));
            }
            columns.push(normalize_floats(key));
        }
        columns.extend(arguments.iter().cloned());
        self.converter.convert_columns(&columns).expect("columns of the codec's types")
    }

    /// The keys, then the arguments.
    fn decode<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Vec<ArrayRef> {
        let parser = self.converter.parser();
        let rows: Vec<_> = rows.map(|bytes| parser.parse(bytes)).collect();
        let columns = self.converter.convert_rows(rows).expect("bytes that this codec wrote");
        let mut columns = columns.into_iter();
        let mut decoded = Vec::new();
        for ty in &self.keys {
            if is_interval(ty) {
                columns.next();
            }
            decoded.extend(columns.next());
        }
        decoded.extend(columns.take(self.arguments));
        decoded
    }
}

fn is_interval(ty: &DataType) -> bool {
    matches!(ty, DataType::Interval(IntervalUnit::MonthDayNano))
}

fn lengths(intervals: &ArrayRef) -> ArrayRef {
    let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
    let lengths: Decimal128Array = intervals.unary::<_, Decimal128Type>(length_ns);
    Arc::new(lengths.with_data_type(DataType::Decimal128(38, 0)))
}

/// The states of a collecting function.
pub(super) struct Collected<F: Collecting> {
    function: F,
    codec: RowCodec,
    /// Which input columns are the keys, and which the arguments beside them.
    keys: Vec<usize>,
    arguments: Vec<usize>,
    states: Vec<F::State>,
    /// What they take in memory beside themselves.
    kept: usize,
}

impl<F: Collecting> Collected<F> {
    /// Rows in the order of `keys`, input columns with their direction, then of the input columns
    /// `arguments`. What the function reads are both, one behind the other.
    pub fn new(
        function: F,
        call: &CallTypes<'_>,
        keys: &[(usize, SortOptions)],
        arguments: &[usize],
    ) -> Self {
        let ty = |column: usize| match column.checked_sub(call.arguments.len()) {
            None => call.arguments[column].clone(),
            Some(key) => call.order[key].0.clone(),
        };
        let types: Vec<_> = keys.iter().map(|&(column, options)| (ty(column), options)).collect();
        let beside: Vec<_> = arguments.iter().map(|&column| ty(column)).collect();
        Collected {
            function,
            codec: RowCodec::new(&types, &beside),
            keys: keys.iter().map(|(column, _)| *column).collect(),
            arguments: arguments.to_vec(),
            states: Vec::new(),
            kept: 0,
        }
    }

    /// Rows in the call's own order, completed with all arguments.
    pub fn ordered(function: F, call: &CallTypes<'_>) -> Self {
        let keys: Vec<_> = call.order.iter().map(|(_, options)| *options).enumerate().collect();
        let arguments = call.arguments.len();
        let keys: Vec<_> = keys.into_iter().map(|(i, options)| (arguments + i, options)).collect();
        Self::new(function, call, &keys, &(0..arguments).collect::<Vec<_>>())
    }

    fn values(&self, picked: &Picked) -> (ArrayRef, Vec<Failed>) {
        let columns = self.codec.decode(picked.row_bytes());
        match self.function.finish(picked, &columns) {
            Ok(values) => (values, Vec::new()),
            Err(failed) => {
                // The others' values, with nothing in place of those that failed.
                let kept = picked.without(&failed);
                let values = self.function.finish(&kept, &columns);
                (values.expect("what failed is left out"), failed)
            }
        }
    }
}

impl Picked {
    fn without(&self, failed: &[Failed]) -> Picked {
        let mut kept = Picked::default();
        for (number, rows) in self.values().enumerate() {
            if !failed.iter().any(|(failed, _)| *failed as usize == number) {
                kept.rows.extend_from_slice(rows);
            }
            kept.end_value();
        }
        kept
    }
}

impl<F: Collecting> Accumulator for Collected<F> {
    fn resize(&mut self, groups: usize) {
        self.states.resize(groups, F::State::default());
    }

    fn sweep(&mut self, input: &SweepInput<'_>, runs: &[Run]) -> Swept {
        let of = |columns: &[usize]| -> Vec<ArrayRef> {
            columns.iter().map(|&column| input.arguments[column].clone()).collect()
        };
        let rows = self.codec.encode(&of(&self.keys), &of(&self.arguments));
        let (mut before, mut after) = (Picked::default(), Picked::default());
        let function = &self.function;
        let kept = &mut self.kept;
        sweep_runs(
            &mut self.states,
            input,
            runs,
            function.required(),
            |state, row, diff| state.add(rows.row(row).data(), diff),
            |side, _, state| match side {
                Side::Before => {
                    *kept -= state.bytes();
                    function.pick(state, &mut before);
                }
                Side::After => {
                    *kept += state.bytes();
                    function.pick(state, &mut after);
                }
            },
        );
        let (before, before_errors) = self.values(&before);
        let (after, after_errors) = self.values(&after);
        Swept { before, after, before_errors, after_errors }
    }

    fn bytes(&self) -> usize {
        size_of_val(&self.states[..]) + self.kept
    }

    fn clear(&mut self, group: u32) {
        let cleared = std::mem::take(&mut self.states[group as usize]);
        self.kept -= cleared.bytes();
    }

    kept_states!(kept: F::State::bytes);
}
