//! Operator state: what an operator remembers of its inputs, found by key.

pub(crate) mod consolidate;
pub(crate) mod key_index;
pub(crate) mod row_set;
pub(crate) mod ordered_counts;
