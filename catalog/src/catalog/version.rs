//! What a view was before: every definition it had, with the time from which it held.
//!
//! Law      D(t) of the design: the version in force at t is the last one whose time is ≤ t; before
//!          the first, the first serves (S12)
//!          A version is a definition down to the tables. Whatever replaces something below a view
//!          makes a version of the view in the same commit, so the closure of a version is what
//!          everything below was when the version came into force
//! Missing  versions of dropped objects: a name means today's object (S22)

use std::collections::BTreeSet;

use super::{Catalog, FormerHolder};
use crate::object::{CommitTime, Object, ObjectId, View};

/// One version of a view's definition.
#[derive(Clone, Copy, Debug)]
pub struct Version<'a> {
    /// From 1, without gaps.
    pub number: u32,
    /// In force from this time on; [`CommitTime::STAGED`] while its transaction is open.
    pub from: CommitTime,
    /// Until just before this time; `None` for the present definition.
    pub until: Option<CommitTime>,
    /// The view as that version defined it; name and comments are of that time too.
    pub object: &'a Object,
}

/// Which version of a view a statement means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VersionSelection {
    /// The one in force at this time.
    InForce(CommitTime),
    /// `VERSION AS OF n`.
    Number(u32),
    /// `VERSION AS OF CURRENT`: the newest, for all times.
    Current,
}

impl Catalog {
    /// Every version of a view, oldest first; a table is its own single version.
    pub fn versions<'a>(&'a self, id: ObjectId) -> Vec<Version<'a>> {
        let Some(entry) = self.objects.get(&id) else {
            return Vec::new();
        };
        let earlier = entry.earlier.iter().map(|(from, object)| (*from, object));
        let all: Vec<_> = earlier.chain([(entry.from, &entry.object)]).collect();
        let build = |(at, (from, object)): (usize, &(CommitTime, &'a Object))| Version {
            number: object.view().map_or(1, |view| view.version),
            from: *from,
            until: all.get(at + 1).map(|(next, _)| *next),
            object,
        };
        all.iter().enumerate().map(build).collect()
    }

    /// The version in force at a time; the first one for times before it.
    pub fn version_at(&self, id: ObjectId, at: CommitTime) -> Option<Version<'_>> {
        let versions = self.versions(id);
        let in_force = versions.iter().rev().find(|version| version.from <= at);
        in_force.or(versions.first()).copied()
    }

    /// The version that is selected; `None` if there is no such object or number.
    pub fn select(&self, id: ObjectId, which: VersionSelection) -> Option<Version<'_>> {
        match which {
            VersionSelection::InForce(at) => self.version_at(id, at),
            VersionSelection::Number(number) => self.version_numbered(id, number),
            VersionSelection::Current => self.versions(id).pop(),
        }
    }

    /// The times at which an object, or anything that it or a version of it stands on, came to
    /// mean something else, in rising order. Between two of them its closure is the same.
    pub fn redefinitions(&self, id: ObjectId) -> BTreeSet<CommitTime> {
        let mut times = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            if let Some(entry) = self.functions.get(&id) {
                times.extend(entry.earlier.iter().skip(1).map(|(from, _)| *from));
                times.extend((!entry.earlier.is_empty()).then_some(entry.from));
            }
            let versions = self.versions(id);
            times.extend(versions.iter().skip(1).map(|version| version.from));
            for view in versions.iter().filter_map(|version| version.object.view()) {
                open.extend(view.depends_on.iter().chain(&view.functions));
            }
        }
        times
    }

    /// When the object came to be.
    pub fn created(&self, id: ObjectId) -> Option<CommitTime> {
        let entry = self.objects.get(&id)?;
        Some(entry.earlier.first().map_or(entry.from, |(from, _)| *from))
    }

    /// Another object that had this one's name at a time.
    pub fn former_holder(&self, object: &Object, at: CommitTime) -> Option<FormerHolder> {
        let name = (object.schema.clone(), object.name.clone());
        let holders = self.former.get(&name)?;
        let held = |holder: &&FormerHolder| {
            holder.id != object.id && holder.from <= at && at < holder.until
        };
        holders.iter().rev().find(held).copied()
    }

    /// Whether something that the view names directly has changed after a time.
    pub(super) fn below_changed_after(&self, view: &View, time: CommitTime) -> bool {
        let object = |id| self.objects.get(id).is_some_and(|entry| entry.from > time);
        let function = |id| self.functions.get(id).is_some_and(|entry| entry.from > time);
        view.depends_on.iter().any(object) || view.functions.iter().any(function)
    }

    /// `VERSION AS OF number`.
    pub fn version_numbered(&self, id: ObjectId, number: u32) -> Option<Version<'_>> {
        self.versions(id).into_iter().find(|version| version.number == number)
    }
}
