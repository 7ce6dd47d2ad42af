//! Set operation: INTERSECT and EXCEPT, of sets or of multisets.
//!
//! Law      with l and r how often a row is on the left and on the right,
//!          Intersect: 1 where l > 0 and r > 0        IntersectAll: min(l, r)
//!          Except:    1 where l > 0 and r = 0        ExceptAll:    max(l − r, 0)

use std::fmt;

use arrow::datatypes::SchemaRef;

use crate::plan::Plan;

/// What was decided. Both inputs have the types of `schema`; NULLs are equal, −0 is 0.
#[derive(Clone, Debug)]
pub struct SetOperationPlan {
    pub kind: SetOperationKind,
    pub left: Plan,
    pub right: Plan,
    pub schema: SchemaRef,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOperationKind {
    Intersect,
    IntersectAll,
    Except,
    ExceptAll,
}

impl fmt::Display for SetOperationPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}
