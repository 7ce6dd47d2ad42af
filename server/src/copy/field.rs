//! A line of COPY's text or CSV format cut into fields.
//!
//! Law       as PostgreSQL 15's `CopyReadAttributesText` and `CopyReadAttributesCSV`: the null
//!           string is compared with a field as written, before escapes and only without quotes
//! Memory    a field without escapes is a range of the line; others are unescaped into one
//!           buffer kept from line to line. No allocation per field

use memchr::{memchr, memchr_iter, memchr2};
use tidemark_sql::error::SqlError;

use super::line::bad_format;
use crate::wire::parameter::receive::valid_text;

/// How a line is cut.
#[derive(Debug, Clone)]
pub enum FieldSyntax {
    Text {
        delimiter: u8,
        null: String,
    },
    /// `escape` is `None` when it is the quote itself.
    Csv {
        delimiter: u8,
        null: String,
        quote: u8,
        escape: Option<u8>,
    },
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Null,
    Line { start: usize, end: usize },
    Unescaped { start: usize, end: usize },
}

/// The fields of one line; reused for the next.
#[derive(Default)]
pub struct Fields {
    places: Vec<Place>,
    unescaped: Vec<u8>,
    /// `unescaped` as checked text: the same bytes.
    text: String,
}

impl Fields {
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// The field at `index` of the line that was cut last; `None` is NULL.
    pub fn get<'a>(&'a self, line: &'a str, index: usize) -> Option<&'a str> {
        match self.places[index] {
            Place::Null => None,
            Place::Line { start, end } => Some(&line[start..end]),
            Place::Unescaped { start, end } => Some(&self.text[start..end]),
        }
    }

    /// Cuts `line`, which has no newline at its end.
    ///
    /// Errors: 22P04 for an unterminated quoted field, 22021 for escapes that make no UTF-8.
    pub fn cut(&mut self, line: &str, syntax: &FieldSyntax) -> Result<(), SqlError> {
        self.places.clear();
        self.unescaped.clear();
        match syntax {
            FieldSyntax::Text { delimiter, null } => {
                if memchr(b'\\', line.as_bytes()).is_some() {
                    self.cut_text_escaped(line.as_bytes(), *delimiter, null.as_bytes())?;
                } else {
                    self.cut_plain(line.as_bytes(), *delimiter, null.as_bytes());
                }
            }
            FieldSyntax::Csv { delimiter, null, quote, escape } => {
                let (delimiter, null) = (*delimiter, null.as_bytes());
                if memchr(*quote, line.as_bytes()).is_some() {
                    self.cut_csv_quoted(line.as_bytes(), delimiter, null, *quote, *escape)?;
                } else {
                    self.cut_plain(line.as_bytes(), delimiter, null);
                }
            }
        }
        self.check_unescaped()
    }

    /// Neither escapes nor quotes: only delimiters.
    fn cut_plain(&mut self, line: &[u8], delimiter: u8, null: &[u8]) {
        let mut start = 0;
        for end in memchr_iter(delimiter, line).chain([line.len()]) {
            self.places.push(place(line, start, end, null));
            start = end + 1;
        }
    }

    fn cut_text_escaped(
        &mut self,
        line: &[u8],
        delimiter: u8,
        null: &[u8],
    ) -> Result<(), SqlError> {
        let mut start = 0;
        loop {
            let special = memchr2(delimiter, b'\\', &line[start..]).map(|at| start + at);
            match special {
                Some(end) if line[end] == delimiter => {
                    self.places.push(place(line, start, end, null));
                    start = end + 1;
                }
                None => {
                    self.places.push(place(line, start, line.len(), null));
                    return Ok(());
                }
                Some(first_escape) => {
                    let end = self.unescape_text(line, start, first_escape, delimiter, null)?;
                    if end == line.len() {
                        return Ok(());
                    }
                    start = end + 1;
                }
            }
        }
    }

    /// Unescapes the field that starts at `start` and has its first backslash at `escape`;
    /// returns where it ends.
    fn unescape_text(
        &mut self,
        line: &[u8],
        start: usize,
        mut escape: usize,
        delimiter: u8,
        null: &[u8],
    ) -> Result<usize, SqlError> {
        let output_start = self.unescaped.len();
        let mut copied = start;
        let mut check = false;
        // `raw_end` is where the text compared with the null string ends.
        let (end, raw_end) = loop {
            self.unescaped.extend_from_slice(&line[copied..escape]);
            copied = escape + 1;
            // A backslash at the very end of the line is dropped.
            let Some(after) = line.get(copied).copied() else {
                break (line.len(), escape);
            };
            let (byte, length) = escaped_byte(after, &line[copied + 1..]);
            check |= byte == 0 || (byte >= 0x80 && byte != after);
            self.unescaped.push(byte);
            copied += length;
            match memchr2(delimiter, b'\\', &line[copied..]).map(|at| copied + at) {
                Some(next) if line[next] == b'\\' && delimiter != b'\\' => escape = next,
                found => {
                    let end = found.unwrap_or(line.len());
                    self.unescaped.extend_from_slice(&line[copied..end]);
                    break (end, end);
                }
            }
        };
        if &line[start..raw_end] == null {
            self.unescaped.truncate(output_start);
            self.places.push(Place::Null);
            return Ok(end);
        }
        if check {
            valid_text(&self.unescaped[output_start..])?;
        }
        self.places.push(Place::Unescaped { start: output_start, end: self.unescaped.len() });
        Ok(end)
    }

    fn cut_csv_quoted(
        &mut self,
        line: &[u8],
        delimiter: u8,
        null: &[u8],
        quote: u8,
        escape: Option<u8>,
    ) -> Result<(), SqlError> {
        let mut start = 0;
        loop {
            let special = memchr2(delimiter, quote, &line[start..]).map(|at| start + at);
            let end = match special {
                Some(at) if line[at] == quote => {
                    self.csv_field(line, start, at, delimiter, quote, escape)?
                }
                found => {
                    let end = found.unwrap_or(line.len());
                    self.places.push(place(line, start, end, null));
                    end
                }
            };
            if end == line.len() {
                return Ok(());
            }
            start = end + 1;
        }
    }

    /// A field with at least one quote, the first at `opening`; returns where it ends.
    fn csv_field(
        &mut self,
        line: &[u8],
        start: usize,
        opening: usize,
        delimiter: u8,
        quote: u8,
        escape: Option<u8>,
    ) -> Result<usize, SqlError> {
        let output_start = self.unescaped.len();
        let escape = escape.unwrap_or(quote);
        let mut opening = Some(opening);
        let mut copied = start;
        while let Some(quote_at) = opening {
            self.unescaped.extend_from_slice(&line[copied..quote_at]);
            copied = self.quoted_part(line, quote_at + 1, quote, escape)?;
            let next = memchr2(delimiter, quote, &line[copied..]).map(|at| copied + at);
            opening = next.filter(|at| line[*at] == quote);
            if opening.is_none() {
                let end = next.unwrap_or(line.len());
                self.unescaped.extend_from_slice(&line[copied..end]);
                copied = end;
            }
        }
        self.places.push(Place::Unescaped { start: output_start, end: self.unescaped.len() });
        Ok(copied)
    }

    /// Copies what stands between quotes, from behind the opening quote; returns where the
    /// closing quote is left behind.
    fn quoted_part(
        &mut self,
        line: &[u8],
        mut start: usize,
        quote: u8,
        escape: u8,
    ) -> Result<usize, SqlError> {
        let mut from = start;
        loop {
            let Some(at) = memchr2(quote, escape, &line[from..]).map(|at| from + at) else {
                return Err(bad_format("unterminated CSV quoted field"));
            };
            let next = line.get(at + 1).copied();
            if line[at] == escape && (next == Some(escape) || next == Some(quote)) {
                self.unescaped.extend_from_slice(&line[start..at]);
                start = at + 1;
                from = at + 2;
            } else if line[at] == quote {
                self.unescaped.extend_from_slice(&line[start..at]);
                return Ok(at + 1);
            } else {
                from = at + 1;
            }
        }
    }

    /// Makes `text` of the unescaped bytes.
    fn check_unescaped(&mut self) -> Result<(), SqlError> {
        self.text.clear();
        if !self.unescaped.is_empty() {
            self.text.push_str(valid_text(&self.unescaped)?);
        }
        Ok(())
    }
}

fn place(line: &[u8], start: usize, end: usize, null: &[u8]) -> Place {
    if &line[start..end] == null { Place::Null } else { Place::Line { start, end } }
}

/// The byte that a backslash, `first` and perhaps some of `rest` stand for, and how many bytes
/// that are, `first` included.
fn escaped_byte(first: u8, rest: &[u8]) -> (u8, usize) {
    match first {
        b'0'..=b'7' => {
            let more = rest.iter().take(2).take_while(|b| matches!(b, b'0'..=b'7'));
            let (value, count) = more
                .fold((u32::from(first - b'0'), 1), |(value, count), digit| {
                    (value * 8 + u32::from(digit - b'0'), count + 1)
                });
            ((value & 0xFF) as u8, count)
        }
        b'x' => {
            let digits = rest.iter().take(2).map_while(|b| char::from(*b).to_digit(16));
            match digits.fold((0, 0), |(value, count), digit| (value * 16 + digit, count + 1)) {
                (_, 0) => (b'x', 1),
                (value, count) => (value as u8, 1 + count),
            }
        }
        b'b' => (8, 1),
        b'f' => (12, 1),
        b'n' => (b'\n', 1),
        b'r' => (b'\r', 1),
        b't' => (b'\t', 1),
        b'v' => (11, 1),
        other => (other, 1),
    }
}
