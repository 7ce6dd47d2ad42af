//! Finding the lines of COPY's text and CSV formats in bytes that arrive in arbitrary pieces.
//!
//! Law       the lines found do not depend on how the input was cut into pieces
//! State     a position in the unfinished line and whether it is inside quotes, so that a line
//!           arriving in many pieces is looked at once
//! Faithful  to PostgreSQL 15's `CopyReadLineText`: the first line decides the newline style and
//!           every later one must keep it; a backslash hides the character after it (text); `\.`
//!           ends the data, in CSV only when alone on its line; a newline inside quotes counts
//!           as a line but does not end one
//!
//! Escapes and quotes are only skipped here; `field` undoes them.

use memchr::memchr3;
use tidemark_sql::error::{SqlError, state};

/// How lines end; the first line decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Newline {
    Unknown,
    Lf,
    Cr,
    CrLf,
}

/// The syntax of quoting, as far as it decides where a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    Text,
    /// `escape` is `None` when it is the quote itself.
    Csv {
        quote: u8,
        escape: Option<u8>,
    },
}

/// What the scanner found at the start of the bytes it was given.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A line of `length` bytes; the next starts at `next`.
    Complete { length: usize, next: usize },
    /// `\.`: the data ends after a last line of `length` bytes, which is none if 0.
    End { length: usize },
    /// The line does not end in these bytes.
    Unfinished,
}

/// Finds line ends. Give it the same unfinished line again, with more bytes behind it.
pub struct LineScanner {
    syntax: Syntax,
    newline: Newline,
    /// Bytes of the unfinished line already looked at.
    scanned: usize,
    in_quotes: bool,
    /// The last byte was an escape that may hide a quote.
    escaped: bool,
    /// Newlines inside quotes seen in the current line.
    pub embedded_newlines: u64,
}

/// A step of the scan: go on behind `usize` bytes, or stop with an answer.
enum Step {
    Skip(usize),
    Stop(Line),
    Fail(SqlError),
}

impl LineScanner {
    pub fn new(syntax: Syntax) -> Self {
        LineScanner {
            syntax,
            newline: Newline::Unknown,
            scanned: 0,
            in_quotes: false,
            escaped: false,
            embedded_newlines: 0,
        }
    }

    /// Finds the end of the line that starts at `bytes[0]`. With `at_end`, no more bytes will
    /// come and an unfinished line is a line; empty bytes are then `Unfinished`.
    pub fn next(&mut self, bytes: &[u8], at_end: bool) -> Result<Line, SqlError> {
        let mut position = self.scanned;
        let line = loop {
            let found = match self.syntax {
                Syntax::Text => memchr3(b'\n', b'\r', b'\\', &bytes[position..]),
                Syntax::Csv { quote, escape } => {
                    self.skip_csv(&bytes[position..], position == 0, quote, escape)
                }
            };
            let Some(offset) = found else {
                self.scanned = bytes.len();
                break self.unfinished(bytes, at_end);
            };
            position += offset;
            match self.special(bytes, position, at_end) {
                Step::Skip(count) => position += count,
                Step::Stop(Line::Unfinished) => {
                    self.scanned = position;
                    break self.unfinished(bytes, at_end);
                }
                Step::Stop(line) => break line,
                Step::Fail(error) => return Err(error),
            }
        };
        if line != Line::Unfinished {
            self.scanned = 0;
            self.in_quotes = false;
            self.escaped = false;
        }
        Ok(line)
    }

    fn unfinished(&self, bytes: &[u8], at_end: bool) -> Line {
        if at_end && !bytes.is_empty() {
            Line::Complete { length: bytes.len(), next: bytes.len() }
        } else {
            Line::Unfinished
        }
    }

    /// The offset of the next newline character outside quotes, or of a leading backslash.
    fn skip_csv(
        &mut self,
        bytes: &[u8],
        first: bool,
        quote: u8,
        escape: Option<u8>,
    ) -> Option<usize> {
        let mut position = 0;
        if first && bytes.first() == Some(&b'\\') && quote != b'\\' {
            return Some(0);
        }
        loop {
            if !self.in_quotes {
                position += memchr3(b'\n', b'\r', quote, &bytes[position..])?;
                if bytes[position] != quote {
                    return Some(position);
                }
                self.in_quotes = true;
                self.escaped = false;
                position += 1;
                continue;
            }
            let counted = if self.newline == Newline::Lf { b'\n' } else { b'\r' };
            // After an escape the very next byte decides; otherwise jump.
            if !self.escaped {
                let escape = escape.unwrap_or(quote);
                position += memchr3(quote, escape, counted, &bytes[position..])?;
            }
            let byte = *bytes.get(position)?;
            if Some(byte) == escape {
                self.escaped = !self.escaped;
            }
            if byte == quote && !self.escaped {
                self.in_quotes = false;
            }
            if Some(byte) != escape {
                self.escaped = false;
            }
            if self.in_quotes && byte == counted {
                self.embedded_newlines += 1;
            }
            position += 1;
        }
    }

    /// Looks at a newline character or backslash at `position`.
    fn special(&mut self, bytes: &[u8], position: usize, at_end: bool) -> Step {
        let next = bytes.get(position + 1).copied();
        match bytes[position] {
            b'\n' => match self.newline {
                Newline::Cr | Newline::CrLf => Step::Fail(self.literal_newline()),
                Newline::Unknown | Newline::Lf => {
                    self.newline = Newline::Lf;
                    Step::Stop(Line::Complete { length: position, next: position + 1 })
                }
            },
            b'\r' => self.carriage_return(position, next, at_end),
            _ => match next {
                None => Step::Stop(Line::Unfinished),
                Some(b'.') => self.end_marker(bytes, position, at_end),
                Some(_) if self.syntax == Syntax::Text => Step::Skip(2),
                Some(_) => Step::Skip(1),
            },
        }
    }

    fn carriage_return(&mut self, position: usize, next: Option<u8>, at_end: bool) -> Step {
        match self.newline {
            Newline::Lf => return Step::Fail(self.literal_carriage_return()),
            Newline::Cr => {}
            Newline::Unknown | Newline::CrLf => match next {
                None if !at_end => return Step::Stop(Line::Unfinished),
                Some(b'\n') => {
                    self.newline = Newline::CrLf;
                    return Step::Stop(Line::Complete { length: position, next: position + 2 });
                }
                _ if self.newline == Newline::CrLf => {
                    return Step::Fail(self.literal_carriage_return());
                }
                _ => self.newline = Newline::Cr,
            },
        }
        Step::Stop(Line::Complete { length: position, next: position + 1 })
    }

    /// `\.` at `position`: the end if a newline of the right style follows.
    fn end_marker(&mut self, bytes: &[u8], position: usize, at_end: bool) -> Step {
        let is_text = self.syntax == Syntax::Text;
        let corrupt = "end-of-copy marker corrupt";
        let mismatch = "end-of-copy marker does not match previous newline style";
        let not_marker = |message: &str| {
            if is_text { Step::Fail(bad_format(message)) } else { Step::Skip(1) }
        };
        let rest = &bytes[position + 2..];
        // At the end of the input PostgreSQL sees a zero byte here.
        let at = |index: usize| match rest.get(index) {
            Some(byte) => Some(*byte),
            None if at_end => Some(0),
            None => None,
        };
        let mut index = 0;
        if self.newline == Newline::CrLf {
            match at(0) {
                None => return Step::Stop(Line::Unfinished),
                Some(b'\r') => index = 1,
                Some(b'\n') => return not_marker(mismatch),
                Some(_) => return not_marker(corrupt),
            }
        }
        let Some(last) = at(index) else {
            return Step::Stop(Line::Unfinished);
        };
        match (self.newline, last) {
            (Newline::Unknown, b'\r' | b'\n')
            | (Newline::Lf | Newline::CrLf, b'\n')
            | (Newline::Cr, b'\r') => Step::Stop(Line::End { length: position }),
            (_, b'\r' | b'\n') => Step::Fail(bad_format(mismatch)),
            _ => not_marker(corrupt),
        }
    }

    fn literal_newline(&self) -> SqlError {
        match self.syntax {
            Syntax::Text => bad_format("literal newline found in data")
                .with_hint("Use \"\\n\" to represent newline."),
            Syntax::Csv { .. } => bad_format("unquoted newline found in data")
                .with_hint("Use quoted CSV field to represent newline."),
        }
    }

    fn literal_carriage_return(&self) -> SqlError {
        match self.syntax {
            Syntax::Text => bad_format("literal carriage return found in data")
                .with_hint("Use \"\\r\" to represent carriage return."),
            Syntax::Csv { .. } => bad_format("unquoted carriage return found in data")
                .with_hint("Use quoted CSV field to represent carriage return."),
        }
    }
}

/// 22P04.
pub fn bad_format(message: impl Into<String>) -> SqlError {
    SqlError::new(state::BAD_COPY_FILE_FORMAT, message)
}
