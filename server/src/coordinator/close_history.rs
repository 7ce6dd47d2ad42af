//! ALTER TABLE … CLOSE HISTORY: from now on no answer about the past changes (S20).

use datafusion::sql::sqlparser::ast::ObjectName;
use tidemark_engine::{Change, CollectionId};
use tidemark_sql::ddl;
use tidemark_sql::error::{SqlError, state};

use super::Outcome;
use crate::session::Session;

pub async fn run(session: &mut Session, name: &ObjectName) -> Result<Outcome, SqlError> {
    if session.in_block() {
        let message = "ALTER TABLE … CLOSE HISTORY cannot run inside a transaction block";
        return Err(SqlError::new(state::ACTIVE_SQL_TRANSACTION, message));
    }
    let ctx = session.plan_context();
    let table = ddl::resolve(&ctx, name)?.ok_or_else(|| SqlError::undefined_table(name))?;
    if table.table().is_none() {
        let message = format!("\"{}\" is not a table", table.name);
        return Err(SqlError::new(state::WRONG_OBJECT_TYPE, message));
    }
    let table = CollectionId(table.id.0);
    let change = Change { close_history: vec![table], ..Change::default() };
    let closed = session.coordinator.submit(change).await;
    closed.map_err(|error| tidemark_sql::commit_error(&ctx, error, &[]))?;
    Outcome::done("ALTER TABLE")
}
