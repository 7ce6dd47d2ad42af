//! The dataflow: operators on timely workers.
//!
//! Timely schedules, exchanges and tracks progress; nothing here does. Its timestamps are bare
//! microseconds, its container is [`crate::Updates`].
//!
//! One invariant carries all of it: *when an operator's input frontiers have moved to `upper`, it
//! has received every update in [lower, upper)*. A batch may reach beyond that, as one input may be
//! further than another: `drive` lets the rest wait.

pub(crate) mod container;
pub(crate) mod drive;
pub(crate) mod sink;
pub(crate) mod source;
pub(crate) mod statistics;
pub(crate) mod worker;
