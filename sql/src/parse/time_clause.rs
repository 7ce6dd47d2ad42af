//! Time clauses of relations, in words that sqlparser reads.
//!
//! | written | read as |
//! |---|---|
//! | `x FOR EVENT_TIME AS OF t` | `x TIMESTAMP AS OF t` |
//!
//! `x FOR SYSTEM_TIME AS OF t` it knows. With that it also takes AT, BEFORE and CHANGES behind a
//! name for Snowflake's clauses; here they are names, as in PostgreSQL.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// The tokens in sqlparser's words.
pub fn spelled(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
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
