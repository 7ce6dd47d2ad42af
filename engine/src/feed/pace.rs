//! How fast a feed goes: how many entries a log has by now, how many go into one commit, and how
//! long they took to show.

use std::collections::VecDeque;
use std::time::Duration;

/// Entries in one commit.
const SIZE_MIN: u64 = 1024;
const SIZE_MAX: u64 = 256 * 1024;
/// As long as work may stand unprocessed (design §5).
const BUSY: Duration = Duration::from_millis(50);
/// Entries of a growing log are gathered for so long at least.
const GATHER: Duration = Duration::from_millis(5);
/// As long as a feed sleeps at most before it looks again.
const SLEEP_MAX: Duration = Duration::from_millis(100);
/// Latencies that are kept.
const LATENCIES_MAX: usize = 16 * 1024;

/// When the entries of a log are there, in time since a feed began.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Where the feed began.
    pub from: u64,
    /// Entries a second; `None`: all are there.
    pub rate: Option<u64>,
    pub end: Option<u64>,
}

impl Pace {
    /// The offset behind what is there after `elapsed`; `None` if there is no end of it.
    pub fn there(&self, elapsed: Duration) -> Option<u64> {
        let come = |rate: u64| (elapsed.as_secs_f64() * rate as f64) as u64;
        let grown = self.rate.map(|rate| self.from.saturating_add(come(rate)));
        match (grown, self.end) {
            (Some(grown), Some(end)) => Some(grown.min(end)),
            (grown, end) => grown.or(end),
        }
    }

    /// Up to where the next commit goes: `next` itself if it is too early for one.
    pub fn next(&self, next: u64, entries: u64, elapsed: Duration) -> u64 {
        let there = self.there(elapsed).unwrap_or(u64::MAX).max(next);
        let gathered = self.rate.map_or(1, |rate| {
            let gathered = (GATHER.as_secs_f64() * rate as f64) as u64;
            let left = self.end.map_or(u64::MAX, |end| end - next.min(end));
            gathered.min(left).max(1)
        });
        if there - next < gathered {
            return next;
        }
        there.min(next.saturating_add(entries))
    }

    /// How long it is until there may be enough for a commit.
    pub fn wait(&self, next: u64, elapsed: Duration) -> Duration {
        let due = self.arrival(next).map_or(SLEEP_MAX, |there| there + GATHER);
        due.saturating_sub(elapsed).clamp(Duration::from_micros(100), SLEEP_MAX)
    }

    /// When the entry at an offset is there, in a log that grows.
    pub fn arrival(&self, offset: u64) -> Option<Duration> {
        let rate = self.rate? as f64;
        Some(Duration::from_secs_f64((offset.saturating_sub(self.from) + 1) as f64 / rate))
    }
}

/// How many entries go into one commit: as many as the views take in [`BUSY`].
#[derive(Clone, Copy, Debug)]
pub struct Size(u64);

impl Default for Size {
    fn default() -> Self {
        Size(8 * SIZE_MIN)
    }
}

impl Size {
    pub fn entries(self) -> u64 {
        self.0
    }

    /// A commit of this size took so long.
    pub fn adapt(&mut self, busy: Duration) {
        self.0 = match () {
            () if busy > BUSY => self.0 / 2,
            () if busy < BUSY / 3 => self.0 * 2,
            () => self.0,
        };
        self.0 = self.0.clamp(SIZE_MIN, SIZE_MAX);
    }
}

/// The newest latencies.
#[derive(Clone, Debug, Default)]
pub struct Latencies(VecDeque<Duration>);

impl Latencies {
    pub fn note(&mut self, latency: Duration) {
        if self.0.len() == LATENCIES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(latency);
    }

    /// Below which this share of them is; `None` if there are none.
    pub fn quantiles<const N: usize>(&self, shares: [f64; N]) -> Option<[Duration; N]> {
        let mut sorted: Vec<Duration> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        Some(shares.map(|share| sorted[(last as f64 * share).round() as usize]))
    }
}
