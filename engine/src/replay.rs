//! Replay: what a plan gave in the past, from the history of its tables.
//!
//! Law      [`replay`]: the updates add up, at every t of [from, to], to V(t): the plan evaluated
//!          from scratch over the tables as they stood at t, with now() = t. What is there at
//!          `from` comes first, as updates at `from`; what expires does so at its exact time
//!          [`point_in_time`]: for each request the rows of V(its time) that have its key
//! Delta    a table's spans are a +1 at their begin and a −1 at their end; the plan's own operators
//!          take them in batches of many times, so that a view and its replay cannot differ
//! State    that of the operators, and the changes of a stretch of time, a few million of them or
//!          fewer. Only rows whose key is among the requests' are replayed for those; what is more
//!          than the watch allows is replayed for one half of the keys after the other
//! Errors   a row that an operator cannot compute is left out, as in a view, and told;
//!          [`Stopped::TooLarge`] where one key, or a replay for none, does not fit
//!
//! Plans here read tables only. A replay runs on the caller's thread; a probe takes all
//! cores.

mod chain;
mod event_time;
mod keys;
mod merge;
mod probe;
mod requests;
mod restrict;
mod slices;
#[cfg(test)]
mod tests;

use std::fmt;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::take;

pub use self::event_time::{EventTime, EventTimeHistory};
use self::requests::Requests;
use self::restrict::{Restricted, Restriction, take_spans};
use self::slices::Slices;
use crate::plan::Plan;
use crate::quarantine::QuarantinedRow;
use crate::state::consolidate::consolidate;
use crate::store::Spans;
use crate::time::{CollectionId, Timestamp};
use crate::updates::Updates;

/// Where a plan's tables come from.
pub trait History {
    /// The rows that are there at some time of [from, to], with the columns that the plan's input
    /// has. Ends above `to` may be given as they are by now.
    fn spans(&self, table: CollectionId, from: Timestamp, to: Timestamp) -> Vec<Spans>;

    /// Shows those of them that begin or end after `from`, part by part, as long as `see` wants
    /// more.
    fn changed(
        &self,
        table: CollectionId,
        from: Timestamp,
        to: Timestamp,
        see: &mut dyn FnMut(Spans) -> bool,
    ) {
        let within = |time: u64| from.0 < time && time <= to.0;
        for spans in self.spans(table, from, to) {
            let changes = |&row: &u32| {
                let (begin, end) = (spans.begins[row as usize], spans.ends[row as usize]);
                within(begin) || within(end)
            };
            let rows: Vec<u32> = (0..spans.begins.len() as u32).filter(changes).collect();
            if !rows.is_empty() && !see(take_spans(&spans, &rows)) {
                return;
            }
        }
    }
}

/// Someone who waits for a replay: asked and told while it runs, from any thread.
///
/// Work is counted in rows of tables that are looked at, and in requests that are answered.
pub trait Watch: Sync {
    /// Whether to give up.
    fn is_cancelled(&self) -> bool;

    /// There is so much to do beside what was expected until now.
    fn expect(&self, _more: usize) {}

    /// So much of it is done.
    fn done(&self, _part: usize) {}

    /// It holds so many bytes by now, beside the tables and what it has given; false: they are more
    /// than it may.
    fn may_hold(&self, _bytes: usize) -> bool {
        true
    }
}

/// Says when to give up, and wants to know nothing.
impl<F: Fn() -> bool + Sync> Watch for F {
    fn is_cancelled(&self) -> bool {
        self()
    }
}

fn check(watch: &dyn Watch) -> Result<(), Stopped> {
    if watch.is_cancelled() { Err(Stopped::Cancelled) } else { Ok(()) }
}

/// A replay was given up because its [`Watch`] wanted it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    Cancelled,
    /// It would have held so many bytes.
    TooLarge(usize),
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stopped::Cancelled => f.write_str("replay was cancelled"),
            Stopped::TooLarge(bytes) => write!(f, "replay would have held {bytes} bytes"),
        }
    }
}

impl std::error::Error for Stopped {}

/// Gives `out` the plan's updates over [from, to], slice by slice: those of a slice in order of
/// time, one for each row and time. Returns the rows that fail at `to`.
pub fn replay(
    plan: &Plan,
    history: &dyn History,
    from: Timestamp,
    to: Timestamp,
    watch: &dyn Watch,
    out: &mut dyn FnMut(Updates),
) -> Result<Vec<QuarantinedRow>, Stopped> {
    // By places: one may want a table with its past, another without.
    let restricted = Restricted::new(plan, &[]);
    let tables = Restriction::new(&restricted, history, &[]);
    let mut slices = Slices::new(tables, from, to);
    while let Some(slice) = slices.next(watch)? {
        let updates = consolidate(slice.updates);
        if !updates.is_empty() {
            out(updates);
        }
    }
    Ok(slices.failed())
}

/// For each request, a row of `keys` and a time of `times` (µs since the Unix epoch): the plan's
/// rows whose `key_columns` equal its key, as they stood at its time, beside the request's number.
/// Keys have the types of the columns. A request with NULL as its time or in its key meets nothing.
pub fn point_in_time(
    plan: &Plan,
    history: &dyn History,
    key_columns: &[usize],
    keys: &[ArrayRef],
    times: &[Option<u64>],
    watch: &dyn Watch,
) -> Result<Vec<(UInt64Array, RecordBatch)>, Stopped> {
    let schema = plan.schema();
    let typed =
        |(&column, key): (&usize, &ArrayRef)| schema.field(column).data_type() == key.data_type();
    assert!(
        key_columns.len() == keys.len() && key_columns.iter().zip(keys).all(typed),
        "keys are of the types of the key columns"
    );
    let requests = Requests::new(keys, times);
    if requests.is_empty() {
        return Ok(vec![]);
    }
    let found = match probe::Probe::of(plan, key_columns) {
        Some(probe) => probe.run(history, &requests, watch),
        None => merge::run(plan, history, key_columns, &requests, watch),
    };
    match found {
        Err(Stopped::TooLarge(_)) if requests.keys.len() > 1 => {
            in_halves(plan, history, key_columns, &requests, times, watch)
        }
        found => found,
    }
}

/// What does not fit is asked for half of the keys, then for the others.
fn in_halves(
    plan: &Plan,
    history: &dyn History,
    key_columns: &[usize],
    requests: &Requests,
    times: &[Option<u64>],
    watch: &dyn Watch,
) -> Result<Vec<(UInt64Array, RecordBatch)>, Stopped> {
    let middle = requests.keys.len() as u32 / 2;
    let mut all = Vec::new();
    for half in [0..middle, middle..requests.keys.len() as u32] {
        let places = half.flat_map(|key| requests.of_key(key));
        let mut numbers: Vec<u32> = places.map(|place| requests.numbers[place as usize]).collect();
        numbers.sort_unstable();
        let rows = UInt32Array::from(numbers.clone());
        let column = |column: &ArrayRef| take(column, &rows, None).expect("rows of the requests");
        let keys: Vec<ArrayRef> = requests.columns.iter().map(column).collect();
        let times: Vec<_> = numbers.iter().map(|&number| times[number as usize]).collect();
        let found = point_in_time(plan, history, key_columns, &keys, &times, watch)?;
        let given = |of_half: &u64| u64::from(numbers[*of_half as usize]);
        all.extend(found.into_iter().map(|(asked, rows)| {
            (UInt64Array::from_iter_values(asked.values().iter().map(given)), rows)
        }));
    }
    Ok(all)
}
