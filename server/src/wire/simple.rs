//! The simple query protocol: a string of statements, answered one by one.
//!
//! Law      The whole string is parsed before any of it runs. Several statements are one implicit
//!          transaction, committed at the end of the string; an error stops the rest and undoes it.
//!          BEGIN makes it an explicit one that outlives the string, COMMIT ends it and the rest
//!          begins anew.

use std::sync::Arc;

use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::EmptyQueryResponse;
use tidemark_sql::ParsedStatement;
use tidemark_sql::error::SqlError;

use super::connection::Connection;
use super::{copy, rows};
use crate::coordinator::{self, Outcome};

/// Runs a query string and answers it, ReadyForQuery included.
pub async fn run(connection: &mut Connection, text: &str) -> std::io::Result<()> {
    connection.session.prepared.remove("");
    connection.session.portals.remove("");
    let statements = match tidemark_sql::parse(text) {
        Ok(statements) => statements,
        Err(error) => {
            connection.fail(&error).await?;
            return connection.ready().await;
        }
    };
    if statements.is_empty() {
        connection.output.put(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new()));
    }
    let statements: Vec<_> = statements.into_iter().map(Arc::new).collect();
    let several = statements.len() > 1;
    let mut result = Ok(());
    for statement in &statements {
        connection.session.begin_statement();
        if several {
            connection.session.begin_implicit();
        }
        let ran = answer(connection, statement).await?;
        result = ran.map_err(|error| positioned(error, statement));
        if result.is_err() {
            break;
        }
    }
    if result.is_ok() {
        result = coordinator::end_implicit(&mut connection.session).await;
    }
    if let Err(error) = result {
        connection.fail(&error).await?;
    }
    connection.ready().await
}

/// Runs one statement and sends what it gives, up to its CommandComplete.
async fn answer(
    connection: &mut Connection,
    statement: &Arc<ParsedStatement>,
) -> std::io::Result<Result<(), SqlError>> {
    let outcome = match connection.execute(statement, None).await? {
        Ok(outcome) => outcome,
        Err(error) => return Ok(Err(error)),
    };
    connection.send_notices();
    match outcome {
        Outcome::Done(tag) => connection.output.complete(tag),
        Outcome::Rows(mut rows) => {
            if let Err(error) = rows::send_whole(connection, &mut rows).await? {
                return Ok(Err(error));
            }
        }
        Outcome::CopyIn(into) => {
            if let Err(error) = copy::receive(connection, *into).await? {
                return Ok(Err(error));
            }
        }
        Outcome::CopyOut(out) => {
            if let Err(error) = copy::send(connection, *out).await? {
                return Ok(Err(error));
            }
        }
    }
    Ok(Ok(()))
}

/// Counts the error's position from the start of the whole string.
fn positioned(mut error: SqlError, statement: &ParsedStatement) -> SqlError {
    error.position = error.position.map(|position| position + statement.offset);
    error
}
