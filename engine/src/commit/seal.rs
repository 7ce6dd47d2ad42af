//! Sealing: one thread that turns closed segments of the log into sealed ones, oldest first.
//!
//! Law
//! - No commit waits for it: it holds the log's lock only to ask which segment is next and to close
//!   an old one.
//! - A segment's file goes after the manifest that names what it became is in its place.
//! - What fails is tried again, after longer and longer pauses, and said each time; the log grows
//!   meanwhile, up to its limit. If what is read is damaged, or another process seals into the same
//!   place, nothing is sealed until a restart.

use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, after, bounded, never, select};

use super::reserve::SharedLog;
use crate::log::sealed::{Depot, Held, Schemas, SealedError, seal};
use crate::log::{LogError, Storage, segment_name};

/// How often it is looked whether the newest segment is old.
const INTERVAL: Duration = Duration::from_secs(1);
/// The first pause after a failure, and the longest.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Where sealing goes on.
#[derive(Debug)]
pub struct SealStart {
    pub depot: Depot,
    pub held: Held,
    /// The columns of the tables that there are after what is sealed.
    pub schemas: Schemas,
}

/// The thread's handle. Dropping it stops the thread.
pub struct Sealer {
    thread: Option<JoinHandle<()>>,
    stop: Option<Sender<()>>,
}

impl Sealer {
    pub fn start(start: SealStart, log: &SharedLog) -> Sealer {
        let (stop, stopped) = bounded(0);
        let SealStart { mut depot, held, schemas } = start;
        depot.stop_with(stopped.clone());
        let (told, closed) = bounded(1);
        log.tell_closed(told);
        let (log, storage) = (log.clone(), log.storage());
        let sealing = Sealing { depot, held, schemas, storage, log };
        let builder = std::thread::Builder::new().name("sealer".into());
        let thread = builder.spawn(move || sealing.run(&closed, &stopped));
        let thread = thread.expect("the system has threads");
        Sealer { thread: Some(thread), stop: Some(stop) }
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so itself.
            let _ = thread.join();
        }
    }
}

struct Sealing {
    depot: Depot,
    held: Held,
    schemas: Schemas,
    /// To read and remove closed segments beside whoever writes the log.
    storage: Box<dyn Storage>,
    log: SharedLog,
}

impl Sealing {
    fn run(mut self, closed: &Receiver<()>, stopped: &Receiver<()>) {
        let mut pause = PAUSE_MIN;
        let no_one = never();
        while stopped.try_recv() == Err(TryRecvError::Empty) {
            let (wait, woken) = match self.seal_next() {
                Ok(true) => {
                    pause = PAUSE_MIN;
                    continue;
                }
                Ok(false) => (INTERVAL, closed),
                Err(SealedError::Stopped) => return,
                Err(error) if error.may_pass() => {
                    let (unsealed_bytes, again_s) = (self.log.unsealed_bytes(), pause.as_secs());
                    tracing::warn!(%error, unsealed_bytes, again_s, "the log cannot be sealed");
                    let longer = PAUSE_MAX.min(pause * 2);
                    (std::mem::replace(&mut pause, longer), &no_one)
                }
                Err(error) => {
                    tracing::error!(%error, "the log is not sealed any more until a restart");
                    return;
                }
            };
            select! {
                recv(stopped) -> _ => return,
                recv(woken) -> _ => {}
                recv(after(wait)) -> _ => {}
            }
        }
    }

    /// Seals the oldest closed segment; says whether there was one.
    fn seal_next(&mut self) -> Result<bool, SealedError> {
        let Some(number) = self.log.first_closed()? else { return Ok(false) };
        let start = self.held.manifest.log_start();
        assert_eq!(start.number(), number, "the log begins where what is sealed ends");
        let file = segment_name(number);
        let io = |source| LogError::Io { file: file.clone(), source };
        let bytes = self.storage.read(&file).map_err(io)?;
        let sealed = seal(number, start.before, &bytes, self.schemas.clone())?;
        drop(bytes);
        for (file, bytes) in sealed.files {
            self.depot.put(&file, bytes)?;
        }
        let mut manifest = self.held.manifest.clone();
        let unnamed = manifest.forget_tables(&sealed.dropped);
        manifest.segments.push(sealed.segment);
        self.held = self.depot.replace(&self.held, manifest)?;
        self.schemas = sealed.schemas;
        for file in unnamed {
            if let Err(error) = self.depot.delete(&file) {
                tracing::warn!(file = file.path, %error, "a dropped table's file is left behind");
            }
        }
        self.log.forget(number);
        if let Err(error) = self.storage.remove(&file) {
            tracing::warn!(file, %error, "a sealed segment of the log stays until the next start");
        }
        Ok(true)
    }
}
