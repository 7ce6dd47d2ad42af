//! The one clock: which times commits and reads get.
//!
//! Law (S1, S2)
//! - Times only rise: a commit gets max(wall clock, last + 1), one group of commits in flight at a
//!   time. A read gets max(wall clock, last), or, while a group is in flight at t, t − 1; so it is
//!   at or above every finished commit and below the one in flight.
//! - Handing out a read time closes it: every later commit is above it. So that this outlives a
//!   restart, no read time above the *reservation* is handed out: a time which a record in the log
//!   promises to have passed before the next commit. It is renewed ahead, only while someone reads;
//!   a read beyond it waits for the renewal.
//! - Where rows are due to go at a time (a table's ttl), no time from then on is given out before
//!   the commit at exactly that time.
//! - A wall clock that steps forward by more than a minute against the monotonic clock stops
//!   commits, with an error that names both times, until the step is confirmed. Reads go on by the
//!   monotonic clock.
//! - A wall clock behind the last closed time is waited for at the start if it is by less than a
//!   minute, refused otherwise. While running, times creep by microseconds until it catches up.
//!
//! After a failed write of the log there are no more commits and no renewals: reads get the last
//! time that is safe, without waiting.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Timestamp;

/// Largest step of the wall clock that is taken without a question.
pub const STEP_MAX: Duration = Duration::from_secs(60);
/// How far ahead of a read a renewal reserves.
pub const RESERVE_AHEAD: Duration = Duration::from_millis(1_000);
/// A read that finds less than this reserved ahead asks for a renewal.
pub const RESERVE_LOW: Duration = Duration::from_millis(500);

/// The two clocks of the machine.
pub trait WallClock: Send + Sync {
    /// Microseconds since the Unix epoch; may step either way.
    fn wall(&self) -> Timestamp;
    /// Since some fixed moment; never goes back or steps.
    fn monotonic(&self) -> Duration;
    /// Lets `duration` pass.
    fn sleep(&self, duration: Duration);
}

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock { started: Instant::now() }
    }
}

impl WallClock for SystemClock {
    fn wall(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Timestamp(since_epoch.as_micros() as u64)
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// A clock that stands until it is moved, for tests.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: Mutex<(Timestamp, Duration)>,
}

impl ManualClock {
    /// Standing at `wall`.
    pub fn new(wall: Timestamp) -> Arc<Self> {
        Arc::new(ManualClock { now: Mutex::new((wall, Duration::ZERO)) })
    }

    /// Time passes: both clocks go on by `duration`.
    pub fn advance(&self, duration: Duration) {
        let mut now = self.lock();
        now.0.0 += duration.as_micros() as u64;
        now.1 += duration;
    }

    /// The wall clock alone is set to `wall`: a step.
    pub fn set_wall(&self, wall: Timestamp) {
        self.lock().0 = wall;
    }

    fn lock(&self) -> MutexGuard<'_, (Timestamp, Duration)> {
        self.now.lock().expect("nothing panics while holding it")
    }
}

impl WallClock for ManualClock {
    fn wall(&self) -> Timestamp {
        self.lock().0
    }

    fn monotonic(&self) -> Duration {
        self.lock().1
    }

    fn sleep(&self, duration: Duration) {
        self.advance(duration);
    }
}

/// Why no time can be given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// The wall clock stepped forward while running; commits stop until it is confirmed.
    #[error(
        "the wall clock stepped forward from {expected} to {wall}: \
         commits are stopped until the step is confirmed"
    )]
    Stepped { expected: Timestamp, wall: Timestamp },
    /// The wall clock is far behind what has been handed out already.
    #[error("the wall clock says {wall}, but times up to {last} have been given out already")]
    Behind { wall: Timestamp, last: Timestamp },
}

/// What the next group of commits is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Whoever has something to commit.
    Commit(Timestamp),
    /// Rows that are due to go at that time.
    Due(Timestamp),
}

/// See the head of this file. Shared by the committer and all readers.
pub struct Clock {
    source: Arc<dyn WallClock>,
    state: Mutex<State>,
    /// Signalled when the reservation, the group in flight or `failed` changes.
    changed: Condvar,
}

struct State {
    /// The highest time issued to a commit or closed by a read.
    last: Timestamp,
    in_flight: Option<Timestamp>,
    /// Durable: the log holds a promise that every later commit is above this.
    reserved: Timestamp,
    /// Someone read and found the reservation low.
    renewal_wanted: bool,
    /// When rows are next due to go: reads stay below it until the commit there is made.
    due: Timestamp,
    /// No commit will ever finish again in this process.
    failed: bool,
    /// Wall and monotonic clock when they were last seen and believed.
    seen: (Timestamp, Duration),
    /// Tells the committer that a renewal is wanted.
    wake: Option<Box<dyn Fn() + Send>>,
}

impl Clock {
    /// A clock that goes on after `last`, the highest time that the log knows as given out. Sleeps
    /// until the wall clock has passed it if that is less than a minute ahead.
    pub fn start(source: Arc<dyn WallClock>, last: Timestamp) -> Result<Arc<Clock>, ClockError> {
        loop {
            let wall = source.wall();
            if wall > last {
                break;
            }
            let behind = Duration::from_micros(last.0 - wall.0);
            if behind >= STEP_MAX {
                return Err(ClockError::Behind { wall, last });
            }
            source.sleep(behind + Duration::from_micros(1));
        }
        let state = State {
            last,
            in_flight: None,
            reserved: last,
            renewal_wanted: false,
            due: Timestamp::MAX,
            failed: false,
            seen: (source.wall(), source.monotonic()),
            wake: None,
        };
        Ok(Arc::new(Clock { source, state: Mutex::new(state), changed: Condvar::new() }))
    }

    /// What the wall clock says; closes nothing.
    pub fn wall(&self) -> Timestamp {
        self.source.wall()
    }

    /// What to call when a reader wants the reservation renewed. Called with the clock locked, so
    /// it must neither block nor call back.
    pub fn on_renewal_wanted(&self, wake: impl Fn() + Send + 'static) {
        self.lock().wake = Some(Box::new(wake));
    }

    /// The time of the next group of commits, which is in flight until [`Clock::finish_commit`].
    pub fn begin_commit(&self) -> Result<Timestamp, ClockError> {
        let mut state = self.lock();
        assert!(state.in_flight.is_none(), "one group of commits at a time");
        let (expected, wall) = self.observe(&mut state);
        if let Some(wall) = wall {
            return Err(ClockError::Stepped { expected, wall });
        }
        let time = expected.max(state.last.next());
        state.last = time;
        state.in_flight = Some(time);
        Ok(time)
    }

    /// The same, unless rows are due to go before: then a group at exactly that time comes first.
    pub fn begin_next(&self) -> Result<Begun, ClockError> {
        let mut state = self.lock();
        assert!(state.in_flight.is_none(), "one group of commits at a time");
        let (expected, wall) = self.observe(&mut state);
        if let Some(wall) = wall {
            return Err(ClockError::Stepped { expected, wall });
        }
        let next = expected.max(state.last.next());
        let begun = match next < state.due {
            true => Begun::Commit(next),
            false => Begun::Due(state.due),
        };
        let time = next.min(state.due);
        state.last = state.last.max(time);
        state.in_flight = Some(time);
        Ok(begun)
    }

    /// Rows are due to go at `due`, which is above every time given out (`None`: never). No later
    /// time is given out before [`Clock::begin_next`] has given that one.
    pub fn set_due(&self, due: Option<Timestamp>) {
        self.lock().due = due.unwrap_or(Timestamp::MAX);
    }

    /// Whether rows are due by now.
    pub fn is_due(&self) -> bool {
        let mut state = self.lock();
        let (now, _) = self.observe(&mut state);
        state.due <= now
    }

    /// The group in flight is durable and sequenced, or turned out empty: reads may see it.
    pub fn finish_commit(&self) {
        let mut state = self.lock();
        assert!(state.in_flight.take().is_some(), "a group was begun");
        self.changed.notify_all();
    }

    /// The group in flight may or may not be durable, and nothing will be any more.
    pub fn fail(&self) {
        self.lock().failed = true;
        self.changed.notify_all();
    }

    /// Whether no commit will ever finish again.
    pub fn is_failed(&self) -> bool {
        self.lock().failed
    }

    /// Closes and returns a time to read at. Waits while the reservation does not reach it.
    pub fn read_time(&self) -> Timestamp {
        let mut state = self.lock();
        loop {
            let (now, _) = self.observe(&mut state);
            let time = match state.in_flight {
                Some(commit) => commit.before(),
                None => now.max(state.last).min(state.due.before()),
            };
            if state.reserved.0 < time.0.saturating_add(RESERVE_LOW.as_micros() as u64)
                && !state.renewal_wanted
            {
                state.renewal_wanted = true;
                if let Some(wake) = &state.wake {
                    wake();
                }
            }
            if time <= state.reserved || state.failed {
                let time = time.min(state.reserved);
                state.last = state.last.max(time);
                return time;
            }
            state = self.changed.wait(state).expect("nothing panics while holding it");
        }
    }

    /// What the next record should reserve: ahead of now if someone reads, else what is reserved.
    pub fn reservation(&self) -> Timestamp {
        let mut state = self.lock();
        if !state.renewal_wanted {
            return state.reserved;
        }
        let (now, _) = self.observe(&mut state);
        let from = now.max(state.last);
        state.reserved.max(Timestamp(from.0 + RESERVE_AHEAD.as_micros() as u64))
    }

    /// Whether a reader found the reservation low and no record has renewed it since.
    pub fn renewal_wanted(&self) -> bool {
        self.lock().renewal_wanted
    }

    /// A durable record promises that later commits are above `until`. A commit's own time is such
    /// a promise.
    pub fn reserved(&self, until: Timestamp) {
        let mut state = self.lock();
        if until.0 > state.last.0 {
            state.renewal_wanted = false;
        }
        state.reserved = state.reserved.max(until);
        self.changed.notify_all();
    }

    /// How long it has been since some fixed moment, whatever the wall clock does.
    pub fn monotonic(&self) -> Duration {
        self.source.monotonic()
    }

    /// A clean stop: no more commits, and reads get no time above the one returned, which is the
    /// highest issued or closed so far. A reservation of it replaces the one in force.
    pub fn close(&self) -> Timestamp {
        let mut state = self.lock();
        assert!(state.in_flight.is_none() || state.failed, "no group is left half done");
        state.failed = true;
        state.wake = None;
        state.reserved = state.reserved.min(state.last);
        self.changed.notify_all();
        state.last
    }

    /// Takes the wall clock as it is now, after a step that stopped commits.
    pub fn confirm_step(&self) {
        let mut state = self.lock();
        state.seen = (self.source.wall(), self.source.monotonic());
    }

    /// The present time as far as it is believed, and the wall clock if it is not.
    fn observe(&self, state: &mut State) -> (Timestamp, Option<Timestamp>) {
        let (wall, monotonic) = (self.source.wall(), self.source.monotonic());
        let passed = monotonic.saturating_sub(state.seen.1);
        let expected = Timestamp(state.seen.0.0 + passed.as_micros() as u64);
        if wall.0 > expected.0 + STEP_MAX.as_micros() as u64 {
            return (expected, Some(wall));
        }
        state.seen = (wall, monotonic);
        (wall, None)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while holding it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: u64 = 1_000_000_000_000;
    const SECOND: u64 = 1_000_000;

    fn started(last: u64) -> (Arc<ManualClock>, Arc<Clock>) {
        let source = ManualClock::new(Timestamp(T0));
        let clock = Clock::start(source.clone(), Timestamp(last)).expect("the wall is ahead");
        (source, clock)
    }

    #[test]
    fn commits_rise_though_the_wall_stands_or_goes_back() {
        let (source, clock) = started(0);
        let first = clock.begin_commit().expect("no step");
        assert_eq!(first, Timestamp(T0));
        clock.finish_commit();
        assert_eq!(clock.begin_commit(), Ok(Timestamp(T0 + 1)));
        clock.finish_commit();
        source.set_wall(Timestamp(T0 - 30 * SECOND));
        assert_eq!(clock.begin_commit(), Ok(Timestamp(T0 + 2)));
    }

    #[test]
    fn a_read_closes_its_time() {
        let (_, clock) = started(0);
        clock.reserved(Timestamp(T0 + SECOND));
        assert_eq!(clock.read_time(), Timestamp(T0));
        assert_eq!(clock.begin_commit(), Ok(Timestamp(T0 + 1)));
        // in flight: below it, and again the same
        assert_eq!(clock.read_time(), Timestamp(T0));
        clock.finish_commit();
        assert_eq!(clock.read_time(), Timestamp(T0 + 1));
    }

    #[test]
    fn a_read_beyond_the_reservation_waits_for_its_renewal() {
        let (_, clock) = started(0);
        let (asked, wanted) = std::sync::mpsc::channel();
        clock.on_renewal_wanted(move || asked.send(()).expect("the test waits"));
        let reader = std::thread::spawn({
            let clock = Arc::clone(&clock);
            move || clock.read_time()
        });
        wanted.recv().expect("the reader asks");
        let until = clock.reservation();
        assert_eq!(until, Timestamp(T0 + SECOND));
        clock.reserved(until);
        assert_eq!(reader.join().expect("it reads"), Timestamp(T0));
        assert!(!clock.renewal_wanted());
        assert_eq!(clock.reservation(), until, "no one has asked for more");
    }

    #[test]
    fn reads_go_on_after_the_log_has_failed() {
        let (source, clock) = started(0);
        clock.reserved(Timestamp(T0 + SECOND));
        source.advance(Duration::from_secs(5));
        let commit = clock.begin_commit().expect("no step");
        clock.fail();
        assert_eq!(clock.read_time(), Timestamp(T0 + SECOND));
        assert!(clock.read_time() < commit);
    }

    #[test]
    fn nothing_above_what_a_clean_stop_remembers_is_given_out() {
        let (source, clock) = started(0);
        clock.reserved(Timestamp(T0 + SECOND));
        assert_eq!(clock.read_time(), Timestamp(T0));
        source.advance(Duration::from_millis(1));
        let last = clock.close();
        assert_eq!(last, Timestamp(T0));
        assert_eq!(clock.read_time(), last);
    }

    #[test]
    fn a_forward_step_stops_commits_until_confirmed() {
        let (source, clock) = started(0);
        clock.reserved(Timestamp(T0 + 600 * SECOND));
        source.advance(Duration::from_secs(3600));
        assert!(clock.begin_commit().is_ok(), "time passing is no step");
        clock.finish_commit();
        let expected = Timestamp(T0 + 3600 * SECOND);
        let wall = Timestamp(expected.0 + 61 * SECOND);
        source.set_wall(wall);
        assert_eq!(clock.begin_commit(), Err(ClockError::Stepped { expected, wall }));
        clock.reserved(Timestamp(T0 + 7200 * SECOND));
        assert_eq!(clock.read_time(), expected, "reads go on by the monotonic clock");
        clock.confirm_step();
        assert_eq!(clock.begin_commit(), Ok(wall));
    }

    #[test]
    fn a_wall_clock_behind_is_waited_for_or_refused() {
        let source = ManualClock::new(Timestamp(T0));
        let last = Timestamp(T0 + 30 * SECOND);
        let clock = Clock::start(source.clone(), last).expect("waits");
        assert!(source.wall() > last);
        assert!(clock.begin_commit().expect("no step") > last);

        let source = ManualClock::new(Timestamp(T0));
        let last = Timestamp(T0 + 60 * SECOND);
        let refused = Clock::start(source, last).err();
        assert_eq!(refused, Some(ClockError::Behind { wall: Timestamp(T0), last }));
    }
}
