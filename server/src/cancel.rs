//! Cancelling: how a statement in progress is told to stop.
//!
//! Law      A request ends the wait it meets, and the statement with it; a commit that has been
//!          handed to the engine is waited for, as nobody could say afterwards whether it happened.
//!          A request that comes between two statements is forgotten, a client's disappearance
//!          never is.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidemark_sql::error::{SqlError, state};
use tokio::sync::watch;
use tokio::task::unconstrained;
use tokio::time::Instant;

/// Why a statement should stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    None,
    Requested,
    TimedOut,
    ClientGone,
    Shutdown,
}

/// The cancel switch of one session, shared with whoever may throw it.
#[derive(Clone)]
pub struct Cancel {
    reason: Arc<watch::Sender<Reason>>,
    /// When the statement in progress has run long enough.
    deadline: Arc<Mutex<Option<Instant>>>,
    /// How long the statement in progress may wait for a lock, in milliseconds; 0 is for ever.
    lock_timeout_ms: Arc<AtomicU64>,
}

impl Default for Cancel {
    fn default() -> Self {
        Cancel {
            reason: Arc::new(watch::Sender::new(Reason::None)),
            deadline: Arc::default(),
            lock_timeout_ms: Arc::default(),
        }
    }
}

impl Cancel {
    /// The user asks for it: ends the statement in progress.
    pub fn request(&self) {
        self.raise(Reason::Requested);
    }

    /// Nobody is left to answer: ends the session.
    pub fn client_gone(&self) {
        self.raise(Reason::ClientGone);
    }

    /// The server stops: ends the session.
    pub fn shut_down(&self) {
        self.raise(Reason::Shutdown);
    }

    fn raise(&self, reason: Reason) {
        self.reason.send_if_modified(|now| {
            let raised = reason > *now;
            *now = reason.max(*now);
            raised
        });
    }

    /// A new statement begins: a request that was meant for an earlier one is forgotten, and it has
    /// `timeout_ms` to run; 0 is for ever.
    pub fn begin_statement(&self, timeout_ms: u64) {
        self.reason.send_if_modified(|now| {
            if *now <= Reason::TimedOut {
                *now = Reason::None;
            }
            false
        });
        let deadline = (timeout_ms > 0).then(|| Instant::now() + Duration::from_millis(timeout_ms));
        *self.deadline() = deadline;
    }

    pub fn set_lock_timeout(&self, timeout_ms: u64) {
        self.lock_timeout_ms.store(timeout_ms, Ordering::Relaxed);
    }

    /// Waits for a lock: like [`Cancel::guard`], and not longer than `lock_timeout` allows.
    pub async fn guard_lock<F: Future>(&self, lock: F) -> Result<F::Output, SqlError> {
        let timeout_ms = self.lock_timeout_ms.load(Ordering::Relaxed);
        if timeout_ms == 0 {
            return self.guard(lock).await;
        }
        let limit = Duration::from_millis(timeout_ms);
        let waited = self.guard(tokio::time::timeout(limit, lock)).await?;
        waited.map_err(|_| SqlError::new("55P03", "canceling statement due to lock timeout"))
    }

    fn deadline(&self) -> MutexGuard<'_, Option<Instant>> {
        self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the session should end.
    pub fn is_final(&self) -> bool {
        *self.reason.borrow() > Reason::TimedOut
    }

    /// Resolves when the session should end.
    pub async fn ended(&self) {
        let mut watch = self.reason.subscribe();
        // The sender lives in `self`, so waiting can't fail.
        let _ = watch.wait_for(|reason| *reason > Reason::TimedOut).await;
    }

    /// Waits for `future` unless the statement is cancelled first.
    pub async fn guard<F: Future>(&self, future: F) -> Result<F::Output, SqlError> {
        let mut watch = self.reason.subscribe();
        // A future that yields has used up the task's budget, without which tokio's own would not
        // even look.
        let raised = unconstrained(watch.wait_for(|reason| *reason != Reason::None));
        tokio::select! {
            biased;
            output = future => Ok(output),
            reason = raised => Err(error(reason.map_or(Reason::Shutdown, |reason| *reason))),
            () = unconstrained(self.time_out()) => Err(error(Reason::TimedOut)),
        }
    }

    async fn time_out(&self) {
        let deadline = *self.deadline();
        match deadline {
            Some(deadline) => {
                tokio::time::sleep_until(deadline).await;
                self.raise(Reason::TimedOut);
            }
            None => std::future::pending().await,
        }
    }

    /// An error if the statement has been cancelled.
    pub fn check(&self) -> Result<(), SqlError> {
        match *self.reason.borrow() {
            Reason::None => Ok(()),
            reason => Err(error(reason)),
        }
    }
}

fn error(reason: Reason) -> SqlError {
    match reason {
        Reason::None | Reason::Requested => {
            SqlError::new(state::QUERY_CANCELED, "canceling statement due to user request")
        }
        Reason::TimedOut => {
            SqlError::new(state::QUERY_CANCELED, "canceling statement due to statement timeout")
        }
        Reason::ClientGone => SqlError::new("08006", "the client has gone"),
        Reason::Shutdown => shutting_down(),
    }
}

/// What a statement is told that the server no longer has time for.
pub fn shutting_down() -> SqlError {
    let message = "terminating connection due to administrator command";
    SqlError::new(state::ADMIN_SHUTDOWN, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    #[tokio::test]
    async fn a_request_ends_the_wait_and_is_forgotten_by_the_next_statement() {
        let cancel = Cancel::default();
        cancel.request();
        let ended = cancel.guard(pending::<()>()).await.unwrap_err();
        assert_eq!(ended.code, "57014");
        cancel.begin_statement(0);
        assert_eq!(cancel.guard(async { 1 }).await, Ok(1));
        assert!(cancel.check().is_ok());
    }

    #[tokio::test]
    async fn what_never_stops_working_is_stopped_when_it_yields() {
        let busy = async {
            loop {
                tokio::task::coop::consume_budget().await;
            }
        };
        let cancel = Cancel::default();
        cancel.begin_statement(10);
        let ended: Result<(), _> = cancel.guard(busy).await;
        assert_eq!(ended.unwrap_err().message, "canceling statement due to statement timeout");
    }

    #[tokio::test]
    async fn a_statement_has_its_time() {
        let cancel = Cancel::default();
        cancel.begin_statement(10);
        let ended = cancel.guard(pending::<()>()).await.unwrap_err();
        assert_eq!(ended.message, "canceling statement due to statement timeout");
        cancel.begin_statement(0);
        assert!(cancel.check().is_ok());
    }

    #[tokio::test]
    async fn a_vanished_client_is_never_forgotten() {
        let cancel = Cancel::default();
        cancel.client_gone();
        cancel.request();
        cancel.begin_statement(0);
        assert!(cancel.is_final());
        assert!(cancel.check().is_err());
    }
}
