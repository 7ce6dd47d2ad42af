//! Containment: a panic that costs a row or a commit, and not the process.
//!
//! Law: what runs in [`contain`] changes nothing that is seen after it panicked, so its panic is an
//! error like any other: some functions panic on odd input instead of failing. A hook that ends the
//! process for panics must let those pass for which [`is_contained`] holds.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic on this thread is caught by the engine, which tells of it as an error.
pub fn is_contained() -> bool {
    CONTAINED.get()
}

/// Runs `work`; `Err` holds the panic's message.
pub(crate) fn contain<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = CONTAINED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(before);
    result.map_err(|panic| message(panic.as_ref()))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("panic without a message").to_owned()
}
