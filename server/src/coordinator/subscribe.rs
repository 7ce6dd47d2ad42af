//! SUBSCRIBE: where a subscription begins.
//!
//! Errors   22023 for an AS OF in the future, or before what there is, or is kept, of the relation
//!          0A000 for a plain view that no materialized view could be made of
//! Missing  AS OF a time at which an earlier version of a view was in force; of a plain view AS OF
//!          any time
//!
//! A plain view holds no rows: a view of the subscription's own does as long as that lives.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use tidemark_catalog::{Catalog, CommitTime, Object, ObjectId, ObjectKind, PgType};
use tidemark_engine::{CollectionId, ReadAtError, ReadGuard, Relation, Timestamp, ViewDef};
use tidemark_sql::ddl;
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::maintain::plan_stored_view;
use tidemark_sql::parse::Subscribe;
use tidemark_sql::there_from;

use super::own_views::OwnViews;
use super::{fill, prepare};
use crate::lock::{LockSet, Mode, Target};
use crate::session::Session;
use crate::subscription::{Own, Start, Subscription};
use crate::transaction::acquire;

/// Begins a subscription. It reads beyond the snapshot of the transaction it is in.
pub async fn start(session: &mut Session, subscribe: &Subscribe) -> Result<Subscription, SqlError> {
    let coordinator = Arc::clone(&session.coordinator);
    let ctx = session.plan_context();
    let name = &subscribe.name;
    let object = ddl::resolve(&ctx, name)?.ok_or_else(|| SqlError::undefined_table(name))?;
    let id = object.id;
    if matches!(object.kind, ObjectKind::View(_)) {
        return plain_view(session, subscribe, id).await;
    }
    let guard = begin(session, subscribe).await?;
    let catalog = coordinator.settled_catalog().await;
    let in_force = catalog.version_at(id, CommitTime(guard.at.0));
    let object = in_force.map(|version| version.object.clone());
    let object = object.ok_or_else(|| not_there(&name.to_string()))?;
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
    let start = Start { object, catalog, relation, guard, snapshot, progress, own: None };
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

/// Follows a plain view from now on, by a view of its own.
async fn plain_view(
    session: &mut Session,
    subscribe: &Subscribe,
    id: ObjectId,
) -> Result<Subscription, SqlError> {
    let coordinator = Arc::clone(&session.coordinator);
    // What the plan reads must be there until it is read.
    let locks = LockSet::new(&coordinator.locks);
    let is_own = session
        .transaction
        .as_ref()
        .is_some_and(|transaction| transaction.locks.holds(Target::Catalog, Mode::Exclusive));
    if !is_own {
        acquire(&locks, Target::Catalog, Mode::Shared, &session.cancel).await?;
    }
    let catalog = coordinator.catalog();
    let object = catalog.get(id).cloned().ok_or_else(|| not_there(&subscribe.name.to_string()))?;
    if subscribe.as_of.is_some() {
        let message = "SUBSCRIBE AS OF a time to a plain view is not supported";
        return Err(SqlError::unsupported(message)
            .with_detail(format!("Of \"{}\" nothing is kept before it is followed.", object.name))
            .with_hint("changes() tells what it went through until now."));
    }
    let ctx = coordinator.own_context(Arc::clone(&catalog));
    let planned = plan_stored_view(&ctx, &object).map_err(|error| not_followed(&object, error))?;
    let def = ViewDef::new(coordinator.unnamed(), planned.plan.clone(), planned.key);
    let created = OwnViews::create(&coordinator, vec![def]).await;
    let (views, at) = created.map_err(|error| tidemark_sql::commit_error(&ctx, error, &[]))?;
    drop(locks);
    let guard = coordinator.engine.hold(at);
    let relation = views.ids().first().and_then(|id| coordinator.engine.relation(*id));
    let relation = relation.ok_or_else(|| not_there(&object.name))?;
    if !fill::wait(session, &object.name, views.ids(), at).await? {
        return Err(not_there(&object.name));
    }
    let (snapshot, progress) = (subscribe.snapshot, subscribe.progress);
    let own = Some(Own { views, plan: planned.plan });
    let start = Start { object, catalog, relation, guard, snapshot, progress, own };
    Ok(Subscription::start(&coordinator, start))
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

fn not_there(name: &str) -> SqlError {
    let message = format!("\"{name}\" is not there to be subscribed to");
    SqlError::new(state::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
        .with_hint("What a transaction creates can be subscribed to after its COMMIT.")
}
