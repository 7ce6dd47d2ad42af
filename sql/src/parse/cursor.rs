//! A place in a statement's tokens, for the statements that are read by hand.

use sqlparser::ast::{self, Ident, ObjectName, ObjectNamePart};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::position::of_span;
use super::split::with_parser;
use crate::error::SqlError;

/// Tokens without white space, and how far they are read.
pub struct Cursor<'a> {
    text: &'a str,
    tokens: Vec<TokenWithSpan>,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str, tokens: Vec<TokenWithSpan>) -> Self {
        Cursor { text, tokens, at: 0 }
    }

    pub fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|token| &token.token)
    }

    pub fn peek_at(&self, n: usize) -> Option<&Token> {
        self.tokens.get(self.at + n).map(|token| &token.token)
    }

    pub fn is_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    pub fn advance(&mut self) {
        self.at += 1;
    }

    /// Back to the first token.
    pub fn rewind(&mut self) {
        self.at = 0;
    }

    /// Takes a symbol if it comes next.
    pub fn take(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    /// Whether the word `n` tokens ahead is this keyword.
    pub fn has_word_at(&self, n: usize, keyword: &str) -> bool {
        matches!(
            self.tokens.get(self.at + n).map(|token| &token.token),
            Some(Token::Word(word))
                if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(keyword)
        )
    }

    pub fn has_word(&self, keyword: &str) -> bool {
        self.has_word_at(0, keyword)
    }

    /// Takes a keyword if it comes next.
    pub fn word(&mut self, keyword: &str) -> bool {
        let found = self.has_word(keyword);
        self.at += usize::from(found);
        found
    }

    /// Takes several keywords if they come next, all or none.
    pub fn words(&mut self, keywords: &[&str]) -> bool {
        let found = keywords.iter().enumerate().all(|(n, keyword)| self.has_word_at(n, keyword));
        self.at += if found { keywords.len() } else { 0 };
        found
    }

    /// Takes whichever of these comes next.
    pub fn any_word(&mut self, keywords: &[&'static str]) -> Option<&'static str> {
        keywords.iter().copied().find(|keyword| self.word(keyword))
    }

    pub fn expect_word(&mut self, keyword: &str) -> Result<(), SqlError> {
        if self.word(keyword) { Ok(()) } else { Err(self.unexpected()) }
    }

    pub fn expect(&mut self, token: &Token) -> Result<(), SqlError> {
        if self.take(token) { Ok(()) } else { Err(self.unexpected()) }
    }

    pub fn expect_end(&self) -> Result<(), SqlError> {
        if self.is_end() { Ok(()) } else { Err(self.unexpected()) }
    }

    /// An identifier, not folded.
    pub fn ident(&mut self) -> Result<Ident, SqlError> {
        match self.tokens.get(self.at) {
            Some(TokenWithSpan { token: Token::Word(word), span }) => {
                let ident =
                    Ident { value: word.value.clone(), quote_style: word.quote_style, span: *span };
                self.at += 1;
                Ok(ident)
            }
            _ => Err(self.unexpected()),
        }
    }

    /// An identifier, folded to lower case unless quoted.
    pub fn name(&mut self) -> Result<String, SqlError> {
        self.ident().map(|ident| fold(&ident))
    }

    /// A name of one or more parts.
    pub fn object_name(&mut self) -> Result<ObjectName, SqlError> {
        let mut parts = vec![ObjectNamePart::Identifier(self.ident()?)];
        while self.take(&Token::Period) {
            parts.push(ObjectNamePart::Identifier(self.ident()?));
        }
        Ok(ObjectName(parts))
    }

    pub fn object_names(&mut self) -> Result<Vec<ObjectName>, SqlError> {
        let mut names = vec![self.object_name()?];
        while self.take(&Token::Comma) {
            names.push(self.object_name()?);
        }
        Ok(names)
    }

    /// `(a, b, …)`.
    pub fn column_list(&mut self) -> Result<Vec<Ident>, SqlError> {
        self.expect(&Token::LParen)?;
        let mut columns = vec![self.ident()?];
        while self.take(&Token::Comma) {
            columns.push(self.ident()?);
        }
        self.expect(&Token::RParen)?;
        Ok(columns)
    }

    /// A quoted string in any of PostgreSQL's spellings, if one comes next.
    pub fn string(&mut self) -> Option<String> {
        let value = match self.peek()? {
            Token::SingleQuotedString(value)
            | Token::EscapedStringLiteral(value)
            | Token::UnicodeStringLiteral(value) => value.clone(),
            Token::DollarQuotedString(value) => value.value.clone(),
            _ => return None,
        };
        self.at += 1;
        Some(value)
    }

    pub fn expect_string(&mut self) -> Result<String, SqlError> {
        let error = self.unexpected();
        self.string().ok_or(error)
    }

    /// A word, or a string in its place.
    pub fn word_or_string(&mut self) -> Result<String, SqlError> {
        match self.string() {
            Some(text) => Ok(text),
            None => self.name(),
        }
    }

    /// The value of an option that is on or off; without one it is on.
    pub fn switch(&mut self) -> Result<bool, SqlError> {
        match self.peek() {
            None | Some(Token::Comma | Token::RParen) => Ok(true),
            Some(Token::Number(number, _)) => {
                let on = number != "0";
                self.advance();
                Ok(on)
            }
            _ => match self.word_or_string()?.to_lowercase().as_str() {
                "true" | "on" => Ok(true),
                "false" | "off" => Ok(false),
                _ => Err(SqlError::syntax("an option that is on or off requires a Boolean value")),
            },
        }
    }

    /// An integer with an optional sign, if one comes next.
    pub fn integer(&mut self) -> Option<i64> {
        let negative = matches!(self.peek(), Some(Token::Minus));
        let at = self.at + usize::from(negative || matches!(self.peek(), Some(Token::Plus)));
        match self.tokens.get(at).map(|token| &token.token) {
            Some(Token::Number(number, _)) => {
                let number: i64 = number.parse().ok()?;
                self.at = at + 1;
                Some(if negative { -number } else { number })
            }
            _ => None,
        }
    }

    /// The text from the next token to the last.
    pub fn rest_text(&self) -> &'a str {
        let start = self.tokens.get(self.at).and_then(|token| of_span(token.span));
        let end = self.tokens.last().map(|token| token.span.end.column as usize);
        match (start, end) {
            (Some(start), Some(end)) => slice(self.text, start, end),
            _ => "",
        }
    }

    /// Leaves out the last tokens if they are these keywords.
    pub fn strip_suffix(&mut self, keywords: &[&str]) -> bool {
        let Some(first) = self.tokens.len().checked_sub(keywords.len()) else { return false };
        if first <= self.at {
            return false;
        }
        let back = first - self.at;
        let found = keywords.iter().enumerate().all(|(n, k)| self.has_word_at(back + n, k));
        if found {
            self.tokens.truncate(first);
        }
        found
    }

    /// Gives the rest of the tokens to sqlparser.
    pub fn parse_rest<T>(
        &mut self,
        parse: impl FnOnce(&mut Parser<'_>) -> Result<T, sqlparser::parser::ParserError>,
    ) -> Result<T, SqlError> {
        let parsed = with_parser(self.text, &self.tokens[self.at.min(self.tokens.len())..], parse);
        self.at = self.tokens.len();
        parsed
    }

    /// Gives sqlparser the tokens up to the matching parenthesis; the opening one is taken already.
    pub fn parse_to_closing<T>(
        &mut self,
        parse: impl FnOnce(&mut Parser<'_>) -> Result<T, sqlparser::parser::ParserError>,
    ) -> Result<T, SqlError> {
        let mut depth = 1;
        let start = self.at;
        while depth > 0 {
            match self.peek() {
                Some(Token::LParen) => depth += 1,
                Some(Token::RParen) => depth -= 1,
                Some(_) => {}
                None => return Err(self.unexpected()),
            }
            self.at += 1;
        }
        with_parser(self.text, &self.tokens[start..self.at - 1], parse)
    }

    /// Gives sqlparser the tokens before the first of these keywords.
    pub fn parse_before<T>(
        &mut self,
        keywords: &[&str],
        parse: impl FnOnce(&mut Parser<'_>) -> Result<T, sqlparser::parser::ParserError>,
    ) -> Result<T, SqlError> {
        let start = self.at;
        while !self.is_end() && !keywords.iter().any(|keyword| self.has_word(keyword)) {
            self.advance();
        }
        if self.at == start {
            return Err(self.unexpected());
        }
        with_parser(self.text, &self.tokens[start..self.at], parse)
    }

    /// Where the next token stands.
    pub fn position(&self) -> Option<usize> {
        self.tokens.get(self.at).and_then(|token| of_span(token.span))
    }

    /// A query to the end of the statement.
    pub fn query(&mut self) -> Result<Box<ast::Query>, SqlError> {
        if self.is_end() {
            return Err(self.unexpected());
        }
        self.parse_rest(|parser| parser.parse_query())
    }

    /// 42601 at the next token.
    pub fn unexpected(&self) -> SqlError {
        match self.tokens.get(self.at) {
            Some(token) => {
                let start = of_span(token.span);
                let end = token.span.end.column as usize;
                let near = start.map_or("", |start| slice(self.text, start, end));
                SqlError::syntax(format!("syntax error at or near \"{near}\"")).at(start)
            }
            None => {
                SqlError::syntax("syntax error at end of input").at(self.text.chars().count() + 1)
            }
        }
    }
}

/// An identifier as PostgreSQL folds it.
pub fn fold(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// Characters `start` to before `end`, both from 1.
fn slice(text: &str, start: usize, end: usize) -> &str {
    if text.is_ascii() {
        return text.get(start - 1..(end - 1).min(text.len())).unwrap_or("");
    }
    let byte = |n: usize| text.char_indices().nth(n - 1).map_or(text.len(), |(at, _)| at);
    &text[byte(start)..byte(end.max(start))]
}
