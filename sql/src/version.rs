//! Versions of views in time: which definition answers, and what it says down to the tables.
//!
//! Law      D(t) is the version in force at t, the first one before that; a version means what
//!          everything below it meant when it was made (S12). A plan of it has the columns that
//!          the view has today: those that came later are NULL
//! Errors   42704 for a version there is not, 42P01 where the version read what was dropped (S22)

use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::scalar::ScalarValue;
use tidemark_catalog::{
    Catalog, Column, CommitTime, Object, ObjectId, Version, VersionSelection, View,
};
use tidemark_engine::Plan;

use crate::context::PlanContext;
use crate::error::{Notice, SqlError, state};
use crate::maintain::plan_stored_view;
use crate::resolve::Resolver;
use crate::rewrite::postgres_semantics;
use crate::session_state::session_state;

/// A stretch of time in which a view's closure is one and the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefinitionSpan {
    /// What to give [`Resolver::expand_at`] for this stretch.
    pub which: VersionSelection,
    /// The number of the view's version.
    pub number: u32,
    /// The first of its times.
    pub from: CommitTime,
    /// The first time after it.
    pub until: CommitTime,
}

impl Resolver<'_> {
    /// The plan of a version of a view, down to the tables, with the view's columns of today.
    ///
    /// Every scan in it is of a table or of a system table. Not finished: `postgres_semantics` is
    /// still to come, as after [`Resolver::expand`].
    pub fn expand_at(&self, id: ObjectId, which: VersionSelection) -> Result<LogicalPlan> {
        let catalog = &self.ctx.catalog;
        let version = selected(catalog, id, which)?;
        let below = match which {
            VersionSelection::Current => CommitTime::STAGED,
            VersionSelection::Number(_) => version.from,
            VersionSelection::InForce(at) => at.max(version.from),
        };
        let resolver = Resolver::new(self.ctx, self.state).with_definitions_at(below);
        let (plan, _) = resolver.expand_version(version.object).map_err(|error| {
            let name = &version.object.name;
            let context = format!("version {} of view \"{name}\"", version.number);
            SqlError::from(error).with_context(context)
        })?;
        let today = catalog.get(id).map(Object::columns).unwrap_or_default();
        padded(plan, today)
    }
}

/// A plan with columns of NULLs at the end, up to `columns`.
fn padded(plan: LogicalPlan, columns: &[Column]) -> Result<LogicalPlan> {
    let has = plan.schema().fields().len();
    if has >= columns.len() {
        return Ok(plan);
    }
    let mut exprs: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    for column in &columns[has..] {
        let ty: DataType = column.ty.to_arrow(column.typmod);
        exprs.push(Expr::Literal(ScalarValue::try_from(&ty)?, None).alias(&column.name));
    }
    LogicalPlanBuilder::from(plan).project(exprs)?.build()
}

/// The version that is selected.
///
/// Errors: 42704 if there is none of that number.
pub fn selected(
    catalog: &Catalog,
    id: ObjectId,
    which: VersionSelection,
) -> Result<Version<'_>, SqlError> {
    catalog.select(id, which).ok_or_else(|| {
        let name = catalog.get(id).map_or_else(|| id.to_string(), |object| object.name.clone());
        let number = match which {
            VersionSelection::Number(number) => number.to_string(),
            VersionSelection::InForce(_) | VersionSelection::Current => String::new(),
        };
        let message = format!("version {number} of \"{name}\" does not exist");
        let last = catalog.versions(id).len();
        SqlError::new(state::UNDEFINED_OBJECT, message)
            .with_detail(format!("It has versions 1 to {last}."))
            .with_hint("tidemark.views lists them.")
    })
}

/// The stretches of [`from`, `to`] in which the closure of a view is the same, in order: together
/// they are all of it. With a version chosen by number, or the newest one, there is one.
///
/// Errors: 42704 if there is no such version.
pub fn spans(
    catalog: &Catalog,
    id: ObjectId,
    which: VersionSelection,
    from: CommitTime,
    to: CommitTime,
) -> Result<Vec<DefinitionSpan>, SqlError> {
    let end = CommitTime(to.0.saturating_add(1));
    if !matches!(which, VersionSelection::InForce(_)) {
        let number = selected(catalog, id, which)?.number;
        return Ok(vec![DefinitionSpan { which, number, from, until: end }]);
    }
    let changed = catalog.redefinitions(id);
    let within = changed.into_iter().filter(|time| from < *time && *time < end);
    let mut begins: Vec<CommitTime> = [from].into_iter().chain(within).collect();
    begins.push(end);
    let span = |pair: &[CommitTime]| {
        let which = VersionSelection::InForce(pair[0]);
        let number = selected(catalog, id, which)?.number;
        Ok(DefinitionSpan { which, number, from: pair[0], until: pair[1] })
    };
    begins.windows(2).map(span).collect()
}

/// What a statement says that reads a relation as of the times of [`from`, `to`]: that it crosses
/// versions or reads before the first, and that the name meant something else then (S12, S22).
pub fn notices(
    catalog: &Catalog,
    id: ObjectId,
    which: VersionSelection,
    from: CommitTime,
    to: CommitTime,
) -> Vec<Notice> {
    let Some(object) = catalog.get(id) else {
        return Vec::new();
    };
    let (noun, name) = (object.kind.noun(), &object.name);
    let mut notices = Vec::new();
    let created = catalog.created(id).unwrap_or(CommitTime::STAGED);
    if from < created && catalog.former_holder(object, from).is_some() {
        let message = format!("{noun} \"{name}\" is not what had that name at the time read");
        let hint = "What was dropped, or renamed, is not read under its old name.";
        notices.push(Notice { hint: Some(hint.to_owned()), ..Notice::new(message) });
    }
    if object.view().is_none() || !matches!(which, VersionSelection::InForce(_)) {
        return notices;
    }
    let crossed = spans(catalog, id, which, from, to).unwrap_or_default();
    let numbers: Vec<u32> = crossed.iter().map(|span| span.number).collect();
    if from < created {
        let message = format!("{noun} \"{name}\" did not exist then: its version 1 answers");
        notices.push(Notice::new(message));
    }
    if let [first, .., last] = numbers[..] {
        let message = format!("{noun} \"{name}\" is read across versions {first} to {last}");
        let hint = "VERSION AS OF n, or VERSION AS OF CURRENT, reads all times by one of them.";
        notices.push(Notice { hint: Some(hint.to_owned()), ..Notice::new(message) });
    }
    notices
}

/// The functions that a view's text uses, also inside others. Plans it, as it would be read.
pub fn functions_of(ctx: &PlanContext, object: &Object) -> Result<Vec<ObjectId>, SqlError> {
    let session = session_state(ctx);
    let (plan, resolved) = Resolver::new(ctx, &session).expand_version(object)?;
    postgres_semantics(plan, session.config_options())?;
    Ok(resolved.functions.into_iter().collect())
}

/// Whether a plain view of the catalog means what `object` would make of it: the same plan, by the
/// same bindings.
pub fn is_same_view(ctx: &PlanContext, object: &Object) -> Result<bool, SqlError> {
    let Some((old, new)) = both(ctx, object) else { return Ok(false) };
    if old.same_definition(new) {
        return Ok(true);
    }
    let same_names = (&old.bindings, &old.functions) == (&new.bindings, &new.functions);
    if old.columns != new.columns || !same_names {
        return Ok(false);
    }
    let session = session_state(ctx);
    let resolver = Resolver::new(ctx, &session);
    let (old, _) = resolver.expand_version(ctx.catalog.get(object.id).expect("just found"))?;
    Ok(old == resolver.expand_version(object)?.0)
}

/// The same of a materialized view: whether the same rows are kept in the same way.
pub fn is_same_materialized(ctx: &PlanContext, object: &Object) -> Result<bool, SqlError> {
    let Some((old, new)) = both(ctx, object) else { return Ok(false) };
    if old.same_definition(new) {
        return Ok(true);
    }
    if (&old.columns, &old.key) != (&new.columns, &new.key) {
        return Ok(false);
    }
    let present = ctx.catalog.get(object.id).expect("just found");
    // One that can't be planned any more is replaced by what can.
    let Ok(old) = plan_stored_view(ctx, present) else { return Ok(false) };
    Ok(is_same_plan(&old.plan, &plan_stored_view(ctx, object)?.plan))
}

/// Whether two plans keep the same rows in the same way.
pub fn is_same_plan(one: &Plan, other: &Plan) -> bool {
    // They hold expressions of any kind, which have no order to be compared in; what they print
    // for debugging is all of them.
    format!("{one:?}") == format!("{other:?}")
}

fn both<'a>(ctx: &'a PlanContext, object: &'a Object) -> Option<(&'a View, &'a View)> {
    Some((ctx.catalog.get(object.id)?.view()?, object.view()?))
}

#[cfg(test)]
mod tests;
