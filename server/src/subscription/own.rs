//! What follows a plain view: a view of the engine's, as long as somebody wants its changes.
//!
//! Law: it is kept up as a materialized view of that definition would be, from the time on that it
//! is complete at.

use std::sync::Arc;

use tidemark_catalog::{Catalog, Object};
use tidemark_engine::{Plan, ReadGuard, Relation, ViewDef};
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::maintain::plan_stored_view;

use crate::coordinator::{Coordinator, OwnViews};

/// What keeps up a plain view as long as somebody follows it.
pub struct Own {
    pub views: OwnViews,
    /// By this plan; by another one it would be another view.
    pub plan: Plan,
}

impl Own {
    /// Begins to fill one, and holds the time as of which it will be complete. `catalog` must not
    /// change meanwhile: what the plan reads must be there until it is read.
    ///
    /// Errors: 0A000 where no materialized view could be made of it.
    pub async fn begin(
        coordinator: &Arc<Coordinator>,
        catalog: Arc<Catalog>,
        view: &Object,
    ) -> Result<(Own, Arc<Relation>, ReadGuard), SqlError> {
        let ctx = coordinator.own_context(catalog);
        let planned = plan_stored_view(&ctx, view).map_err(|error| not_followed(view, error))?;
        let def = ViewDef::new(coordinator.unnamed(), planned.plan.clone(), planned.key);
        let created = OwnViews::create(coordinator, vec![def]).await;
        let (views, at) = created.map_err(|error| tidemark_sql::commit_error(&ctx, error, &[]))?;
        let guard = coordinator.engine.hold(at);
        let relation = views.ids().first().and_then(|id| coordinator.engine.relation(*id));
        let relation = relation.ok_or_else(|| SqlError::internal("a view that was not made"))?;
        Ok((Own { views, plan: planned.plan }, relation, guard))
    }
}

/// Why a plain view's changes cannot be had, in the words of who asked for that.
fn not_followed(view: &Object, error: SqlError) -> SqlError {
    if error.code != state::FEATURE_NOT_SUPPORTED {
        return error;
    }
    SqlError::unsupported(format!("SUBSCRIBE to view \"{}\" is not supported", view.name))
        .with_detail(format!(
            "It is kept up as a materialized view would be, and {}.",
            error.message
        ))
}
