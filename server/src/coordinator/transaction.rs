//! BEGIN, COMMIT, ROLLBACK, savepoints, LOCK TABLE, and what a transaction's state lets through.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::ObjectName;
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::parse::{CopyDirection, TransactionModes};
use tidemark_sql::{ParsedStatement, Settings, Statement, ddl};

use super::{Outcome, fill, quarantine};
use crate::session::{Notice, Session};

/// Runs a statement about the transaction itself.
pub async fn run(session: &mut Session, parsed: &ParsedStatement) -> Result<Outcome, SqlError> {
    match &parsed.statement {
        Statement::Begin(modes) => {
            begin(session, modes)?;
            let start = parsed.text.get(..5).is_some_and(|word| word.eq_ignore_ascii_case("start"));
            Outcome::done(if start { "START TRANSACTION" } else { "BEGIN" })
        }
        Statement::SetTransaction { session: whole, modes } => {
            set_transaction(session, *whole, modes)
        }
        Statement::Commit { chain } => end(session, true, *chain).await,
        Statement::Rollback { chain } => end(session, false, *chain).await,
        Statement::Savepoint { name } => {
            require_block(session, "SAVEPOINT")?;
            let settings = session.settings.clone();
            session.open_transaction()?.savepoint(name.clone(), settings);
            Outcome::done("SAVEPOINT")
        }
        Statement::ReleaseSavepoint { name } => {
            require_block(session, "RELEASE SAVEPOINT")?;
            session.open_transaction()?.release(name)?;
            Outcome::done("RELEASE")
        }
        Statement::RollbackToSavepoint { name } => {
            require_block(session, "ROLLBACK TO SAVEPOINT")?;
            if let Some(transaction) = &mut session.transaction {
                session.settings = transaction.rollback_to(name)?;
            }
            Outcome::done("ROLLBACK")
        }
        other => Err(SqlError::internal(format!("not a transaction statement: {other:?}"))),
    }
}

/// LOCK TABLE: the lock of a write, taken early.
pub async fn lock_tables(
    session: &mut Session,
    tables: &[ObjectName],
) -> Result<Outcome, SqlError> {
    require_block(session, "LOCK TABLE")?;
    let ctx = session.plan_context();
    let (engine, cancel) = (Arc::clone(&session.coordinator.engine), session.cancel.clone());
    for name in tables {
        let table = ddl::resolve(&ctx, name)?.ok_or_else(|| SqlError::undefined_table(name))?;
        if table.table().is_some() {
            let transaction = session.open_transaction()?;
            transaction.lock_for_write(table.id, &engine, &cancel).await?;
        }
    }
    Outcome::done("LOCK TABLE")
}

/// In a failed transaction only its end, or a return to a savepoint, is let through.
pub fn check_not_failed(session: &Session, statement: &Statement) -> Result<(), SqlError> {
    let failed = session.transaction.as_ref().is_some_and(|transaction| transaction.failed);
    let ends = matches!(
        statement,
        Statement::Commit { .. }
            | Statement::Rollback { .. }
            | Statement::RollbackToSavepoint { .. }
    );
    if failed && !ends {
        let message =
            "current transaction is aborted, commands ignored until end of transaction block";
        return Err(SqlError::new(state::IN_FAILED_SQL_TRANSACTION, message));
    }
    Ok(())
}

/// 25006 for a statement that writes, where only reading is allowed.
pub fn check_read_only(session: &Session, statement: &Statement) -> Result<(), SqlError> {
    let setting =
        if session.in_block() { "transaction_read_only" } else { "default_transaction_read_only" };
    let copy_in = match statement {
        Statement::Copy(copy) => copy.direction == CopyDirection::FromStdin,
        _ => false,
    };
    if !copy_in && statement.is_read_only() {
        return Ok(());
    }
    if session.settings.as_of().is_some() {
        let message = format!("cannot execute {} while as_of is set", verb(statement));
        return Err(SqlError::new(state::READ_ONLY_SQL_TRANSACTION, message)
            .with_hint("RESET as_of goes back to the present."));
    }
    if !session.settings.is_on(setting) {
        return Ok(());
    }
    let message = format!("cannot execute {} in a read-only transaction", verb(statement));
    Err(SqlError::new(state::READ_ONLY_SQL_TRANSACTION, message))
}

fn verb(statement: &Statement) -> &'static str {
    match statement {
        Statement::Insert(_) => "INSERT",
        Statement::Update(_) => "UPDATE",
        Statement::Delete(_) => "DELETE",
        Statement::Truncate { .. } => "TRUNCATE TABLE",
        Statement::Copy(_) => "COPY FROM",
        Statement::CreateSchema { .. } => "CREATE SCHEMA",
        Statement::CreateTable(_) => "CREATE TABLE",
        Statement::CreateView(_) => "CREATE VIEW",
        Statement::CreateMaterializedView(_) => "CREATE MATERIALIZED VIEW",
        Statement::CreateFunction(_) => "CREATE FUNCTION",
        Statement::Drop(_) => "DROP",
        Statement::DropFunction(_) => "DROP FUNCTION",
        Statement::AlterTable { .. }
        | Statement::AlterOptions { .. }
        | Statement::RenameColumn { .. }
        | Statement::AlterRename { .. }
        | Statement::CloseHistory { .. } => "ALTER TABLE",
        Statement::Comment { .. } => "COMMENT",
        _ => "this statement",
    }
}

/// Commits what several statements without BEGIN share; nothing if there is no such transaction.
pub async fn end_implicit(session: &mut Session) -> Result<(), SqlError> {
    match &session.transaction {
        Some(transaction) if !transaction.explicit => commit(session).await,
        _ => Ok(()),
    }
}

fn begin(session: &mut Session, modes: &TransactionModes) -> Result<(), SqlError> {
    match &mut session.transaction {
        Some(transaction) if transaction.explicit => {
            let message = "there is already a transaction in progress";
            session.notice(Notice::warning(state::ACTIVE_SQL_TRANSACTION, message));
        }
        Some(implicit) => implicit.explicit = true,
        None => session.begin(true),
    }
    let default_read_only = session.settings.is_on("default_transaction_read_only");
    let default_isolation = session.settings.get("default_transaction_isolation");
    let read_only = modes.read_only.unwrap_or(default_read_only);
    session.settings.set("transaction_read_only", if read_only { "on" } else { "off" })?;
    let isolation = modes.isolation.map(str::to_owned).or(default_isolation);
    if let Some(isolation) = isolation {
        session.settings.set("transaction_isolation", &isolation)?;
    }
    Ok(())
}

fn set_transaction(
    session: &mut Session,
    whole_session: bool,
    modes: &TransactionModes,
) -> Result<Outcome, SqlError> {
    let prefix = if whole_session { "default_transaction" } else { "transaction" };
    if !whole_session && !session.in_block() {
        let message = "SET TRANSACTION can only be used in transaction blocks";
        session.notice(Notice::warning(state::NO_ACTIVE_SQL_TRANSACTION, message));
        return Outcome::done("SET");
    }
    let read_only = modes.read_only.map(|on| ("read_only", if on { "on" } else { "off" }));
    let isolation = modes.isolation.map(|level| ("isolation", level));
    for (name, value) in read_only.into_iter().chain(isolation) {
        let name = format!("{prefix}_{name}");
        session.settings.set(&name, value)?;
        if let Some(transaction) = session.transaction.as_mut().filter(|_| whole_session) {
            transaction.staged.settings.set(&name, value)?;
        }
    }
    Outcome::done("SET")
}

async fn end(session: &mut Session, keep: bool, chain: bool) -> Result<Outcome, SqlError> {
    let tag = if keep { "COMMIT" } else { "ROLLBACK" };
    let explicit = session.transaction.as_ref().is_some_and(|transaction| transaction.explicit);
    if !explicit {
        if chain {
            let message = format!("{tag} AND CHAIN can only be used in transaction blocks");
            return Err(SqlError::new(state::NO_ACTIVE_SQL_TRANSACTION, message));
        }
        let message = "there is no transaction in progress";
        session.notice(Notice::warning(state::NO_ACTIVE_SQL_TRANSACTION, message));
    }
    let failed = session.transaction.as_ref().is_some_and(|transaction| transaction.failed);
    let modes = TransactionModes {
        read_only: Some(session.settings.is_on("transaction_read_only")),
        isolation: None,
    };
    if keep && !failed {
        commit(session).await?;
    } else {
        session.abort();
    }
    if chain {
        begin(session, &modes)?;
    }
    Outcome::done(if failed { "ROLLBACK" } else { tag })
}

async fn commit(session: &mut Session) -> Result<(), SqlError> {
    let ctx = session.plan_context();
    let Some(transaction) = session.transaction.take() else {
        return Ok(());
    };
    session.portals.clear();
    let (guard, alone) = (transaction.guard(), transaction.alone);
    let (before, after) =
        (transaction.settings_before.clone(), transaction.staged.settings.clone());
    session.settings = before;
    if let Some(commit) = transaction.into_commit() {
        let written: Vec<_> = commit.writes.iter().map(|write| write.table).collect();
        let created = commit.create_views.clone();
        let at = session.coordinator.commit(&ctx, commit, guard).await?;
        session.committed(at);
        // The creator's next statement reads them at once.
        fill::wait_created(session, &created, at, alone).await?;
        quarantine::tell(session, at, &written).await;
    }
    session.settings = after;
    reset_transaction_settings(&mut session.settings);
    Ok(())
}

fn reset_transaction_settings(settings: &mut Settings) {
    for name in ["transaction_read_only", "transaction_isolation", "transaction_deferrable"] {
        // They are settings, so they can be reset.
        let _ = settings.reset(name);
    }
}

/// 25P01 outside a block that BEGIN opened.
pub fn require_block(session: &Session, statement: &str) -> Result<(), SqlError> {
    if session.transaction.as_ref().is_some_and(|transaction| transaction.explicit) {
        return Ok(());
    }
    let message = format!("{statement} can only be used in transaction blocks");
    Err(SqlError::new(state::NO_ACTIVE_SQL_TRANSACTION, message))
}
