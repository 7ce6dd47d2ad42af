//! COPY on the wire: the client's CopyData in, or rows as CopyData out.
//!
//! Law      The first malformed line ends the COPY with an error and nothing of it stays. What the
//!          client still sends of it is skipped by the connection's loop. A client that vanishes in
//!          between leaves nothing.

use std::sync::Arc;

use pgwire::api::results::FieldFormat;
use pgwire::messages::copy::{CopyDone, CopyInResponse, CopyOutResponse};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::text_io::OutputSettings;

use super::connection::{self, Connection};
use super::frame::Incoming;
use crate::cancel::Cancel;
use crate::coordinator::{CopyIn, CopyOut};
use crate::copy::{Format, Reader, Writer};

/// Takes a COPY FROM STDIN to its CommandComplete.
pub async fn receive(
    connection: &mut Connection,
    mut copy: CopyIn,
) -> std::io::Result<Result<(), SqlError>> {
    let input = super::input_settings();
    let reader = Reader::new(copy.table_name(), copy.columns.all.clone(), &copy.options, &input);
    let mut reader = match reader {
        Ok(reader) => reader,
        Err(error) => return Ok(Err(error)),
    };
    let binary = i16::from(copy.options.format == Format::Binary);
    let columns = copy.columns.all.len();
    let start = CopyInResponse::new(binary as i8, columns as i16, vec![binary; columns]);
    connection.output.put(PgWireBackendMessage::CopyInResponse(start));
    connection.output.flush().await?;
    if let Err(error) = read_all(connection, &mut reader, &mut copy).await {
        return Ok(Err(error));
    }
    match copy.finish(&mut connection.session).await {
        Ok(count) => connection.output.complete(format!("COPY {count}")),
        Err(error) => return Ok(Err(error)),
    }
    Ok(Ok(()))
}

async fn read_all(
    connection: &mut Connection,
    reader: &mut Reader,
    copy: &mut CopyIn,
) -> Result<(), SqlError> {
    let cancel = connection.session.cancel.clone();
    loop {
        let Some(incoming) = cancel.guard(connection.next()).await? else {
            return Err(SqlError::new("08006", "the client vanished during COPY"));
        };
        let message = match incoming {
            Incoming::Message(message) => message,
            Incoming::TooLong { kind, bytes } => return Err(connection::too_long(kind, bytes)),
            Incoming::NotText { byte, .. } => return Err(connection::not_text(byte)),
            Incoming::Malformed { reason, .. } => {
                return Err(SqlError::new(state::PROTOCOL_VIOLATION, reason));
            }
            other @ (Incoming::FunctionCall | Incoming::Lost { .. }) => {
                connection.put_back(other);
                return Err(SqlError::new(state::PROTOCOL_VIOLATION, "invalid message"));
            }
        };
        match message {
            PgWireFrontendMessage::CopyData(data) => {
                let read = reader.feed(&data.data)?;
                copy.add_read(reader, read)?;
            }
            PgWireFrontendMessage::CopyDone(_) => {
                let read = reader.finish()?;
                return copy.add_read(reader, read);
            }
            PgWireFrontendMessage::CopyFail(fail) => {
                let message = format!("COPY from stdin failed: {}", fail.message);
                return Err(SqlError::new(state::QUERY_CANCELED, message));
            }
            // Clients of the extended protocol may have sent these on with the Execute.
            PgWireFrontendMessage::Flush(_) | PgWireFrontendMessage::Sync(_) => {}
            other => {
                connection.put_back(Incoming::Message(other));
                let message = "unexpected message type during COPY from stdin";
                return Err(SqlError::new(state::PROTOCOL_VIOLATION, message));
            }
        }
    }
}

/// Sends a COPY TO STDOUT to its CommandComplete.
pub async fn send(
    connection: &mut Connection,
    mut copy: CopyOut,
) -> std::io::Result<Result<(), SqlError>> {
    let settings = OutputSettings::default();
    let cancel = connection.session.cancel.clone();
    let mut writer = match Writer::new(&copy.rows.schema, &copy.options, &settings) {
        Ok(writer) => writer,
        Err(error) => return Ok(Err(error)),
    };
    let binary = i16::from(writer.wire_format() == FieldFormat::Binary);
    let columns = copy.rows.schema.fields().len();
    let start = CopyOutResponse::new(binary as i8, columns as i16, vec![binary; columns]);
    connection.output.put(PgWireBackendMessage::CopyOutResponse(start));
    writer.begin(&mut connection.output.buffer);
    let is_live = copy.rows.is_live;
    if is_live {
        connection.output.flush().await?;
    }
    let told = Arc::clone(&connection.session.told);
    loop {
        let next = copy.rows.next(usize::MAX, &cancel);
        let batch = match connection.output.telling(&told, next).await? {
            Ok(Some(batch)) => batch,
            Ok(None) => break,
            Err(error) => return Ok(Err(error)),
        };
        let mut rows = match writer.batch(&batch) {
            Ok(rows) => rows,
            Err(error) => return Ok(Err(error)),
        };
        while rows.write(&mut connection.output.buffer) {
            if connection.output.is_full()
                && let Err(error) = flush(connection, &cancel).await?
            {
                return Ok(Err(error));
            }
        }
        if is_live && let Err(error) = flush(connection, &cancel).await? {
            return Ok(Err(error));
        }
    }
    writer.end(&mut connection.output.buffer);
    connection.output.put(PgWireBackendMessage::CopyDone(CopyDone::new()));
    connection.send_notices();
    connection.output.complete(format!("COPY {}", writer.count));
    Ok(Ok(()))
}

async fn flush(
    connection: &mut Connection,
    cancel: &Cancel,
) -> std::io::Result<Result<(), SqlError>> {
    match cancel.guard(connection.output.flush()).await {
        Ok(flushed) => flushed.map(Ok),
        Err(error) => Ok(Err(error)),
    }
}
