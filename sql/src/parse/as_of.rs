//! `ASOF JOIN`, in words that sqlparser reads (S19).
//!
//! | written | read as |
//! |---|---|
//! | `ASOF [LEFT] JOIN r MATCH_CONDITION (c)` | `ASOF JOIN r MATCH_CONDITION (c)` |
//! | `ASOF INNER JOIN r MATCH_CONDITION (c)` | `ASOF JOIN r MATCH_CONDITION (‹inner› (c))` |
//! | `ASOF [INNER] JOIN r ON …` | `LEFT SEMI JOIN r ON …` |
//! | `ASOF LEFT JOIN r ON …` | `LEFT ANTI JOIN r ON …` |
//!
//! Law: SEMI and ANTI are no joins of PostgreSQL's, so nothing else is read as these; written by
//! the user they are syntax errors. What [`crate::rewrite::as_of`] makes of them is the join.

use sqlparser::tokenizer::{Span, Token, TokenWithSpan};

use super::position::of_span;
use crate::error::SqlError;

/// Marks an inner join in its MATCH_CONDITION.
pub const INNER: &str = "\u{2}inner";

/// The tokens in sqlparser's words.
pub fn spelled(tokens: &[TokenWithSpan]) -> Result<Vec<TokenWithSpan>, SqlError> {
    let foreign = ["ASOF", "SEMI", "ANTI"];
    if !(0..tokens.len()).any(|at| foreign.iter().any(|word| is_word(tokens, at, word))) {
        return Ok(tokens.to_vec());
    }
    let mut pass = Pass { tokens, out: Vec::with_capacity(tokens.len() + 4), closing: Vec::new() };
    let mut at = 0;
    while at < tokens.len() {
        at = pass.step(at)?;
    }
    Ok(pass.out)
}

struct Pass<'a> {
    tokens: &'a [TokenWithSpan],
    out: Vec<TokenWithSpan>,
    /// Where a parenthesis more closes.
    closing: Vec<usize>,
}

impl Pass<'_> {
    /// Takes what stands at `at`; where to go on.
    fn step(&mut self, at: usize) -> Result<usize, SqlError> {
        self.refuse_half_join(at)?;
        if let Some((kind, next)) = self.as_of(at) {
            return self.join(at, kind, next);
        }
        while self.closing.last() == Some(&at) {
            self.closing.pop();
            self.push(Token::RParen, at);
        }
        self.out.push(self.tokens[at].clone());
        Ok(at + 1)
    }

    /// `ASOF [kind] JOIN` at `at`: the kind, and what follows.
    fn as_of(&self, at: usize) -> Option<(Option<&'static str>, usize)> {
        if !is_word(self.tokens, at, "ASOF") {
            return None;
        }
        let kinds = ["INNER", "LEFT", "RIGHT", "FULL"];
        let kind = kinds.into_iter().find(|kind| is_word(self.tokens, at + 1, kind));
        let mut next = at + 1 + usize::from(kind.is_some());
        next += usize::from(kind.is_some() && is_word(self.tokens, next, "OUTER"));
        is_word(self.tokens, next, "JOIN").then_some((kind, next + 1))
    }

    fn join(&mut self, at: usize, kind: Option<&str>, next: usize) -> Result<usize, SqlError> {
        if let Some(kind @ ("RIGHT" | "FULL")) = kind {
            return Err(SqlError::unsupported(format!("ASOF {kind} JOIN is not supported"))
                .with_hint("An ASOF JOIN is INNER or LEFT: change the sides.")
                .at(of_span(self.tokens[at].span)));
        }
        match self.match_condition(next) {
            None => {
                let half = if kind == Some("LEFT") { "ANTI" } else { "SEMI" };
                ["LEFT", half, "JOIN"].into_iter().for_each(|word| self.word(word, at));
                Ok(next)
            }
            Some(condition) => {
                ["ASOF", "JOIN"].into_iter().for_each(|word| self.word(word, at));
                if kind != Some("INNER") {
                    return Ok(next);
                }
                // The right side as it is, up to the condition's parenthesis.
                let mut place = next;
                while place < condition + 2 {
                    place = self.step(place)?;
                }
                self.word(INNER, condition);
                self.push(Token::LParen, condition);
                self.closing.extend(self.closing_of(condition + 1));
                Ok(place)
            }
        }
    }

    /// Where MATCH_CONDITION stands, if the join from `at` on has one before its ON.
    fn match_condition(&self, at: usize) -> Option<usize> {
        let mut depth = 0;
        for place in at..self.tokens.len() {
            match &self.tokens[place].token {
                Token::LParen => depth += 1,
                Token::RParen if depth == 0 => return None,
                Token::RParen => depth -= 1,
                Token::Comma if depth == 0 => return None,
                _ if depth > 0 => {}
                _ if is_word(self.tokens, place, "MATCH_CONDITION") => return Some(place),
                _ if ["ON", "USING", "JOIN", "WHERE"]
                    .iter()
                    .any(|word| is_word(self.tokens, place, word)) =>
                {
                    return None;
                }
                _ => {}
            }
        }
        None
    }

    /// Where the parenthesis that opens at `at` closes.
    fn closing_of(&self, at: usize) -> Option<usize> {
        let mut depth = 0;
        (at..self.tokens.len()).find(|&place| {
            match &self.tokens[place].token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            depth == 0
        })
    }

    fn refuse_half_join(&self, at: usize) -> Result<(), SqlError> {
        let half = ["SEMI", "ANTI"].into_iter().find(|half| is_word(self.tokens, at + 1, half));
        let side = ["LEFT", "RIGHT"].iter().any(|side| is_word(self.tokens, at, side));
        match half {
            Some(_) if side && is_word(self.tokens, at + 2, "JOIN") => {
                let token = &self.tokens[at + 1];
                let message = format!("syntax error at or near \"{}\"", token.token);
                Err(SqlError::syntax(message)
                    .with_hint("Write WHERE [NOT] EXISTS (SELECT …).")
                    .at(of_span(token.span)))
            }
            _ => Ok(()),
        }
    }

    fn word(&mut self, word: &str, at: usize) {
        self.push(Token::make_keyword(word), at);
    }

    fn push(&mut self, token: Token, at: usize) {
        let span: Span = self.tokens[at].span;
        self.out.push(TokenWithSpan { token, span });
    }
}

fn is_word(tokens: &[TokenWithSpan], at: usize, word: &str) -> bool {
    matches!(
        tokens.get(at).map(|token| &token.token),
        Some(Token::Word(found))
            if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word)
    )
}
