//! Time clauses of relations, in words that sqlparser reads.
//!
//! | written | read as |
//! |---|---|
//! | `x FOR EVENT_TIME AS OF t` | `x TIMESTAMP AS OF t` |
//! | `x VERSION AS OF CURRENT` | `x VERSION AS OF 0` |
//! | `x VERSION AS OF n FOR … AS OF t` | `x FOR … AS OF n OR t` |
//! | `x FOR … AS OF t VERSION AS OF n` | the same |
//!
//! The end of a time is only known when it is parsed, so its version goes before it, with the
//! operator that binds least.
//!
//! `x FOR SYSTEM_TIME AS OF t` it knows. With that it also takes AT, BEFORE and CHANGES behind a
//! name for Snowflake's clauses; here they are names, as in PostgreSQL.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// The number that stands for the newest version.
pub const CURRENT_VERSION: &str = "0";

/// The tokens in sqlparser's words.
pub fn spelled(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut tokens = times_spelled(tokens);
    let mut at = 0;
    while at < tokens.len() {
        if let Some(number) = version_at(&tokens, at) {
            tokens[at + VERSION_TOKENS - 1].token = number;
            let after = at + VERSION_TOKENS;
            let place = match time_begins(&tokens, after) {
                Some(words) => Some(after + words - VERSION_TOKENS),
                None => time_before(&tokens, at),
            };
            if let Some(place) = place {
                let mut version: Vec<_> = tokens.drain(at..after).collect();
                version.drain(..VERSION_TOKENS - 1);
                let or = Token::make_keyword("OR");
                version.push(TokenWithSpan { token: or, span: version[0].span });
                tokens.splice(place..place, version);
            }
        }
        at += 1;
    }
    tokens
}

/// `VERSION AS OF n`.
const VERSION_TOKENS: usize = 4;

/// The number of the version that is named here, if there is one.
fn version_at(tokens: &[TokenWithSpan], at: usize) -> Option<Token> {
    let words = ["VERSION", "AS", "OF"];
    if !(0..3).all(|n| is_word(tokens, at + n, words[n])) {
        return None;
    }
    match &tokens.get(at + 3)?.token {
        number @ Token::Number(..) => Some(number.clone()),
        _ if is_word(tokens, at + 3, "CURRENT") => {
            Some(Token::Number(CURRENT_VERSION.to_owned(), false))
        }
        _ => None,
    }
}

/// How many tokens begin a time clause here.
fn time_begins(tokens: &[TokenWithSpan], at: usize) -> Option<usize> {
    let clauses: [&[&str]; 2] = [&["FOR", "SYSTEM_TIME", "AS", "OF"], &["TIMESTAMP", "AS", "OF"]];
    let begins = |words: &&[&str]| (0..words.len()).all(|n| is_word(tokens, at + n, words[n]));
    clauses.into_iter().find(begins).map(<[&str]>::len)
}

/// Where the time begins whose clause stands before the version at `at`: the nearest one that
/// nothing but its time separates from it.
fn time_before(tokens: &[TokenWithSpan], at: usize) -> Option<usize> {
    let mut depth = 0;
    for place in (0..at).rev() {
        match &tokens[place].token {
            Token::RParen => depth += 1,
            Token::LParen if depth == 0 => return None,
            Token::LParen => depth -= 1,
            Token::Comma if depth == 0 => return None,
            _ if depth > 0 => {}
            _ if is_word(tokens, place, "JOIN") || is_word(tokens, place, "FROM") => return None,
            _ => {
                if let Some(words) = time_begins(tokens, place) {
                    return Some(place + words);
                }
            }
        }
    }
    None
}

fn times_spelled(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut at = 0;
    while at < tokens.len() {
        let event = ["FOR", "EVENT_TIME", "AS", "OF"];
        if (0..4).all(|n| is_word(&tokens, at + n, event[n])) {
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

fn is_word(tokens: &[TokenWithSpan], at: usize, word: &str) -> bool {
    matches!(
        tokens.get(at).map(|token| &token.token),
        Some(Token::Word(found))
            if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word)
    )
}
