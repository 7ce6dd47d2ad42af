//! What a view was before: every definition it had, with the time from which it held.
//!
//! Law      D(t) of the design: the version in force at t is the last one whose time is ≤ t; before
//!          the first, the first serves (S12)
//! Missing  versions of dropped objects: a name means today's object (S22)

use super::Catalog;
use crate::object::{CommitTime, Object, ObjectId};

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

    /// `VERSION AS OF number`.
    pub fn version_numbered(&self, id: ObjectId, number: u32) -> Option<Version<'_>> {
        self.versions(id).into_iter().find(|version| version.number == number)
    }
}
