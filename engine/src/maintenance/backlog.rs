//! The backlog: what is acknowledged and not yet in every view.
//!
//! How long it will take is told by the rows that wait and by what rows have cost so far; whatever
//! that says, a tick that has waited for the limit is a backlog.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::time::CollectionId;

/// Writers wait while what is ahead of them takes the views longer than this.
const BACKLOG_MAX: Duration = Duration::from_millis(50);
/// A step's cost counts half as much after as many rows again, but at least these.
const MEMORY_ROWS: f64 = 10_000.0;

/// A tick that views are at.
pub struct Tick {
    /// Done when its views are complete before it.
    pub upper: u64,
    pub rows: usize,
    pub tables: BTreeSet<CollectionId>,
    pub views: Vec<CollectionId>,
    pub published: Instant,
}

#[derive(Default)]
pub struct Backlog {
    /// In order of time.
    ticks: VecDeque<Tick>,
    last_done: Option<Instant>,
    /// What the newest rows have cost, and how many they are.
    spent: f64,
    rows: f64,
}

impl Backlog {
    pub fn push(&mut self, tick: Tick) {
        self.ticks.push_back(tick);
    }

    /// Drops the first ticks that all their views have, as `has` tells.
    pub fn settle(&mut self, now: Instant, has: impl Fn(CollectionId, u64) -> bool) {
        while let Some(tick) = self.ticks.front()
            && tick.views.iter().all(|view| has(*view, tick.upper))
        {
            let begun = self.last_done.map_or(tick.published, |last| last.max(tick.published));
            let (rows, spent) = (tick.rows as f64, now.saturating_duration_since(begun));
            let kept = MEMORY_ROWS / (MEMORY_ROWS + rows);
            self.spent = self.spent * kept + spent.as_secs_f64();
            self.rows = self.rows * kept + rows;
            self.last_done = Some(now);
            self.ticks.pop_front();
        }
    }

    /// Whether what waits of these tables is more than the views take in [`BACKLOG_MAX`].
    pub fn is_behind(&self, now: Instant, tables: &[CollectionId]) -> bool {
        let touches = |tick: &&Tick| tables.iter().any(|table| tick.tables.contains(table));
        let mut waiting = self.ticks.iter().filter(touches).peekable();
        let Some(oldest) = waiting.peek() else {
            return false;
        };
        if now.saturating_duration_since(oldest.published) > BACKLOG_MAX {
            return true;
        }
        let rows: usize = waiting.map(|tick| tick.rows).sum();
        let row = if self.rows > 0.0 { self.spent / self.rows } else { 0.0 };
        rows as f64 * row > BACKLOG_MAX.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(upper: u64, rows: usize, published: Instant) -> Tick {
        let (tables, views) = (BTreeSet::from([CollectionId(1)]), vec![CollectionId(2)]);
        Tick { upper, rows, tables, views, published }
    }

    #[test]
    fn what_waits_long_or_will_take_long_is_a_backlog() {
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let mut backlog = Backlog::default();
        let table = [CollectionId(1)];
        assert!(!backlog.is_behind(start, &table));
        backlog.push(tick(10, 1_000, start));
        assert!(!backlog.is_behind(ms(49), &table), "a first tick of unknown cost");
        assert!(backlog.is_behind(ms(51), &table));
        assert!(!backlog.is_behind(ms(51), &[CollectionId(3)]), "another table");
        // 1,000 rows took 60 ms; 500 more will take 30 ms, 2,000 will take 120.
        backlog.settle(ms(60), |_, upper| upper <= 10);
        assert!(!backlog.is_behind(ms(60), &table));
        backlog.push(tick(20, 500, ms(60)));
        assert!(!backlog.is_behind(ms(60), &table));
        backlog.push(tick(30, 2_000, ms(60)));
        assert!(backlog.is_behind(ms(60), &table));
        backlog.settle(ms(90), |_, upper| upper <= 20);
        assert!(backlog.is_behind(ms(90), &table));
        backlog.settle(ms(200), |_, _| true);
        assert!(!backlog.is_behind(ms(200), &table));
    }
}
