//! Range: the values at which frames of RANGE with an offset begin and end.
//!
//! Law: for each value of the order column the value, of the same type, at which the frame of its
//! row begins (or ends): a row is not before (behind) the edge of the frame exactly when its value
//! does not sort before (behind) this one. What is out of the type's range is its last value in
//! that direction. The edge of NULL is NULL, of NaN is NaN: they see their peers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Datum, PrimitiveArray};
use arrow::compute::kernels::numeric;
use arrow::compute::{cast, concat};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, IntervalUnit, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::ScalarValue;
use num_traits::Bounded;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Whether RANGE takes an offset of type `offset` over an order column of type `column`.
pub fn range_offset_defined(column: &DataType, offset: &DataType) -> bool {
    let interval = matches!(offset, DataType::Interval(IntervalUnit::MonthDayNano));
    match column {
        DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            matches!(offset, DataType::Int16 | DataType::Int32 | DataType::Int64)
        }
        DataType::Decimal128(..) | DataType::Float32 | DataType::Float64 => column == offset,
        DataType::Date32 | DataType::Timestamp(TimeUnit::Microsecond, _) => interval,
        DataType::Time64(TimeUnit::Microsecond) => interval,
        _ => false,
    }
}

/// One edge of a frame, as the offset from the row's own value.
#[derive(Clone, Debug)]
pub(super) struct RangeEdge {
    pub offset: ScalarValue,
    /// Towards greater values.
    pub add: bool,
    /// Between two values of the type the lower is meant: of an edge that values stay below.
    pub upper: bool,
}

impl RangeEdge {
    /// See the module's law.
    pub fn of(&self, values: &ArrayRef) -> ArrayRef {
        match values.data_type() {
            DataType::Int16 => self.integers::<Int16Type>(values),
            DataType::Int32 => self.integers::<Int32Type>(values),
            DataType::Int64 => self.integers::<Int64Type>(values),
            DataType::Decimal128(..) => self.integers::<Decimal128Type>(values),
            DataType::Float32 => {
                let own = values.as_primitive::<Float32Type>();
                Arc::new(own.unary::<_, Float32Type>(|v| self.narrow(self.float(v.into()))))
            }
            DataType::Float64 => {
                let own = values.as_primitive::<Float64Type>();
                Arc::new(own.unary::<_, Float64Type>(|v| self.float(v)))
            }
            DataType::Time64(_) => {
                let ScalarValue::IntervalMonthDayNano(Some(interval)) = self.offset else {
                    unreachable!("the plan adds intervals to times of day")
                };
                // As in Postgres, months and days don't count.
                let micros = i128::from(interval.nanoseconds / 1000);
                self.shifted::<Time64MicrosecondType>(values, micros)
            }
            DataType::Timestamp(..) => self.timestamps(values),
            DataType::Date32 => {
                let midnight = DataType::Timestamp(TimeUnit::Microsecond, None);
                let stamps = cast(values, &midnight).expect("every date is a timestamp");
                let edges = self.timestamps(&stamps);
                let edges = edges.as_primitive::<TimestampMicrosecondType>();
                Arc::new(edges.unary::<_, Date32Type>(|micros| {
                    let days = micros.div_euclid(MICROS_PER_DAY);
                    let rest = micros.rem_euclid(MICROS_PER_DAY);
                    let days = days + i64::from(rest > 0 && !self.upper);
                    days.clamp(i32::MIN.into(), i32::MAX.into()) as i32
                }))
            }
            other => unreachable!("the plan has no RANGE offset over {other}"),
        }
    }

    fn integers<T: ArrowPrimitiveType>(&self, values: &ArrayRef) -> ArrayRef
    where
        T::Native: Into<i128> + TryFrom<i128> + Bounded,
    {
        let offset = match &self.offset {
            ScalarValue::Decimal128(..) => {
                self.offset.cast_to(values.data_type()).expect("a number of the column's type")
            }
            other => other.clone(),
        };
        let offset = match offset {
            ScalarValue::Int16(Some(offset)) => offset.into(),
            ScalarValue::Int32(Some(offset)) => offset.into(),
            ScalarValue::Int64(Some(offset)) => offset.into(),
            ScalarValue::Decimal128(Some(offset), ..) => offset,
            other => unreachable!("the plan adds no {other} to whole numbers"),
        };
        self.shifted::<T>(values, offset)
    }

    fn shifted<T: ArrowPrimitiveType>(&self, values: &ArrayRef, offset: i128) -> ArrayRef
    where
        T::Native: Into<i128> + TryFrom<i128> + Bounded,
    {
        let shift = |value: T::Native| {
            let value: i128 = value.into();
            let edge = match self.add {
                true => value.saturating_add(offset),
                false => value.saturating_sub(offset),
            };
            let last = if edge < 0 { T::Native::min_value() } else { T::Native::max_value() };
            T::Native::try_from(edge).unwrap_or(last)
        };
        let edges: PrimitiveArray<T> = values.as_primitive::<T>().unary(shift);
        Arc::new(edges.with_data_type(values.data_type().clone()))
    }

    /// The edge of a float; of infinities less each other everything is within it.
    fn float(&self, value: f64) -> f64 {
        let offset = match self.offset {
            ScalarValue::Float64(Some(offset)) => offset,
            ScalarValue::Float32(Some(offset)) => offset.into(),
            _ => unreachable!("the plan adds floats to floats"),
        };
        let edge = if self.add { value + offset } else { value - offset };
        match edge.is_nan() && !value.is_nan() {
            true if self.upper => f64::INFINITY,
            true => f64::NEG_INFINITY,
            false => edge,
        }
    }

    /// The last real at or before the edge, from within.
    fn narrow(&self, edge: f64) -> f32 {
        let near = edge as f32;
        match self.upper {
            true if f64::from(near) > edge => near.next_down(),
            false if f64::from(near) < edge => near.next_up(),
            _ => near,
        }
    }

    fn timestamps(&self, values: &ArrayRef) -> ArrayRef {
        let offset = self.offset.to_scalar().expect("an interval is a value");
        let shift = |values: &ArrayRef| {
            let values: &dyn Datum = values;
            match self.add {
                true => numeric::add(values, &offset),
                false => numeric::sub(values, &offset),
            }
        };
        if let Ok(edges) = shift(values) {
            return edges;
        }
        let last = if self.add { i64::MAX } else { i64::MIN };
        let last = PrimitiveArray::<TimestampMicrosecondType>::from(vec![last]);
        let last: ArrayRef = Arc::new(last.with_data_type(values.data_type().clone()));
        let edges = (0..values.len()).map(|i| shift(&values.slice(i, 1)).unwrap_or(last.clone()));
        let edges: Vec<ArrayRef> = edges.collect();
        let edges: Vec<&dyn Array> = edges.iter().map(|edge| edge.as_ref()).collect();
        concat(&edges).expect("timestamps of one type")
    }
}
