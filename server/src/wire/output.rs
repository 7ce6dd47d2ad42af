//! Output: what goes out to the socket.
//!
//! Law      Messages leave in the order they were put, whole; the buffer is bounded by flushing
//!          whenever it is full. A flush may be dropped half-way (a cancel does it): the rest stays
//!          in the buffer and leaves with the next flush, so the client never sees half a message
//!          followed by another.

use std::future::Future;
use std::pin::pin;

use bytes::BytesMut;
use pgwire::error::ErrorInfo;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::{
    CommandComplete, ErrorResponse, NoticeResponse, ReadyForQuery, TransactionStatus,
};
use tidemark_sql::error::SqlError;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;

use crate::session::Notice;
use crate::told::Told;

/// Flushed when this many bytes are waiting.
const FULL_BYTES: usize = 32 << 10;

/// The writing half of a connection.
pub struct Output<S = OwnedWriteHalf> {
    socket: S,
    pub buffer: BytesMut,
}

impl<S: AsyncWrite + Unpin> Output<S> {
    pub fn new(socket: S) -> Self {
        Output { socket, buffer: BytesMut::with_capacity(FULL_BYTES) }
    }

    pub fn put(&mut self, message: PgWireBackendMessage) {
        message.encode(&mut self.buffer).expect("writing to memory");
    }

    pub fn error(&mut self, error: &SqlError, severity: Severity) {
        let info = error_info(error, severity.name());
        self.put(PgWireBackendMessage::ErrorResponse(ErrorResponse::from(info)));
    }

    pub fn notice(&mut self, notice: &Notice) {
        let error = SqlError {
            detail: notice.detail.clone(),
            hint: notice.hint.clone(),
            ..SqlError::new(notice.code, notice.message.clone())
        };
        let info = error_info(&error, notice.severity);
        self.put(PgWireBackendMessage::NoticeResponse(NoticeResponse::from(info)));
    }

    pub fn complete(&mut self, tag: impl Into<String>) {
        self.put(PgWireBackendMessage::CommandComplete(CommandComplete::new(tag.into())));
    }

    pub fn ready(&mut self, status: TransactionStatus) {
        self.put(PgWireBackendMessage::ReadyForQuery(ReadyForQuery::new(status)));
    }

    pub fn is_full(&self) -> bool {
        self.buffer.len() >= FULL_BYTES
    }

    /// Does some work of a statement, and sends at once what it says meanwhile.
    pub async fn telling<T>(
        &mut self,
        told: &Told,
        work: impl Future<Output = T>,
    ) -> std::io::Result<T> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = told.more() => {
                    told.take().iter().for_each(|notice| self.notice(notice));
                    self.flush().await?;
                }
            }
        }
    }

    pub async fn flush(&mut self) -> std::io::Result<()> {
        while !self.buffer.is_empty() {
            if self.socket.write_buf(&mut self.buffer).await? == 0 {
                return Err(std::io::ErrorKind::WriteZero.into());
            }
        }
        if self.buffer.capacity() > 16 * FULL_BYTES {
            self.buffer = BytesMut::with_capacity(FULL_BYTES);
        }
        self.socket.flush().await
    }
}

/// Whether the connection goes on after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Fatal,
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
        }
    }
}

fn error_info(error: &SqlError, severity: &str) -> ErrorInfo {
    // A NUL would end the field in the middle of the message.
    let clean = |text: &str| text.replace('\0', "\u{fffd}");
    let mut info =
        ErrorInfo::new(severity.to_owned(), error.code.to_owned(), clean(&error.message));
    info.severity_nonlocalized = Some(severity.to_owned());
    info.detail = error.detail.as_deref().map(clean);
    info.hint = error.hint.as_deref().map(clean);
    info.position = error.position.map(|position| position.to_string());
    info.where_context = error.context.as_deref().map(clean);
    info
}
