//! Tell: what a statement says while it runs, from whatever thread, and by which road it read the
//! past.
//!
//! Law: a notice is told at once, and once, however often it is said.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Notice;
use crate::work::{Work, WorkKind, Works};

/// Hears the notices of a statement in progress, on any thread.
pub type Listener = Box<dyn Fn(Notice) + Send + Sync>;

/// See the module. Clones are one and the same.
#[derive(Clone, Default)]
pub struct Tell(Arc<Telling>);

#[derive(Default)]
struct Telling {
    listener: Option<Listener>,
    /// The connection whose statement it is.
    pid: Option<i32>,
    works: Arc<Works>,
    said: Mutex<Vec<Notice>>,
    roads: Mutex<Vec<String>>,
}

impl Tell {
    /// Of a statement of the connection `pid`, whose long work is found in `works`; without a
    /// listener nobody hears its notices.
    pub fn new(pid: i32, works: Arc<Works>, listener: Option<Listener>) -> Tell {
        let pid = Some(pid);
        Tell(Arc::new(Telling { listener, pid, works, ..Telling::default() }))
    }

    pub fn notice(&self, notice: Notice) {
        let mut said = self.0.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.contains(&notice) {
            return;
        }
        said.push(notice.clone());
        drop(said);
        if let Some(listener) = &self.0.listener {
            listener(notice);
        }
    }

    /// For EXPLAIN.
    pub(crate) fn road(&self, road: String) {
        let mut roads = self.0.roads.lock().unwrap_or_else(PoisonError::into_inner);
        if !roads.contains(&road) {
            roads.push(road);
        }
    }

    pub(crate) fn roads(&self) -> Vec<String> {
        self.0.roads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What begins now, about the relation `name`, and takes long.
    pub fn begin(&self, kind: WorkKind, name: &str) -> Arc<Work> {
        Works::begin(&self.0.works, self.clone(), self.0.pid, kind, name.to_owned())
    }

    /// All that is going on, whoever's statements.
    pub fn works(&self) -> &Works {
        &self.0.works
    }
}

impl fmt::Debug for Tell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tell")
    }
}
