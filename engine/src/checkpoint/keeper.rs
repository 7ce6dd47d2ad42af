//! The thread that takes checkpoints, when there is reason to or somebody asks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use futures::channel::oneshot;

use super::manifest::{KeptView, Manifest};
use super::taking::{Taken, Taking, Wanted};
use super::{CheckpointError, CheckpointLimits, CheckpointStatus};
use crate::maintenance::{Keepable, Maintenance};
use crate::time::{CollectionId, Timestamp};

/// How often it is looked whether one is due.
const INTERVAL: Duration = Duration::from_millis(100);
/// The last one, at a stop, takes no longer.
const LAST_MAX: Duration = Duration::from_secs(20);
/// Views with more parts are written whole.
const PARTS_MAX: usize = 24;
/// So many of the last checkpoints are remembered.
const HISTORY_MAX: usize = 32;
/// Parts of so few bytes are not worth writing a state whole.
const PART_BYTES_MIN: u64 = 256 * 1024;

type Answer = oneshot::Sender<Result<CheckpointStatus, CheckpointError>>;

/// The thread's handle.
pub(crate) struct Checkpointer {
    requests: Sender<Request>,
    thread: Mutex<Option<JoinHandle<()>>>,
    history: Arc<Mutex<Vec<CheckpointStatus>>>,
    /// When whatever is being taken is given up.
    deadline: Deadline,
}

type Deadline = Arc<Mutex<Option<Instant>>>;

enum Request {
    Take(Answer),
    /// Takes a last one, and ends.
    Stop,
}

impl Checkpointer {
    /// Goes on with what the maintenance has found. `grown` counts the log's bytes.
    pub fn start(
        maintenance: &Arc<Maintenance>,
        limits: CheckpointLimits,
        sync: bool,
        grown: Arc<AtomicU64>,
    ) -> Checkpointer {
        let (folder, manifest) = maintenance.found();
        let (requests, receiver) = unbounded();
        let history = Arc::new(Mutex::new(manifest.history.clone()));
        let deadline = Deadline::default();
        let keeper = Keeper {
            folder,
            manifest,
            maintenance: Arc::clone(maintenance),
            limits,
            sync,
            is_on_disk: true,
            whole: BTreeSet::new(),
            not: BTreeSet::new(),
            history: Arc::clone(&history),
            last: Instant::now(),
            deadline: Arc::clone(&deadline),
        };
        let builder = std::thread::Builder::new().name("checkpoints".into());
        let run = move || keeper.run(&receiver, &grown);
        let thread = Mutex::new(Some(builder.spawn(run).expect("the system has threads")));
        Checkpointer { requests, thread, history, deadline }
    }

    /// Has one taken.
    pub fn take(&self) -> oneshot::Receiver<Result<CheckpointStatus, CheckpointError>> {
        let (answer, receiver) = oneshot::channel();
        // Without a thread the receiver is told that nobody answers.
        let _ = self.requests.send(Request::Take(answer));
        receiver
    }

    /// The last ones, the newest at the end.
    pub fn history(&self) -> Vec<CheckpointStatus> {
        lock(&self.history).clone()
    }

    /// Takes a last one, in bounded time, and ends.
    pub fn shutdown(&self) {
        let thread = self.thread.lock().expect("nothing panics while holding it").take();
        if let Some(thread) = thread {
            *lock(&self.deadline) = Some(Instant::now() + LAST_MAX);
            let _ = self.requests.send(Request::Stop);
            // A thread that panicked has said so itself.
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while holding it")
}

struct Keeper {
    folder: PathBuf,
    manifest: Manifest,
    maintenance: Arc<Maintenance>,
    limits: CheckpointLimits,
    sync: bool,
    /// The manifest on disk is this one: the last was replaced without an error.
    is_on_disk: bool,
    /// Views whose changes were copied and not written: the next time all is.
    whole: BTreeSet<CollectionId>,
    /// Views whose states cannot be copied: it is not tried again.
    not: BTreeSet<CollectionId>,
    history: Arc<Mutex<Vec<CheckpointStatus>>>,
    /// When the last one was taken.
    last: Instant,
    deadline: Deadline,
}

impl Keeper {
    fn run(mut self, requests: &Receiver<Request>, grown: &AtomicU64) {
        loop {
            let request = requests.recv_timeout(INTERVAL);
            let bytes = grown.load(Ordering::Relaxed);
            let answer = match request {
                Ok(Request::Take(answer)) => Some(answer),
                Err(RecvTimeoutError::Timeout) if self.is_due(bytes) => None,
                Err(RecvTimeoutError::Timeout) => continue,
                Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    if bytes > 0 || self.history_is_empty() {
                        // Nobody asks any more; a failure has been told.
                        let _ = self.take_and_tell();
                    }
                    return;
                }
            };
            let status = self.take_and_tell();
            grown.fetch_sub(bytes, Ordering::Relaxed);
            if let Some(answer) = answer {
                // Who asked may be gone.
                let _ = answer.send(status);
            }
        }
    }

    fn is_due(&self, grown: u64) -> bool {
        grown >= self.limits.bytes || grown > 0 && self.last.elapsed() >= self.limits.interval
    }

    fn history_is_empty(&self) -> bool {
        lock(&self.history).is_empty()
    }

    fn take_and_tell(&mut self) -> Result<CheckpointStatus, CheckpointError> {
        self.last = Instant::now();
        let taken = self.take();
        match &taken {
            Ok(_) | Err(CheckpointError::Stopped) => {}
            Err(error) => tracing::warn!(%error, "there is no checkpoint"),
        }
        taken
    }

    /// Takes one. Without it everything is as it was, but that more is written the next time.
    fn take(&mut self) -> Result<CheckpointStatus, CheckpointError> {
        let begun = Instant::now();
        let mut keepable = self.maintenance.keepable();
        keepable.retain(|view| !self.not.contains(&view.id));
        let known: BTreeMap<CollectionId, KeptView> =
            self.manifest.views.iter().map(|view| (view.id, view.clone())).collect();
        let wanted = keepable.iter().map(|view| {
            let known = known.get(&view.id).filter(|known| known.fingerprint == view.fingerprint);
            let known = known.filter(|known| !is_to_be_whole(known));
            let known = known.filter(|_| !self.whole.contains(&view.id));
            Wanted { id: view.id, since: known.map(|known| known.upper - 1) }
        });
        let wanted: Vec<Wanted> = wanted.collect();
        // What is copied and then not written would be missing from what is copied later.
        self.whole.extend(wanted.iter().map(|view| view.id));
        let deadline = || lock(&self.deadline).is_some_and(|deadline| deadline < Instant::now());
        fs::create_dir_all(&self.folder)?;
        let folder = (self.folder.as_path(), self.sync);
        let number = self.manifest.next;
        // Never twice: a manifest whose putting failed late may be in its place, and naming files.
        self.manifest.next += 1;
        let taking = Taking::begin(folder, number, &self.maintenance, &wanted);
        let taken = taking.take(deadline);
        let taken = match taken {
            Ok(taken) => taken,
            Err(error) => {
                self.maintenance.abandon_checkpoint();
                self.remove_others();
                return Err(error);
            }
        };
        self.put(begun, &keepable, &wanted, known, taken)
    }

    /// Names what was written in a new manifest.
    fn put(
        &mut self,
        begun: Instant,
        keepable: &[Keepable],
        wanted: &[Wanted],
        mut known: BTreeMap<CollectionId, KeptView>,
        mut taken: Taken,
    ) -> Result<CheckpointStatus, CheckpointError> {
        self.not.extend(taken.not.drain(..));
        let mut kept: BTreeMap<CollectionId, KeptView> = BTreeMap::new();
        let mut status = CheckpointStatus::default();
        for (view, wanted) in keepable.iter().zip(wanted) {
            let Some(written) = taken.views.remove(&view.id) else { continue };
            if !view.upstream.iter().all(|below| kept.contains_key(below)) {
                continue;
            }
            let before = known.remove(&view.id).filter(|_| wanted.since.is_some());
            let mut parts = before.map_or_else(Vec::new, |before| before.parts);
            status.bytes_written += written.part.as_ref().map_or(0, |part| part.bytes);
            status.records_written += written.records;
            status.records_total += written.records_total;
            status.at = status.at.max(Timestamp(written.upper - 1));
            parts.extend(written.part);
            let (id, fingerprint, upper) = (view.id, view.fingerprint, written.upper);
            kept.insert(id, KeptView { id, fingerprint, upper, parts });
        }
        status.bytes_total = kept.values().map(KeptView::bytes).sum();
        status.views_kept = kept.len() as u64;
        status.views_rebuilt = taken.views_there.saturating_sub(kept.len()) as u64;
        status.took = begun.elapsed();
        let mut history = self.manifest.history.clone();
        history.push(status);
        history.drain(..history.len().saturating_sub(HISTORY_MAX));
        let last_commit = taken.last_commit.max(self.manifest.last_commit);
        let (workers, next) = (self.manifest.workers, self.manifest.next);
        let views: Vec<KeptView> = kept.into_values().collect();
        let manifest = Manifest { workers, next, last_commit, views, history: history.clone() };
        self.is_on_disk = false;
        manifest.replace(&self.folder, self.sync)?;
        self.is_on_disk = true;
        self.manifest = manifest;
        self.whole.retain(|view| !self.manifest.views.iter().any(|kept| kept.id == *view));
        *lock(&self.history) = history;
        self.remove_others();
        Ok(status)
    }

    /// Removes the files that the manifest on disk does not name, if it is known which one that is.
    fn remove_others(&self) {
        if self.is_on_disk
            && let Err(error) = self.manifest.remove_others(&self.folder)
        {
            tracing::warn!(%error, "files of earlier checkpoints are left behind");
        }
    }
}

/// Whether more was written of a view since it was written whole than that took.
fn is_to_be_whole(view: &KeptView) -> bool {
    let [first, later @ ..] = &view.parts[..] else { return false };
    let later_bytes: u64 = later.iter().map(|part| part.bytes).sum();
    view.parts.len() > PARTS_MAX || later_bytes > first.bytes.max(PART_BYTES_MIN)
}
