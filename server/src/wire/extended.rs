//! The extended query protocol: Parse, Bind, Describe, Execute, Close, Flush, Sync.
//!
//! Law      What is executed between two Syncs is one transaction, as in Postgres: a lone statement
//!          commits by itself, several are an implicit transaction that Sync commits. An error
//!          skips everything up to Sync and undoes it. Portals live as long as their transaction.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use arrow::datatypes::DataType;
use pgwire::api::results::FieldFormat;
use pgwire::messages::data::{NoData, ParameterDescription};
use pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete,
    PortalSuspended, TARGET_TYPE_BYTE_STATEMENT,
};
use pgwire::messages::response::EmptyQueryResponse;
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use tidemark_catalog::{Oid, PgType};
use tidemark_sql::Statement;
use tidemark_sql::error::{SqlError, state};

use super::connection::Connection;
use super::{copy, encode, parameter, rows};
use crate::coordinator::{self, Outcome};
use crate::panic;
use crate::rows::Rows;
use crate::session::{Portal, Prepared, Progress};

/// What handling a message can end in: the outer error ends the connection, the inner one is
/// answered.
type Handled = std::io::Result<Result<(), SqlError>>;

/// Handles any message of the extended protocol but Sync.
pub async fn handle(connection: &mut Connection, message: PgWireFrontendMessage) -> Handled {
    connection.session.begin_statement();
    match message {
        PgWireFrontendMessage::Parse(message) => Ok(contained(|| parse(connection, message))),
        PgWireFrontendMessage::Bind(message) => Ok(contained(|| bind(connection, message))),
        PgWireFrontendMessage::Describe(message) => Ok(contained(|| describe(connection, message))),
        PgWireFrontendMessage::Execute(message) => execute(connection, message).await,
        PgWireFrontendMessage::Close(message) => {
            close(connection, message);
            Ok(Ok(()))
        }
        PgWireFrontendMessage::Flush(_) => {
            connection.send_notices();
            connection.output.flush().await?;
            Ok(Ok(()))
        }
        _ => Ok(Err(SqlError::new(state::PROTOCOL_VIOLATION, "unexpected message"))),
    }
}

/// A panic while planning is an error like any other.
fn contained(work: impl FnOnce() -> Result<(), SqlError>) -> Result<(), SqlError> {
    panic::contain(work).map_err(SqlError::internal)?
}

/// Commits what was executed since the last Sync, and says how things stand.
pub async fn sync(connection: &mut Connection) -> std::io::Result<()> {
    connection.session.begin_statement();
    if let Err(error) = coordinator::end_implicit(&mut connection.session).await {
        connection.fail(&error).await?;
    }
    if !connection.session.in_block() {
        connection.session.portals.clear();
    }
    connection.ready().await
}

fn parse(connection: &mut Connection, message: Parse) -> Result<(), SqlError> {
    let name = message.name.unwrap_or_default();
    let session = &mut connection.session;
    if name.is_empty() {
        session.prepared.remove("");
    } else if session.prepared.contains_key(&name) {
        let message = format!("prepared statement \"{name}\" already exists");
        return Err(SqlError::new(state::DUPLICATE_PREPARED_STATEMENT, message));
    }
    let mut statements = tidemark_sql::parse(&message.query)?;
    if statements.len() > 1 {
        let message = "cannot insert multiple commands into a prepared statement";
        return Err(SqlError::syntax(message));
    }
    let types = message.type_oids.iter().map(|oid| type_of(*oid)).collect::<Result<_, _>>()?;
    let mut prepared = match statements.pop() {
        Some(statement) => coordinator::prepare(session, statement, types)?,
        None => Prepared::empty(),
    };
    prepared.declared = message.type_oids;
    session.prepared.insert(name, Arc::new(prepared));
    connection.output.put(PgWireBackendMessage::ParseComplete(ParseComplete::new()));
    Ok(())
}

/// The type of a parameter that the client named; `None` leaves it to the planner.
fn type_of(oid: u32) -> Result<Option<DataType>, SqlError> {
    match PgType::from_oid(Oid(oid)) {
        _ if oid == 0 => Ok(None),
        Some(PgType::Unknown) => Ok(None),
        Some(ty) => Ok(Some(ty.to_arrow(-1))),
        None => {
            let message = format!("type with OID {oid} does not exist");
            Err(SqlError::new(state::UNDEFINED_OBJECT, message))
        }
    }
}

fn bind(connection: &mut Connection, message: Bind) -> Result<(), SqlError> {
    let session = &mut connection.session;
    let statement_name = message.statement_name.unwrap_or_default();
    let portal_name = message.portal_name.unwrap_or_default();
    let prepared = session.prepared(&statement_name)?;
    if let Some(statement) = &prepared.statement {
        coordinator::check_not_failed(session, &statement.statement)?;
    }
    if !portal_name.is_empty() && session.portals.contains_key(&portal_name) {
        let message = format!("cursor \"{portal_name}\" already exists");
        return Err(SqlError::new(state::DUPLICATE_CURSOR, message));
    }
    let parameters = parameter::decode(
        &prepared.parameter_types,
        &message.parameter_format_codes,
        &message.parameters,
        &super::input_settings(),
    )?;
    if let Some(columns) = &prepared.columns {
        encode::result_formats(&message.result_column_format_codes, columns.fields().len())?;
    }
    let formats = message.result_column_format_codes;
    let portal = Portal { prepared, parameters, formats, progress: Progress::Bound };
    session.portals.insert(portal_name, portal);
    connection.output.put(PgWireBackendMessage::BindComplete(BindComplete::new()));
    Ok(())
}

fn describe(connection: &mut Connection, message: Describe) -> Result<(), SqlError> {
    let name = message.name.unwrap_or_default();
    let (prepared, codes) = if message.target_type == TARGET_TYPE_BYTE_STATEMENT {
        let prepared = connection.session.prepared(&name)?;
        let declared = prepared.declared.iter().copied().chain(std::iter::repeat(0));
        let types = prepared.parameter_types.iter().zip(declared);
        let oids = types.map(|(ty, declared)| if declared == 0 { oid_of(ty) } else { declared });
        let parameters = ParameterDescription::new(oids.collect());
        connection.output.put(PgWireBackendMessage::ParameterDescription(parameters));
        (prepared, Vec::new())
    } else {
        let portal = portal(&mut connection.session.portals, &name)?;
        (Arc::clone(&portal.prepared), portal.formats.clone())
    };
    let message = match &prepared.columns {
        Some(schema) => {
            let formats = encode::result_formats(&codes, schema.fields().len())?;
            rows::description(schema, &formats)?
        }
        None => PgWireBackendMessage::NoData(NoData::new()),
    };
    connection.output.put(message);
    Ok(())
}

fn oid_of(ty: &DataType) -> u32 {
    PgType::from_arrow(ty).map_or(PgType::Text, |(ty, _)| ty).oid().0
}

fn portal<'a>(
    portals: &'a mut HashMap<String, Portal>,
    name: &str,
) -> Result<&'a mut Portal, SqlError> {
    portals.get_mut(name).ok_or_else(|| {
        let message = format!("portal \"{name}\" does not exist");
        SqlError::new(state::INVALID_CURSOR_NAME, message)
    })
}

async fn execute(connection: &mut Connection, message: Execute) -> Handled {
    let name = message.name.unwrap_or_default();
    let rows_max = usize::try_from(message.max_rows).ok().filter(|max| *max > 0);
    let portal = match portal(&mut connection.session.portals, &name) {
        Ok(portal) => portal,
        Err(error) => return Ok(Err(error)),
    };
    let prepared = Arc::clone(&portal.prepared);
    let Some(statement) = &prepared.statement else {
        connection.output.put(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new()));
        return Ok(Ok(()));
    };
    let formats = portal.formats.clone();
    let outcome = match std::mem::replace(&mut portal.progress, Progress::Finished) {
        Progress::Open(rows) => Outcome::Rows(*rows),
        Progress::Finished => {
            let tag = match &prepared.columns {
                Some(_) => "SELECT 0".to_owned(),
                None => {
                    let message = format!("portal \"{name}\" cannot be run");
                    return Ok(Err(SqlError::new(
                        state::OBJECT_NOT_IN_PREREQUISITE_STATE,
                        message,
                    )));
                }
            };
            connection.output.complete(tag);
            return Ok(Ok(()));
        }
        Progress::Bound => {
            // A COPY is answered before the client need send anything more.
            let alone = matches!(statement.statement, Statement::Copy(_))
                || connection.is_last_before_sync().await;
            if !alone {
                connection.session.begin_implicit();
            }
            match connection.execute(statement, Some(&name)).await? {
                Ok(outcome) => outcome,
                Err(error) => return Ok(Err(error)),
            }
        }
    };
    connection.send_notices();
    match outcome {
        Outcome::Done(tag) => connection.output.complete(tag),
        Outcome::Rows(rows) => {
            let formats = match encode::result_formats(&formats, rows.schema.fields().len()) {
                Ok(formats) => formats,
                Err(error) => return Ok(Err(error)),
            };
            return send_part(connection, &name, rows, &formats, rows_max).await;
        }
        Outcome::CopyIn(into) => return copy::receive(connection, *into).await,
        Outcome::CopyOut(out) => return copy::send(connection, *out).await,
    }
    Ok(Ok(()))
}

/// Sends rows up to the limit; what is left stays with the portal.
async fn send_part(
    connection: &mut Connection,
    name: &str,
    mut rows: Rows,
    formats: &[FieldFormat],
    rows_max: Option<usize>,
) -> Handled {
    let limit = rows_max.unwrap_or(usize::MAX);
    let sent = match rows::send(connection, &mut rows, formats, limit).await? {
        Ok(sent) => sent,
        Err(error) => return Ok(Err(error)),
    };
    if rows_max == Some(sent) {
        // As Postgres: it stops without looking whether there is another row.
        connection.output.put(PgWireBackendMessage::PortalSuspended(PortalSuspended::new()));
        if let Some(portal) = connection.session.portals.get_mut(name) {
            portal.progress = Progress::Open(Box::new(rows));
        }
        return Ok(Ok(()));
    }
    let tag = rows.complete_tag(sent);
    connection.output.complete(tag);
    Ok(Ok(()))
}

fn close(connection: &mut Connection, message: Close) {
    let name = message.name.unwrap_or_default();
    if message.target_type == TARGET_TYPE_BYTE_STATEMENT {
        connection.session.prepared.remove(&name);
    } else {
        connection.session.portals.remove(&name);
    }
    connection.output.put(PgWireBackendMessage::CloseComplete(CloseComplete::new()));
}

impl Prepared {
    /// An empty query string.
    pub fn empty() -> Prepared {
        Prepared {
            statement: None,
            declared: Vec::new(),
            parameter_types: Vec::new(),
            columns: None,
            plan: Mutex::new(None),
        }
    }
}
