//! COMMENT ON.

use tidemark_catalog::{CommentTarget as On, Op};
use tidemark_sql::ddl;
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::parse::{CommentTarget, ObjectClass};

use super::{Outcome, lock_catalog};
use crate::session::Session;

pub async fn run(
    session: &mut Session,
    on: &CommentTarget,
    text: Option<String>,
) -> Result<Outcome, SqlError> {
    let ctx = lock_catalog(session).await?;
    let on = match on {
        CommentTarget::Other => return Outcome::done("COMMENT"),
        CommentTarget::Object { class: ObjectClass::Schema, name } => {
            On::Schema(ddl::name_parts(&ctx, name)?.1)
        }
        CommentTarget::Object { class, name } => {
            let object =
                ddl::resolve(&ctx, name)?.ok_or_else(|| SqlError::undefined_table(name))?;
            if object.kind.noun() != class.noun() {
                let message = format!("\"{}\" is not a {}", object.name, class.noun());
                return Err(SqlError::new(state::WRONG_OBJECT_TYPE, message));
            }
            On::Object(object.id)
        }
        CommentTarget::Column { relation, column } => {
            let object =
                ddl::resolve(&ctx, relation)?.ok_or_else(|| SqlError::undefined_table(relation))?;
            let index = object.column(column).ok_or_else(|| {
                let relation = &object.name;
                let message =
                    format!("column \"{column}\" of relation \"{relation}\" does not exist");
                SqlError::new(state::UNDEFINED_COLUMN, message)
            })?;
            On::Column(object.id, index)
        }
    };
    session.open_transaction()?.stage(Op::Comment { on, text })?;
    Outcome::done("COMMENT")
}
