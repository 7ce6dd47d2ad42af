//! The horizon: how far back anyone still reads.
//!
//! Law: [`Horizon::since`] is at or below the time of every living [`ReadGuard`], and of every one
//! that will ever be made. So a row that ended at or before it is read by no one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::time::{Clock, Timestamp};

/// The times being read, counted, and a floor under those to come.
#[derive(Debug, Default)]
pub struct Horizon {
    reading: Mutex<BTreeMap<Timestamp, usize>>,
    floor: AtomicU64,
}

/// A read in progress at `at`: its rows stay until this is dropped.
#[derive(Debug)]
pub struct ReadGuard {
    pub at: Timestamp,
    horizon: Arc<Horizon>,
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
        ReadGuard { at, horizon: Arc::clone(self) }
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

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Timestamp, usize>> {
        self.reading.lock().expect("nothing panics while holding it")
    }
}

impl Clone for ReadGuard {
    fn clone(&self) -> Self {
        self.horizon.hold(self.at)
    }
}

impl Drop for ReadGuard {
    fn drop(&mut self) {
        release(&mut self.horizon.lock(), self.at);
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
