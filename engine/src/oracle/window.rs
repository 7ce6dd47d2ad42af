//! Windows for the oracle: each partition sorted, each value by its definition, each frame by
//! asking every row whether it is in it.

use std::cmp::Ordering;

use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;

use super::{Row, aggregate, sorted};
use crate::plan::{
    Exclude, FrameBound, FrameUnits, SortKey, WindowCall, WindowFunction, WindowPlan,
};

/// The output over these rows; messages of rows that have none go to `errors`.
pub(super) fn evaluate(plan: &WindowPlan, rows: Vec<Row>, errors: &mut Vec<String>) -> Vec<Row> {
    let order: Vec<SortKey> = plan.order.iter().chain(&plan.tie_break).copied().collect();
    let first = plan.input.schema().fields().len();
    // A number of a row is a bigint; the plan may want it smaller.
    let typed = |(number, value): (usize, ScalarValue)| {
        let ty = plan.schema.field(first + number).data_type();
        value.cast_to(ty).expect("the plan's type holds the value")
    };
    let mut out = Vec::new();
    for rows in sorted::groups(rows, &plan.partition, &order) {
        let partition = Partition::new(plan, rows);
        for i in 0..partition.rows.len() {
            let values: Result<Row, String> =
                plan.calls.iter().map(|call| partition.value(call, i)).collect();
            match values {
                Ok(values) => {
                    let values = values.into_iter().enumerate().map(typed);
                    out.push(partition.rows[i].iter().cloned().chain(values).collect());
                }
                Err(message) => errors.push(message),
            }
        }
    }
    out
}

struct Partition<'a> {
    plan: &'a WindowPlan,
    input: SchemaRef,
    rows: Vec<Row>,
    /// The number of each row's group of peers.
    groups: Vec<i64>,
}

impl<'a> Partition<'a> {
    fn new(plan: &'a WindowPlan, rows: Vec<Row>) -> Self {
        let mut groups = vec![0];
        for pair in rows.windows(2) {
            let peers = sorted::compare(&pair[0], &pair[1], &plan.order) == Ordering::Equal;
            groups.push(groups[groups.len() - 1] + i64::from(!peers));
        }
        Partition { plan, input: plan.input.schema(), rows, groups }
    }

    fn value(&self, call: &WindowCall, i: usize) -> Result<ScalarValue, String> {
        let total = self.rows.len();
        let bigint = |value: usize| ScalarValue::Int64(Some(value as i64));
        let before = self.groups.iter().filter(|&&group| group < self.groups[i]).count();
        let not_behind = self.groups.iter().filter(|&&group| group <= self.groups[i]).count();
        let argument = |number: usize, row: usize| &self.rows[row][call.arguments[number]];
        Ok(match call.function {
            WindowFunction::RowNumber => bigint(i + 1),
            WindowFunction::Rank => bigint(before + 1),
            WindowFunction::DenseRank => bigint(self.groups[i] as usize + 1),
            WindowFunction::PercentRank => ScalarValue::Float64(Some(match total {
                1 => 0.0,
                _ => before as f64 / (total - 1) as f64,
            })),
            WindowFunction::CumeDist => {
                ScalarValue::Float64(Some(not_behind as f64 / total as f64))
            }
            WindowFunction::Ntile => self.ntile(call, i)?,
            WindowFunction::Lag => self.shift(call, i, -1),
            WindowFunction::Lead => self.shift(call, i, 1),
            WindowFunction::FirstValue | WindowFunction::LastValue | WindowFunction::NthValue => {
                let mut frame = self.frame(call, i);
                frame.retain(|&row| !call.ignore_nulls || !argument(0, row).is_null());
                let found = match call.function {
                    WindowFunction::FirstValue => frame.first().copied(),
                    WindowFunction::LastValue => frame.last().copied(),
                    _ => match integer(argument(1, i)) {
                        Some(n) if n <= 0 => {
                            return Err("argument of nth_value must be greater than zero".into());
                        }
                        n => n.and_then(|n| frame.get(n as usize - 1).copied()),
                    },
                };
                found.map_or_else(|| null_of(argument(0, i)), |row| argument(0, row).clone())
            }
            WindowFunction::Aggregate(_) => {
                let frame = self.frame(call, i);
                let rows: Vec<Row> = frame.iter().map(|&row| self.rows[row].clone()).collect();
                let aggregated = self.plan.aggregate_of(call).expect("it is one");
                aggregate::evaluate(&aggregated, &self.input, &rows)?
            }
        })
    }

    /// Postgres counts from the first row that has a number of buckets.
    fn ntile(&self, call: &WindowCall, i: usize) -> Result<ScalarValue, String> {
        let buckets = |row: usize| integer(&self.rows[row][call.arguments[0]]);
        let Some(first) = (0..=i).find(|&row| buckets(row).is_some()) else {
            return Ok(ScalarValue::Int64(None));
        };
        let count = buckets(first).expect("just found");
        if count <= 0 {
            return Err("argument of ntile must be greater than zero".to_string());
        }
        let mut longer = self.rows.len() as i64 % count;
        let mut size = self.rows.len() as i64 / count + i64::from(longer > 0);
        let (mut bucket, mut in_bucket) = (1, 0);
        for _ in first..=i {
            in_bucket += 1;
            if in_bucket > size {
                if longer > 0 && bucket == longer {
                    longer = 0;
                    size = (size - 1).max(1);
                }
                bucket += 1;
                in_bucket = 1;
            }
        }
        Ok(ScalarValue::Int64(Some(bucket)))
    }

    fn shift(&self, call: &WindowCall, i: usize, direction: i64) -> ScalarValue {
        let argument = |number: usize, row: usize| &self.rows[row][call.arguments[number]];
        let Some(offset) = integer(argument(1, i)) else { return null_of(argument(0, i)) };
        let step = direction * offset.signum();
        let mut row = i as i64;
        let mut left = offset.abs();
        while left > 0 {
            row += step;
            let Some(found) = usize::try_from(row).ok().filter(|&row| row < self.rows.len()) else {
                return argument(2, i).clone();
            };
            left -= i64::from(!call.ignore_nulls || !argument(0, found).is_null());
        }
        argument(0, row as usize).clone()
    }

    /// The rows of row i's frame, in order.
    fn frame(&self, call: &WindowCall, i: usize) -> Vec<usize> {
        let frame = &call.frame;
        let excluded = |j: usize| {
            let peers = self.groups[i] == self.groups[j];
            match frame.exclude {
                Exclude::NoOthers => false,
                Exclude::CurrentRow => i == j,
                Exclude::Group => peers,
                Exclude::Ties => peers && i != j,
            }
        };
        let within = |j: usize| {
            self.is_within(&frame.start, frame.units, i, j, false)
                && self.is_within(&frame.end, frame.units, i, j, true)
        };
        (0..self.rows.len()).filter(|&j| within(j) && !excluded(j)).collect()
    }

    /// Whether row j is not before the bound (not behind it, if it is the frame's end).
    fn is_within(
        &self,
        bound: &FrameBound,
        units: FrameUnits,
        i: usize,
        j: usize,
        is_end: bool,
    ) -> bool {
        let side = |distance: i64, bound: i64| match is_end {
            true => distance <= bound,
            false => distance >= bound,
        };
        let distance = match units {
            FrameUnits::Rows => j as i64 - i as i64,
            FrameUnits::Groups | FrameUnits::Range => self.groups[j] - self.groups[i],
        };
        match bound {
            FrameBound::UnboundedPreceding => !is_end,
            FrameBound::UnboundedFollowing => is_end,
            FrameBound::CurrentRow => side(distance, 0),
            FrameBound::Preceding(offset) if units == FrameUnits::Range => {
                self.in_range(offset, true, i, j, is_end)
            }
            FrameBound::Following(offset) if units == FrameUnits::Range => {
                self.in_range(offset, false, i, j, is_end)
            }
            FrameBound::Preceding(offset) => side(distance, -integer(offset).expect("bigint")),
            FrameBound::Following(offset) => side(distance, integer(offset).expect("bigint")),
        }
    }

    /// As Postgres' in_range functions, of which this is a transcription.
    fn in_range(
        &self,
        offset: &ScalarValue,
        preceding: bool,
        i: usize,
        j: usize,
        is_end: bool,
    ) -> bool {
        let key = self.plan.order[0];
        let (base, value) = (&self.rows[i][key.column], &self.rows[j][key.column]);
        match (base.is_null(), value.is_null()) {
            (true, true) => return true,
            // NULLs stand together at one end: the other row is on one side of all of them.
            (true, false) => return key.nulls_first != is_end,
            (false, true) => return key.nulls_first == is_end,
            (false, false) => {}
        }
        let (sub, less) = (preceding != key.descending, is_end != key.descending);
        if let (Some(base), Some(value)) = (float(base), float(value)) {
            let offset = float(offset).expect("an offset of the column's type");
            return match (value.is_nan(), base.is_nan()) {
                (true, true) => true,
                (true, false) => !less,
                (false, true) => less,
                _ => {
                    let bound = if sub { base - offset } else { base + offset };
                    bound.is_nan() || if less { value <= bound } else { value >= bound }
                }
            };
        }
        let ordering = match (integer128(base), integer128(value)) {
            (Some(base), Some(value)) => {
                let offset = integer128(offset).expect("an offset of the column's type");
                value.cmp(&if sub { base - offset } else { base + offset })
            }
            _ => {
                let bound = if sub { base.sub(offset) } else { base.add(offset) };
                let bound = bound.expect("random timestamps are far from the end of time");
                value.partial_cmp(&bound).expect("timestamps")
            }
        };
        if less { ordering.is_le() } else { ordering.is_ge() }
    }
}

fn null_of(value: &ScalarValue) -> ScalarValue {
    ScalarValue::try_from(&value.data_type()).expect("every type has a NULL")
}

fn integer(value: &ScalarValue) -> Option<i64> {
    integer128(value).map(|value| value as i64)
}

fn integer128(value: &ScalarValue) -> Option<i128> {
    match value {
        ScalarValue::Int16(value) => value.map(i128::from),
        ScalarValue::Int32(value) => value.map(i128::from),
        ScalarValue::Int64(value) => value.map(i128::from),
        ScalarValue::Decimal128(value, ..) => *value,
        _ => None,
    }
}

fn float(value: &ScalarValue) -> Option<f64> {
    match value {
        ScalarValue::Float64(value) => *value,
        ScalarValue::Float32(value) => value.map(f64::from),
        _ => None,
    }
}
