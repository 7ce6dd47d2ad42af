//! CREATE SCHEMA [IF NOT EXISTS].

use tidemark_catalog::Op;
use tidemark_sql::error::{SqlError, state};

use super::{Outcome, lock_catalog};
use crate::session::{Notice, Session};

pub async fn run(
    session: &mut Session,
    name: &str,
    if_not_exists: bool,
) -> Result<Outcome, SqlError> {
    let ctx = lock_catalog(session).await?;
    if if_not_exists && ctx.catalog.schema(name).is_some() {
        let message = format!("schema \"{name}\" already exists, skipping");
        session.notice(Notice::note(state::DUPLICATE_SCHEMA, message));
        return Outcome::done("CREATE SCHEMA");
    }
    let id = ctx.catalog.next_id();
    session.open_transaction()?.stage(Op::CreateSchema { id, name: name.to_owned() })?;
    Outcome::done("CREATE SCHEMA")
}
