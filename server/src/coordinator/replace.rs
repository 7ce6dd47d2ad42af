//! CREATE OR REPLACE of what others stand on: new versions beside the old ones, then one switch.
//!
//! Law      S12: the new version and those of everything above it are planned and filled while the
//!          old ones answer. One commit then puts all of them in force; before it nothing has
//!          happened, whatever fails or is cancelled. Versions whose plan stays the same are not
//!          made
//! Missing  inside a transaction block, a replacement for which rows have to be computed (25001):
//!          it would have to fill views from rows that nobody has committed
//!
//! The right to change the catalog is held meanwhile, so other DDL waits.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidemark_catalog::{Function, Object, ObjectId, ObjectKind, Op, View};
use tidemark_engine::{Change, CollectionId, ViewDef};
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::maintain::{MaintainedPlan, plan_stored_view};
use tidemark_sql::version::{functions_of, is_same_plan};
use tidemark_sql::{PlanContext, ddl};

use super::Coordinator;
use super::create_materialized_view::view_def;
use crate::session::Session;

/// Versions of materialized views on their way.
#[derive(Default)]
struct Versions {
    create: Vec<ViewDef>,
    /// The collections of the versions before them.
    retire: Vec<CollectionId>,
}

/// What is filled and waits for its commit.
pub struct Switch {
    filling: Filling,
    /// What nobody reads any more after it.
    retire: Vec<CollectionId>,
}

/// Views of the engine that are not in the catalog yet; given up when dropped.
struct Filling {
    coordinator: Arc<Coordinator>,
    views: Vec<CollectionId>,
}

/// Replaces the definition of a view that is in the catalog.
///
/// Errors: 42P16 where its columns don't stay; what makes one of its dependents impossible; 25001.
pub async fn object(session: &mut Session, object: Object) -> Result<(), SqlError> {
    let mut versions = Versions::default();
    let id = object.id;
    let ctx = session.plan_context();
    let dependents = ctx.catalog.dependents_transitive(id);
    let plan = match object.kind {
        ObjectKind::MaterializedView(_) => Some(plan_stored_view(&ctx, &object)?),
        ObjectKind::View(_) | ObjectKind::Table(_) | ObjectKind::Source(_) => None,
    };
    versions.stage(session, object, plan)?;
    versions.stage_dependents(session, id, dependents, &BTreeSet::new())?;
    versions.fill(session).await
}

/// Replaces a function that is in the catalog.
///
/// Errors: 42P13 where its signature does not stay; what makes a view impossible that uses it;
/// 25001.
pub async fn function(session: &mut Session, function: Function) -> Result<(), SqlError> {
    let dependents = session.plan_context().catalog.dependents_transitive(function.id);
    session.open_transaction()?.stage(Op::ReplaceFunction(function.clone()))?;
    let calls = ddl::check_function(&session.plan_context(), &function)?;
    let mut versions = Versions::default();
    versions.stage_dependents(session, function.id, dependents, &calls)?;
    versions.fill(session).await
}

impl Versions {
    /// A new version of a view; `plan` if it is a materialized one.
    fn stage(
        &mut self,
        session: &mut Session,
        mut object: Object,
        plan: Option<MaintainedPlan>,
    ) -> Result<(), SqlError> {
        let transaction = session.open_transaction()?;
        if let (Some(plan), ObjectKind::MaterializedView(view)) = (plan, &mut object.kind) {
            let collection = transaction.staged.catalog.next_id();
            view.collection = Some(collection);
            view.key.clone_from(&plan.key);
            view.append_only = plan.plan.append_only();
            let id = CollectionId(collection.0);
            let object = transaction.staged.catalog.get(object.id).unwrap_or(&object);
            self.create.push(view_def(object, id, plan.plan, plan.key));
            self.retire.push(CollectionId(transaction.staged.catalog.collection(object.id).0));
        }
        transaction.stage(Op::ReplaceObject(object))
    }

    /// New versions of what stands on `root`, each after what it stands on. `calls` are functions
    /// that `root` calls by now, if it is one.
    fn stage_dependents(
        &mut self,
        session: &mut Session,
        root: ObjectId,
        dependents: Vec<ObjectId>,
        calls: &BTreeSet<ObjectId>,
    ) -> Result<(), SqlError> {
        for id in dependents {
            let ctx = session.plan_context();
            let Some(present) = ctx.catalog.get(id) else {
                continue;
            };
            let fails = |error| dependent_error(&ctx, root, present, error);
            if let Some((object, plan)) = next_version(&ctx, present, calls).map_err(fails)? {
                self.stage(session, object, plan).map_err(fails)?;
            }
        }
        Ok(())
    }

    /// Fills what is to be filled; the transaction's commit then makes the switch.
    async fn fill(self, session: &mut Session) -> Result<(), SqlError> {
        if self.create.is_empty() {
            return Ok(());
        }
        if !session.open_transaction()?.alone {
            let message = "a definition that materialized views are kept by cannot be replaced \
                           inside a transaction block";
            return Err(SqlError::new(state::ACTIVE_SQL_TRANSACTION, message)
                .with_hint("Run the statement by itself: it is a transaction of its own."));
        }
        let coordinator = Arc::clone(&session.coordinator);
        let views: Vec<_> = self.create.iter().map(|view| view.id).collect();
        let change = Change { create_views: self.create, ..Change::default() };
        let ctx = session.plan_context();
        let filling = Filling { coordinator: Arc::clone(&coordinator), views: views.clone() };
        let submitted = coordinator.submit(change).await;
        let at = submitted.map_err(|error| tidemark_sql::commit_error(&ctx, error, &[]))?;
        let filled = session.cancel.clone().guard(coordinator.engine.wait_for(&views, at)).await?;
        filled.map_err(|_| SqlError::internal("a view was dropped while it was filled"))?;
        session.open_transaction()?.switch = Some(Switch { filling, retire: self.retire });
        Ok(())
    }
}

/// A dependent's next version; `None` where it stays what it is.
fn next_version(
    ctx: &PlanContext,
    present: &Object,
    calls: &BTreeSet<ObjectId>,
) -> Result<Option<(Object, Option<MaintainedPlan>)>, SqlError> {
    let mut object = present.clone();
    match &mut object.kind {
        ObjectKind::Table(_) | ObjectKind::Source(_) => Ok(None),
        ObjectKind::View(view) => {
            allow(view, calls);
            let functions = functions_of(ctx, &object)?;
            if let ObjectKind::View(view) = &mut object.kind {
                view.functions = functions;
            }
            Ok(Some((object, None)))
        }
        ObjectKind::MaterializedView(view) => {
            allow(view, calls);
            let plan = plan_stored_view(ctx, &object)?;
            let running = ctx.engine.operators(ctx.collection(present.id));
            let same_rows = running.is_some_and(|(running, _)| is_same_plan(&running, &plan.plan));
            if same_rows && plan.functions == present.functions() {
                return Ok(None);
            }
            if let ObjectKind::MaterializedView(view) = &mut object.kind {
                view.functions.clone_from(&plan.functions);
                view.columns.clone_from(&plan.columns);
            }
            Ok(Some((object, Some(plan))))
        }
    }
}

/// Names in its text may lead to these functions too.
fn allow(view: &mut View, calls: &BTreeSet<ObjectId>) {
    let more = calls.iter().filter(|id| !view.functions.contains(id)).copied();
    let more: Vec<ObjectId> = more.collect();
    view.functions.extend(more);
}

fn dependent_error(
    ctx: &PlanContext,
    root: ObjectId,
    dependent: &Object,
    error: SqlError,
) -> SqlError {
    let path = ctx.search_path();
    let (root, dependent) =
        (ctx.catalog.describe(root, &path), ctx.catalog.describe(dependent.id, &path));
    let detail = match error.detail {
        Some(detail) => format!("{}: {detail}", error.message),
        None => error.message,
    };
    let message = format!("cannot replace {root}: {dependent} would not stand on it");
    SqlError { message, detail: Some(detail), position: None, ..error }
}

impl Switch {
    /// The commit has happened: the new versions stay, the old ones go when nobody can know them
    /// any more.
    pub fn done(mut self) {
        self.filling.views.clear();
        let former = self.filling.coordinator.former_catalogs();
        let coordinator = Arc::downgrade(&self.filling.coordinator);
        let runtime = self.filling.coordinator.runtime.clone();
        let retire = std::mem::take(&mut self.retire);
        runtime.spawn(async move {
            while former.iter().any(|catalog| catalog.strong_count() > 0) {
                tokio::time::sleep(super::RETIRE_INTERVAL).await;
            }
            if let Some(coordinator) = coordinator.upgrade() {
                coordinator.drop_views(retire).await;
            }
        });
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        let views = std::mem::take(&mut self.views);
        if !views.is_empty() {
            let coordinator = Arc::clone(&self.coordinator);
            self.coordinator.runtime.spawn(async move { coordinator.drop_views(views).await });
        }
    }
}

impl Coordinator {
    /// Drops views that are not in the catalog, given from below to above.
    async fn drop_views(&self, mut views: Vec<CollectionId>) {
        views.reverse();
        let change = Change { drop_views: views, ..Change::default() };
        // A server that is stopping drops everything.
        let _ = self.submit(change).await;
    }
}
