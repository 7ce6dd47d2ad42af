//! Told: what a statement says while it runs, from whatever thread, on its way to the client.
//!
//! Law: nothing said is lost; it waits here until somebody sends it.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::session::Notice;

/// See the module.
#[derive(Default)]
pub struct Told {
    notices: Mutex<Vec<Notice>>,
    more: Notify,
}

impl Told {
    pub fn add(&self, notice: Notice) {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).push(notice);
        self.more.notify_one();
    }

    /// What was said and is not sent.
    pub fn take(&self) -> Vec<Notice> {
        std::mem::take(&mut *self.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Resolves when something has been said since the last time.
    pub async fn more(&self) {
        self.more.notified().await;
    }
}
