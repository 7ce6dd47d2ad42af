//! `session_start(time, gap)` and `session_end(time, gap)`: the session of a row, over the rows of
//! its partition in order of time. What `FROM session(…)` is written with.
//!
//! Law: a session goes on while each row follows the one before it by at most the gap; it begins at
//! its first row's time and ends a gap after its last's.

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, FieldRef, IntervalMonthDayNano, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
};

use crate::error::{SqlError, state};

pub const START: &str = "session_start";
pub const END: &str = "session_end";

static FUNCTIONS: LazyLock<[Arc<WindowUDF>; 2]> = LazyLock::new(|| {
    [START, END].map(|name| {
        let signature = Signature::any(2, Volatility::Immutable);
        Arc::new(WindowUDF::new_from_impl(SessionBound { name, signature }))
    })
});

pub fn functions() -> &'static [Arc<WindowUDF>] {
    FUNCTIONS.as_slice()
}

/// The gap in microseconds, if it is one of a fixed length, and not negative.
pub fn gap_us(gap: &ScalarValue) -> Result<i64, SqlError> {
    const DAY_US: i64 = 86_400_000_000;
    let refused = |message: &str| SqlError::new(state::INVALID_PARAMETER_VALUE, message);
    let ScalarValue::IntervalMonthDayNano(Some(gap)) = gap else {
        return Err(refused("the gap of a session must be a constant interval"));
    };
    let IntervalMonthDayNano { months, days, nanoseconds } = *gap;
    let us = i64::from(days).checked_mul(DAY_US).and_then(|us| us.checked_add(nanoseconds / 1000));
    match us {
        Some(us) if months == 0 && us >= 0 => Ok(us),
        _ => Err(refused("the gap of a session must have a fixed length, and not a negative one")),
    }
}

#[derive(PartialEq, Eq, Hash)]
struct SessionBound {
    name: &'static str,
    signature: Signature,
}

impl fmt::Debug for SessionBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl WindowUDFImpl for SessionBound {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(
        &self,
        _: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Sessions { ends: self.name == END }))
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let time = args.get_input_field(0).ok_or_else(|| SqlError::internal("a time"))?;
        if !matches!(time.data_type(), DataType::Timestamp(..)) {
            let message = "a session is one of timestamps";
            return Err(SqlError::new(state::DATATYPE_MISMATCH, message).into());
        }
        Ok(Arc::new(time.as_ref().clone().with_name(args.name()).with_nullable(true)))
    }
}

#[derive(Debug)]
struct Sessions {
    ends: bool,
}

impl PartitionEvaluator for Sessions {
    /// Both arguments for the rows of one partition, in order of time.
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let gap = gap_us(&ScalarValue::try_from_array(&values[1], 0)?)?;
        let data_type = values[0].data_type().clone();
        let zone = match &data_type {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        let micros = cast(&values[0], &DataType::Timestamp(TimeUnit::Microsecond, zone))?;
        let times = micros.as_primitive::<TimestampMicrosecondType>();
        let mut bounds: Vec<Option<i64>> = vec![None; rows];
        let (mut first, mut open) = (0, None);
        for row in (0..rows).filter(|&row| times.is_valid(row)) {
            let time = times.value(row);
            if open.is_none_or(|last: i64| time - last > gap) {
                first = row;
            }
            open = Some(time);
            match self.ends {
                false => bounds[row] = Some(times.value(first)),
                true => bounds[first..=row].fill(Some(time + gap)),
            }
        }
        let bounds = TimestampMicrosecondArray::from(bounds);
        Ok(cast(&bounds.with_data_type(micros.data_type().clone()), &data_type)?)
    }
}
