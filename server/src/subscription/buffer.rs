//! The buffer between a relation and who takes its changes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use tidemark_engine::Timestamp;
use tidemark_sql::error::{SqlError, state};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// Bytes that wait before the one who takes them is waited for.
const WAITING_BYTES_MAX: usize = 32 << 20;
/// How long a full buffer may be left alone.
const PATIENCE: Duration = Duration::from_secs(5);

/// See the head of this file.
pub struct Buffer {
    state: Mutex<State>,
    /// Something was put in, or it ended.
    put: Notify,
    taken: Notify,
    complete: watch::Sender<Timestamp>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<RecordBatch>,
    bytes: usize,
    ended: Option<SqlError>,
}

impl Buffer {
    pub fn new(at: Timestamp) -> Buffer {
        Buffer {
            state: Mutex::default(),
            put: Notify::new(),
            taken: Notify::new(),
            complete: watch::Sender::new(at),
        }
    }

    /// Waits for room; 54000 if nobody makes any.
    pub async fn room(&self) -> Result<(), SqlError> {
        while self.lock().bytes > WAITING_BYTES_MAX {
            if timeout(PATIENCE, self.taken.notified()).await.is_err() {
                let bytes = self.lock().bytes;
                return Err(too_far_behind(format!(
                    "Changes of {bytes} bytes wait, and the client has taken none for {} seconds.",
                    PATIENCE.as_secs(),
                )));
            }
        }
        Ok(())
    }

    pub fn put(&self, batch: RecordBatch) {
        let mut state = self.lock();
        state.bytes += batch.get_array_memory_size();
        state.waiting.push_back(batch);
        self.put.notify_one();
    }

    /// Everything up to `at` has been put.
    pub fn put_all_until(&self, at: Timestamp) {
        self.complete.send_replace(at);
    }

    /// Nothing more comes.
    pub fn end(&self, error: SqlError) {
        let mut state = self.lock();
        if error.code == state::PROGRAM_LIMIT_EXCEEDED {
            state.waiting.clear();
        }
        state.ended = Some(error);
        drop(state);
        self.complete.send_replace(Timestamp::MAX);
        self.put.notify_one();
    }

    /// The error if what comes next can't be had any more.
    pub fn check_in_reach(&self) -> Result<(), SqlError> {
        match &self.lock().ended {
            Some(error) if error.code == state::PROGRAM_LIMIT_EXCEEDED => Err(error.clone()),
            _ => Ok(()),
        }
    }

    pub fn take(&self) -> Result<Option<RecordBatch>, SqlError> {
        let mut state = self.lock();
        match (state.waiting.pop_front(), &state.ended) {
            (Some(batch), _) => {
                state.bytes -= batch.get_array_memory_size();
                self.taken.notify_one();
                Ok(Some(batch))
            }
            (None, Some(error)) => Err(error.clone()),
            (None, None) => Ok(None),
        }
    }

    /// Waits until there is something to take.
    pub async fn filled(&self) {
        loop {
            {
                let state = self.lock();
                if !state.waiting.is_empty() || state.ended.is_some() {
                    return;
                }
            }
            self.put.notified().await;
        }
    }

    /// Waits until everything up to `at` has been put.
    pub async fn complete(&self, at: Timestamp) {
        // The sender lives in `self`, so waiting can't fail.
        let _ = self.complete.subscribe().wait_for(|complete| *complete >= at).await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 54000: the client takes changes more slowly than they come.
pub fn too_far_behind(detail: String) -> SqlError {
    let message = "the subscription has fallen too far behind";
    SqlError::new(state::PROGRAM_LIMIT_EXCEEDED, message)
        .with_detail(detail)
        .with_hint("Subscribe again AS OF the last time that was received, and read faster.")
}
