//! The dataflow: operators on timely workers.
//!
//! Timely schedules, exchanges and tracks progress; nothing here does. Its timestamps are bare
//! microseconds, its container is [`crate::Updates`].
//!
//! One invariant carries all of it: *a frontier moves only to the end of a tick, beyond every time
//! in data already sent*. So when an operator's input frontier moves to `upper`, what it received
//! under earlier capabilities is all there is in [lower, upper).

pub(crate) mod container;
pub(crate) mod drive;
pub(crate) mod sink;
pub(crate) mod source;
pub(crate) mod worker;
