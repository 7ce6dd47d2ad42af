//! Top-k: the first rows of each group in an order.
//!
//! Law      out(t) = of each group of in(t), the rows at places offset .. offset + limit in `order`

use std::fmt;

use crate::plan::{Plan, SortKey, listed};

/// What was decided. `order` is total: the planner completed it (S9). The output has the input's
/// columns.
#[derive(Clone, Debug)]
pub struct TopKPlan {
    pub input: Plan,
    /// The columns of a group; none: all rows are one.
    pub keys: Vec<usize>,
    pub order: Vec<SortKey>,
    pub offset: u64,
    /// `None`: all from `offset` on.
    pub limit: Option<u64>,
    /// FETCH … WITH TIES: so many of `order`'s first keys are the written ones, and rows equal to
    /// the last in them are there too.
    pub ties: Option<usize>,
}

impl fmt::Display for TopKPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.input.schema();
        let keys = self.keys.iter().map(|&key| schema.field(key).name());
        let order = self.order.iter().map(|key| key.display(&schema));
        write!(f, "TopK keys=[{}] order=[{}]", listed(keys), listed(order))?;
        if self.offset > 0 {
            write!(f, " offset={}", self.offset)?;
        }
        if let Some(limit) = self.limit {
            write!(f, " limit={limit}")?;
        }
        match self.ties {
            Some(_) => write!(f, " with ties"),
            None => Ok(()),
        }
    }
}
