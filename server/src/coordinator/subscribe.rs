//! SUBSCRIBE: where a subscription begins.
//!
//! Errors   22023 for an AS OF in the future, or before what there is, or is kept, of the relation
//! Missing  plain views, which hold no rows: a materialized view over one does. AS OF a time at
//!          which an earlier version of a view was in force

use std::sync::Arc;

use datafusion::common::ScalarValue;
use tidemark_catalog::{Catalog, CommitTime, Object, ObjectKind, PgType};
use tidemark_engine::{CollectionId, ReadAtError, ReadGuard, Relation, Timestamp};
use tidemark_sql::ddl;
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::parse::Subscribe;
use tidemark_sql::there_from;

use super::prepare;
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
    // A version that was replaced long ago holds no rows any more.
    let relation = relation.ok_or_else(|| not_there(&object.name))?;
    check_there(&catalog, &object, &relation, guard.at)?;
    if matches!(object.kind, ObjectKind::MaterializedView(_)) {
        coordinator.wait_for_views(session, &catalog, &[id], guard.at).await?;
    }
    relation.check_readable(guard.at).map_err(not_readable)?;
    let (snapshot, progress) = (subscribe.snapshot, subscribe.progress);
    let start = Start { object, catalog, relation, guard, snapshot, progress };
    Ok(Subscription::start(&coordinator, start))
}

/// The first time, and that it is held.
async fn begin(session: &mut Session, subscribe: &Subscribe) -> Result<ReadGuard, SqlError> {
    let Some(expr) = &subscribe.as_of else {
        return Ok(session.coordinator.engine.begin_read());
    };
    let ctx = session.plan_context();
    let ty = PgType::Timestamptz.to_arrow(-1);
    let value = prepare::evaluate(session, &ctx, std::slice::from_ref(expr), &[ty]).await?.pop();
    let at = match value {
        Some(ScalarValue::TimestampMicrosecond(Some(at), _)) if at >= 0 => Timestamp(at as u64),
        _ => {
            let message = "the time of SUBSCRIBE AS OF is NULL or before 1970";
            return Err(SqlError::new(state::INVALID_PARAMETER_VALUE, message));
        }
    };
    session.coordinator.engine.begin_read_at(at).map_err(not_readable)
}

/// 22023, with the limits in the detail.
fn not_readable(error: ReadAtError) -> SqlError {
    let message = "SUBSCRIBE AS OF a time that cannot be read";
    SqlError::new(state::INVALID_PARAMETER_VALUE, message).with_detail(format!("{error}."))
}

/// 22023 for a time before what there is of a relation. A loaded past is older than its table.
fn check_there(
    catalog: &Catalog,
    object: &Object,
    relation: &Relation,
    at: Timestamp,
) -> Result<(), SqlError> {
    let created = catalog.versions(object.id).first().map(|first| Timestamp(first.from.0));
    match created.filter(|created| at < *created && at < there_from(catalog, relation)) {
        None => Ok(()),
        Some(created) => {
            let detail = format!("\"{}\" was created at {created}.", object.name);
            let message = "SUBSCRIBE AS OF a time that cannot be read";
            Err(SqlError::new(state::INVALID_PARAMETER_VALUE, message).with_detail(detail))
        }
    }
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
