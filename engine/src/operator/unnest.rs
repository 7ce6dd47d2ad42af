//! Unnest: the elements of a row's lists, a row each.
//!
//! Law      out(t) = { (r, e1, …, en[, i]) : r in in(t), i = 1 .. the length of r's longest list },
//!          ek the i-th element of list k, NULL behind its end

use std::fmt;

use arrow::datatypes::SchemaRef;

use crate::plan::{Plan, listed};

/// What was decided: which columns are lists to take apart side by side. A NULL list is an empty
/// one.
#[derive(Clone, Debug)]
pub struct UnnestPlan {
    pub input: Plan,
    /// List columns of the input.
    pub lists: Vec<usize>,
    /// WITH ORDINALITY: the place, from 1 on, as bigint.
    pub ordinality: bool,
    /// The input's columns without the lists, then one for each list, then the ordinality.
    pub schema: SchemaRef,
}

impl fmt::Display for UnnestPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.input.schema();
        let lists = self.lists.iter().map(|&list| schema.field(list).name());
        write!(f, "Unnest [{}]", listed(lists))?;
        match self.ordinality {
            true => write!(f, " with ordinality"),
            false => Ok(()),
        }
    }
}
