//! What follows `COPY … WITH`, checked.
//!
//! Law   a combination PostgreSQL 15 refuses is refused with its message and SQLSTATE
//!
//! The parser decides which options a format can be given at all (`sql::parse::CopyFormat` has no
//! QUOTE outside CSV); what is left to check are the values.

use tidemark_sql::error::{SqlError, state};
use tidemark_sql::parse::{CopyDirection, CopyFormat, CopyHeader as Header};

/// The formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    Csv,
    Binary,
    /// An object a line.
    Json,
}

/// Everything that decides how rows are spelled. Fields that a format has no use for keep its
/// defaults.
#[derive(Debug, Clone)]
pub struct Options {
    pub format: Format,
    pub delimiter: u8,
    pub null: String,
    pub header: Header,
    pub quote: u8,
    pub escape: u8,
    /// COPY TO: columns whose values are always quoted; `Some(empty)` is all of them.
    pub force_quote: Option<Vec<String>>,
    /// COPY FROM: columns where the null string is a value.
    pub force_not_null: Vec<String>,
    /// COPY FROM: columns where the null string is NULL even in quotes.
    pub force_null: Vec<String>,
    /// Whether the COPY names its columns.
    pub names_columns: bool,
}

impl Options {
    pub fn text() -> Options {
        Options {
            format: Format::Text,
            delimiter: b'\t',
            null: "\\N".to_owned(),
            header: Header::Absent,
            quote: b'"',
            escape: b'"',
            force_quote: None,
            force_not_null: Vec::new(),
            force_null: Vec::new(),
            names_columns: false,
        }
    }

    pub fn csv() -> Options {
        Options { format: Format::Csv, delimiter: b',', null: String::new(), ..Options::text() }
    }

    pub fn binary() -> Options {
        Options { format: Format::Binary, ..Options::text() }
    }

    /// The options of a statement.
    ///
    /// Errors: 0A000 and 22023, as PostgreSQL refuses combinations and values.
    pub fn new(format: &CopyFormat, direction: CopyDirection) -> Result<Options, SqlError> {
        let options = match format {
            CopyFormat::Text { delimiter, null, header } => Options {
                delimiter: one_byte(*delimiter, "delimiter")?,
                null: null.clone(),
                header: *header,
                ..Options::text()
            },
            CopyFormat::Csv {
                delimiter,
                null,
                header,
                quote,
                escape,
                force_quote,
                force_not_null,
                force_null,
            } => Options {
                delimiter: one_byte(*delimiter, "delimiter")?,
                null: null.clone(),
                header: *header,
                quote: one_byte(*quote, "quote")?,
                escape: one_byte(*escape, "escape")?,
                force_quote: force_quote.clone(),
                force_not_null: force_not_null.clone(),
                force_null: force_null.clone(),
                ..Options::csv()
            },
            CopyFormat::Json => Options { format: Format::Json, ..Options::text() },
            // These have no options.
            CopyFormat::Binary | CopyFormat::Parquet => Options::binary(),
        };
        options.check(direction)?;
        Ok(options)
    }

    /// PostgreSQL's checks, in its order: of several faults the same one is reported.
    pub(super) fn check(&self, direction: CopyDirection) -> Result<(), SqlError> {
        if matches!(self.format, Format::Binary | Format::Json) {
            return Ok(());
        }
        let is_csv = self.format == Format::Csv;
        let newline = |text: &str| text.contains(['\n', '\r']);
        let delimiter = char::from(self.delimiter);
        if newline(delimiter.encode_utf8(&mut [0; 4])) {
            return Err(invalid("COPY delimiter cannot be newline or carriage return"));
        }
        if newline(&self.null) {
            return Err(invalid("COPY null representation cannot use newline or carriage return"));
        }
        let unsafe_in_text = "\\.abcdefghijklmnopqrstuvwxyz0123456789";
        if !is_csv && unsafe_in_text.contains(delimiter) {
            return Err(invalid(format!("COPY delimiter cannot be \"{delimiter}\"")));
        }
        if is_csv && self.delimiter == self.quote {
            return Err(invalid("COPY delimiter and quote must be different"));
        }
        let unsupported = |message: &str| Err(SqlError::unsupported(message));
        match direction {
            CopyDirection::FromStdin if self.force_quote.is_some() => {
                return unsupported("COPY force quote only available using COPY TO");
            }
            CopyDirection::ToStdout if !self.force_not_null.is_empty() => {
                return unsupported("COPY force not null only available using COPY FROM");
            }
            CopyDirection::ToStdout if !self.force_null.is_empty() => {
                return unsupported("COPY force null only available using COPY FROM");
            }
            CopyDirection::ToStdout if self.header == Header::Match => {
                return unsupported("cannot use \"match\" with HEADER in COPY TO");
            }
            _ => {}
        }
        if self.null.contains(delimiter) {
            return unsupported("COPY delimiter must not appear in the NULL specification");
        }
        if is_csv && self.null.contains(char::from(self.quote)) {
            return unsupported("CSV quote character must not appear in the NULL specification");
        }
        Ok(())
    }

    /// The escape character, `None` when it is the quote itself.
    pub(super) fn separate_escape(&self) -> Option<u8> {
        (self.escape != self.quote).then_some(self.escape)
    }
}

/// Which of `columns` an option names; `option` is its name for the message.
///
/// Errors: 42P10 for a name that is not among them.
pub(super) fn flags(
    option: &str,
    names: &[String],
    columns: &[String],
) -> Result<Vec<bool>, SqlError> {
    if let Some(missing) = names.iter().find(|name| !columns.contains(name)) {
        let message = format!("{option} column \"{missing}\" not referenced by COPY");
        return Err(SqlError::new(state::INVALID_COLUMN_REFERENCE, message));
    }
    Ok(columns.iter().map(|column| names.contains(column)).collect())
}

fn one_byte(character: char, what: &str) -> Result<u8, SqlError> {
    let byte = u8::try_from(character).ok().filter(u8::is_ascii);
    byte.ok_or_else(|| {
        SqlError::unsupported(format!("COPY {what} must be a single one-byte character"))
    })
}

fn invalid(message: impl Into<String>) -> SqlError {
    SqlError::new(state::INVALID_PARAMETER_VALUE, message)
}
