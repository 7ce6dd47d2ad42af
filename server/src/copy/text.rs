//! COPY FROM in text and CSV: lines to columns.
//!
//! Law      as PostgreSQL 15's `NextCopyFrom`: a line's fields are cut before any is converted, so
//!          too many fields are noticed before a bad one, too few only when their turn comes
//! Context  while a line is being cut or counted it is shown whole, while a field is converted
//!          with its column; both up to 100 bytes

use arrow::array::ArrayRef;
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::parse::CopyHeader as Header;
use tidemark_sql::text_io::{ColumnParser, InputSettings, column_parser};

use super::Column;
use super::field::{FieldSyntax, Fields};
use super::line::{Line, LineScanner, Syntax, bad_format};
use super::options::{self, Format, Options};
use super::reader::{ReadRows, Sink};
use crate::wire::parameter::receive::valid_text;

/// Bytes of data shown in a context.
const SHOWN_BYTES_MAX: usize = 100;
/// Rows for which builders have room from the start: most COPYs are small.
const ROWS_EXPECTED: usize = 1024;

/// One column of the target.
pub(super) struct Target {
    name: String,
    parser: Box<dyn ColumnParser>,
    /// The most characters it takes, and the type that says so.
    limit: Option<(usize, String)>,
    force_null: bool,
    force_not_null: bool,
    /// See [`Column::implied`].
    implied: bool,
}

/// Reads text and CSV.
pub struct TextReader {
    relation: String,
    targets: Vec<Target>,
    null: String,
    scanner: LineScanner,
    syntax: FieldSyntax,
    fields: Fields,
    /// A header still to come.
    header: Header,
    /// The line read last, from 1.
    line: u64,
    ended: bool,
}

impl TextReader {
    pub fn new(
        relation: &str,
        columns: Vec<Column>,
        options: &Options,
        input: &InputSettings,
    ) -> Result<TextReader, SqlError> {
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let not_null = options::flags("FORCE_NOT_NULL", &options.force_not_null, &names)?;
        let null = options::flags("FORCE_NULL", &options.force_null, &names)?;
        let targets = columns.into_iter().zip(null.into_iter().zip(not_null));
        let targets = targets.map(|(column, (force_null, force_not_null))| {
            Ok(Target { force_null, force_not_null, ..Target::new(&column, input)? })
        });
        let (quote, escape) = (options.quote, options.separate_escape());
        let (delimiter, null) = (options.delimiter, options.null.clone());
        let (lines, syntax) = match options.format {
            Format::Csv => {
                (Syntax::Csv { quote, escape }, FieldSyntax::Csv { delimiter, null, quote, escape })
            }
            _ => (Syntax::Text, FieldSyntax::Text { delimiter, null }),
        };
        Ok(TextReader {
            relation: relation.to_owned(),
            targets: targets.collect::<Result<_, SqlError>>()?,
            null: options.null.clone(),
            scanner: LineScanner::new(lines),
            syntax,
            fields: Fields::default(),
            header: options.header,
            line: 0,
            ended: false,
        })
    }

    /// Reads the line, the first `length` of `bytes`, into the columns.
    fn row(&mut self, bytes: &[u8], length: usize) -> Result<(), SqlError> {
        let line = self.cut(bytes, length)?;
        let expected = self.targets.len();
        if self.fields.len() > expected && !(expected == 0 && line.is_empty()) {
            let error = bad_format("extra data after last expected column");
            return Err(self.in_line(error, line));
        }
        for index in 0..expected {
            if index >= self.fields.len() {
                let name = &self.targets[index].name;
                let error = bad_format(format!("missing data for column \"{name}\""));
                return Err(self.in_line(error, line));
            }
            let field = self.fields.get(line, index);
            let target = &mut self.targets[index];
            let field = match field {
                None if target.force_not_null => Some(self.null.as_str()),
                Some(text) if target.force_null && text == self.null => None,
                field => field,
            };
            if let Err(error) = target.append(field) {
                return Err(self.in_field(error, index, field));
            }
        }
        Ok(())
    }

    /// The line as text, its fields cut. The newline behind it shows in the message about
    /// a character that it cuts short.
    fn cut<'a>(&mut self, bytes: &'a [u8], length: usize) -> Result<&'a str, SqlError> {
        let line = valid_text(bytes).map_err(|error| self.at_line(error))?;
        let line = &line[..length];
        let cut = self.fields.cut(line, &self.syntax);
        cut.map_err(|error| self.in_line(error, line))?;
        Ok(line)
    }

    /// Compares the header line with the columns, if that was asked for; with those that nobody has
    /// said to be there, always.
    fn header(&mut self, bytes: &[u8], length: usize) -> Result<(), SqlError> {
        let matches = self.header == Header::Match;
        if !matches && !self.targets.iter().any(|target| target.implied) {
            return Ok(());
        }
        let line = self.cut(bytes, length)?;
        let has = |name: &str| {
            (0..self.fields.len()).any(|index| self.fields.get(line, index) == Some(name))
        };
        if let Some(missing) =
            self.targets.iter().find(|target| target.implied && !has(&target.name))
        {
            let message = format!("column \"{}\" is not in the header line", missing.name);
            return Err(self.in_line(SqlError::new(state::UNDEFINED_COLUMN, message), line));
        }
        if matches && self.fields.len() != self.targets.len() {
            let error = bad_format(format!(
                "wrong number of fields in header line: got {}, expected {}",
                self.fields.len(),
                self.targets.len()
            ));
            return Err(self.in_line(error, line));
        }
        for (index, target) in self.targets.iter().enumerate() {
            if !matches && !target.implied {
                continue;
            }
            let number = index + 1;
            let mismatch = match self.fields.get(line, index) {
                Some(name) if name == target.name => continue,
                Some(name) => format!("got \"{name}\""),
                None => format!("got null value (\"{}\")", self.null),
            };
            let error = bad_format(format!(
                "column name mismatch in header line field {number}: {mismatch}, expected \"{}\"",
                target.name
            ));
            return Err(self.in_line(error, line));
        }
        Ok(())
    }

    fn at_line(&self, error: SqlError) -> SqlError {
        error.with_context(format!("COPY {}, line {}", self.relation, self.line))
    }

    fn in_line(&self, error: SqlError, line: &str) -> SqlError {
        let shown = shortened(line);
        error.with_context(format!("COPY {}, line {}: \"{shown}\"", self.relation, self.line))
    }

    fn in_field(&self, error: SqlError, index: usize, field: Option<&str>) -> SqlError {
        let shown = match field {
            Some(text) => format!("\"{}\"", shortened(text)),
            None => "null input".to_owned(),
        };
        let (relation, line, column) = (&self.relation, self.line, &self.targets[index].name);
        error.with_context(format!("COPY {relation}, line {line}, column {column}: {shown}"))
    }
}

impl ReadRows for TextReader {
    fn read(&mut self, bytes: &[u8], at_end: bool, sink: &mut Sink) -> Result<usize, SqlError> {
        let mut used = 0;
        while !self.ended && !sink.is_full() {
            let rest = &bytes[used..];
            self.line += 1;
            let found = match self.scanner.next(rest, at_end) {
                Ok(found) => found,
                Err(error) => {
                    self.line += self.scanner.embedded_newlines;
                    return Err(self.at_line(error));
                }
            };
            let (length, next) = match found {
                Line::Complete { length, next } => (length, next),
                Line::End { length } => {
                    self.ended = true;
                    (length, length)
                }
                Line::Unfinished => {
                    self.line -= 1;
                    return Ok(used);
                }
            };
            self.line += std::mem::take(&mut self.scanner.embedded_newlines);
            if self.header != Header::Absent {
                self.header(&rest[..next], length)?;
                self.header = Header::Absent;
            } else if length > 0 || !self.ended {
                self.row(&rest[..next], length)?;
                sink.lines.push(self.line);
            }
            used += next;
            sink.bytes += next;
        }
        Ok(if self.ended { bytes.len() } else { used })
    }

    fn take(&mut self) -> Vec<ArrayRef> {
        self.targets.iter_mut().map(Target::finish).collect()
    }
}

impl Target {
    pub fn new(column: &Column, input: &InputSettings) -> Result<Target, SqlError> {
        let parser = column_parser(&column.data_type(), input, ROWS_EXPECTED)?;
        let limit = column.characters_max().map(|n| (n, column.ty.format(column.typmod)));
        let (name, implied) = (column.name.clone(), column.implied);
        Ok(Target { name, parser, limit, force_null: false, force_not_null: false, implied })
    }

    /// The values so far; there are none afterwards.
    pub fn finish(&mut self) -> ArrayRef {
        self.parser.finish()
    }

    /// Takes a value as it stands in text; `None` is NULL.
    pub fn append(&mut self, field: Option<&str>) -> Result<(), SqlError> {
        let Some(mut text) = field else {
            self.parser.append_null();
            return Ok(());
        };
        if let Some((limit, ty)) = &self.limit {
            text = limited(text, *limit, ty)?;
        }
        self.parser.append(text)
    }
}

/// The text if it has at most `limit` characters or only spaces beyond, which are cut off.
fn limited<'a>(text: &'a str, limit: usize, ty: &str) -> Result<&'a str, SqlError> {
    if text.len() <= limit {
        return Ok(text);
    }
    match text.char_indices().nth(limit) {
        None => Ok(text),
        Some((end, _)) if text[end..].bytes().all(|byte| byte == b' ') => Ok(&text[..end]),
        Some(_) => Err(SqlError::new(
            state::STRING_DATA_RIGHT_TRUNCATION,
            format!("value too long for type {ty}"),
        )),
    }
}

/// At most 100 bytes of `text`, whole characters, with dots when there is more.
pub(super) fn shortened(text: &str) -> std::borrow::Cow<'_, str> {
    if text.len() <= SHOWN_BYTES_MAX {
        return text.into();
    }
    let mut end = SHOWN_BYTES_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", &text[..end]).into()
}
