//! Renewing the reservation of read times (S1), beside the committer, so that a reader waits for
//! the disk at most and never for someone else's commit to be evaluated.

use std::sync::{Arc, Mutex, MutexGuard};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::log::{Log, LogError, Record, Storage};
use crate::time::Clock;

/// The log, shared by the committer and the thread that renews.
#[derive(Clone)]
pub struct SharedLog {
    log: Arc<Mutex<Log>>,
    clock: Arc<Clock>,
}

impl SharedLog {
    /// Starts the thread. It ends when the clock is closed.
    pub fn start(log: Log, clock: &Arc<Clock>) -> SharedLog {
        let shared = SharedLog { log: Arc::new(Mutex::new(log)), clock: Arc::clone(clock) };
        let (wake, woken) = bounded(1);
        clock.on_renewal_wanted(move || {
            // Full: it is awake already.
            let _ = wake.try_send(());
        });
        let renewing = shared.clone();
        let builder = std::thread::Builder::new().name("reservation".into());
        builder.spawn(move || renewing.run(&woken)).expect("the system has threads");
        shared
    }

    /// Writes a record and tells the clock what it reserves.
    pub fn append(&self, record: &Record) -> Result<(), Arc<LogError>> {
        self.append_locked(&mut self.lock(), record)
    }

    /// Takes room for a record of so many bytes. Without it nothing has happened, and the log goes
    /// on when there is room.
    pub fn make_room(&self, bytes: u64) -> Result<(), Arc<LogError>> {
        let made = self.lock().make_room(bytes);
        made.map_err(|error| match error {
            LogError::Full { .. } | LogError::Unsealed { .. } => Arc::new(error),
            error => self.fail(error),
        })
    }

    /// The oldest segment that can be sealed, after the newest was closed if it is old.
    pub fn first_closed(&self) -> Result<Option<u64>, LogError> {
        let mut log = self.lock();
        log.close_old()?;
        Ok(log.first_closed())
    }

    /// Whom to tell that a segment was closed.
    pub fn tell_closed(&self, told: Sender<()>) {
        self.lock().tell_closed(told);
    }

    /// A segment is sealed.
    pub fn forget(&self, number: u64) {
        self.lock().forget(number);
    }

    pub fn unsealed_bytes(&self) -> u64 {
        self.lock().unsealed_bytes()
    }

    /// Another handle on the log's files.
    pub fn storage(&self) -> Box<dyn Storage> {
        self.lock().storage()
    }

    /// A clean stop: what was given out is noted, nothing more is given out or written.
    pub fn close(&self) {
        let mut log = self.lock();
        let failed = self.clock.is_failed();
        let last = self.clock.close();
        if !failed && log.append(&Record::Reserve(last)).is_err() {
            tracing::warn!("the next start has to wait until the reservation has passed");
        }
    }

    fn run(&self, woken: &Receiver<()>) {
        while woken.recv().is_ok() {
            let mut log = self.lock();
            if self.clock.renewal_wanted() && !self.clock.is_failed() {
                let until = self.clock.reservation();
                // On failure the clock knows, and the next commit is told.
                let _ = self.append_locked(&mut log, &Record::Reserve(until));
            }
        }
    }

    fn append_locked(&self, log: &mut Log, record: &Record) -> Result<(), Arc<LogError>> {
        let until = match record {
            Record::Group(group) => group.reserved,
            Record::Reserve(until) => *until,
        };
        match log.append(record) {
            Ok(()) => {
                self.clock.reserved(until);
                Ok(())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn fail(&self, error: LogError) -> Arc<LogError> {
        tracing::error!(%error, "the log cannot be written; only reads until a restart");
        self.clock.fail();
        Arc::new(error)
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("nothing panics while holding it")
    }
}
