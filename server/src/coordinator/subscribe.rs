//! SUBSCRIBE: where a subscription begins.
//!
//! Errors   22023 for an AS OF in the future, or before what there is, or is kept, of the relation
//!          0A000 for a plain view that no materialized view could be made of
//!
//! A plain view holds no rows: a view of the subscription's own does as long as that lives. What a
//! view went through before that, or before what is kept of it, is replayed.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use tidemark_catalog::{Catalog, CommitTime, Object, ObjectId, ObjectKind, PgType};
use tidemark_engine::{CollectionId, ReadAtError, ReadGuard, Relation, Timestamp};
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::parse::Subscribe;
use tidemark_sql::{PlanContext, ddl, there_from};

use super::{fill, prepare};
use crate::lock::{LockSet, Mode, Target};
use crate::session::Session;
use crate::subscription::{Before, Own, Start, Subscription};
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
    let relation = coordinator.engine.relation(CollectionId(object.collection().0));
    if matches!(object.kind, ObjectKind::MaterializedView(_)) {
        let created = catalog.versions(id).first().map(|first| Timestamp(first.from.0));
        // A version that was replaced long ago holds no rows any more.
        let is_kept = relation.as_ref().is_some_and(|kept| kept.check_readable(guard.at).is_ok());
        if subscribe.as_of.is_some() && !(is_kept && created.is_some_and(|at| at <= guard.at)) {
            return replayed_view(session, subscribe, id, guard).await;
        }
        coordinator.wait_for_views(session, &catalog, &[id], guard.at).await?;
    }
    let relation = relation.ok_or_else(|| not_there(&object.name))?;
    check_there(&catalog, &object, &relation, guard.at)?;
    relation.check_readable(guard.at).map_err(not_readable)?;
    let (snapshot, progress) = (subscribe.snapshot, subscribe.progress);
    let (own, before) = (None, None);
    let start = Start { object, catalog, relation, guard, snapshot, progress, own, before };
    Ok(Subscription::start(&coordinator, start))
}

/// Follows a materialized view from now on, after what it went through since a time that its
/// stored changes do not reach.
async fn replayed_view(
    session: &mut Session,
    subscribe: &Subscribe,
    id: ObjectId,
    since: ReadGuard,
) -> Result<Subscription, SqlError> {
    let coordinator = Arc::clone(&session.coordinator);
    let guard = coordinator.engine.begin_read();
    let catalog = coordinator.settled_catalog().await;
    let in_force = catalog.version_at(id, CommitTime(guard.at.0));
    let object = in_force.map(|version| version.object.clone());
    let object = object.ok_or_else(|| not_there(&subscribe.name.to_string()))?;
    let relation = coordinator.engine.relation(CollectionId(object.collection().0));
    let relation = relation.ok_or_else(|| not_there(&object.name))?;
    coordinator.wait_for_views(session, &catalog, &[id], guard.at).await?;
    relation.check_readable(guard.at).map_err(not_readable)?;
    let before = Some(before(session, &catalog, &object, since.at, guard.at).await?);
    let (snapshot, progress) = (subscribe.snapshot, subscribe.progress);
    let start = Start { object, catalog, relation, guard, snapshot, progress, own: None, before };
    Ok(Subscription::start(&coordinator, start))
}

/// What a view went through from a time on that is held.
async fn before(
    session: &Session,
    catalog: &Arc<Catalog>,
    view: &Object,
    from: Timestamp,
    to: Timestamp,
) -> Result<Before, SqlError> {
    let own = session.coordinator.own_context(Arc::clone(catalog));
    let ctx = PlanContext { tell: session.tell(), ..own };
    session.cancel.guard(Before::read(&ctx, view, from, to)).await?
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

/// Follows a plain view from now on, by a view of its own; earlier changes are replayed.
async fn plain_view(
    session: &mut Session,
    subscribe: &Subscribe,
    id: ObjectId,
) -> Result<Subscription, SqlError> {
    let since = match subscribe.as_of {
        Some(_) => Some(begin(session, subscribe).await?),
        None => None,
    };
    let coordinator = Arc::clone(&session.coordinator);
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
    let (own, relation, guard) = Own::begin(&coordinator, Arc::clone(&catalog), &object).await?;
    drop(locks);
    if !fill::wait(session, &object.name, own.views.ids(), guard.at).await? {
        return Err(not_there(&object.name));
    }
    let before = match since {
        Some(since) => Some(before(session, &catalog, &object, since.at, guard.at).await?),
        None => None,
    };
    let (snapshot, progress) = (subscribe.snapshot, subscribe.progress);
    let own = Some(own);
    let start = Start { object, catalog, relation, guard, snapshot, progress, own, before };
    Ok(Subscription::start(&coordinator, start))
}

fn not_there(name: &str) -> SqlError {
    let message = format!("\"{name}\" is not there to be subscribed to");
    SqlError::new(state::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
        .with_hint("What a transaction creates can be subscribed to after its COMMIT.")
}
