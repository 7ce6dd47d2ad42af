//! Frames: what comes in from the socket, cut into messages.
//!
//! Law      Whatever bytes arrive, the reader neither panics nor holds more than one message of
//!          bounded size. A message that is too long is skipped without being kept; a broken one is
//!          handed on as such, so that its sender gets an error in the order of its messages.
//!
//! Reading goes on while a statement runs, so that a vanished client is noticed.

use bytes::{Buf, BytesMut};
use pgwire::messages::{DecodeContext, PgWireFrontendMessage};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

use crate::cancel::Cancel;
use crate::panic;

/// Longest text of statements taken: parsed, it is some fifty times as big.
pub const QUERY_BYTES_MAX: usize = 16 << 20;
/// Longest message of any other kind: parameters, COPY data.
pub const MESSAGE_BYTES_MAX: usize = 256 << 20;
/// Messages read ahead of the session.
const AHEAD: usize = 16;

/// What PostgreSQL says of broken messages.
const WRONG_LENGTH: &str = "invalid message format";
const TOO_SHORT: &str = "insufficient data left in message";
const NO_END_OF_STRING: &str = "invalid string in message";

/// One message from the client.
#[derive(Debug)]
pub enum Incoming {
    Message(PgWireFrontendMessage),
    /// Skipped: `kind` is the message's type byte.
    TooLong {
        kind: u8,
        bytes: usize,
    },
    /// Not UTF-8 where text was due.
    NotText {
        kind: u8,
        byte: u8,
    },
    Malformed {
        kind: u8,
        reason: &'static str,
    },
    /// Of the fast path, which nobody speaks any more.
    FunctionCall,
    /// Nothing after it can be understood.
    Lost {
        reason: String,
    },
}

/// Cuts `socket` into messages until it ends; then the session's statement is told that nobody
/// waits.
///
/// It runs on the runtime that polls sockets, so that it goes on while the session keeps a thread
/// busy.
pub fn spawn_reader(
    io: &tokio::runtime::Handle,
    socket: impl AsyncRead + Unpin + Send + 'static,
    cancel: Cancel,
) -> mpsc::Receiver<Incoming> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    io.spawn(async move {
        let mut reader = Reader { socket, buffer: BytesMut::new() };
        let mut said_goodbye = false;
        loop {
            let next = tokio::select! {
                next = reader.next() => next,
                // The session is over: a client that doesn't close need not be waited for.
                () = sender.closed() => break,
            };
            let Ok(Some(message)) = next else { break };
            said_goodbye =
                matches!(message, Incoming::Message(PgWireFrontendMessage::Terminate(_)));
            let last = said_goodbye || matches!(message, Incoming::Lost { .. });
            if sender.send(message).await.is_err() || last {
                break;
            }
        }
        if !said_goodbye {
            cancel.client_gone();
        }
    });
    receiver
}

struct Reader<S> {
    socket: S,
    buffer: BytesMut,
}

impl<S: AsyncRead + Unpin> Reader<S> {
    /// `None` at the end of the stream, also in the middle of a message.
    async fn next(&mut self) -> std::io::Result<Option<Incoming>> {
        if !self.fill(5).await? {
            return Ok(None);
        }
        let kind = self.buffer[0];
        let length = (&self.buffer[1..5]).get_i32();
        if !is_known(kind) || length < 4 {
            let reason = if is_known(kind) {
                "invalid message length".to_owned()
            } else {
                format!("invalid frontend message type {kind}")
            };
            return Ok(Some(Incoming::Lost { reason }));
        }
        let bytes = length as usize + 1;
        if bytes > limit(kind) {
            return Ok(self.skip(bytes).await?.then_some(Incoming::TooLong { kind, bytes }));
        }
        if !self.fill(bytes).await? {
            return Ok(None);
        }
        let frame = self.buffer.split_to(bytes);
        if self.buffer.is_empty() && self.buffer.capacity() > MESSAGE_BYTES_MAX / 64 {
            self.buffer = BytesMut::new();
        }
        Ok(Some(decode(kind, frame)))
    }

    /// Reads until `bytes` are in the buffer; false at the end of the stream.
    async fn fill(&mut self, bytes: usize) -> std::io::Result<bool> {
        while self.buffer.len() < bytes {
            // Grown step by step: a length is only a claim until its bytes are here.
            self.buffer.reserve((bytes - self.buffer.len()).clamp(8 << 10, 1 << 20));
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn skip(&mut self, mut bytes: usize) -> std::io::Result<bool> {
        loop {
            let here = bytes.min(self.buffer.len());
            self.buffer.advance(here);
            bytes -= here;
            if bytes == 0 {
                return Ok(true);
            }
            if !self.fill(1).await? {
                return Ok(false);
            }
        }
    }
}

fn is_known(kind: u8) -> bool {
    b"QPBDECSHXdcfpF".contains(&kind)
}

fn limit(kind: u8) -> usize {
    if kind == b'Q' || kind == b'P' { QUERY_BYTES_MAX } else { MESSAGE_BYTES_MAX }
}

fn decode(kind: u8, mut frame: BytesMut) -> Incoming {
    if b"QPDCES".contains(&kind)
        && let Err(error) = std::str::from_utf8(text_of(kind, &frame))
    {
        return Incoming::NotText { kind, byte: text_of(kind, &frame)[error.valid_up_to()] };
    }
    if kind == b'F' {
        return Incoming::FunctionCall;
    }
    if kind == b'B'
        && let Err(reason) = check_bind(&frame[5..])
    {
        return Incoming::Malformed { kind, reason };
    }
    let mut context = DecodeContext::default();
    context.awaiting_frontend_ssl = false;
    context.awaiting_frontend_startup = false;
    // pgwire reads fields without looking whether they are there; in a frame cut to its length
    // that is a panic, never a read of the next message.
    let decoded = panic::contain_quietly(|| PgWireFrontendMessage::decode(&mut frame, &context));
    match decoded {
        Some(Ok(Some(_))) if b"QPDEC".contains(&kind) && !frame.is_empty() => {
            Incoming::Malformed { kind, reason: WRONG_LENGTH }
        }
        Some(Ok(Some(message))) => Incoming::Message(message),
        Some(_) => Incoming::Malformed { kind, reason: WRONG_LENGTH },
        None => Incoming::Malformed { kind, reason: TOO_SHORT },
    }
}

fn skip(rest: &mut &[u8], bytes: usize) -> Result<(), &'static str> {
    *rest = rest.get(bytes..).ok_or(TOO_SHORT)?;
    Ok(())
}

/// Whether a Bind's fields end where it ends: pgwire takes any negative length for NULL, and lets
/// bytes follow.
fn check_bind(body: &[u8]) -> Result<(), &'static str> {
    let mut rest = body;
    for _name in ["portal", "statement"] {
        let end = rest.iter().position(|byte| *byte == 0).ok_or(NO_END_OF_STRING)?;
        rest.advance(end + 1);
    }
    let count = |rest: &mut &[u8]| rest.try_get_u16().map(usize::from).map_err(|_| TOO_SHORT);
    let formats = count(&mut rest)?;
    skip(&mut rest, 2 * formats)?;
    for _parameter in 0..count(&mut rest)? {
        match rest.try_get_i32().map_err(|_| TOO_SHORT)? {
            -1 => {}
            length => skip(&mut rest, usize::try_from(length).map_err(|_| TOO_SHORT)?)?,
        }
    }
    let formats = count(&mut rest)?;
    skip(&mut rest, 2 * formats)?;
    if rest.is_empty() { Ok(()) } else { Err(WRONG_LENGTH) }
}

/// The part of a message that must be text: for Parse, not the type OIDs at its end.
fn text_of(kind: u8, frame: &[u8]) -> &[u8] {
    let body = &frame[5..];
    let strings = match kind {
        b'Q' => 1,
        b'P' => 2,
        _ => return &[],
    };
    let ends = body.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(index, _)| index);
    let end = ends.take(strings).last().unwrap_or(body.len());
    &body[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> Vec<String> {
        let mut reader = Reader { socket: bytes, buffer: BytesMut::new() };
        let mut seen = Vec::new();
        while let Some(message) = reader.next().await.unwrap() {
            let text = format!("{message:?}");
            seen.push(text.split(['(', ' ', '{']).next().unwrap_or_default().to_owned());
            if matches!(message, Incoming::Lost { .. }) {
                break;
            }
        }
        seen
    }

    #[tokio::test]
    async fn messages_are_cut_and_half_ones_never_handed_on() {
        assert_eq!(read(b"Q\0\0\0\x06a\0S\0\0\0\x04").await, ["Message", "Message"]);
        assert_eq!(read(b"Q\0\0\0\x06a").await, Vec::<String>::new());
        assert_eq!(read(b"Q\0").await, Vec::<String>::new());
    }

    #[tokio::test]
    async fn broken_messages_are_named_not_followed_by_a_panic() {
        assert_eq!(read(b"B\0\0\0\x05\0S\0\0\0\x04").await, ["Malformed", "Message"]);
        assert_eq!(read(b"F\0\0\0\x08abcdS\0\0\0\x04").await, ["FunctionCall", "Message"]);
        assert_eq!(read(b"E\0\0\0\x0a\0\0\0\0\0xS\0\0\0\x04").await, ["Malformed", "Message"]);
        assert_eq!(read(b"Q\0\0\0\x07a\0bS\0\0\0\x04").await, ["Malformed", "Message"]);
        assert_eq!(read(b"Q\0\0\0\x06\xff\0S\0\0\0\x04").await, ["NotText", "Message"]);
        assert_eq!(read(b"?\0\0\0\x04").await, ["Lost"]);
        assert_eq!(read(b"Q\0\0\0\x03").await, ["Lost"]);
    }

    #[test]
    fn a_bind_is_as_long_as_its_fields() {
        let body = b"p\0s\0\0\x01\0\0\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\0";
        assert_eq!(check_bind(body), Ok(()));
        assert_eq!(check_bind(&body[..1]), Err(NO_END_OF_STRING));
        for end in 4..body.len() {
            assert_eq!(check_bind(&body[..end]), Err(TOO_SHORT), "{end} bytes");
        }
        assert_eq!(check_bind(&[body.as_slice(), b"x"].concat()), Err(WRONG_LENGTH));
        let negative = b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0";
        assert_eq!(check_bind(negative), Err(TOO_SHORT));
    }

    #[tokio::test]
    async fn a_text_beyond_the_limit_is_skipped() {
        let mut bytes = vec![b'Q'];
        let length = QUERY_BYTES_MAX as u32 + 5;
        bytes.extend(length.to_be_bytes());
        bytes.extend(vec![b'x'; QUERY_BYTES_MAX]);
        bytes.extend(b"\0S\0\0\0\x04");
        assert_eq!(read(&bytes).await, ["TooLong", "Message"]);
    }
}
