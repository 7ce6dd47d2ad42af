//! The ASOF JOIN of two batches: right rows sorted by key and time, each left row's found by
//! binary search.
//!
//! Law      as [`AsOfJoin`] says. A NULL in a key or a time meets nothing; −0 is 0
//! How      times become whole numbers of one order, in which the row sought is always the last
//!          that is not after the left row's: < and <= turn the order round. Conditions that are no
//!          equality of both sides are asked in rounds, about the next best row of each left row
//!          that has none yet

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array,
};
use arrow::compute::{SortOptions, cast, filter_record_batch, take};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type, SchemaRef};
use arrow::row::{Row, RowConverter, Rows, SortField};
use datafusion::common::DFSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::physical_expr::PhysicalExpr;
use tidemark_engine::replay::Watch;

use super::as_of::AsOfJoin;
use super::whole::Whole;
use crate::error::SqlError;
use crate::tell::Tell;
use crate::work::{Work, WorkKind};

/// Rows between looks at whether anyone still wants them.
const STEP_ROWS: usize = 1 << 16;
/// No row.
const NONE: u32 = u32::MAX;

type Physical<'a> = &'a dyn Fn(&Expr, &DFSchema) -> Result<Arc<dyn PhysicalExpr>>;

/// An [`AsOfJoin`] with its conditions sorted by what they need.
#[derive(Debug)]
pub struct Matching {
    tell: Tell,
    label: String,
    schema: SchemaRef,
    outer: bool,
    op: Operator,
    left_time: Arc<dyn PhysicalExpr>,
    right_time: Arc<dyn PhysicalExpr>,
    left_keys: Vec<Arc<dyn PhysicalExpr>>,
    right_keys: Vec<Arc<dyn PhysicalExpr>>,
    /// Of right rows alone.
    right_filter: Option<Arc<dyn PhysicalExpr>>,
    /// Of pairs.
    pair_filter: Option<Arc<dyn PhysicalExpr>>,
}

impl Matching {
    pub fn new(join: &AsOfJoin, tell: Tell, physical: Physical<'_>) -> Result<Self> {
        let (left, right) = (join.left.schema(), join.right.schema());
        let both = left.join(right)?;
        let (mut left_keys, mut right_keys) = (vec![], vec![]);
        let (mut of_right, mut of_pairs) = (vec![], vec![]);
        for condition in &join.conditions {
            match equality(condition, left, right) {
                Some((a, b)) => {
                    left_keys.push(physical(a, left)?);
                    right_keys.push(physical(b, right)?);
                }
                None if is_of(condition, right) => of_right.push(condition.clone()),
                None => of_pairs.push(condition.clone()),
            }
        }
        let filter = |conditions, schema: &DFSchema| {
            conjunction(conditions).map(|all| physical(&all, schema)).transpose()
        };
        Ok(Matching {
            tell,
            label: join.to_string().replacen("AsOfJoin", "AsOfJoinExec", 1),
            schema: datafusion::logical_expr::UserDefinedLogicalNodeCore::schema(join)
                .inner()
                .clone(),
            outer: join.outer,
            op: join.pick.op,
            left_time: physical(&join.pick.left, left)?,
            right_time: physical(&join.pick.right, right)?,
            left_keys,
            right_keys,
            right_filter: filter(of_right, right)?,
            pair_filter: filter(of_pairs, &both)?,
        })
    }
}

fn equality<'e>(
    condition: &'e Expr,
    left: &DFSchema,
    right: &DFSchema,
) -> Option<(&'e Expr, &'e Expr)> {
    let Expr::BinaryExpr(BinaryExpr { left: a, op: Operator::Eq, right: b }) = condition else {
        return None;
    };
    match () {
        () if is_of(a, left) && is_of(b, right) => Some((a, b)),
        () if is_of(b, left) && is_of(a, right) => Some((b, a)),
        () => None,
    }
}

fn is_of(expr: &Expr, side: &DFSchema) -> bool {
    let columns = expr.column_refs();
    !columns.is_empty() && columns.into_iter().all(|column| side.has_column(column))
}

impl Whole for Matching {
    fn label(&self) -> String {
        self.label.clone()
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn begin(&self) -> Arc<Work> {
        self.tell.begin(WorkKind::AsOfJoin, &self.label)
    }

    fn run(&self, mut inputs: Vec<RecordBatch>, work: &Work) -> Result<RecordBatch> {
        let (right, left) = (inputs.pop(), inputs.pop());
        let (Some(left), Some(mut right)) = (left, right) else {
            return Err(SqlError::internal("an ASOF JOIN has two inputs").into());
        };
        if let Some(filter) = &self.right_filter {
            right = filter_record_batch(&right, &truths(filter, &right)?)?;
        }
        let sides = self.sides(&left, &right)?;
        let sorted = Sorted::new(&sides, &right, work)?;
        let found = self.found(&sides, &sorted, &left, &right, work)?;
        self.rows(&left, &right, &found)
    }
}

/// Keys and times of both sides, as numbers that compare alike.
struct Sides {
    /// By left row: the number of its key, `NONE` where it meets nothing.
    left_keys: Vec<u32>,
    right_keys: Vec<u32>,
    left_times: Vec<i64>,
    right_times: Vec<i64>,
    keys: usize,
}

impl Matching {
    fn sides(&self, left: &RecordBatch, right: &RecordBatch) -> Result<Sides> {
        let left_time = self.left_time.evaluate(left)?.into_array(left.num_rows())?;
        let right_time = self.right_time.evaluate(right)?.into_array(right.num_rows())?;
        let (mut left_times, mut right_times) = ranks(&left_time, &right_time)?;
        if matches!(self.op, Operator::Lt | Operator::LtEq) {
            left_times.iter_mut().chain(&mut right_times).for_each(|time| *time = !*time);
        }
        let (left_arrays, right_arrays) =
            (values(&self.left_keys, left)?, values(&self.right_keys, right)?);
        let types: Vec<SortField> =
            right_arrays.iter().map(|array| SortField::new(array.data_type().clone())).collect();
        let (mut left_keys, mut right_keys) = (vec![0; left.num_rows()], vec![0; right.num_rows()]);
        let mut keys = 1;
        if !types.is_empty() {
            let converter = RowConverter::new(types)?;
            let (left_rows, right_rows) = (
                converter.convert_columns(&left_arrays)?,
                converter.convert_columns(&right_arrays)?,
            );
            keys = number(&left_rows, &right_rows, &mut left_keys, &mut right_keys);
        }
        leave_out(&mut left_keys, left_arrays.iter().chain([&left_time]));
        leave_out(&mut right_keys, right_arrays.iter().chain([&right_time]));
        Ok(Sides { left_keys, right_keys, left_times, right_times, keys })
    }
}

/// Numbers the right side's keys; a left row whose key is none of these has none.
fn number(left: &Rows, right: &Rows, left_keys: &mut [u32], right_keys: &mut [u32]) -> usize {
    let mut numbers: HashMap<Row<'_>, u32> = HashMap::new();
    for (row, key) in right.iter().zip(right_keys) {
        let next = numbers.len() as u32;
        *key = *numbers.entry(row).or_insert(next);
    }
    for (row, key) in left.iter().zip(left_keys) {
        *key = numbers.get(&row).copied().unwrap_or(NONE);
    }
    numbers.len()
}

/// Takes the key of rows with a NULL in one of these.
fn leave_out<'a>(keys: &mut [u32], arrays: impl Iterator<Item = &'a ArrayRef>) {
    for array in arrays.filter(|array| array.null_count() > 0) {
        let nulls = (0..array.len()).filter(|&row| array.is_null(row));
        nulls.for_each(|row| keys[row] = NONE);
    }
}

fn values(exprs: &[Arc<dyn PhysicalExpr>], batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
    let value = |expr: &Arc<dyn PhysicalExpr>| {
        Ok(one_zero(expr.evaluate(batch)?.into_array(batch.num_rows())?))
    };
    exprs.iter().map(value).collect()
}

/// −0 as 0.
fn one_zero(array: ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float64 => {
            Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(|v| v + 0.0))
        }
        DataType::Float32 => {
            Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(|v| v + 0.0))
        }
        _ => array,
    }
}

/// Both sides' times as numbers of the same order.
fn ranks(left: &ArrayRef, right: &ArrayRef) -> Result<(Vec<i64>, Vec<i64>)> {
    let whole = match left.data_type() {
        DataType::Timestamp(..) | DataType::Int64 => Some(DataType::Int64),
        DataType::Int16 | DataType::Int32 | DataType::Date32 => Some(DataType::Int32),
        _ => None,
    };
    if let Some(whole) = whole
        && left.data_type() == right.data_type()
    {
        let numbers = |array: &ArrayRef| -> Result<Vec<i64>> {
            let array = cast(&cast(array, &whole)?, &DataType::Int64)?;
            Ok(array.as_primitive::<Int64Type>().values().to_vec())
        };
        return Ok((numbers(left)?, numbers(right)?));
    }
    let (left, right) = (one_zero(Arc::clone(left)), one_zero(Arc::clone(right)));
    let converter = RowConverter::new(vec![SortField::new(right.data_type().clone())])?;
    let left = converter.convert_columns(&[left])?;
    let right = converter.convert_columns(&[right])?;
    let mut all: Vec<Row<'_>> = left.iter().chain(right.iter()).collect();
    all.sort_unstable();
    all.dedup();
    let rank = |row: Row<'_>| all.partition_point(|other| *other < row) as i64;
    Ok((left.iter().map(rank).collect(), right.iter().map(rank).collect()))
}

/// The right rows in order of key, time and the rest of the row.
struct Sorted {
    rows: Vec<u32>,
    /// Where the rows of each key begin, and the last ones end.
    starts: Vec<usize>,
}

impl Sorted {
    fn new(sides: &Sides, right: &RecordBatch, work: &Work) -> Result<Self> {
        let order = |row: &u32| (sides.right_keys[*row as usize], sides.right_times[*row as usize]);
        let mut rows: Vec<u32> = (0..right.num_rows() as u32)
            .filter(|row| sides.right_keys[*row as usize] != NONE)
            .collect();
        check(work)?;
        rows.sort_unstable_by_key(order);
        check(work)?;
        let equal = |a: &u32, b: &u32| order(a) == order(b);
        if rows.windows(2).any(|pair| equal(&pair[0], &pair[1])) {
            let ascending = SortOptions { descending: false, nulls_first: false };
            let fields = right
                .columns()
                .iter()
                .map(|column| SortField::new_with_options(column.data_type().clone(), ascending));
            let whole = RowConverter::new(fields.collect())?.convert_columns(right.columns())?;
            for run in rows.chunk_by_mut(equal).filter(|run| run.len() > 1) {
                run.sort_by(|a, b| whole.row(*a as usize).cmp(&whole.row(*b as usize)));
            }
        }
        let mut starts = vec![0; sides.keys + 1];
        for row in &rows {
            starts[sides.right_keys[*row as usize] as usize + 1] += 1;
        }
        (1..starts.len()).for_each(|key| starts[key] += starts[key - 1]);
        Ok(Sorted { rows, starts })
    }

    /// The rows of a left row's key that its inequality allows; the last of them is the best.
    fn allowed(&self, sides: &Sides, left: usize, strict: bool) -> Range<usize> {
        let key = sides.left_keys[left];
        if key == NONE {
            return 0..0;
        }
        let (from, to) = (self.starts[key as usize], self.starts[key as usize + 1]);
        let time = sides.left_times[left];
        let of_key = &self.rows[from..to];
        let until = of_key.partition_point(|row| {
            let other = sides.right_times[*row as usize];
            if strict { other < time } else { other <= time }
        });
        from..from + until
    }
}

impl Matching {
    /// By left row: the right row it meets, or `NONE`.
    fn found(
        &self,
        sides: &Sides,
        sorted: &Sorted,
        left: &RecordBatch,
        right: &RecordBatch,
        work: &Work,
    ) -> Result<Vec<u32>> {
        let strict = matches!(self.op, Operator::Lt | Operator::Gt);
        let mut found = vec![NONE; left.num_rows()];
        let mut open: Vec<(u32, Range<usize>)> = Vec::new();
        for (row, found) in found.iter_mut().enumerate() {
            if row % STEP_ROWS == 0 {
                check(work)?;
            }
            let allowed = sorted.allowed(sides, row, strict);
            match (allowed.is_empty(), &self.pair_filter) {
                (true, _) => {}
                (false, None) => *found = sorted.rows[allowed.end - 1],
                (false, Some(_)) => open.push((row as u32, allowed)),
            }
        }
        let Some(filter) = &self.pair_filter else { return Ok(found) };
        while !open.is_empty() {
            check(work)?;
            let next = |(_, allowed): &(u32, Range<usize>)| sorted.rows[allowed.end - 1];
            let lefts: Vec<u32> = open.iter().map(|(row, _)| *row).collect();
            let rights: Vec<u32> = open.iter().map(next).collect();
            let pairs = self.pairs(left, right, lefts, rights.clone())?;
            let truths = truths(filter, &pairs)?;
            let mut rest = Vec::new();
            for (n, (row, allowed)) in open.into_iter().enumerate() {
                if truths.value(n) {
                    found[row as usize] = rights[n];
                } else if allowed.len() > 1 {
                    rest.push((row, allowed.start..allowed.end - 1));
                }
            }
            open = rest;
        }
        Ok(found)
    }

    fn rows(&self, left: &RecordBatch, right: &RecordBatch, found: &[u32]) -> Result<RecordBatch> {
        if self.outer {
            let rights: UInt32Array =
                found.iter().map(|&row| (row != NONE).then_some(row)).collect();
            let columns = right.columns().iter().map(|column| take(column, &rights, None));
            let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
            return batch(&self.schema, [left.columns(), &columns].concat(), found.len());
        }
        let (lefts, rights) = (0..).zip(found).filter(|(_, row)| **row != NONE).unzip();
        self.pairs(left, right, lefts, rights)
    }

    fn pairs(
        &self,
        left: &RecordBatch,
        right: &RecordBatch,
        lefts: Vec<u32>,
        rights: Vec<u32>,
    ) -> Result<RecordBatch> {
        let (lefts, rights) = (UInt32Array::from(lefts), UInt32Array::from(rights));
        let left = left.columns().iter().map(|column| take(column, &lefts, None));
        let right = right.columns().iter().map(|column| take(column, &rights, None));
        let columns = left.chain(right).collect::<std::result::Result<Vec<_>, _>>()?;
        batch(&self.schema, columns, lefts.len())
    }
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// For which rows a condition is true.
fn truths(condition: &Arc<dyn PhysicalExpr>, rows: &RecordBatch) -> Result<BooleanArray> {
    let array = condition.evaluate(rows)?.into_array(rows.num_rows())?;
    let truths = array.as_boolean();
    Ok(match truths.nulls() {
        Some(nulls) => BooleanArray::new(truths.values() & nulls.inner(), None),
        None => truths.clone(),
    })
}

fn check(work: &Work) -> Result<()> {
    match work.is_cancelled() {
        true => Err(DataFusionError::External("cancelled".into())),
        false => Ok(()),
    }
}
