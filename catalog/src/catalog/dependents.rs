//! What stands on what: the ground for DROP, with and without CASCADE.
//!
//! Law      `plan_drop` returns an order in which every single `DropObject` is allowed
//! Missing  cycles: there are none, `apply` refuses the REPLACE that would close one

use std::collections::BTreeSet;

use super::Catalog;
use crate::error::CatalogError;
use crate::object::{Object, ObjectId, Table};
use crate::quote::quote_identifier;

/// What a DROP takes away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Everything to drop, dependents before what they stand on.
    pub order: Vec<ObjectId>,
    /// `view v` for each object that CASCADE adds, in the order Postgres tells them.
    pub cascaded: Vec<String>,
}

impl Dropped {
    /// The NOTICE a cascade is told with: message and detail. `None` when nothing was added.
    pub fn notice(&self) -> Option<(String, Option<String>)> {
        let line = |what: &String| format!("drop cascades to {what}");
        match self.cascaded.as_slice() {
            [] => None,
            [one] => Some((line(one), None)),
            many => {
                let message = format!("drop cascades to {} other objects", many.len());
                let detail: Vec<String> = many.iter().map(line).collect();
                Some((message, Some(detail.join("\n"))))
            }
        }
    }
}

impl Catalog {
    /// The views that read this object or use this function directly, by their present definitions,
    /// and the relations of this source.
    pub fn dependents(&self, id: ObjectId) -> Vec<ObjectId> {
        let reads = |object: &&Object| {
            object.view().is_some_and(|view| view.stands_on(id))
                || object.table().is_some_and(|table| table.source == Some(id))
        };
        self.objects().filter(reads).map(|object| object.id).collect()
    }

    /// The tables whose rows come from this source.
    pub fn relations_of(&self, source: ObjectId) -> impl Iterator<Item = &Object> {
        let of_it = move |table: &Table| table.source == Some(source);
        self.objects().filter(move |object| object.table().is_some_and(of_it))
    }

    /// All that would go with this object, dependents after what they stand on; without itself.
    pub fn dependents_transitive(&self, id: ObjectId) -> Vec<ObjectId> {
        let walk = self.walk(&[id]);
        walk.iter().rev().map(|step| step.id).filter(|found| *found != id).collect()
    }

    /// The former definitions that read this object: views with the number of the version. Dropping
    /// the object leaves those versions unreadable (S22).
    pub fn kept_versions_on(&self, id: ObjectId) -> Vec<(ObjectId, u32)> {
        let mut found = Vec::new();
        for entry in self.objects.values() {
            for (_, object) in &entry.earlier {
                if let Some(view) = object.view().filter(|view| view.stands_on(id)) {
                    found.push((object.id, view.version));
                }
            }
        }
        found
    }

    /// The drops that `DROP roots [CASCADE]` comes to.
    ///
    /// The relations of a source are of it, and go without being named. Without `cascade`, anything
    /// else outside `roots` that stands on them is an error (2BP01) whose
    /// detail lists it; kept versions count, since they become unreadable. `search_path` decides
    /// which names are spelled with their schema.
    pub fn plan_drop(
        &self,
        roots: &[ObjectId],
        cascade: bool,
        search_path: &[String],
    ) -> Result<Dropped, CatalogError> {
        let walk = self.walk(roots);
        let added: Vec<(ObjectId, ObjectId)> = walk
            .iter()
            .rev()
            .filter(|step| !self.goes_with(step.id, roots))
            .filter_map(|step| Some((step.on?, step.id)))
            .collect();
        if !cascade {
            self.check_nothing_added(roots, &added, search_path)?;
        }
        let mut cascaded: Vec<String> =
            added.iter().map(|(_, id)| self.describe(*id, search_path)).collect();
        let order: Vec<ObjectId> = walk.into_iter().map(|step| step.id).collect();
        cascaded.extend(self.lost_versions(&order).into_iter().map(|(_, view, version)| {
            format!("version {version} of {}", self.describe(view, search_path))
        }));
        Ok(Dropped { order, cascaded })
    }

    /// Whether it is one of these, or a relation of one.
    fn goes_with(&self, id: ObjectId, roots: &[ObjectId]) -> bool {
        let source = || self.get(id).and_then(|object| object.table()?.source);
        roots.contains(&id) || source().is_some_and(|source| roots.contains(&source))
    }

    /// The kept versions of views that stay which read something that goes: what goes, the view,
    /// the version's number.
    fn lost_versions(&self, gone: &[ObjectId]) -> Vec<(ObjectId, ObjectId, u32)> {
        let kept = |root: &ObjectId| {
            let root = *root;
            let versions = self.kept_versions_on(root).into_iter();
            versions.map(move |(view, version)| (root, view, version))
        };
        gone.iter().flat_map(kept).filter(|(_, view, _)| !gone.contains(view)).collect()
    }

    /// `view v`, `table s.t`: how messages name an object.
    pub fn describe(&self, id: ObjectId, search_path: &[String]) -> String {
        if let Some(function) = self.function(id) {
            return format!("function {}", self.function_name(function, search_path));
        }
        let Some(object) = self.get(id) else {
            return format!("object {id}");
        };
        format!("{} {}", object.kind.noun(), self.display_name(object, search_path))
    }

    /// The object's name, with its schema where the search path does not lead to it.
    pub fn display_name(&self, object: &Object, search_path: &[String]) -> String {
        let name = quote_identifier(&object.name);
        if self.is_visible(object.oid(), search_path) {
            return name;
        }
        format!("{}.{name}", quote_identifier(&object.schema))
    }

    /// For an object or function of `schema`.
    pub(super) fn check_no_dependents(
        &self,
        on: ObjectId,
        schema: &str,
    ) -> Result<(), CatalogError> {
        let direct = self.dependents(on);
        if direct.iter().all(|id| *id == on) {
            return Ok(());
        }
        let path = [schema.to_owned()];
        let added: Vec<_> = direct.into_iter().map(|id| (on, id)).collect();
        Err(self.dependents_error(&[on], &added, &path))
    }

    pub(super) fn check_schema_empty(&self, name: &str) -> Result<(), CatalogError> {
        let schema =
            self.schema(name).ok_or_else(|| CatalogError::UndefinedSchema(name.to_owned()))?;
        let schema_name = quote_identifier(name);
        let lines = schema
            .objects()
            .chain(schema.functions())
            .map(|id| format!("{} depends on schema {schema_name}", self.describe(id, &[])));
        let detail: Vec<String> = lines.collect();
        if detail.is_empty() {
            return Ok(());
        }
        let what = format!("schema {schema_name}");
        Err(CatalogError::Dependents { what, pronoun: "it", detail: detail.join("\n") })
    }

    fn check_nothing_added(
        &self,
        roots: &[ObjectId],
        added: &[(ObjectId, ObjectId)],
        search_path: &[String],
    ) -> Result<(), CatalogError> {
        if added.is_empty() && self.lost_versions(roots).is_empty() {
            return Ok(());
        }
        Err(self.dependents_error(roots, added, search_path))
    }

    fn dependents_error(
        &self,
        roots: &[ObjectId],
        added: &[(ObjectId, ObjectId)],
        search_path: &[String],
    ) -> CatalogError {
        let describe = |id| self.describe(id, search_path);
        let line = |(on, id): &(ObjectId, ObjectId)| {
            format!("{} depends on {}", describe(*id), describe(*on))
        };
        let mut lines: Vec<String> = added.iter().map(line).collect();
        lines.extend(self.lost_versions(roots).into_iter().map(|(root, view, version)| {
            format!("version {version} of {} depends on {}", describe(view), describe(root))
        }));
        let (what, pronoun) = match roots {
            [one] => (describe(*one), "it"),
            _ => ("desired object(s)".to_owned(), "them"),
        };
        CatalogError::Dependents { what, pronoun, detail: lines.join("\n") }
    }

    /// The roots and all that stands on them, each after its own dependents: the order to drop in.
    /// Newest first, as Postgres walks, so that messages attribute a dependent as Postgres does.
    fn walk(&self, roots: &[ObjectId]) -> Vec<Step> {
        let mut seen = BTreeSet::new();
        let mut steps = Vec::new();
        for root in roots {
            self.walk_from(Step { id: *root, on: None }, &mut seen, &mut steps);
        }
        steps
    }

    fn walk_from(&self, step: Step, seen: &mut BTreeSet<ObjectId>, steps: &mut Vec<Step>) {
        if !seen.insert(step.id) {
            return;
        }
        for dependent in self.dependents(step.id).into_iter().rev() {
            self.walk_from(Step { id: dependent, on: Some(step.id) }, seen, steps);
        }
        steps.push(step);
    }
}

/// An object on the way through its dependents, and what led to it.
struct Step {
    id: ObjectId,
    on: Option<ObjectId>,
}
