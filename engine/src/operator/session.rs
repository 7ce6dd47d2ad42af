//! Session: each row with the session it belongs to.
//!
//! Law      the rows of a key in order of time form one session while each follows the one before
//!          it by at most `gap`; out(t) = { (r, start, end) : r in in(t) }, start the time of the
//!          session's first row, end the time of its last plus `gap`

use std::fmt;

use arrow::datatypes::SchemaRef;

use crate::plan::{Plan, listed};

/// What was decided. Rows without a time are in no session and not in the output.
#[derive(Clone, Debug)]
pub struct SessionPlan {
    pub input: Plan,
    pub keys: Vec<usize>,
    /// A column of type timestamp in µs, with or without time zone.
    pub time: usize,
    pub gap_us: i64,
    /// The input's columns, then `window_start` and `window_end` of the type of `time`.
    pub schema: SchemaRef,
}

impl fmt::Display for SessionPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.input.schema();
        let keys = self.keys.iter().map(|&key| schema.field(key).name());
        let time = schema.field(self.time).name();
        write!(f, "Session keys=[{}] time={time} gap={} us", listed(keys), self.gap_us)
    }
}
