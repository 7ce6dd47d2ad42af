//! A query's plan: names resolved, types and meaning PostgreSQL's, nothing read yet.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::logical_expr::LogicalPlan;
use sqlparser::ast;
use tidemark_catalog::ObjectId;

use crate::context::PlanContext;
use crate::error::{Notice, SqlError};

/// A planned query. Valid while the catalog's version and the settings it was planned under stay.
#[derive(Debug, Clone)]
pub struct QueryPlan {
    /// With PostgreSQL's types and functions in place, not optimized; `now()` and `$n` stand in it as such.
    pub logical: LogicalPlan,
    /// What the client sees: PostgreSQL's column names, which may repeat, and the Arrow types.
    pub schema: SchemaRef,
    /// Type of `$1`, `$2`, …: given or inferred, text where nothing says.
    pub parameters: Vec<DataType>,
    /// Tables and materialized views it scans, also inside plain views.
    pub reads: Vec<ObjectId>,
    /// Of `reads`, the materialized views: wait for these before running.
    pub views: Vec<ObjectId>,
    /// Tables under `views` and `reads` all the way down: what a transaction locks and validates.
    pub base_tables: Vec<ObjectId>,
    pub notices: Vec<Notice>,
}

/// Plans a query.
///
/// `param_types[i]` is the type of `$i+1` if the client gave one; on return every slot is set.
pub fn plan_query(
    ctx: &PlanContext,
    query: &ast::Query,
    param_types: &mut Vec<Option<DataType>>,
) -> Result<QueryPlan, SqlError> {
    let _ = (ctx, query, param_types, Arc::new(()));
    Err(SqlError::unsupported("queries"))
}
