//! Cursors: DECLARE, FETCH, MOVE, CLOSE. They live in a transaction and go forward only.

use std::sync::{Arc, Mutex};

use tidemark_sql::Statement;
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::parse::{Declare, FetchDirection};

use super::transaction::require_block;
use super::{Outcome, query};
use crate::rows::{Rows, RowsTag};
use crate::session::{Portal, Prepared, Progress, Session};

pub async fn run(session: &mut Session, statement: &Statement) -> Result<Outcome, SqlError> {
    match statement {
        Statement::Declare(declare) => open(session, declare).await,
        Statement::Fetch { cursor, direction, skip } => {
            fetch(session, cursor, *direction, *skip).await
        }
        Statement::Close { cursor: Some(cursor) } => {
            session.portals.remove(cursor).ok_or_else(|| unknown(cursor))?;
            Outcome::done("CLOSE CURSOR")
        }
        Statement::Close { cursor: None } => {
            session.portals.retain(|_, portal| portal.prepared.statement.is_some());
            Outcome::done("CLOSE CURSOR ALL")
        }
        other => Err(SqlError::internal(format!("not about cursors: {other:?}"))),
    }
}

async fn open(session: &mut Session, declare: &Declare) -> Result<Outcome, SqlError> {
    if declare.hold {
        return Err(SqlError::unsupported("cursors WITH HOLD are not supported")
            .with_hint("Fetch the rows before the transaction ends."));
    }
    require_block(session, "DECLARE CURSOR")?;
    if session.portals.contains_key(&declare.cursor) {
        let message = format!("cursor \"{}\" already exists", declare.cursor);
        return Err(SqlError::new(state::DUPLICATE_CURSOR, message));
    }
    let ctx = session.plan_context();
    let plan = query::plan(&ctx, &declare.query, Vec::new())?;
    let columns = Some(Arc::clone(&plan.schema));
    let rows = query::rows(session, &ctx, &plan, Vec::new()).await?;
    let prepared = Prepared {
        statement: None,
        declared: Vec::new(),
        parameter_types: Vec::new(),
        columns,
        plan: Mutex::new(None),
    };
    let portal = Portal {
        prepared: Arc::new(prepared),
        parameters: Vec::new(),
        formats: vec![i16::from(declare.binary)],
        progress: Progress::Open(Box::new(rows)),
    };
    session.portals.insert(declare.cursor.clone(), portal);
    Outcome::done("DECLARE CURSOR")
}

async fn fetch(
    session: &mut Session,
    cursor: &str,
    direction: FetchDirection,
    skip: bool,
) -> Result<Outcome, SqlError> {
    let most = forward(direction)?;
    let cancel = session.cancel.clone();
    let portal = session.portals.get_mut(cursor).ok_or_else(|| unknown(cursor))?;
    let schema = portal.prepared.columns.clone().ok_or_else(|| unknown(cursor))?;
    let mut batches = Vec::new();
    let mut count = 0;
    if let Progress::Open(rows) = &mut portal.progress {
        while count < most {
            let Some(batch) = rows.next(most - count, &cancel).await? else {
                portal.progress = Progress::Finished;
                break;
            };
            count += batch.num_rows();
            if !skip {
                batches.push(batch);
            }
        }
    }
    if skip {
        return Ok(Outcome::Done(format!("MOVE {count}")));
    }
    Ok(Outcome::Rows(Rows::ready(schema, batches, RowsTag::Fixed(format!("FETCH {count}")))))
}

/// The most rows that a forward movement gives; 55000 for any other.
fn forward(direction: FetchDirection) -> Result<usize, SqlError> {
    match direction {
        FetchDirection::Forward(count) => Ok(usize::try_from(count).unwrap_or(usize::MAX)),
        FetchDirection::All => Ok(usize::MAX),
        FetchDirection::Relative(1) => Ok(1),
        _ => {
            let message = "cursor can only scan forward";
            Err(SqlError::new(state::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
                .with_hint("Close it and declare it again to start from its first row."))
        }
    }
}

fn unknown(cursor: &str) -> SqlError {
    let message = format!("cursor \"{cursor}\" does not exist");
    SqlError::new(state::INVALID_CURSOR_NAME, message)
}
