//! Recursive: WITH RECURSIVE, kept.
//!
//! Law      out(t) is the least R with R = base(t) ∪ step(R, t), of sets (UNION) or of multisets
//!          (UNION ALL); rows that only support each other are not in it

use std::fmt;

use arrow::datatypes::SchemaRef;

use crate::plan::Plan;
use crate::time::CollectionId;

/// What was decided. `step` reads R as `Plan::Input` with id `itself`; it is monotone in R and
/// refers to it once: filters, projections, inner joins, unions, unnests.
#[derive(Clone, Debug)]
pub struct RecursivePlan {
    pub itself: CollectionId,
    pub base: Plan,
    pub step: Plan,
    /// UNION: each row once.
    pub distinct: bool,
    /// Of base and step.
    pub schema: SchemaRef,
}

impl fmt::Display for RecursivePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recursive #{}{}", self.itself.0, if self.distinct { " distinct" } else { "" })
    }
}
