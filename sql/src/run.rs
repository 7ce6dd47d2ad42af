//! Running a planned query over one snapshot.

use datafusion::execution::SendableRecordBatchStream;
use datafusion::scalar::ScalarValue;

use crate::context::{PlanContext, ReadView};
use crate::error::SqlError;
use crate::plan::QueryPlan;

/// Rows of a query as of `read`. The stream's errors turn into [`SqlError`] by `SqlError::from`.
///
/// `params` has one value for each of `plan.parameters`, of that type.
pub async fn run_query(
    ctx: &PlanContext,
    plan: &QueryPlan,
    read: &ReadView,
    params: Vec<ScalarValue>,
) -> Result<SendableRecordBatchStream, SqlError> {
    let _ = (ctx, plan, read, params);
    Err(SqlError::unsupported("queries"))
}
