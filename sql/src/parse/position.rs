//! Where things stand in a text: sqlparser's lines and columns as characters from 1.

use sqlparser::tokenizer::{Location, Span, TokenWithSpan};

use crate::error::{SqlError, state};

/// Character and byte offsets of the starts of lines.
pub struct Lines<'a> {
    text: &'a str,
    /// (characters, bytes) before each line.
    starts: Vec<(usize, usize)>,
    ascii: bool,
}

impl<'a> Lines<'a> {
    pub fn new(text: &'a str) -> Self {
        let ascii = text.is_ascii();
        let mut starts = vec![(0, 0)];
        let mut characters = 0;
        let mut begin = 0;
        for (at, _) in text.match_indices('\n') {
            let line = &text[begin..=at];
            characters += if ascii { line.len() } else { line.chars().count() };
            begin = at + 1;
            starts.push((characters, begin));
        }
        Lines { text, starts, ascii }
    }

    /// Characters before a location.
    pub fn character(&self, location: Location) -> usize {
        let (characters, _) = self.line(location);
        characters + (location.column as usize).saturating_sub(1)
    }

    /// Bytes before a location.
    pub fn byte(&self, location: Location) -> usize {
        let (_, bytes) = self.line(location);
        let column = (location.column as usize).saturating_sub(1);
        if self.ascii {
            return (bytes + column).min(self.text.len());
        }
        let rest = &self.text[bytes..];
        rest.char_indices().nth(column).map_or(self.text.len(), |(at, _)| bytes + at)
    }

    fn line(&self, location: Location) -> (usize, usize) {
        let line = (location.line as usize).clamp(1, self.starts.len());
        self.starts[line - 1]
    }

    /// Puts a statement's tokens on one line whose columns are characters of the statement, so that
    /// every span in its syntax tree is a position without further lookups.
    pub fn relative(&self, mut tokens: Vec<TokenWithSpan>, offset: usize) -> Vec<TokenWithSpan> {
        let place = |location: Location| {
            let column = (self.character(location).saturating_sub(offset) + 1) as u64;
            Location { line: 1, column }
        };
        for token in &mut tokens {
            token.span = Span { start: place(token.span.start), end: place(token.span.end) };
        }
        tokens
    }
}

/// The position a relative span stands for.
pub fn of_span(span: Span) -> Option<usize> {
    (span.start.line > 0 && span.start.column > 0).then_some(span.start.column as usize)
}

/// What sqlparser says, as PostgreSQL would: `syntax error at or near "x"`.
pub fn syntax_error(message: &str, text: &str) -> SqlError {
    let (message, location) = split_location(message);
    let at = location.map(|location| location.column as usize);
    let message = message.trim_start_matches("sql parser error: ");
    if message.contains("found: EOF") || message.ends_with("found EOF") {
        return SqlError::syntax("syntax error at end of input").at(text.chars().count() + 1);
    }
    if message.starts_with("Unterminated string literal") {
        let rest: String = tail(text, at).collect();
        return SqlError::syntax(format!("unterminated quoted string at or near \"{rest}\""))
            .at(at);
    }
    if message.contains("EOF while in a multi-line comment")
        && let Some(start) = open_comment(text)
    {
        let rest: String = text.chars().skip(start).collect();
        return SqlError::syntax(format!("unterminated /* comment at or near \"{rest}\""))
            .at(start + 1);
    }
    if let Some(token) = at.and_then(|at| token_at(text, at))
        && message.starts_with("Expected")
    {
        return SqlError::syntax(format!("syntax error at or near \"{token}\"")).at(at);
    }
    let mut message = message.to_string();
    if let Some(first) = message.get(..1) {
        message = first.to_lowercase() + &message[1..];
    }
    SqlError::new(state::SYNTAX_ERROR, format!("syntax error: {message}")).at(at)
}

/// Characters before the comment that does not end.
fn open_comment(text: &str) -> Option<usize> {
    let characters: Vec<char> = text.chars().collect();
    let (mut at, mut depth, mut start) = (0, 0, None);
    while at < characters.len() {
        let pair = (characters[at], characters.get(at + 1).copied());
        at += match pair {
            ('/', Some('*')) => {
                depth += 1;
                start.get_or_insert(at);
                2
            }
            ('*', Some('/')) if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    start = None;
                }
                2
            }
            ('-', Some('-')) if depth == 0 => {
                characters[at..].iter().position(|c| *c == '\n').unwrap_or(characters.len() - at)
            }
            (quote @ ('\'' | '"'), _) if depth == 0 => {
                let rest = characters[at + 1..].iter();
                rest.take_while(|c| **c != quote).count() + 2
            }
            _ => 1,
        };
    }
    start
}

fn tail(text: &str, at: Option<usize>) -> impl Iterator<Item = char> + '_ {
    text.chars().skip(at.unwrap_or(1).saturating_sub(1)).take(100)
}

/// `… at Line: 1, Column: 8` taken apart.
fn split_location(message: &str) -> (&str, Option<Location>) {
    let Some(at) = message.rfind(" at Line: ") else { return (message, None) };
    let rest = &message[at + " at Line: ".len()..];
    let Some((line, column)) = rest.split_once(", Column: ") else { return (message, None) };
    match (line.trim().parse(), column.trim().parse()) {
        (Ok(line), Ok(column)) => (&message[..at], Some(Location { line, column })),
        _ => (message, None),
    }
}

/// The word, number or symbol that starts at a position.
fn token_at(text: &str, position: usize) -> Option<String> {
    let mut rest = text.chars().skip(position.saturating_sub(1));
    let first = rest.next()?;
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$' || c == '.';
    let mut token = String::from(first);
    if first == '\'' || first == '"' {
        for c in rest.take(100) {
            token.push(c);
            if c == first {
                break;
            }
        }
    } else if is_word(first) {
        token.extend(rest.take_while(|c| is_word(*c)).take(100));
    }
    Some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_count_characters() {
        let lines = Lines::new("sélect\n 'ö', x");
        let location = Location { line: 2, column: 7 };
        assert_eq!(lines.character(location), 13);
        assert_eq!(lines.byte(location), 15);
    }

    #[test]
    fn errors_name_the_token() {
        let error = syntax_error(
            "sql parser error: Expected: an expression, found: FROM at Line: 1, Column: 8",
            "select from t",
        );
        assert_eq!(error.message, "syntax error at or near \"from\"");
        assert_eq!(error.position, Some(8));
    }
}
