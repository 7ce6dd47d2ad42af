//! SET, RESET, SHOW, DISCARD, and the modes of a transaction.

use sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::recognize::NO_MODES;
use super::statement::{Statement, TransactionModes};
use crate::error::SqlError;

pub fn statement(tokens: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    match tokens.any_word(&["SET", "RESET", "SHOW", "DISCARD"]) {
        Some("SET") => set(tokens),
        Some("RESET") => reset(tokens),
        Some("SHOW") => show(tokens),
        _ => discard(tokens),
    }
}

fn set(tokens: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    if tokens.words(&["SESSION", "CHARACTERISTICS", "AS", "TRANSACTION"]) {
        let modes = transaction_modes(tokens)?;
        return Ok(Statement::SetTransaction { session: true, modes });
    }
    if tokens.word("TRANSACTION") {
        if tokens.has_word("SNAPSHOT") {
            return Err(SqlError::unsupported("SET TRANSACTION SNAPSHOT is not supported"));
        }
        let modes = transaction_modes(tokens)?;
        return Ok(Statement::SetTransaction { session: false, modes });
    }
    if tokens.word("CONSTRAINTS") {
        return Err(SqlError::unsupported("constraints cannot be deferred"));
    }
    let scope = if tokens.has_word_at(1, "AUTHORIZATION") {
        None
    } else {
        tokens.any_word(&["LOCAL", "SESSION"])
    };
    let local = scope == Some("LOCAL");
    if tokens.words(&["TIME", "ZONE"]) {
        let value = time_zone(tokens)?;
        return Ok(Statement::Set { name: "TimeZone".to_string(), value, local });
    }
    let name = setting_name(tokens)?;
    let bare = ["names", "role", "session_authorization"].contains(&name.as_str());
    let name = if name == "names" { "client_encoding".to_string() } else { name };
    if !bare && !tokens.word("TO") {
        tokens.expect(&Token::Eq)?;
    }
    if tokens.word("DEFAULT") || (bare && tokens.is_end()) {
        return Ok(Statement::Set { name, value: None, local });
    }
    let mut values = vec![value(tokens)?];
    while tokens.take(&Token::Comma) {
        values.push(value(tokens)?);
    }
    Ok(Statement::Set { name, value: Some(values.join(", ")), local })
}

/// A name of one or more words joined by periods, or one of the names that are two words.
fn setting_name(tokens: &mut Cursor<'_>) -> Result<String, SqlError> {
    if tokens.words(&["SESSION", "AUTHORIZATION"]) {
        return Ok("session_authorization".to_string());
    }
    if tokens.words(&["TRANSACTION", "ISOLATION", "LEVEL"]) {
        return Ok("transaction_isolation".to_string());
    }
    if tokens.words(&["TIME", "ZONE"]) {
        return Ok("TimeZone".to_string());
    }
    let mut name = tokens.name()?;
    while tokens.take(&Token::Period) {
        name.push('.');
        name.push_str(&tokens.name()?);
    }
    Ok(name)
}

/// One value of a list. A quoted identifier keeps its quotes, so that a search path can be read
/// back.
fn value(tokens: &mut Cursor<'_>) -> Result<String, SqlError> {
    if let Some(text) = tokens.string() {
        return Ok(text);
    }
    let negative = tokens.take(&Token::Minus);
    if !negative {
        tokens.take(&Token::Plus);
    }
    if let Some(Token::Number(number, _)) = tokens.peek() {
        let number = if negative { format!("-{number}") } else { number.clone() };
        tokens.advance();
        return Ok(number);
    }
    let ident = tokens.ident()?;
    Ok(match ident.quote_style {
        Some(_) => format!("\"{}\"", ident.value),
        None => ident.value.to_lowercase(),
    })
}

fn time_zone(tokens: &mut Cursor<'_>) -> Result<Option<String>, SqlError> {
    if tokens.any_word(&["LOCAL", "DEFAULT"]).is_some() {
        return Ok(None);
    }
    if tokens.word("INTERVAL") {
        let text = tokens.expect_string()?;
        while !tokens.is_end() {
            tokens.advance();
        }
        return Ok(Some(text));
    }
    if let Some(text) = tokens.string() {
        return Ok(Some(text));
    }
    if let Some(hours) = tokens.integer() {
        return Ok(Some(hours.to_string()));
    }
    tokens.ident().map(|ident| Some(ident.value))
}

fn reset(tokens: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    if tokens.word("ALL") {
        return Ok(Statement::ResetAll);
    }
    let name = setting_name(tokens)?;
    Ok(Statement::Set { name, value: None, local: false })
}

fn show(tokens: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    if tokens.word("ALL") {
        return Ok(Statement::ShowAll);
    }
    setting_name(tokens).map(Statement::Show)
}

fn discard(tokens: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    match tokens.any_word(&["ALL", "PLANS", "SEQUENCES", "TEMP", "TEMPORARY"]) {
        Some("ALL") => Ok(Statement::DiscardAll),
        Some(_) => Ok(Statement::DiscardOther),
        None => Err(tokens.unexpected()),
    }
}

/// `ISOLATION LEVEL …`, `READ ONLY`, `READ WRITE`, `[NOT] DEFERRABLE`, with or without commas.
pub fn transaction_modes(tokens: &mut Cursor<'_>) -> Result<TransactionModes, SqlError> {
    let mut modes = NO_MODES;
    loop {
        if tokens.words(&["ISOLATION", "LEVEL"]) {
            modes.isolation = Some(isolation(tokens)?);
        } else if tokens.words(&["READ", "ONLY"]) {
            modes.read_only = Some(true);
        } else if tokens.words(&["READ", "WRITE"]) {
            modes.read_only = Some(false);
        } else if !tokens.word("DEFERRABLE") && !tokens.words(&["NOT", "DEFERRABLE"]) {
            return Ok(modes);
        }
        tokens.take(&Token::Comma);
    }
}

fn isolation(tokens: &mut Cursor<'_>) -> Result<&'static str, SqlError> {
    if tokens.word("SERIALIZABLE") {
        Ok("serializable")
    } else if tokens.words(&["REPEATABLE", "READ"]) {
        Ok("repeatable read")
    } else if tokens.words(&["READ", "COMMITTED"]) {
        Ok("read committed")
    } else if tokens.words(&["READ", "UNCOMMITTED"]) {
        Ok("read uncommitted")
    } else {
        Err(tokens.unexpected())
    }
}
