//! The time: `now()` and its like, the statement's; `clock_timestamp()`, the clock's.
//!
//! Law: `now()` is a parameter of the plan (design §2): it stays a call until the passes put the
//! statement's time in its place, and evaluating it is a fault. The clock's time is volatile.

use std::time::{SystemTime, UNIX_EPOCH};

use datafusion::logical_expr::ScalarUDF;

use crate::error::SqlError;

use super::body::{Text, Timestamptz, fn0};
use super::scalar::Scalar;

/// Microseconds since 1970 by the wall clock.
pub fn clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as i64)
}

pub fn functions() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("now")
            .stable()
            .overload(fn0::<Timestamptz>(|| {
                Err(SqlError::internal("now() was not given its time"))
            }))
            .udf(),
        Scalar::new("clock_timestamp")
            .volatile()
            .overload(fn0::<Timestamptz>(|| Ok(clock())))
            .udf(),
        Scalar::new("timeofday")
            .volatile()
            .overload(fn0::<Text>(|| {
                super::to_char::timestamp(clock(), "Dy Mon DD HH24:MI:SS.US YYYY \"UTC\"")
            }))
            .udf(),
    ]
}
