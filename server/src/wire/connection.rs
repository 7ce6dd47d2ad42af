//! A connection: the loop from message to message.
//!
//! Law      Every message that asks for an answer gets it in order; after an error in the extended
//!          protocol everything up to Sync is skipped. Whatever ends the loop, dropping the
//!          connection rolls back, unlocks and deregisters.

use std::collections::VecDeque;
use std::sync::Arc;

use pgwire::messages::startup::{ParameterStatus, SecretKey, Startup};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use tidemark_sql::ParsedStatement;
use tidemark_sql::error::{SqlError, state};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::frame::{self, Incoming};
use super::output::{Output, Severity};
use super::startup::{self, Greeting};
use super::{extended, simple};
use crate::cancel::Cancel;
use crate::coordinator::{self, Coordinator, Outcome};
use crate::session::Session;

/// One client: what it sends, what it is sent, and what it has said.
pub struct Connection {
    pub session: Session,
    pub output: Output,
    incoming: mpsc::Receiver<Incoming>,
    /// Looked at already, still to be handled.
    ahead: VecDeque<Incoming>,
    /// The settings the client knows of.
    reported: Vec<(String, String)>,
}

/// Serves one socket: greets it here, on the runtime that polls sockets, and leaves its session to
/// the runtime that may be kept busy.
pub async fn serve(coordinator: Arc<Coordinator>, mut socket: TcpStream) {
    // Answers are flushed where the protocol says so; waiting for more would only delay them.
    let _ = socket.set_nodelay(true);
    match startup::greet(&mut socket).await {
        Ok(Greeting::Session(startup)) => {
            let sessions = coordinator.runtime.clone();
            sessions.spawn(converse(coordinator, startup, socket));
        }
        Ok(Greeting::Cancel(request)) => {
            if let SecretKey::I32(secret) = request.secret_key {
                coordinator.sessions.cancel_request(request.pid, secret);
            }
        }
        Ok(Greeting::Nothing) => {}
        Err(error) => tracing::debug!(%error, "connection lost before it began"),
    }
}

/// A session from its startup packet to its end.
async fn converse(coordinator: Arc<Coordinator>, startup: Startup, socket: TcpStream) {
    let cancel = Cancel::default();
    let registered = coordinator.sessions.register(cancel.clone());
    let peer = socket.peer_addr().ok();
    let mut session = Session::new(Arc::clone(&coordinator), &registered, cancel.clone());
    if let Err(error) = startup::apply(&startup, &mut session) {
        let _ = startup::refuse(socket, &error).await;
        return;
    }
    session.note_connected(peer);
    let (read, write) = socket.into_split();
    let reported = session.settings.reported();
    let mut output = Output::new(write);
    startup::welcome(&startup, &session, registered.secret, &mut output);
    output.ready(session.status());
    let incoming = frame::spawn_reader(&coordinator.io, read, cancel);
    let ahead = VecDeque::new();
    let mut connection = Connection { session, output, incoming, ahead, reported };
    if let Err(error) = connection.run().await {
        tracing::debug!(%error, "connection lost");
    }
}

impl Connection {
    async fn run(&mut self) -> std::io::Result<()> {
        self.output.flush().await?;
        let mut skipping = false;
        while let Some(incoming) = self.next().await {
            let message = match incoming {
                Incoming::Message(message) => message,
                broken => match self.refuse(broken, skipping).await? {
                    Broken::Skip => {
                        skipping = true;
                        continue;
                    }
                    Broken::GoOn => continue,
                    Broken::Close => return Ok(()),
                },
            };
            match message {
                PgWireFrontendMessage::Terminate(_) => return Ok(()),
                PgWireFrontendMessage::Sync(_) => {
                    skipping = false;
                    extended::sync(self).await?;
                }
                _ if skipping => {}
                PgWireFrontendMessage::Query(query) => simple::run(self, &query.query).await?,
                // What is left of a COPY that failed.
                PgWireFrontendMessage::CopyData(_)
                | PgWireFrontendMessage::CopyDone(_)
                | PgWireFrontendMessage::CopyFail(_) => {}
                message => {
                    if let Err(error) = extended::handle(self, message).await? {
                        self.fail(&error).await?;
                        skipping = true;
                    }
                }
            }
        }
        if self.session.cancel.is_final()
            && let Err(error) = self.session.cancel.check()
        {
            self.output.error(&error, Severity::Fatal);
            // The client may have gone.
            let _ = self.output.flush().await;
        }
        Ok(())
    }

    /// The next message; `None` when the session is over.
    pub async fn next(&mut self) -> Option<Incoming> {
        match self.ahead.pop_front() {
            Some(incoming) => Some(incoming),
            None => self.receive().await,
        }
    }

    /// Hands a message on to whoever asks next.
    pub fn put_back(&mut self, incoming: Incoming) {
        self.ahead.push_front(incoming);
    }

    async fn receive(&mut self) -> Option<Incoming> {
        tokio::select! {
            biased;
            incoming = self.incoming.recv() => incoming,
            () = self.session.cancel.ended() => None,
        }
    }

    /// Whether the statement about to run is all there is before the next Sync, but for closing
    /// statements and portals. Waits for the next message: until it has sent Sync or Flush, a
    /// client can't expect an answer.
    pub async fn is_last_before_sync(&mut self) -> bool {
        let mut index = 0;
        loop {
            if index == self.ahead.len() {
                match self.receive().await {
                    Some(incoming) => self.ahead.push_back(incoming),
                    None => return true,
                }
            }
            match &self.ahead[index] {
                Incoming::Message(PgWireFrontendMessage::Sync(_)) => return true,
                Incoming::Message(PgWireFrontendMessage::Close(_)) => index += 1,
                _ => return false,
            }
        }
    }

    /// Sends an error and what was said before it; the session's transaction has failed.
    pub async fn fail(&mut self, error: &SqlError) -> std::io::Result<()> {
        self.session.statement_failed();
        self.send_notices();
        self.output.error(error, Severity::Error);
        self.output.flush().await
    }

    /// Runs a statement; what it says meanwhile is sent at once.
    pub async fn execute(
        &mut self,
        statement: &Arc<ParsedStatement>,
        portal: Option<&str>,
    ) -> std::io::Result<Result<Outcome, SqlError>> {
        let told = Arc::clone(&self.session.told);
        let work = coordinator::execute(&mut self.session, statement, portal);
        self.output.telling(&told, work).await
    }

    pub fn send_notices(&mut self) {
        for notice in self.session.told.take() {
            self.output.notice(&notice);
        }
    }

    /// Ends an exchange: settings that changed, ReadyForQuery, and out with it.
    pub async fn ready(&mut self) -> std::io::Result<()> {
        self.send_notices();
        let now = self.session.settings.reported();
        if now != self.reported {
            for setting in now.iter().filter(|setting| !self.reported.contains(setting)) {
                let status = ParameterStatus::new(setting.0.clone(), setting.1.clone());
                self.output.put(PgWireBackendMessage::ParameterStatus(status));
            }
            self.reported = now;
        }
        self.session.note_idle();
        self.output.ready(self.session.status());
        self.output.flush().await
    }

    /// Answers a message that can't be run.
    async fn refuse(&mut self, broken: Incoming, skipping: bool) -> std::io::Result<Broken> {
        let (kind, error) = match broken {
            Incoming::Message(_) => unreachable!("handled by the caller"),
            Incoming::Lost { reason } => {
                let error = SqlError::new(state::PROTOCOL_VIOLATION, reason);
                self.output.error(&error, Severity::Fatal);
                self.output.flush().await?;
                return Ok(Broken::Close);
            }
            Incoming::TooLong { kind, bytes } => (kind, too_long(kind, bytes)),
            Incoming::NotText { kind, byte } => (kind, not_text(byte)),
            Incoming::Malformed { kind, reason } => {
                (kind, SqlError::new(state::PROTOCOL_VIOLATION, reason))
            }
            Incoming::FunctionCall => (b'F', no_function_call()),
        };
        if skipping || b"dcf".contains(&kind) {
            return Ok(Broken::GoOn);
        }
        self.fail(&error).await?;
        // These two are no part of the extended protocol: no Sync follows.
        if kind == b'Q' || kind == b'F' {
            self.ready().await?;
            return Ok(Broken::GoOn);
        }
        Ok(Broken::Skip)
    }
}

/// How to go on after a message that can't be run.
enum Broken {
    /// With the next message after Sync.
    Skip,
    GoOn,
    Close,
}

fn no_function_call() -> SqlError {
    SqlError::unsupported("function calls by the fast-path protocol are not supported")
        .with_hint("call the function in a SELECT")
}

pub fn too_long(kind: u8, bytes: usize) -> SqlError {
    let (what, most) = match kind {
        b'Q' | b'P' => ("query string", frame::QUERY_BYTES_MAX),
        _ => ("message", frame::MESSAGE_BYTES_MAX),
    };
    SqlError::new(
        state::PROGRAM_LIMIT_EXCEEDED,
        format!("{what} of {bytes} bytes is longer than the limit of {most} bytes"),
    )
    .with_hint("Load many rows with COPY, or send several statements.")
}

pub fn not_text(byte: u8) -> SqlError {
    SqlError::new("22021", format!("invalid byte sequence for encoding \"UTF8\": 0x{byte:02x}"))
}
