//! Startup: from the first byte to the first ReadyForQuery.
//!
//! Any user and any database name is let in, as only loopback is listened on. TLS and GSS are
//! declined with `N`. Names after `options=-c` and in the startup packet are settings of the
//! session.

use std::time::Duration;

use bytes::BytesMut;
use pgwire::messages::cancel::CancelRequest;
use pgwire::messages::response::{GssEncResponse, SslResponse};
use pgwire::messages::startup::{
    Authentication, BackendKeyData, GssEncRequest, NegotiateProtocolVersion, ParameterStatus,
    SecretKey, SslRequest, Startup,
};
use pgwire::messages::{DecodeContext, Message, PgWireBackendMessage};
use tidemark_sql::error::{SqlError, state};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::output::{Output, Severity};
use crate::panic;
use crate::session::Session;

/// A client that hasn't said who it is by then is let go.
const TIMEOUT: Duration = Duration::from_secs(60);
/// As in Postgres' pqcomm.h.
const STARTUP_BYTES_MAX: usize = 10_000;

/// What a new connection turns out to be.
pub enum Greeting {
    Session(Startup),
    Cancel(CancelRequest),
    /// Nothing that could be answered.
    Nothing,
}

/// Reads until it is clear what the client wants.
pub async fn greet(socket: &mut TcpStream) -> std::io::Result<Greeting> {
    match tokio::time::timeout(TIMEOUT, negotiate(socket)).await {
        Ok(greeting) => greeting,
        Err(_) => Ok(Greeting::Nothing),
    }
}

async fn negotiate(socket: &mut TcpStream) -> std::io::Result<Greeting> {
    loop {
        let length = socket.read_u32().await? as usize;
        if !(8..=STARTUP_BYTES_MAX).contains(&length) {
            return Ok(Greeting::Nothing);
        }
        let mut packet = BytesMut::zeroed(length);
        packet[..4].copy_from_slice(&(length as u32).to_be_bytes());
        socket.read_exact(&mut packet[4..]).await?;
        if SslRequest::is_ssl_request_packet(&packet) {
            decline(socket, PgWireBackendMessage::SslResponse(SslResponse::Refuse)).await?;
        } else if GssEncRequest::is_gss_enc_request_packet(&packet) {
            decline(socket, PgWireBackendMessage::GssEncResponse(GssEncResponse::Refuse)).await?;
        } else {
            return decode(socket, packet).await;
        }
    }
}

async fn decline(socket: &mut TcpStream, answer: PgWireBackendMessage) -> std::io::Result<()> {
    let mut bytes = BytesMut::new();
    answer.encode(&mut bytes).expect("writing to memory");
    socket.write_all(&bytes).await
}

async fn decode(socket: &mut TcpStream, mut packet: BytesMut) -> std::io::Result<Greeting> {
    let mut context = DecodeContext::default();
    context.protocol_version = pgwire::messages::ProtocolVersion::PROTOCOL3_0;
    // A packet that lies about its contents panics in pgwire.
    if CancelRequest::is_cancel_request_packet(&packet) {
        let cancel = panic::contain_quietly(|| CancelRequest::decode(&mut packet, &context));
        return Ok(match cancel {
            Some(Ok(Some(cancel))) => Greeting::Cancel(cancel),
            _ => Greeting::Nothing,
        });
    }
    match panic::contain_quietly(|| Startup::decode(&mut packet, &context)) {
        Some(Ok(Some(startup))) => Ok(Greeting::Session(startup)),
        _ => {
            let error =
                SqlError::new("0A000", "unsupported frontend protocol: server supports 3.0");
            let mut output = Output::new(socket);
            output.error(&error, Severity::Fatal);
            output.flush().await?;
            Ok(Greeting::Nothing)
        }
    }
}

/// Takes over who the client is and what it wants set.
pub fn apply(startup: &Startup, session: &mut Session) -> Result<(), SqlError> {
    let get = |name: &str| startup.parameters.get(name).filter(|value| !value.is_empty());
    let user = get("user").ok_or_else(|| {
        SqlError::new("28000", "no PostgreSQL user name specified in startup packet")
    })?;
    session.user.clone_from(user);
    session.database = get("database").unwrap_or(user).clone();
    session.settings.force("session_authorization", user);
    // What pg_backend_pid() says.
    let process_id = session.process_id.to_string();
    session.settings.force("tidemark.backend_pid", &process_id);
    for (name, value) in &startup.parameters {
        match name.as_str() {
            "user" | "database" | "replication" => {}
            "options" => {
                for (name, value) in options(value) {
                    session.settings.set(&name, &value)?;
                }
            }
            name if name.starts_with("_pq_.") => {}
            name => {
                session.settings.set(name, value)?;
            }
        }
    }
    if get("replication").is_some_and(|value| !["0", "off", "false", "no"].contains(&&**value)) {
        return Err(SqlError::new(state::FEATURE_NOT_SUPPORTED, "replication is not supported"));
    }
    session.initial_settings = session.settings.clone();
    Ok(())
}

/// `-c name=value`, `-cname=value` and `--name=value`, with backslashes before spaces.
fn options(text: &str) -> Vec<(String, String)> {
    let mut words = vec![String::new()];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let word = words.last_mut().expect("there is always a last word");
        match letter {
            '\\' => word.extend(letters.next()),
            letter if letter.is_whitespace() => words.push(String::new()),
            letter => word.push(letter),
        }
    }
    let assignments = words.iter().filter_map(|word| {
        let word = word.strip_prefix("--").or(word.strip_prefix("-c")).unwrap_or(word);
        let (name, value) = word.split_once('=')?;
        Some((name.replace('-', "_"), value.to_owned()))
    });
    assignments.collect()
}

/// Answers a startup: authentication, settings, the key for cancelling.
pub fn welcome(startup: &Startup, session: &Session, secret: i32, output: &mut Output) {
    let unknown: Vec<String> =
        startup.parameters.keys().filter(|name| name.starts_with("_pq_.")).cloned().collect();
    if startup.protocol_number_minor > 0 || !unknown.is_empty() {
        let newest = NegotiateProtocolVersion::new(0, unknown);
        output.put(PgWireBackendMessage::NegotiateProtocolVersion(newest));
    }
    output.put(PgWireBackendMessage::Authentication(Authentication::Ok));
    for (name, value) in session.settings.reported() {
        output.put(PgWireBackendMessage::ParameterStatus(ParameterStatus::new(name, value)));
    }
    let key = BackendKeyData::new(session.process_id, SecretKey::I32(secret));
    output.put(PgWireBackendMessage::BackendKeyData(key));
}

/// What a refused client is told before it is let go.
pub async fn refuse(socket: TcpStream, error: &SqlError) -> std::io::Result<()> {
    let mut output = Output::new(socket);
    output.error(error, Severity::Fatal);
    output.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_split_as_postgres_does() {
        let pairs = options(r"-c search_path=a,b --work-mem=1MB -cx.y=a\ b");
        let pairs: Vec<_> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("search_path", "a,b"), ("work_mem", "1MB"), ("x.y", "a b")]);
    }
}
