//! Text to statements: sqlparser's PostgreSQL with what it lacks.
//!
//! Law: each statement knows its text and where it starts, so that an error's position is in the
//! string the client sent. A text no memory could hold parsed is refused with 54000 or 54001, not
//! tried.

mod alter;
pub(crate) mod as_of;
mod copy;
mod cursor;
mod dialect;
mod function;
mod limits;
pub(crate) mod position;
mod recognize;
mod set;
mod spelling;
mod split;
mod statement;
mod subscribe;
#[cfg(test)]
mod tests;
mod time_clause;
mod unicode;
mod with_before;

pub use copy::{Copy, CopyDirection, CopyFormat, CopyHeader, CopySource};
pub use cursor::fold;
pub use spelling::FRAME_EXCLUDE;
pub use statement::*;
pub use subscribe::Subscribe;
pub use time_clause::CURRENT_VERSION;

use crate::error::SqlError;

/// One statement of a query string.
#[derive(Debug, Clone)]
pub struct ParsedStatement {
    pub statement: Statement,
    /// Without the semicolon and the white space around it.
    pub text: String,
    /// Where `text` starts in the query string, in characters: add it to the position of an error
    /// in `text`.
    pub offset: usize,
}

/// Every statement of a query string; none if there is only white space and comments.
///
/// Errors: 42601 with a position in `text`, 0A000 for statements this server has no use for, 54000
/// and 54001 for texts beyond the limits.
pub fn parse(text: &str) -> Result<Vec<ParsedStatement>, SqlError> {
    split::statements(text)
}
