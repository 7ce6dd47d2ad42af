//! How large a text may be before parsing it is refused.
//!
//! Law: what passes here is parsed, planned and dropped within a bounded stack and a few hundred
//! bytes of memory for each byte of text. A syntax tree is dropped recursively, so its depth is
//! bounded, not only its size.

use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::{SqlError, state};

/// Longest query string.
const TEXT_BYTES_MAX: usize = 64 << 20;
/// Most tokens in a query string, about 100 bytes of memory each before the syntax tree.
const TOKENS_MAX: usize = 4_000_000;
/// Longest chain of comparisons and their like without a comma, a parenthesis, an AND or an OR
/// between them. Each is a level of the tree.
const CONDITIONS_MAX: usize = 2_000;
/// Most ANDs and ORs of one statement, which are a tree of little depth: the optimizer's time.
const ALTERNATIVES_MAX: usize = 25_000;
/// Longest chain of set operations and joins, these counted by [`JOIN_LEVELS`]: each has a plan of
/// its own, a level of the plan's tree.
const PLANS_MAX: usize = 1_000;
/// What a join counts for.
const JOIN_LEVELS: usize = 4;
/// Longest chain of arithmetic and casts: planning one takes time that grows with its square.
const ARITHMETIC_MAX: usize = 250;
/// Deepest nesting of parentheses and subqueries.
pub const DEPTH_MAX: usize = 120;

/// Checks that need no tokens: length and an upper bound of the number of tokens.
pub fn check_text(text: &str) -> Result<(), SqlError> {
    if text.len() > TEXT_BYTES_MAX {
        let message = format!(
            "query string of {} bytes is too long: the limit is {TEXT_BYTES_MAX}",
            text.len()
        );
        return Err(SqlError::new(state::PROGRAM_LIMIT_EXCEEDED, message));
    }
    if text.len() > TOKENS_MAX && tokens_at_most(text.as_bytes()) > TOKENS_MAX {
        let message = format!("query string has more than {TOKENS_MAX} tokens");
        let hint = "use COPY for large amounts of data";
        return Err(SqlError::new(state::PROGRAM_LIMIT_EXCEEDED, message).with_hint(hint));
    }
    Ok(())
}

/// Checks the depth of one statement's tree before it is made.
pub fn check_tokens(tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let mut chains = vec![Chain::default()];
    let mut alternatives = 0;
    for token in tokens {
        let top = chains.len() - 1;
        match &token.token {
            Token::LBracket | Token::LParen => {
                chains[top].arithmetic += usize::from(token.token == Token::LBracket);
                chains.push(Chain::default());
            }
            Token::RParen | Token::RBracket if top > 0 => drop(chains.pop()),
            Token::Comma => chains[top] = Chain::default(),
            token => alternatives += chains[top].add(token),
        }
        let too_many = alternatives > ALTERNATIVES_MAX;
        if too_many || chains.last().is_some_and(Chain::is_too_long) {
            return Err(too_complex());
        }
    }
    Ok(())
}

/// Operators since the last comma or opening parenthesis.
#[derive(Default)]
struct Chain {
    /// Since the last AND or OR too.
    conditions: usize,
    plans: usize,
    arithmetic: usize,
    /// BETWEENs whose AND is still to come.
    betweens: usize,
}

impl Chain {
    /// Counts a token; whether it joins conditions is what it gives.
    fn add(&mut self, token: &Token) -> usize {
        use sqlparser::keywords::Keyword::{
            AND, BETWEEN, EXCEPT, INTERSECT, IS, JOIN, LIKE, NOT, OR, UNION,
        };
        let keyword = match token {
            Token::Word(word) => Some(word.keyword),
            _ => None,
        };
        match (token, keyword) {
            (_, Some(AND)) if self.betweens > 0 => self.betweens -= 1,
            (_, Some(AND | OR)) => {
                (self.conditions, self.arithmetic) = (0, 0);
                return 1;
            }
            (_, Some(UNION | INTERSECT | EXCEPT)) => self.plans += 1,
            (_, Some(JOIN)) => self.plans += JOIN_LEVELS,
            (_, Some(IS | LIKE | NOT | BETWEEN)) => {
                self.conditions += 1;
                self.betweens += usize::from(keyword == Some(BETWEEN));
            }
            (_, Some(_)) => return 0,
            (Token::Eq | Token::Neq | Token::Lt | Token::Gt | Token::LtEq | Token::GtEq, _) => {
                self.conditions += 1;
            }
            (token, _) if is_arithmetic(token) => {
                self.arithmetic += 1;
                return 0;
            }
            _ => return 0,
        }
        self.arithmetic = 0;
        0
    }

    fn is_too_long(&self) -> bool {
        self.conditions > CONDITIONS_MAX
            || self.plans > PLANS_MAX
            || self.arithmetic > ARITHMETIC_MAX
    }
}

/// 54001, as PostgreSQL calls a statement that needs more stack than there is.
pub fn too_complex() -> SqlError {
    SqlError::new(state::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded").with_hint(
        "the expression is too deeply nested: use IN or = ANY for long lists of alternatives",
    )
}

fn is_arithmetic(token: &Token) -> bool {
    matches!(
        token,
        Token::Plus
            | Token::Minus
            | Token::Mul
            | Token::Div
            | Token::Mod
            | Token::Caret
            | Token::StringConcat
            | Token::DoubleColon
            | Token::Tilde
            | Token::Arrow
            | Token::LongArrow
    )
}

/// Words, numbers and symbols outside quotes; white space counts for nothing. Never below the true
/// number by more than the quoted parts can hide.
fn tokens_at_most(text: &[u8]) -> usize {
    let mut count = 0;
    let mut in_word = false;
    let mut quote = None;
    for &byte in text {
        if let Some(end) = quote {
            if byte == end {
                quote = None;
            }
            continue;
        }
        let word = byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        if word {
            count += usize::from(!in_word);
        } else if byte == b'\'' || byte == b'"' {
            quote = Some(byte);
            count += 1;
        } else {
            count += 1; // white space is a token too
        }
        in_word = word;
    }
    count
}
