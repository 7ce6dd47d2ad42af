//! RETURNING over the rows a statement leaves behind.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::logical_expr::LogicalPlan;
use datafusion::scalar::ScalarValue;
use sqlparser::ast::{SelectItem, SetExpr, TableWithJoins};
use tidemark_catalog::Column;

use super::change::own_columns;
use super::target::{TARGET, Target, given};
use crate::context::{PlanContext, ReadView};
use crate::error::SqlError;
use crate::plan::{finish, shown_schema, to_rel};
use crate::resolve::Resolver;
use crate::rewrite::ast::empty_query;
use crate::rewrite::misplaced;
use crate::run;
use crate::session_state::session_state;

/// The plan of a RETURNING list over rows of the target given by the statement.
pub fn plan(
    ctx: &PlanContext,
    target: &Target,
    items: &[SelectItem],
    param_types: &mut Vec<Option<DataType>>,
) -> Result<LogicalPlan, SqlError> {
    misplaced::refuse(&items.to_vec(), "RETURNING")?;
    let mut query = empty_query();
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection = items.iter().flat_map(|item| without_dropped(target, item)).collect();
        select.from = vec![TableWithJoins { relation: target.factor(), joins: vec![] }];
    }
    let session = session_state(ctx);
    let sources = BTreeMap::from([(TARGET.to_string(), given(TARGET, target.schema()))]);
    let resolver = Resolver::new(ctx, &session).with_given(sources);
    let plan = to_rel(&resolver, &query, param_types)?;
    finish(&session, plan, param_types)
}

/// An item of the list; a star is the columns that there are.
fn without_dropped(target: &Target, item: &SelectItem) -> Vec<SelectItem> {
    let is_star = matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    match is_star && target.columns().iter().any(Column::is_dropped) {
        true => own_columns(target).collect(),
        false => vec![item.clone()],
    }
}

/// What RETURNING gives for `rows`.
pub async fn run(
    ctx: &PlanContext,
    plan: &LogicalPlan,
    rows: RecordBatch,
    read: &ReadView,
    params: &[ScalarValue],
) -> Result<(SchemaRef, Vec<RecordBatch>), SqlError> {
    let given = BTreeMap::from([(TARGET.to_string(), rows)]);
    let batches = run::collect(ctx, plan, read, params, &given).await?;
    Ok((shown_schema(plan), batches))
}
