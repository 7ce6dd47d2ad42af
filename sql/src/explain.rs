//! EXPLAIN of an ad-hoc statement: each stage of design §6 as text.

use arrow::datatypes::DataType;

use crate::context::{PlanContext, ReadView};
use crate::error::SqlError;
use crate::parse::Explain;

/// The lines of `EXPLAIN (AST | LOGICAL | OPTIMIZED | PLAN | ANALYZE)` of a query or DML. A CREATE MATERIALIZED VIEW
/// is explained through `plan_view`'s `engine::Plan`.
pub async fn explain(
    ctx: &PlanContext,
    explain: &Explain,
    read: &ReadView,
    param_types: &mut Vec<Option<DataType>>,
) -> Result<Vec<String>, SqlError> {
    let _ = (ctx, explain, read, param_types);
    Err(SqlError::unsupported("EXPLAIN"))
}
