//! Who looks at what: about a thousand item views a second, committed in small batches.
//!
//! Law     the same seed gives the same users and items; only the times are the clock's. Each start
//!         begins with a seed of its own, made of the events that are there, so that it doesn't
//!         repeat them
//! Lag     after every batch the row of its last user is read from the view. A read contains every
//!         acknowledged commit, so the time from the acknowledgement to the answer is how long the
//!         view takes to show a commit, one round trip included

use std::collections::VecDeque;
use std::fmt::Write;
use std::pin::pin;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures::SinkExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidemark_sql::text_io::datetime::format_timestamp;
use tokio::sync::watch;
use tokio_postgres::{Client, Statement};

use super::DemoError;
use super::shop::{ITEMS, USERS};

/// Events a second.
pub const RATE: u64 = 1_000;
/// Time between commits.
const BATCH: Duration = Duration::from_millis(50);
/// Time between events.
const EVENT_US: i64 = 1_000_000 / RATE as i64;
/// The longest time whose events are made up for in one commit.
const PAUSE_US_MAX: i64 = 500_000;
const SEED: u64 = 0x71de_3a2c;
/// Measurements kept for the median.
const LAGS: usize = 400;

/// What the generator has done and seen.
#[derive(Debug, Clone)]
pub struct Statistics {
    /// Item views in the table when it began.
    pub before: u64,
    /// Item views committed since.
    pub events: u64,
    pub commits: u64,
    pub since: Instant,
    /// The newest times from commit to visible in the view.
    lags: VecDeque<Duration>,
}

impl Statistics {
    pub fn new(before: u64) -> Statistics {
        let (since, lags) = (Instant::now(), VecDeque::new());
        Statistics { before, events: 0, commits: 0, since, lags }
    }

    /// Events a second since the start.
    pub fn rate(&self) -> f64 {
        self.events as f64 / self.since.elapsed().as_secs_f64().max(0.001)
    }

    /// The lag that `percent` of the newest commits did not exceed; none before the first.
    pub fn lag(&self, percent: usize) -> Option<Duration> {
        let mut sorted: Vec<_> = self.lags.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get((sorted.len().saturating_sub(1)) * percent / 100).copied()
    }

    fn add(&mut self, events: u64, lag: Duration) {
        self.events += events;
        self.commits += 1;
        if self.lags.len() == LAGS {
            self.lags.pop_front();
        }
        self.lags.push_back(lag);
    }
}

/// Makes events.
struct Events {
    random: StdRng,
    lines: String,
    last_user: u64,
}

impl Events {
    fn new(before: u64) -> Events {
        let random = StdRng::seed_from_u64(SEED ^ before);
        Events { random, lines: String::new(), last_user: 1 }
    }

    /// Lines of COPY for `count` events, spread evenly over (from, to]; µs since 1970.
    fn make(&mut self, count: u64, from: i64, to: i64) -> &str {
        self.lines.clear();
        for event in 1..=count {
            let ts = from + (to - from) * event as i64 / count as i64;
            // Squared, so that a few users and items are seen much more often than most.
            let user = 1 + (self.random.random::<f64>().powi(2) * USERS as f64) as u64;
            let item = 1 + (self.random.random::<f64>().powi(2) * ITEMS as f64) as u64;
            write!(self.lines, "{user}\t{item}\t").expect("writing to a String");
            format_timestamp(ts, &mut self.lines);
            self.lines.push_str("+00\n");
            self.last_user = user;
        }
        &self.lines
    }
}

/// Writes events and reads the view until `stop`.
pub async fn run(
    writer: Client,
    probe: Client,
    before: u64,
    report: watch::Sender<Statistics>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), DemoError> {
    let failed = |error| DemoError::Sql("generator", error);
    let copy = "COPY item_views (user_id, item_id, ts) FROM STDIN";
    let copy = writer.prepare(copy).await.map_err(failed)?;
    let read = "SELECT items FROM user_avg_price_30m WHERE user_id = $1::bigint";
    let read = probe.prepare(read).await.map_err(failed)?;
    let mut events = Events::new(before);
    let mut due = tokio::time::interval(BATCH);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut written_to = now_us();
    loop {
        tokio::select! {
            _ = due.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
        let now = now_us();
        // A clock set back makes no events until it has caught up; of a pause, not all is made up.
        let passed_us = (now - written_to).max(0);
        if passed_us > PAUSE_US_MAX {
            written_to = now - PAUSE_US_MAX;
        }
        let count = passed_us.min(PAUSE_US_MAX) / EVENT_US;
        if count == 0 {
            continue;
        }
        let until = written_to + count * EVENT_US;
        let lines = events.make(count as u64, written_to, until).as_bytes();
        let lines = Bytes::copy_from_slice(lines);
        written_to = until;
        write(&writer, &copy, lines).await.map_err(failed)?;
        let committed = Instant::now();
        let user = events.last_user as i64;
        probe.query_opt(&read, &[&user]).await.map_err(failed)?;
        report.send_modify(|statistics| statistics.add(count as u64, committed.elapsed()));
    }
}

/// One COPY: one commit.
async fn write(
    client: &Client,
    copy: &Statement,
    lines: Bytes,
) -> Result<(), tokio_postgres::Error> {
    let mut sink = pin!(client.copy_in(copy).await?);
    sink.send(lines).await?;
    sink.finish().await?;
    Ok(())
}

fn now_us() -> i64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since_1970.map_or(0, |since| since.as_micros() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_all_but_the_times() {
        let without_times = |events: &mut Events, from| {
            let lines = events.make(200, from, from + 50_000).lines();
            let lines = lines.map(|line| line.rsplit_once('\t').expect("three fields").0);
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let first = without_times(&mut Events::new(7), 0);
        assert_eq!(first, without_times(&mut Events::new(7), 1_000_000));
        assert_ne!(first, without_times(&mut Events::new(207), 0));
    }

    #[test]
    fn lines_are_as_copy_wants_them() {
        let mut events = Events::new(0);
        let last = events.make(2, 1_000_000, 1_500_000).lines().last().map(str::to_owned);
        let last = last.expect("two lines");
        assert!(last.ends_with("\t1970-01-01 00:00:01.5+00"), "{last}");
        assert!(last.starts_with(&format!("{}\t", events.last_user)));
    }

    #[test]
    fn percentiles() {
        let mut statistics = Statistics::new(0);
        assert_eq!(statistics.lag(50), None);
        (1..=100).for_each(|ms| statistics.add(1, Duration::from_millis(ms)));
        assert_eq!(statistics.lag(50), Some(Duration::from_millis(50)));
        assert_eq!(statistics.lag(99), Some(Duration::from_millis(99)));
        assert_eq!((statistics.events, statistics.commits), (100, 100));
    }
}
