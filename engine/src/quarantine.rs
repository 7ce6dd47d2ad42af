//! Quarantine: the rows that a view could not compute, and why.
//!
//! Law: a row stands here from the moment it failed until it is itself retracted. It is a
//! collection like any other: reports carry a time and a multiplicity, and add up.

use std::cmp::Ordering;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::time::{CollectionId, Timestamp};

/// All rows in quarantine, of all views.
#[derive(Debug, Default)]
pub struct Quarantine {
    rows: Mutex<BTreeMap<Key, Held>>,
    /// The views that ever had any here.
    views: Mutex<BTreeSet<CollectionId>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    view: CollectionId,
    operator: &'static str,
    row: String,
    error: String,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    count: i64,
    since: Timestamp,
    /// When one more failed last, and how many did.
    last: Timestamp,
    failed_last: i64,
}

impl Held {
    fn new(at: Timestamp, count: i64) -> Self {
        Held { count, since: at, last: at, failed_last: count }
    }

    fn add(&mut self, more: Held) {
        self.count += more.count;
        match more.last.cmp(&self.last) {
            Ordering::Greater => (self.last, self.failed_last) = (more.last, more.failed_last),
            Ordering::Equal => self.failed_last += more.failed_last,
            Ordering::Less => {}
        }
    }
}

/// One row in quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantinedRow {
    pub view: CollectionId,
    pub operator: &'static str,
    /// The operator's input row, as `(a, b, c)`.
    pub row: String,
    pub error: String,
    /// When it first failed.
    pub since: Timestamp,
    /// How many equal rows; negative for an over-retraction.
    pub count: i64,
}

impl Quarantine {
    /// Adds `diff` of the first row of `row`.
    pub(crate) fn record(
        &self,
        view: CollectionId,
        operator: &'static str,
        row: &RecordBatch,
        error: &str,
        time: Timestamp,
        diff: i64,
    ) {
        let key = Key { view, operator, row: display_row(row), error: error.to_string() };
        self.lock_views().insert(view);
        add(&mut self.lock(), key, Held::new(time, diff));
    }

    /// Whether a row of the view ever stood here.
    pub(crate) fn was_ever_in(&self, view: CollectionId) -> bool {
        self.lock_views().contains(&view)
    }

    /// Takes over all that stands in `other`.
    pub(crate) fn absorb(&self, other: &Quarantine) {
        let others = std::mem::take(&mut *other.lock());
        self.lock_views().extend(other.lock_views().iter());
        if !others.is_empty() {
            let mut rows = self.lock();
            others.into_iter().for_each(|(key, held)| add(&mut rows, key, held));
        }
    }

    /// Forgets the rows of a dropped view.
    pub(crate) fn forget(&self, view: CollectionId) {
        self.lock_views().remove(&view);
        self.lock().retain(|key, _| key.view != view);
    }

    /// What is in quarantine now, in order of view.
    pub fn rows(&self) -> Vec<QuarantinedRow> {
        self.rows_where(|held| Some(held.count))
    }

    /// Those that failed at exactly this time and not again later; `count` is how many did then.
    pub fn failed_at(&self, time: Timestamp) -> Vec<QuarantinedRow> {
        let failed = |held: &Held| (held.last == time).then_some(held.failed_last);
        let mut rows = self.rows_where(failed);
        rows.retain(|row| row.count > 0);
        rows
    }

    /// The rows for which `count` has a count.
    fn rows_where(&self, count: impl Fn(&Held) -> Option<i64>) -> Vec<QuarantinedRow> {
        let rows = self.lock();
        rows.iter()
            .filter_map(|(key, held)| Some((key, held, count(held)?)))
            .map(|(key, held, count)| QuarantinedRow {
                view: key.view,
                operator: key.operator,
                row: key.row.clone(),
                error: key.error.clone(),
                since: held.since,
                count,
            })
            .collect()
    }

    fn lock_views(&self) -> MutexGuard<'_, BTreeSet<CollectionId>> {
        self.views.lock().expect("no holder panics")
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Held>> {
        self.rows.lock().expect("no holder panics")
    }
}

fn add(rows: &mut BTreeMap<Key, Held>, key: Key, more: Held) {
    match rows.entry(key) {
        Entry::Vacant(entry) => drop(entry.insert(more)),
        Entry::Occupied(mut entry) => {
            entry.get_mut().add(more);
            if entry.get().count == 0 {
                entry.remove();
            }
        }
    }
}

fn display_row(row: &RecordBatch) -> String {
    let options = FormatOptions::default().with_null("NULL");
    let values = row.columns().iter().map(|column| {
        let formatter = ArrayFormatter::try_new(column.as_ref(), &options);
        formatter.map(|f| f.value(0).to_string()).unwrap_or_else(|error| error.to_string())
    });
    format!("({})", values.collect::<Vec<_>>().join(", "))
}
