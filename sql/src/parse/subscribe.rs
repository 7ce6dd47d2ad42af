//! `SUBSCRIBE`, as it stands in COPY and DECLARE.

use sqlparser::ast::{Expr, ObjectName};
use sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use crate::error::SqlError;

/// `SUBSCRIBE [TO] name [WITH (snapshot = …, progress = …)] [AS OF time]`.
#[derive(Debug, Clone)]
pub struct Subscribe {
    pub name: ObjectName,
    /// Whether it begins with the rows at its first time.
    pub snapshot: bool,
    /// Whether it says up to which time everything is sent.
    pub progress: bool,
    pub as_of: Option<Expr>,
}

/// SUBSCRIBE, whose first word is taken already, up to the end: of the statement or, `enclosed`, of
/// its parenthesis, which it takes.
pub(super) fn subscribe(tokens: &mut Cursor<'_>, enclosed: bool) -> Result<Subscribe, SqlError> {
    tokens.word("TO");
    if tokens.peek() == Some(&Token::LParen) {
        return Err(SqlError::unsupported("SUBSCRIBE takes the name of a table or a view")
            .with_hint("CREATE MATERIALIZED VIEW of the query, and subscribe to that.")
            .at(tokens.position()));
    }
    let name = tokens.object_name()?;
    let mut subscribe = Subscribe { name, snapshot: true, progress: false, as_of: None };
    if tokens.word("WITH") {
        options(tokens, &mut subscribe)?;
    }
    let timed = tokens.words(&["AS", "OF"]);
    subscribe.as_of = match (timed, enclosed) {
        (true, true) => Some(tokens.parse_to_closing(|parser| parser.parse_expr())?),
        (true, false) => Some(tokens.parse_rest(|parser| parser.parse_expr())?),
        (false, true) => {
            tokens.expect(&Token::RParen)?;
            None
        }
        (false, false) => None,
    };
    Ok(subscribe)
}

fn options(tokens: &mut Cursor<'_>, subscribe: &mut Subscribe) -> Result<(), SqlError> {
    tokens.expect(&Token::LParen)?;
    loop {
        let name = tokens.name()?;
        tokens.take(&Token::Eq);
        let value = tokens.switch()?;
        match name.as_str() {
            "snapshot" => subscribe.snapshot = value,
            "progress" => subscribe.progress = value,
            _ => {
                let message = format!("option \"{name}\" not recognized");
                return Err(SqlError::syntax(message).with_hint("There are snapshot and progress."));
            }
        }
        if !tokens.take(&Token::Comma) {
            return tokens.expect(&Token::RParen);
        }
    }
}
