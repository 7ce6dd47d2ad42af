//! SUBSCRIBE: where a subscription begins.
//!
//! Missing  plain views, which hold no rows: a materialized view over one does

use std::sync::Arc;

use tidemark_catalog::{CommitTime, Object, ObjectKind};
use tidemark_engine::{CollectionId, ReadGuard};
use tidemark_sql::ddl;
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::parse::Subscribe;

use crate::session::Session;
use crate::subscription::{Start, Subscription};

/// Begins a subscription. It reads beyond the snapshot of the transaction it is in.
pub async fn start(session: &mut Session, subscribe: &Subscribe) -> Result<Subscription, SqlError> {
    let coordinator = Arc::clone(&session.coordinator);
    let ctx = session.plan_context();
    let name = &subscribe.name;
    let id = ddl::resolve(&ctx, name)?.ok_or_else(|| SqlError::undefined_table(name))?.id;
    let guard = begin(session, subscribe).await?;
    let catalog = coordinator.settled_catalog().await;
    let in_force = catalog.version_at(id, CommitTime(guard.at.0));
    let object = in_force.map(|version| version.object.clone());
    let object = object.ok_or_else(|| not_there(&name.to_string()))?;
    if matches!(object.kind, ObjectKind::View(_)) {
        return Err(plain_view(&object));
    }
    let collection = CollectionId(object.collection().0);
    let relation = coordinator.engine.relation(collection);
    let relation = relation.ok_or_else(|| not_there(&object.name))?;
    if matches!(object.kind, ObjectKind::MaterializedView(_)) {
        coordinator.wait_for_views(session, [collection], guard.at).await?;
    }
    let (snapshot, progress) = (subscribe.snapshot, subscribe.progress);
    let start = Start { object, catalog, relation, guard, snapshot, progress };
    Ok(Subscription::start(&coordinator, start))
}

/// The first time.
async fn begin(session: &mut Session, subscribe: &Subscribe) -> Result<ReadGuard, SqlError> {
    if subscribe.as_of.is_some() {
        return Err(SqlError::unsupported("SUBSCRIBE AS OF is not supported yet")
            .with_hint("Without AS OF it begins with the rows of now."));
    }
    Ok(session.coordinator.engine.begin_read())
}

fn plain_view(view: &Object) -> SqlError {
    SqlError::unsupported("SUBSCRIBE to a plain view is not supported")
        .with_detail(format!("\"{}\" is computed when it is read.", view.name))
        .with_hint(format!(
            "CREATE MATERIALIZED VIEW … AS SELECT * FROM {}, and subscribe to that.",
            view.name
        ))
}

fn not_there(name: &str) -> SqlError {
    let message = format!("\"{name}\" is not there to be subscribed to");
    SqlError::new(state::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
        .with_hint("What a transaction creates can be subscribed to after its COMMIT.")
}
