//! A timestamp moved by a constant interval of days and time: one addition for each row.
//!
//! Law      the same value, type and errors as the operator that it stands for, which is asked
//!          where a time comes near the end of what it can hold
//!
//! Arrow takes each timestamp apart into a date and a time of day before it adds, which windows of
//! time would pay for with every row.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Field, FieldRef, IntervalMonthDayNano, Schema, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Literal};
use datafusion::scalar::ScalarValue;

const DAY_US: i64 = 86_400_000_000;
/// Some 250,000 years: nearer to the end the operator decides.
const NEAR_THE_END_US: u64 = 8_000_000_000_000_000_000;

#[derive(Debug, Eq)]
pub(super) struct Shift {
    operator: Arc<dyn PhysicalExpr>,
    time: Arc<dyn PhysicalExpr>,
    by_us: i64,
}

impl Shift {
    /// In the place of `time ± interval`, if that is what it is.
    pub fn of(binary: &BinaryExpr, schema: &Schema) -> Option<Shift> {
        let literal = binary.right().downcast_ref::<Literal>()?;
        let ScalarValue::IntervalMonthDayNano(Some(interval)) = literal.value() else {
            return None;
        };
        let sign = match binary.op() {
            Operator::Plus => 1,
            Operator::Minus => -1,
            _ => return None,
        };
        let in_utc = |zone: &Arc<str>| matches!(zone.as_ref(), "+00:00" | "UTC");
        match binary.left().data_type(schema).ok()? {
            DataType::Timestamp(TimeUnit::Microsecond, zone) if zone.iter().all(in_utc) => {}
            _ => return None,
        }
        let IntervalMonthDayNano { months, days, nanoseconds } = *interval;
        if months != 0 || nanoseconds % 1000 != 0 {
            return None;
        }
        let by_us = i64::from(days).checked_mul(DAY_US)?.checked_add(nanoseconds / 1000)?;
        let near = by_us.unsigned_abs() >= NEAR_THE_END_US;
        let operator = Arc::new(binary.clone());
        let time = Arc::clone(binary.left());
        (!near).then(|| Shift { operator, time, by_us: sign * by_us })
    }

    fn shifted(&self, times: &ArrayRef) -> Option<ArrayRef> {
        let times = times.as_primitive_opt::<TimestampMicrosecondType>()?;
        let limit = NEAR_THE_END_US - self.by_us.unsigned_abs();
        if times.iter().flatten().any(|time| time.unsigned_abs() >= limit) {
            return None;
        }
        let by_us = self.by_us;
        let zone = times.timezone().map(Arc::from);
        // What stands under a NULL may be anything.
        let shifted = times.unary::<_, TimestampMicrosecondType>(|time| time.wrapping_add(by_us));
        Some(Arc::new(shifted.with_timezone_opt::<Arc<str>>(zone)))
    }
}

impl PartialEq for Shift {
    fn eq(&self, other: &Self) -> bool {
        self.operator.eq(&other.operator) && self.by_us == other.by_us
    }
}

impl Hash for Shift {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.operator.hash(state);
        self.by_us.hash(state);
    }
}

impl fmt::Display for Shift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operator.fmt(f)
    }
}

impl PhysicalExpr for Shift {
    fn data_type(&self, input: &Schema) -> Result<DataType> {
        self.operator.data_type(input)
    }

    fn nullable(&self, input: &Schema) -> Result<bool> {
        self.operator.nullable(input)
    }

    fn return_field(&self, input: &Schema) -> Result<FieldRef> {
        let (ty, nullable) = (self.data_type(input)?, self.nullable(input)?);
        Ok(Arc::new(Field::new(self.to_string(), ty, nullable)))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        match self.time.evaluate(batch)? {
            ColumnarValue::Array(times) => match self.shifted(&times) {
                Some(shifted) => Ok(ColumnarValue::Array(shifted)),
                None => self.operator.evaluate(batch),
            },
            ColumnarValue::Scalar(_) => self.operator.evaluate(batch),
        }
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.operator]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let operator = children.pop().expect("one child");
        let Some(binary) = operator.downcast_ref::<BinaryExpr>() else { return Ok(operator) };
        let time = Arc::clone(binary.left());
        Ok(Arc::new(Shift { operator, time, by_us: self.by_us }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operator.fmt_sql(f)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::TimestampMicrosecondArray;
    use datafusion::physical_expr::expressions::Column;

    use super::*;

    /// What the shift and the operator give for these times.
    fn both(
        times: Vec<Option<i64>>,
        op: Operator,
        by: IntervalMonthDayNano,
    ) -> [Option<ArrayRef>; 2] {
        let ty = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
        let schema = Arc::new(Schema::new(vec![Field::new("t", ty, true)]));
        let column: ArrayRef =
            Arc::new(TimestampMicrosecondArray::from(times).with_timezone("+00:00"));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column]).expect("a column");
        let by = Literal::new(ScalarValue::IntervalMonthDayNano(Some(by)));
        let binary = BinaryExpr::new(Arc::new(Column::new("t", 0)), op, Arc::new(by));
        let shift = Shift::of(&binary, &schema).expect("days and time");
        assert_eq!(shift.to_string(), binary.to_string());
        let value = |expr: &dyn PhysicalExpr| expr.evaluate(&batch)?.into_array(batch.num_rows());
        [value(&shift).ok(), value(&binary).ok()]
    }

    #[test]
    fn it_is_what_the_operator_is() {
        let times = vec![Some(0), None, Some(-1), Some(1_436_918_400_000_000), Some(-99 * DAY_US)];
        for op in [Operator::Plus, Operator::Minus] {
            for (days, nanoseconds) in [(0, 0), (1, 0), (-3, 10_000_000_000), (40_000, -1_000)] {
                let by = IntervalMonthDayNano { months: 0, days, nanoseconds };
                let [shift, operator] = both(times.clone(), op, by);
                assert!(operator.is_some());
                assert_eq!(shift, operator);
            }
        }
    }

    #[test]
    fn near_the_end_the_operator_decides() {
        let by = IntervalMonthDayNano { months: 0, days: 1, nanoseconds: 0 };
        let [shift, operator] = both(vec![Some(i64::MAX - 1)], Operator::Plus, by);
        assert_eq!((shift, operator), (None, None));
    }

    #[test]
    fn months_and_parts_of_microseconds_are_left_to_it() {
        let schema = Schema::new(vec![Field::new(
            "t",
            DataType::Timestamp(TimeUnit::Microsecond, None),
            true,
        )]);
        for (months, nanoseconds) in [(1, 0), (0, 1)] {
            let by = IntervalMonthDayNano { months, days: 0, nanoseconds };
            let by = Literal::new(ScalarValue::IntervalMonthDayNano(Some(by)));
            let time = Arc::new(Column::new("t", 0));
            let binary = BinaryExpr::new(time, Operator::Plus, Arc::new(by));
            assert!(Shift::of(&binary, &schema).is_none());
        }
    }
}
