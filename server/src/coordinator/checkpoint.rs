//! CHECKPOINT: the states of views are on disk when it returns.

use tidemark_engine::CheckpointError;
use tidemark_sql::error::{SqlError, state};

use super::Outcome;
use crate::session::Session;

pub async fn run(session: &mut Session) -> Result<Outcome, SqlError> {
    let taken = session.coordinator.engine.checkpoint().await;
    match taken.unwrap_or(Err(CheckpointError::Stopped)) {
        Ok(_) => Outcome::done("CHECKPOINT"),
        Err(error @ CheckpointError::Io(_)) => {
            Err(SqlError::new(state::IO_ERROR, error.to_string())
                .with_hint("Nothing is lost: the next start fills the views from their tables."))
        }
        Err(error @ CheckpointError::Stopped) => {
            Err(SqlError::new(state::ADMIN_SHUTDOWN, error.to_string()))
        }
    }
}
