//! Extreme: functions whose value is that of one row, the least in an order of the call's columns.
//!
//! An order that never changes lets an operator that keeps rows in a tree find the row of any part
//! of it, and stop where another one counts more.

use arrow::array::{Array, ArrayRef};
use arrow::compute::SortOptions;
use arrow::row::Rows;

use super::CallTypes;
use super::collected::RowCodec;

/// The order of a call's rows, and what the least of them gives.
pub struct Extreme {
    codec: RowCodec,
    /// The argument that is compared first; rows where it is NULL don't count.
    key: usize,
    /// The arguments that are compared behind it, ascending.
    beside: Vec<usize>,
    /// The argument that is the value.
    pub value: usize,
}

impl Extreme {
    /// By argument `key` with these options, then by the arguments `beside`.
    pub(super) fn new(
        call: &CallTypes<'_>,
        key: usize,
        options: SortOptions,
        beside: &[usize],
        value: usize,
    ) -> Self {
        let ty = |argument: &usize| call.arguments[*argument].clone();
        let types: Vec<_> = beside.iter().map(ty).collect();
        let codec = RowCodec::new(&[(ty(&key), options)], &types);
        Extreme { codec, key, beside: beside.to_vec(), value }
    }

    /// The bytes by which rows of these arguments compare, and which of them count.
    pub(crate) fn measure(&self, arguments: &[ArrayRef]) -> (Rows, Vec<bool>) {
        let key = &arguments[self.key];
        let beside: Vec<ArrayRef> =
            self.beside.iter().map(|&argument| arguments[argument].clone()).collect();
        let nulls = key.logical_nulls();
        let counts = |row| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        let counts = (0..key.len()).map(counts).collect();
        (self.codec.encode(std::slice::from_ref(key), &beside), counts)
    }

    /// Whether the value is what is compared, and comes out as such: −0 as 0.
    pub(crate) fn gives_key(&self) -> bool {
        self.value == self.key
    }
}
