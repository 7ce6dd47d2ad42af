//! The server: sockets, sessions and the coordinator around one engine.
//!
//! The way of a statement: [`wire`] reads it from a socket, [`session`] holds what the connection
//! has said so far, [`coordinator`] runs it (one file per kind of statement) against the catalog
//! and the engine, and its rows go back out through [`wire::encode`].
//!
//! [`Server::start`] runs one in this process, any number of them side by side: tests and the
//! sqllogictest runner use it as `main` does.

pub mod cancel;
pub mod config;
pub mod coordinator;
pub mod copy;
pub mod demo;
mod lock;
pub mod panic;
pub mod rows;
pub mod session;
mod sessions;
mod subscription;
mod told;
mod transaction;
pub mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidemark_catalog::durable::DurableError;
use tidemark_engine::EngineError;
use tidemark_engine::time::{SystemClock, WallClock};
use tidemark_sql::Tell;
use tidemark_sql::{PlanContext, Settings};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

pub use config::Config;
use config::ListenError;
use coordinator::Coordinator;

/// Sessions that don't end within this time of a shutdown are cut off.
const GOODBYE: Duration = Duration::from_secs(10);
/// Expressions are trees, and walking a deep one takes stack; untouched stack costs nothing.
const STACK_BYTES: usize = 32 << 20;

/// Starts servers.
pub struct Server;

/// A server that takes connections. Dropping it stops it without waiting for its sessions.
pub struct Running {
    /// Where it listens: the actual port if any was asked for.
    pub addr: SocketAddr,
    coordinator: Arc<Coordinator>,
    stop: watch::Sender<bool>,
    runtimes: Option<Runtimes>,
}

/// The server's own threads, so that it lives in any caller's runtime and ends with them.
///
/// A tokio worker that is kept busy may be the one that should poll the sockets of all: planning
/// one statement would stop everybody. So sockets have a runtime that does nothing else.
struct Runtimes {
    sessions: Runtime,
    io: Runtime,
}

/// Why a server can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("can't listen on {0}: {1}")]
    Bind(SocketAddr, std::io::Error),
    #[error("{0}")]
    Engine(EngineError),
    #[error("the catalog can't be recovered: {0}")]
    Catalog(DurableError),
    #[error("queries can't put on disk what does not fit into memory: {0}")]
    Spill(std::io::Error),
    #[error("can't start threads: {0}")]
    Threads(std::io::Error),
}

impl Server {
    /// Recovers the data directory, fills the materialized views, and listens. Returns when
    /// connections are taken.
    pub async fn start(config: Config) -> Result<Running, StartError> {
        Server::start_by(config, Arc::new(SystemClock::default())).await
    }

    /// The same by other clocks than the machine's, for tests.
    pub async fn start_by(
        config: Config,
        clock: Arc<dyn WallClock>,
    ) -> Result<Running, StartError> {
        // Reading the log takes long: not on the caller's runtime.
        let (done, started) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("tidemark-start".to_owned())
            .spawn(move || done.send(start(&config, clock)).map_err(drop))
            .map_err(StartError::Threads)?;
        match started.await {
            Ok(started) => started,
            Err(_) => Err(StartError::Threads(std::io::Error::other("starting panicked"))),
        }
    }
}

fn start(config: &Config, clock: Arc<dyn WallClock>) -> Result<Running, StartError> {
    let address = config.listen_address()?;
    let runtimes = Runtimes::start().map_err(StartError::Threads)?;
    let (sessions, io) = (runtimes.sessions.handle(), runtimes.io.handle());
    let listener = io.block_on(TcpListener::bind(address));
    let listener = listener.map_err(|error| StartError::Bind(address, error))?;
    let addr = listener.local_addr().map_err(|error| StartError::Bind(address, error))?;
    let coordinator = coordinator::open(config, clock, sessions.clone(), io.clone())?;
    let stop = watch::Sender::new(false);
    io.spawn(accept(listener, Arc::clone(&coordinator), stop.subscribe()));
    tracing::info!(%addr, data = %config.data.display(), "listening");
    Ok(Running { addr, coordinator, stop, runtimes: Some(runtimes) })
}

impl Runtimes {
    fn start() -> std::io::Result<Runtimes> {
        // More threads than cores: planning a statement or sorting a batch keeps one busy for a
        // while, and other sessions should not wait for it.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let sessions = Builder::new_multi_thread()
            .worker_threads(cores + 4)
            .thread_name(panic::SESSION_THREAD)
            .thread_stack_size(STACK_BYTES)
            .enable_time()
            .build()?;
        let io = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(panic::SOCKET_THREAD)
            .enable_all()
            .build()?;
        Ok(Runtimes { sessions, io })
    }
}

async fn accept(
    listener: TcpListener,
    coordinator: Arc<Coordinator>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((socket, _)) => {
                tokio::spawn(wire::serve(Arc::clone(&coordinator), socket));
            }
            Err(error) => {
                // Out of file handles, mostly: connections that end free some.
                tracing::warn!(%error, "can't accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

impl Running {
    /// How many materialized views are kept up: with versions that are being filled, and replaced
    /// ones that may still be read.
    pub fn maintained_views(&self) -> usize {
        self.coordinator.engine.views().len()
    }

    /// What a statement is planned in: to plan a text beside the server, by the names it has now.
    pub fn plan_context(&self) -> PlanContext {
        PlanContext {
            catalog: self.coordinator.catalog(),
            engine: Arc::clone(&self.coordinator.engine),
            settings: Settings::default(),
            user: "tester".to_owned(),
            database: "test".to_owned(),
            connections: None,
            tell: Tell::default(),
        }
    }

    /// Ends every session, then the engine. What was acknowledged is in the log already.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        let sessions = Arc::clone(&self.coordinator.sessions);
        if tokio::time::timeout(GOODBYE, sessions.shut_down()).await.is_err() {
            tracing::warn!("some sessions did not end in time");
        }
        let runtimes = self.runtimes.take();
        let coordinator = Arc::clone(&self.coordinator);
        // The engine's threads are joined: not on the caller's runtime.
        let stopped = tokio::task::spawn_blocking(move || stop_engine(&coordinator, runtimes));
        if stopped.await.is_err() {
            tracing::warn!("the engine did not stop cleanly");
        }
    }
}

fn stop_engine(coordinator: &Coordinator, runtimes: Option<Runtimes>) {
    coordinator.engine.shutdown();
    if let Some(runtimes) = runtimes {
        runtimes.sessions.shutdown_timeout(GOODBYE);
        runtimes.io.shutdown_timeout(GOODBYE);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtimes) = self.runtimes.take() {
            self.stop.send_replace(true);
            self.coordinator.engine.shutdown();
            runtimes.sessions.shutdown_background();
            runtimes.io.shutdown_background();
        }
    }
}
