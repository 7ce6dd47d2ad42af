//! Time clauses of relations, in words that sqlparser reads.
//!
//! | written | read as |
//! |---|---|
//! | `x FOR EVENT_TIME AS OF t` | `x TIMESTAMP AS OF t` |
//! | `x VERSION AS OF n FOR SYSTEM_TIME AS OF t` | `x FOR SYSTEM_TIME AS OF ‹version n› t` |
//! | `x VERSION AS OF n` | `x FOR SYSTEM_TIME AS OF ‹version n› now()` |
//!
//! `x FOR SYSTEM_TIME AS OF t` it knows. With that it also takes AT, BEFORE and CHANGES behind a
//! name for Snowflake's clauses; here they are names, as in PostgreSQL. The n of a version may be
//! CURRENT.
//!
//! Law: [`of`] gives back what was written, whatever carried it.

use sqlparser::ast::{Expr, Ident, TableVersion};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use crate::time_join::Clock;

/// Marks the version before a time.
const VERSION: &str = "\u{2}version ";

/// The time clause of a relation.
#[derive(Debug, Clone)]
pub struct TimeClause {
    pub clock: Clock,
    pub version: Option<WrittenVersion>,
    pub time: Expr,
}

/// `VERSION AS OF n | CURRENT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WrittenVersion {
    Number(u32),
    Current,
}

/// What was written, if it is one of ours.
pub fn of(version: &TableVersion) -> Option<TimeClause> {
    let (clock, time) = match version {
        TableVersion::ForSystemTimeAsOf(time) => (Clock::System, time),
        TableVersion::TimestampAsOf(time) => (Clock::Event, time),
        _ => return None,
    };
    let (version, time) = match time {
        Expr::Prefixed { prefix, value } => (written_version(prefix), value.as_ref()),
        time => (None, time),
    };
    Some(TimeClause { clock, version, time: time.clone() })
}

fn written_version(prefix: &Ident) -> Option<WrittenVersion> {
    let number = prefix.value.strip_prefix(VERSION)?;
    Some(number.parse().map_or(WrittenVersion::Current, WrittenVersion::Number))
}

/// A version and the time behind it, for the dialect.
pub(super) fn versioned_time(parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
    let span = parser.peek_token_ref().span;
    let value = match &parser.peek_token_ref().token {
        Token::Word(word) if word.value.starts_with(VERSION) => word.value.clone(),
        _ => return None,
    };
    parser.advance_token();
    let prefix = Ident { value, quote_style: None, span };
    let time = parser.parse_expr();
    Some(time.map(|time| Expr::Prefixed { prefix, value: Box::new(time) }))
}

/// The tokens in sqlparser's words.
pub fn spelled(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut at = 0;
    while at < tokens.len() {
        spell_version(&mut tokens, at);
        if has_words(&tokens, at, &["FOR", "EVENT_TIME", "AS", "OF"]) {
            tokens.remove(at);
            tokens[at].token = Token::make_keyword("TIMESTAMP");
        }
        let zone = ["TIME", "LOCAL"].iter().any(|word| is_word(&tokens, at + 1, word));
        if let Token::Word(word) = &mut tokens[at].token
            && matches!(word.keyword, Keyword::AT | Keyword::BEFORE | Keyword::CHANGES)
            && !zone
        {
            word.keyword = Keyword::NoKeyword;
        }
        at += 1;
    }
    tokens
}

/// Moves `VERSION AS OF n` at `at` behind the words of the time.
fn spell_version(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    if !has_words(tokens, at, &["VERSION", "AS", "OF"]) {
        return;
    }
    let number = match tokens.get(at + 3).map(|token| &token.token) {
        Some(Token::Number(number, _)) if number.parse::<u32>().is_ok() => number.clone(),
        Some(Token::Word(word)) if word.value.eq_ignore_ascii_case("CURRENT") => {
            "current".to_owned()
        }
        _ => return,
    };
    let version = Word {
        value: format!("{VERSION}{number}"),
        quote_style: None,
        keyword: Keyword::NoKeyword,
    };
    let span = tokens[at].span;
    let with = |token| TokenWithSpan { token, span };
    let timed = ["SYSTEM_TIME", "EVENT_TIME"]
        .iter()
        .any(|clock| has_words(tokens, at + 4, &["FOR", clock, "AS", "OF"]));
    if timed {
        tokens.insert(at + 8, with(Token::Word(version)));
        tokens.drain(at..at + 4);
        return;
    }
    let words = ["FOR", "SYSTEM_TIME", "AS", "OF"].map(Token::make_keyword);
    let now = [Token::make_word("now", None), Token::LParen, Token::RParen];
    let spelled = words.into_iter().chain([Token::Word(version)]).chain(now).map(with);
    tokens.splice(at..at + 4, spelled);
}

fn has_words(tokens: &[TokenWithSpan], at: usize, words: &[&str]) -> bool {
    words.iter().enumerate().all(|(n, word)| is_word(tokens, at + n, word))
}

fn is_word(tokens: &[TokenWithSpan], at: usize, word: &str) -> bool {
    matches!(
        tokens.get(at).map(|token| &token.token),
        Some(Token::Word(found))
            if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word)
    )
}
