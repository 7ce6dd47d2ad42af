//! Admission: commits to tables whose views are behind wait, before the log.
//!
//! Law: what waits has not been evaluated, so it has no time, holds up nobody else, and leaves
//! nothing behind if the process ends. Commits to the same table keep their order.

use std::collections::VecDeque;
use std::time::Duration;

use super::Submit;
use crate::time::CollectionId;

/// How often the committer, when nothing else comes, looks whether the views have caught up.
pub const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Commits that wait for views.
#[derive(Default)]
pub struct Admission {
    held: VecDeque<Submit>,
}

impl Admission {
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Gives a commit back if it may go on, and keeps it otherwise.
    pub fn admit(
        &mut self,
        submit: Submit,
        is_behind: impl Fn(&[CollectionId]) -> bool,
    ) -> Option<Submit> {
        let tables = &submit.writes;
        let follows = |held: &Submit| held.writes.iter().any(|table| tables.contains(table));
        if tables.is_empty() || !(self.held.iter().any(follows) || is_behind(tables)) {
            return Some(submit);
        }
        self.held.push_back(submit);
        None
    }

    /// The first of those that wait no more.
    pub fn next(&mut self, is_behind: impl Fn(&[CollectionId]) -> bool) -> Option<Submit> {
        let mut passed: Vec<&CollectionId> = Vec::new();
        let mut next = None;
        for (place, held) in self.held.iter().enumerate() {
            let follows = held.writes.iter().any(|table| passed.contains(&table));
            if !follows && !is_behind(&held.writes) {
                next = Some(place);
                break;
            }
            passed.extend(&held.writes);
        }
        self.held.remove(next?)
    }
}
