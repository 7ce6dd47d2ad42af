//! ALTER TABLE, VIEW, MATERIALIZED VIEW, SCHEMA … RENAME TO, and ALTER TABLE … RENAME COLUMN.

use datafusion::sql::sqlparser::ast::ObjectName;
use tidemark_catalog::Op;
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::parse::ObjectClass;
use tidemark_sql::{Statement, ddl};

use super::{Outcome, lock_catalog};
use crate::session::{Notice, Session};

pub async fn run(session: &mut Session, statement: &Statement) -> Result<Outcome, SqlError> {
    let Statement::AlterRename { kind, name, to, if_exists } = statement else {
        return Err(SqlError::internal("not a RENAME"));
    };
    let tag = format!("ALTER {}", kind.noun().to_uppercase());
    let ctx = lock_catalog(session).await?;
    let (_, bare) = ddl::name_parts(&ctx, name)?;
    if *kind == ObjectClass::Schema {
        let op = Op::RenameSchema { name: bare, to: to.clone() };
        session.open_transaction()?.stage(op)?;
        return Ok(Outcome::Done(tag));
    }
    let Some(object) = ddl::resolve(&ctx, name)? else {
        let message = format!("relation \"{bare}\" does not exist");
        if !if_exists {
            return Err(SqlError::new(state::UNDEFINED_TABLE, message));
        }
        let notice = Notice::note(state::SUCCESSFUL_COMPLETION, format!("{message}, skipping"));
        session.notice(notice);
        return Ok(Outcome::Done(tag));
    };
    // As in Postgres, ALTER TABLE renames anything that can be read.
    if *kind != ObjectClass::Table && object.kind.noun() != kind.noun() {
        let message = format!("\"{bare}\" is not a {}", kind.noun());
        return Err(SqlError::new(state::WRONG_OBJECT_TYPE, message));
    }
    let op = Op::Rename { id: object.id, to: to.clone() };
    session.open_transaction()?.stage(op)?;
    Ok(Outcome::Done(tag))
}

/// Views go on with the names that their texts were written by.
pub async fn column(
    session: &mut Session,
    name: &ObjectName,
    if_exists: bool,
    column: &str,
    to: &str,
) -> Result<Outcome, SqlError> {
    let ctx = lock_catalog(session).await?;
    if if_exists && ddl::resolve(&ctx, name)?.is_none() {
        let message = format!("relation \"{name}\" does not exist, skipping");
        session.notice(Notice::note(state::SUCCESSFUL_COMPLETION, message));
        return Outcome::done("ALTER TABLE");
    }
    let table = ddl::resolve_table(&ctx, name)?;
    let index = ddl::column_of(table, column)?;
    if table.column(to).is_some() {
        let message = format!("column \"{to}\" of relation \"{}\" already exists", table.name);
        return Err(SqlError::new(state::DUPLICATE_COLUMN, message));
    }
    let op = Op::RenameColumn { id: table.id, column: index, to: to.to_owned() };
    session.open_transaction()?.stage(op)?;
    Outcome::done("ALTER TABLE")
}
