//! DROP FUNCTION [IF EXISTS] name[(types)], … [CASCADE | RESTRICT].

use tidemark_sql::ddl;
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::parse::{DropFunction, DroppedFunction};

use super::{Outcome, drop, lock_catalog};
use crate::session::{Notice, Session};

pub async fn run(session: &mut Session, dropped: &DropFunction) -> Result<Outcome, SqlError> {
    let ctx = lock_catalog(session).await?;
    let mut roots = Vec::new();
    for function in &dropped.functions {
        match ddl::resolve_function(&ctx, function) {
            Ok(found) if !roots.contains(&found.id) => roots.push(found.id),
            Ok(_) => {}
            Err(error) if error.code == state::UNDEFINED_FUNCTION && dropped.if_exists => {
                let message = format!("function {} does not exist, skipping", written(function));
                session.notice(Notice::note(state::SUCCESSFUL_COMPLETION, message));
            }
            Err(error) => return Err(error),
        }
    }
    drop::drop_objects(session, &ctx, &roots, dropped.cascade).await?;
    Outcome::done("DROP FUNCTION")
}

/// `f(int, text)` as the statement has it.
fn written(function: &DroppedFunction) -> String {
    let types = function.types.iter().flatten().map(|ty| ty.to_string().to_lowercase());
    format!("{}({})", function.name, types.collect::<Vec<_>>().join(","))
}
