//! What a run tells beside its rows: notices, and by which road it read the past.

use std::sync::{Arc, Mutex};

use crate::error::Notice;

/// See the module. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct Told(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    notices: Vec<Notice>,
    roads: Vec<String>,
}

impl Told {
    /// Says it once, however often.
    pub(crate) fn notice(&self, notice: Notice) {
        let mut lines = self.0.lock().expect("nothing panics while holding it");
        if !lines.notices.contains(&notice) {
            lines.notices.push(notice);
        }
    }

    /// For EXPLAIN.
    pub(crate) fn road(&self, road: String) {
        let mut lines = self.0.lock().expect("nothing panics while holding it");
        if !lines.roads.contains(&road) {
            lines.roads.push(road);
        }
    }

    pub fn take_notices(&self) -> Vec<Notice> {
        let mut lines = self.0.lock().expect("nothing panics while holding it");
        std::mem::take(&mut lines.notices)
    }

    pub(crate) fn roads(&self) -> Vec<String> {
        self.0.lock().expect("nothing panics while holding it").roads.clone()
    }
}
