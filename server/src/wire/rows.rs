//! Sending rows: batches of Arrow columns out as DataRow messages.
//!
//! A cancel, or the disappearance of the client, ends the wait for rows and the wait for the
//! socket.

use std::sync::Arc;

use pgwire::api::results::FieldFormat;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::data::RowDescription;
use tidemark_sql::error::SqlError;
use tidemark_sql::text_io::OutputSettings;

use super::connection::Connection;
use super::encode::{self, RowEncoder};
use crate::rows::Rows;
use arrow::datatypes::Schema;

/// Rows encoded between two looks at the output's fill.
const STEP_ROWS: usize = 64;

/// What clients are told of a result's columns.
pub fn description(
    schema: &Schema,
    formats: &[FieldFormat],
) -> Result<PgWireBackendMessage, SqlError> {
    let fields = encode::fields(schema, formats)?;
    let fields = fields.iter().map(Into::into).collect();
    Ok(PgWireBackendMessage::RowDescription(RowDescription::new(fields)))
}

/// A whole result in text: description, rows, CommandComplete.
pub async fn send_whole(
    connection: &mut Connection,
    rows: &mut Rows,
) -> std::io::Result<Result<(), SqlError>> {
    let formats = vec![FieldFormat::Text; rows.schema.fields().len()];
    match description(&rows.schema, &formats) {
        Ok(message) => connection.output.put(message),
        Err(error) => return Ok(Err(error)),
    }
    let sent = match send(connection, rows, &formats, usize::MAX).await? {
        Ok(sent) => sent,
        Err(error) => return Ok(Err(error)),
    };
    connection.send_notices();
    connection.output.complete(rows.complete_tag(sent));
    Ok(Ok(()))
}

/// Sends at most `rows_max` rows; says how many there were.
pub async fn send(
    connection: &mut Connection,
    rows: &mut Rows,
    formats: &[FieldFormat],
    rows_max: usize,
) -> std::io::Result<Result<usize, SqlError>> {
    let settings = OutputSettings::default();
    let cancel = connection.session.cancel.clone();
    let told = Arc::clone(&connection.session.told);
    let mut sent = 0;
    while sent < rows_max {
        let next = rows.next(rows_max - sent, &cancel);
        let batch = match connection.output.telling(&told, next).await? {
            Ok(Some(batch)) => batch,
            Ok(None) => break,
            Err(error) => return Ok(Err(error)),
        };
        let mut encoder = match RowEncoder::new(&batch, formats, &settings) {
            Ok(encoder) => encoder,
            Err(error) => return Ok(Err(error)),
        };
        for start in (0..batch.num_rows()).step_by(STEP_ROWS) {
            for row in start..batch.num_rows().min(start + STEP_ROWS) {
                encoder.data_row(row, &mut connection.output.buffer);
            }
            if connection.output.is_full() {
                match cancel.guard(connection.output.flush()).await {
                    Ok(flushed) => flushed?,
                    Err(error) => return Ok(Err(error)),
                }
            }
        }
        sent += batch.num_rows();
    }
    Ok(Ok(sent))
}
