//! Panics: which of them end the process, and which only a statement.
//!
//! Law      A panic anywhere but in a session ends the process with a message: the engine's state
//!          may be half changed, and recovery from the log is the one way back (design §5). A panic
//!          while a statement is planned or run over a snapshot changes nothing shared: it is
//!          contained, and the client gets an XX000. The engine contains those of a row's
//!          expressions and of a commit's evaluation itself, and tells of them as errors.
//!
//! A hook and `catch_unwind` rather than `panic = "abort"`, which would build DataFusion twice.

use std::any::Any;
use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Threads with names that begin so run sessions and queries, nothing else.
pub const SESSION_THREAD: &str = "tidemark-session";
/// The thread that polls sockets; a panic there loses one connection.
pub const SOCKET_THREAD: &str = "tidemark-sockets";

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Makes every panic that is not contained end the process. For `main`; tests keep their harness'
/// hook.
pub fn install_hook() {
    let report = take_hook();
    set_hook(Box::new(move |panic| {
        if QUIET.get() || tidemark_engine::is_contained() {
            return;
        }
        report(panic);
        let here = std::thread::current();
        let named = |prefix| here.name().is_some_and(|name| name.starts_with(prefix));
        let session = named(SESSION_THREAD) || named(SOCKET_THREAD);
        let expected = CONTAINED.get() || tidemark_catalog::durable::expects_panic();
        if !session && !expected {
            eprintln!(
                "tidemark: internal error, stopping; a restart recovers everything committed"
            );
            std::process::abort();
        }
    }));
}

/// Runs `work`; `Err` holds the panic's message.
pub fn contain<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = CONTAINED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(before);
    result.map_err(|panic| message(panic.as_ref()))
}

/// The same for work that panics on bad input from outside: nobody is told.
pub fn contain_quietly<T>(work: impl FnOnce() -> T) -> Option<T> {
    let before = QUIET.replace(true);
    let result = contain(work);
    QUIET.set(before);
    result.ok()
}

/// Polls `future`; a panic in it ends it with the panic's message. The future must hold nothing
/// whose half-done change could be seen afterwards.
pub async fn contain_future<F: Future>(future: F) -> Result<F::Output, String> {
    Contained { future: Box::pin(future) }.await
}

struct Contained<F> {
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Contained<F> {
    type Output = Result<F::Output, String>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match contain(|| self.future.as_mut().poll(context)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(message) => Poll::Ready(Err(message)),
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("panic without a message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_contained_panic_is_an_error_with_its_message() {
        assert_eq!(contain(|| 1), Ok(1));
        let failed = contain_future(async {
            if true {
                panic!("no {}", "way")
            }
        })
        .await;
        assert_eq!(failed, Err("no way".to_owned()));
    }
}
