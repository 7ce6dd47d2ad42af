//! Who is connected: numbers and secrets for CancelRequest, and a way to tell everyone to stop.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use std::time::{SystemTime, UNIX_EPOCH};

use tidemark_catalog::CommitTime;
use tidemark_catalog::system::Activity;
use tidemark_sql::context::Connections;
use tokio::sync::watch;

use crate::cancel::Cancel;

/// All sessions of one server.
#[derive(Default)]
pub struct Sessions {
    state: Mutex<State>,
    count: Arc<watch::Sender<usize>>,
}

#[derive(Default)]
struct State {
    last: i32,
    connected: HashMap<i32, Entry>,
    stopping: bool,
}

struct Entry {
    secret: i32,
    cancel: Cancel,
    doing: Doing,
}

/// What a session is doing, for pg_stat_activity.
pub type Doing = Arc<Mutex<Activity>>;

/// A session's entry, removed when dropped.
pub struct Registered {
    pub process_id: i32,
    pub secret: i32,
    pub doing: Doing,
    sessions: Arc<Sessions>,
}

impl Sessions {
    /// Enters a session under a number of its own, from 1 up.
    pub fn register(self: &Arc<Self>, cancel: Cancel) -> Registered {
        let secret = rand::random();
        let mut state = self.state();
        state.last = state.last.checked_add(1).unwrap_or(1);
        if state.stopping {
            cancel.shut_down();
        }
        let process_id = state.last;
        let doing = Doing::default();
        *activity(&doing) =
            Activity { pid: process_id, connected_at: wall_clock(), ..Activity::default() };
        state.connected.insert(process_id, Entry { secret, cancel, doing: Arc::clone(&doing) });
        self.count.send_replace(state.connected.len());
        drop(state);
        Registered { process_id, secret, doing, sessions: Arc::clone(self) }
    }

    /// A CancelRequest: without the right secret nothing happens, and nobody is told.
    pub fn cancel_request(&self, process_id: i32, secret: i32) {
        if let Some(entry) = self.state().connected.get(&process_id)
            && entry.secret == secret
        {
            entry.cancel.request();
        }
    }

    /// Ends every session, those to come included, and waits until they have gone.
    pub async fn shut_down(&self) {
        {
            let mut state = self.state();
            state.stopping = true;
            state.connected.values().for_each(|entry| entry.cancel.shut_down());
        }
        // The sender lives in `self`, so waiting can't fail.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections for Sessions {
    fn activity(&self) -> Vec<Activity> {
        self.state().connected.values().map(|entry| activity(&entry.doing).clone()).collect()
    }

    fn cancel(&self, pid: i32) -> bool {
        self.state().connected.get(&pid).inspect(|entry| entry.cancel.request()).is_some()
    }

    fn terminate(&self, pid: i32) -> bool {
        self.state().connected.get(&pid).inspect(|entry| entry.cancel.shut_down()).is_some()
    }
}

pub fn activity(doing: &Doing) -> MutexGuard<'_, Activity> {
    doing.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For what people look at; commits have the engine's clock.
pub fn wall_clock() -> CommitTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    CommitTime(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut state = self.sessions.state();
        state.connected.remove(&self.process_id);
        self.sessions.count.send_replace(state.connected.len());
    }
}
