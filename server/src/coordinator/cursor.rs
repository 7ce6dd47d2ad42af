//! Cursors: DECLARE, FETCH, MOVE, CLOSE. They live in a transaction and go forward only.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::RecordBatch;
use tidemark_sql::Statement;
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::parse::{CursorSource, Declare, FetchDirection};

use super::transaction::require_block;
use super::{Outcome, query, subscribe};
use crate::cancel::Cancel;
use crate::rows::{Rows, RowsTag};
use crate::session::{Portal, Prepared, Progress, Session};
use crate::subscription::Subscription;

pub async fn run(session: &mut Session, statement: &Statement) -> Result<Outcome, SqlError> {
    match statement {
        Statement::Declare(declare) => open(session, declare).await,
        Statement::Fetch { cursor, direction, skip, timeout_ms } => {
            let timeout = timeout_ms.map(Duration::from_millis);
            fetch(session, cursor, forward(*direction)?, *skip, timeout).await
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
    let (schema, progress) = match &declare.source {
        CursorSource::Query(query) => {
            let ctx = session.plan_context();
            let plan = query::plan(&ctx, query, Vec::new())?;
            let rows = query::rows(session, &ctx, &plan, Vec::new()).await?;
            (Arc::clone(&plan.schema), Progress::Open(Box::new(rows)))
        }
        CursorSource::Subscribe(subscribe) => {
            let subscription = subscribe::start(session, subscribe).await?;
            (Arc::clone(&subscription.schema), Progress::Following(Box::new(subscription)))
        }
    };
    let prepared = Prepared {
        statement: None,
        declared: Vec::new(),
        parameter_types: Vec::new(),
        columns: Some(schema),
        plan: Mutex::new(None),
    };
    let portal = Portal {
        prepared: Arc::new(prepared),
        parameters: Vec::new(),
        formats: vec![i16::from(declare.binary)],
        progress,
    };
    session.portals.insert(declare.cursor.clone(), portal);
    Outcome::done("DECLARE CURSOR")
}

async fn fetch(
    session: &mut Session,
    cursor: &str,
    most: usize,
    skip: bool,
    timeout: Option<Duration>,
) -> Result<Outcome, SqlError> {
    let cancel = session.cancel.clone();
    let portal = session.portals.get_mut(cursor).ok_or_else(|| unknown(cursor))?;
    let schema = portal.prepared.columns.clone().ok_or_else(|| unknown(cursor))?;
    let batches = match &mut portal.progress {
        Progress::Open(rows) => {
            let (batches, is_over) = fetch_rows(rows, most, &cancel).await?;
            if is_over {
                portal.progress = Progress::Finished;
            }
            batches
        }
        Progress::Following(subscription) => {
            fetch_changes(subscription, most, timeout, &cancel).await?
        }
        Progress::Bound | Progress::Finished => Vec::new(),
    };
    let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if skip {
        return Ok(Outcome::Done(format!("MOVE {count}")));
    }
    Ok(Outcome::Rows(Rows::ready(schema, batches, RowsTag::Fixed(format!("FETCH {count}")))))
}

/// Up to `most` rows, and whether these were the last.
async fn fetch_rows(
    rows: &mut Rows,
    most: usize,
    cancel: &Cancel,
) -> Result<(Vec<RecordBatch>, bool), SqlError> {
    let (mut batches, mut count) = (Vec::new(), 0);
    while count < most {
        let Some(batch) = rows.next(most - count, cancel).await? else {
            return Ok((batches, true));
        };
        count += batch.num_rows();
        batches.push(batch);
    }
    Ok((batches, false))
}

/// Up to `most` changes: what is committed by now, or else the first to come within `timeout`.
async fn fetch_changes(
    subscription: &mut Subscription,
    most: usize,
    timeout: Option<Duration>,
    cancel: &Cancel,
) -> Result<Vec<RecordBatch>, SqlError> {
    let late = async {
        match timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    let mut late = pin!(late);
    cancel.guard(subscription.catch_up()).await?;
    let (mut batches, mut count) = (Vec::new(), 0);
    while count < most {
        match subscription.take(most - count) {
            Ok(Some(batch)) => {
                count += batch.num_rows();
                batches.push(batch);
            }
            Ok(None) if count > 0 => break,
            Ok(None) => {
                let more = async {
                    tokio::select! {
                        () = subscription.more() => true,
                        () = &mut late => false,
                    }
                };
                if !cancel.guard(more).await? {
                    break;
                }
            }
            // Said by the next FETCH.
            Err(_) if count > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(batches)
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
