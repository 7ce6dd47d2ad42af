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
use crate::coordinator::{CopyIn, CopyOut};
use crate::copy::{Format, Reader, Rows, Writer};

/// Takes a COPY FROM STDIN to its CommandComplete.
pub async fn receive(
    connection: &mut Connection,
    mut copy: CopyIn,
) -> std::io::Result<Result<(), SqlError>> {
    let input = super::input_settings();
    let reader = Reader::new(&copy.table.name, copy.column_types(), &copy.options, &input);
    let mut reader = match reader {
        Ok(reader) => reader,
        Err(error) => return Ok(Err(error)),
    };
    let binary = i16::from(copy.options.format == Format::Binary);
    let columns = copy.columns.len();
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
            Incoming::Malformed { .. } => {
                return Err(SqlError::new(state::PROTOCOL_VIOLATION, "invalid message format"));
            }
            lost @ Incoming::Lost { .. } => {
                connection.put_back(lost);
                return Err(SqlError::new(state::PROTOCOL_VIOLATION, "invalid message"));
            }
        };
        match message {
            PgWireFrontendMessage::CopyData(data) => {
                add(copy, reader, |reader| reader.feed(&data.data))?;
            }
            PgWireFrontendMessage::CopyDone(_) => {
                return add(copy, reader, Reader::finish);
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

fn add(
    copy: &mut CopyIn,
    reader: &mut Reader,
    read: impl FnOnce(&mut Reader) -> Result<Vec<Rows>, SqlError>,
) -> Result<(), SqlError> {
    for rows in read(reader)? {
        copy.add(&rows.batch)
            .map_err(|bad| bad.error.with_context(reader.context(rows.lines[bad.row])))?;
    }
    Ok(())
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
            if connection.output.is_full() {
                match cancel.guard(connection.output.flush()).await {
                    Ok(flushed) => flushed?,
                    Err(error) => return Ok(Err(error)),
                }
            }
        }
    }
    writer.end(&mut connection.output.buffer);
    connection.output.put(PgWireBackendMessage::CopyDone(CopyDone::new()));
    connection.send_notices();
    connection.output.complete(format!("COPY {}", writer.count));
    Ok(Ok(()))
}
