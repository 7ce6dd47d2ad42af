//! The horizon: how far back anyone still reads.
//!
//! Law: [`Horizon::since`] is at or below the time of every living [`ReadGuard`], and of every one
//! that will ever be made by [`Horizon::begin_read`]. So a row that ended at or before it is read
//! by no one who reads the present. Who reads an older time holds it apart, so that what is written
//! now costs no more for it: nothing that was there then is forgotten while the guard lives.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::time::{Clock, Timestamp};

/// The times being read, counted, and a floor under those to come.
#[derive(Debug, Default)]
pub struct Horizon {
    reading: Mutex<BTreeMap<Timestamp, usize>>,
    /// The times of the past that are being read, counted.
    past: Mutex<BTreeMap<Timestamp, usize>>,
    floor: AtomicU64,
}

/// A read in progress at `at`: its rows stay until this is dropped.
#[derive(Debug)]
pub struct ReadGuard {
    pub at: Timestamp,
    is_past: bool,
    horizon: Arc<Horizon>,
}

/// Why nothing can be read at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadAtError {
    #[error("{at} is in the future; it is {latest} now")]
    Future { at: Timestamp, latest: Timestamp },
    #[error("{at} is before {oldest}, where what is kept of the past begins")]
    Forgotten { at: Timestamp, oldest: Timestamp },
}

impl Horizon {
    /// Nothing read yet, and nothing that may be dropped.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Takes a time to read at, which closes it (S1), and holds it. May wait, see
    /// [`Clock::read_time`].
    pub fn begin_read(self: &Arc<Self>, clock: &Clock) -> ReadGuard {
        // Held at MIN while the time is taken, so that none in between is let go.
        let mut guard = self.hold(Timestamp::MIN);
        let at = clock.read_time();
        let mut reading = self.lock();
        *reading.entry(at).or_default() += 1;
        release(&mut reading, Timestamp::MIN);
        drop(reading);
        guard.at = at;
        self.raise_floor(at);
        guard
    }

    /// Holds `at`, which must not be below [`Horizon::since`] for its rows to be there.
    pub fn hold(self: &Arc<Self>, at: Timestamp) -> ReadGuard {
        *self.lock().entry(at).or_default() += 1;
        ReadGuard { at, is_past: false, horizon: Arc::clone(self) }
    }

    /// Takes a time of the past to read at, which must be closed by now, and holds it. Whether a
    /// relation can be read then, [`super::Relation::check_readable`] says afterwards. May wait,
    /// see [`Clock::read_time`].
    pub fn begin_read_at(
        self: &Arc<Self>,
        clock: &Clock,
        at: Timestamp,
    ) -> Result<ReadGuard, ReadAtError> {
        if at > self.closed() {
            let present = self.begin_read(clock);
            if at > present.at {
                return Err(ReadAtError::Future { at, latest: present.at });
            }
        }
        Ok(self.hold_past(at))
    }

    /// Holds a time of the past that is closed, as the caller knows.
    pub fn hold_past(self: &Arc<Self>, at: Timestamp) -> ReadGuard {
        *self.lock_past().entry(at).or_default() += 1;
        ReadGuard { at, is_past: true, horizon: Arc::clone(self) }
    }

    /// Raises what a relation is `readable_from` to `to`, but not over a time that is being read.
    /// Returns the time such that rows that ended at or before it are read by no one.
    pub(super) fn forget(&self, readable_from: &AtomicU64, to: Timestamp) -> Timestamp {
        // Under the lock: a reader that holds its time and then finds it readable keeps it so.
        let past = self.lock_past();
        let oldest = past.first_key_value().map_or(Timestamp::MAX, |(&oldest, _)| oldest);
        let before = readable_from.fetch_max(to.min(oldest).0, Ordering::SeqCst);
        oldest.min(to.max(Timestamp(before)))
    }

    /// The latest time known to be closed: no commit comes at or before it any more.
    pub fn closed(&self) -> Timestamp {
        Timestamp(self.floor.load(Ordering::SeqCst))
    }

    /// Promises that no read will begin below `at`: a finished commit's time, or a closed one.
    pub fn raise_floor(&self, at: Timestamp) {
        self.floor.fetch_max(at.0, Ordering::SeqCst);
    }

    /// The oldest time that is read, now or ever again.
    pub fn since(&self) -> Timestamp {
        // The floor first: a reader with a lower time took it before, and stands in the list.
        let floor = Timestamp(self.floor.load(Ordering::SeqCst));
        let reading = self.lock();
        reading.first_key_value().map_or(floor, |(&oldest, _)| floor.min(oldest))
    }

    fn lock_past(&self) -> MutexGuard<'_, BTreeMap<Timestamp, usize>> {
        self.past.lock().expect("nothing panics while holding it")
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Timestamp, usize>> {
        self.reading.lock().expect("nothing panics while holding it")
    }
}

impl Clone for ReadGuard {
    fn clone(&self) -> Self {
        match self.is_past {
            true => self.horizon.hold_past(self.at),
            false => self.horizon.hold(self.at),
        }
    }
}

impl Drop for ReadGuard {
    fn drop(&mut self) {
        match self.is_past {
            true => release(&mut self.horizon.lock_past(), self.at),
            false => release(&mut self.horizon.lock(), self.at),
        }
    }
}

fn release(reading: &mut BTreeMap<Timestamp, usize>, at: Timestamp) {
    let count = reading.get_mut(&at).expect("a guard is counted as long as it lives");
    *count -= 1;
    if *count == 0 {
        reading.remove(&at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::ManualClock;

    #[test]
    fn since_follows_the_oldest_reader() {
        let horizon = Horizon::new();
        let clock = Clock::start(ManualClock::new(Timestamp(100)), Timestamp(7)).expect("ahead");
        clock.reserved(Timestamp(1_000));
        assert_eq!(horizon.since(), Timestamp::MIN);
        let first = horizon.begin_read(&clock);
        assert_eq!((first.at, horizon.since()), (Timestamp(100), Timestamp(100)));
        clock.begin_commit().expect("no step");
        clock.finish_commit();
        horizon.raise_floor(Timestamp(101));
        let second = horizon.begin_read(&clock);
        let third = first.clone();
        drop(first);
        assert_eq!(horizon.since(), Timestamp(100));
        drop(third);
        assert_eq!((second.at, horizon.since()), (Timestamp(101), Timestamp(101)));
    }
}
