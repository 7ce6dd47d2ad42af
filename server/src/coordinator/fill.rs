//! Filling: a statement waits until views have taken what is already there.
//!
//! Law      who waits is told every few seconds how far it is, and finds it in
//!          `tidemark.backfills`. CREATE MATERIALIZED VIEW that is cancelled meanwhile leaves
//!          nothing behind, unless something has come to stand on the view by then. A COMMIT has
//!          happened before its views are filled: cancelled, it stops waiting and says so

use std::sync::Arc;

use tidemark_catalog::{ObjectId, Op};
use tidemark_engine::{CollectionId, Timestamp};
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::work::NOTICE_INTERVAL;
use tidemark_sql::{Work, WorkKind};
use tokio::time::sleep;

use super::Coordinator;
use crate::cancel::Cancel;
use crate::session::{Notice, Session};
use crate::transaction::Transaction;

/// Waits until views hold everything up to `at`; `Ok(false)` if one of them was dropped.
///
/// Errors: those of a cancelled statement.
pub async fn wait(
    session: &Session,
    name: &str,
    views: &[CollectionId],
    at: Timestamp,
) -> Result<bool, SqlError> {
    let engine = Arc::clone(&session.coordinator.engine);
    let work = session.tell().begin(WorkKind::Backfill, name);
    work.set_filled(views);
    let mut filled = engine.wait_for(views, at);
    let waiting = async {
        loop {
            tokio::select! {
                filled = &mut filled => return filled.is_ok(),
                () = sleep(NOTICE_INTERVAL) => say(&engine, &work),
            }
        }
    };
    session.cancel.guard(waiting).await
}

fn say(engine: &tidemark_engine::Engine, work: &Work) {
    let views = engine.views();
    let filling = views.iter().filter(|view| work.fills(view.id)).filter_map(|view| view.filling);
    let (mut done, mut all) = (0, 0);
    for filling in filling {
        done += filling.operators_done as u64;
        all += filling.operators as u64;
    }
    work.set_progress(done, all);
    work.say();
}

/// Waits for the views that a commit at `at` has made. `alone`: by a statement that did nothing
/// else.
pub async fn wait_created(
    session: &mut Session,
    views: &[CollectionId],
    at: Timestamp,
    alone: bool,
) -> Result<(), SqlError> {
    let ctx = session.plan_context();
    let made: Vec<_> = views.iter().filter_map(|id| ctx.of_collection(*id)).collect();
    let Some(first) = made.first() else { return Ok(()) };
    let (id, name) = (first.id, first.name.clone());
    let Err(error) = wait(session, &name, views, at).await else {
        // A view that is dropped meanwhile needs no waiting for.
        return Ok(());
    };
    if alone && session.coordinator.undo(id).await? {
        return Err(error);
    }
    if session.cancel.is_final() {
        return Err(error);
    }
    let message = "canceling the wait for materialized views due to user request";
    let detail = "The transaction has already committed; its views go on being filled.";
    let detail = Some(detail.to_owned());
    let code = state::SUCCESSFUL_COMPLETION;
    session.notice(Notice { detail, ..Notice::warning(code, message) });
    Ok(())
}

impl Coordinator {
    /// Takes back a view that has just been made; false where something stands on it already.
    async fn undo(self: &Arc<Self>, view: ObjectId) -> Result<bool, SqlError> {
        let settings = tidemark_sql::Settings::default();
        let mut transaction = Transaction::begin(&self.locks, self.catalog(), settings, false);
        // That of the statement has been thrown.
        let cancel = Cancel::default();
        transaction.lock_catalog(|| self.catalog(), &cancel).await?;
        let catalog = transaction.catalog();
        if catalog.get(view).is_none() {
            return Ok(true);
        }
        if !catalog.dependents_transitive(view).is_empty() {
            return Ok(false);
        }
        transaction.stage(Op::DropObject(view))?;
        let collection = CollectionId(catalog.collection(view).0);
        transaction.staged.drop_views.push(collection);
        let ctx = self.own_context(catalog);
        if let Some(commit) = transaction.into_commit() {
            self.commit(&ctx, commit, None).await?;
        }
        Ok(true)
    }
}
