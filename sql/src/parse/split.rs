//! A query string cut into statements.

use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::cursor::Cursor;
use super::dialect::TidemarkDialect;
use super::position::{Lines, syntax_error};
use super::{ParsedStatement, Statement, as_of, limits, recognize, spelling, time_clause};
use crate::error::SqlError;

pub(super) const DIALECT: TidemarkDialect = TidemarkDialect;

/// See [`super::parse`].
pub fn statements(text: &str) -> Result<Vec<ParsedStatement>, SqlError> {
    limits::check_text(text)?;
    let lines = Lines::new(text);
    let tokens = tokenize(text, &lines)?;
    let mut statements = Vec::new();
    for tokens in tokens.split(|token| token.token == Token::SemiColon) {
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { continue };
        let offset = lines.character(first.span.start);
        let body = &text[lines.byte(first.span.start)..lines.byte(last.span.end)];
        let tokens = lines.relative(tokens.to_vec(), offset);
        let statement = one(body, tokens).map_err(|mut error| {
            error.position = error.position.map(|position| position + offset);
            error
        })?;
        statements.push(ParsedStatement { statement, text: body.to_string(), offset });
    }
    Ok(statements)
}

/// A statement's tokens without white space and comments, on one line.
fn one(text: &str, tokens: Vec<TokenWithSpan>) -> Result<Statement, SqlError> {
    limits::check_tokens(&tokens)?;
    recognize::statement(&mut Cursor::new(text, spelling::readable(tokens)))
}

fn tokenize(text: &str, lines: &Lines<'_>) -> Result<Vec<TokenWithSpan>, SqlError> {
    let mut tokens = Vec::new();
    Tokenizer::new(&DIALECT, text).tokenize_with_location_into_buf(&mut tokens).map_err(
        |error| {
            let at = lines.character(error.location) + 1;
            syntax_error(&format!("{} at Line: 1, Column: {at}", error.message), text)
        },
    )?;
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF));
    Ok(tokens)
}

/// sqlparser over the given tokens, all of which `parse` must take.
pub(super) fn with_parser<T>(
    text: &str,
    tokens: &[TokenWithSpan],
    parse: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>,
) -> Result<T, SqlError> {
    let mut parser = Parser::new(&DIALECT)
        .with_recursion_limit(limits::DEPTH_MAX)
        .with_tokens_with_locations(time_clause::spelled(as_of::spelled(tokens)?));
    let parsed = parse(&mut parser).and_then(|parsed| match parser.peek_token_ref().token {
        Token::EOF => Ok(parsed),
        _ => parser.expected_ref("end of statement", parser.peek_token_ref()),
    });
    parsed.map_err(|error| match error {
        ParserError::RecursionLimitExceeded => limits::too_complex(),
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => {
            syntax_error(&message, text)
        }
    })
}
