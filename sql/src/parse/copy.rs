//! `COPY`, in the spelling of PostgreSQL 9 and later and in that of 7.3, which psql still sends.

use sqlparser::ast::{Ident, ObjectName, Query};
use sqlparser::tokenizer::Token;

use super::cursor::{Cursor, fold};
use super::statement::Statement;
use super::subscribe::{Subscribe, subscribe};
use crate::error::{SqlError, state};

/// `COPY … FROM` and `COPY … TO`.
#[derive(Debug, Clone)]
pub struct Copy {
    pub source: CopySource,
    pub direction: CopyDirection,
    pub format: CopyFormat,
    /// The file on the server that stands for STDIN or STDOUT.
    pub file: Option<String>,
    /// The column of the data that says when each row arrived.
    pub arrival_time: Option<String>,
    /// The column of the data that says which rows delete their key.
    pub deleted: Option<String>,
}

#[derive(Debug, Clone)]
pub enum CopySource {
    /// Empty `columns`: all of them.
    Table {
        name: ObjectName,
        columns: Vec<Ident>,
    },
    Query(Box<Query>),
    Subscribe(Box<Subscribe>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyDirection {
    FromStdin,
    ToStdout,
}

/// Whether the first line names the columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CopyHeader {
    #[default]
    Absent,
    Present,
    /// It must name the target's columns, in order (COPY FROM).
    Match,
}

/// How the rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyFormat {
    Text {
        delimiter: char,
        null: String,
        header: CopyHeader,
    },
    Csv {
        delimiter: char,
        null: String,
        header: CopyHeader,
        quote: char,
        escape: char,
        /// `Some(empty)` is `FORCE_QUOTE *`.
        force_quote: Option<Vec<String>>,
        force_not_null: Vec<String>,
        force_null: Vec<String>,
    },
    Binary,
    Parquet,
    /// An object a line.
    Json,
}

impl CopyFormat {
    /// PostgreSQL's defaults of the text format.
    pub fn text() -> Self {
        CopyFormat::Text { delimiter: '\t', null: "\\N".to_string(), header: CopyHeader::Absent }
    }
}

/// What the options say so far; what they mean depends on the format, which may come last.
#[derive(Default)]
struct Options {
    format: Option<String>,
    delimiter: Option<String>,
    null: Option<String>,
    header: CopyHeader,
    quote: Option<String>,
    escape: Option<String>,
    force_quote: Option<Vec<String>>,
    force_not_null: Vec<String>,
    force_null: Vec<String>,
    arrival_time: Option<String>,
    deleted: Option<String>,
}

/// COPY, whose first word is taken already.
pub(super) fn statement(tokens: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    let source = if tokens.peek() == Some(&Token::LParen) && tokens.has_word_at(1, "SUBSCRIBE") {
        tokens.advance();
        tokens.advance();
        CopySource::Subscribe(Box::new(subscribe(tokens, true)?))
    } else if tokens.take(&Token::LParen) {
        CopySource::Query(tokens.parse_to_closing(|parser| parser.parse_query())?)
    } else {
        let name = tokens.object_name()?;
        let columns = match tokens.peek() {
            Some(Token::LParen) => tokens.column_list()?,
            _ => Vec::new(),
        };
        CopySource::Table { name, columns }
    };
    let direction = match tokens.any_word(&["FROM", "TO"]) {
        Some("FROM") if matches!(source, CopySource::Table { .. }) => CopyDirection::FromStdin,
        Some("TO") => CopyDirection::ToStdout,
        _ => return Err(tokens.unexpected()),
    };
    let file = tokens.string();
    if file.is_none() && tokens.any_word(&["STDIN", "STDOUT"]).is_none() {
        if tokens.word("PROGRAM") {
            return Err(SqlError::unsupported("COPY runs no programs")
                .with_hint("psql's \\copy command has PROGRAM on the client's side."));
        }
        return Err(tokens.unexpected());
    }
    tokens.word("WITH");
    let mut options =
        if tokens.take(&Token::LParen) { new_options(tokens)? } else { old_options(tokens)? };
    if tokens.has_word("WHERE") {
        return Err(SqlError::unsupported("COPY FROM … WHERE is not supported"));
    }
    let (arrival_time, deleted) = (options.arrival_time.take(), options.deleted.take());
    if direction == CopyDirection::ToStdout && (arrival_time.is_some() || deleted.is_some()) {
        return Err(SqlError::syntax("ARRIVAL_TIME and DELETED are for COPY FROM"));
    }
    if deleted.is_some() && arrival_time.is_none() {
        return Err(SqlError::syntax("DELETED needs ARRIVAL_TIME"));
    }
    if options.format.is_none() {
        options.format = file.as_deref().and_then(by_ending).map(str::to_owned);
    }
    let format = options.into_format()?;
    if file.is_none() && format == CopyFormat::Parquet {
        return Err(SqlError::unsupported("COPY reads and writes Parquet in files only")
            .with_hint("Name a file on the server, or use FORMAT csv."));
    }
    let copy = Copy { source, direction, format, file, arrival_time, deleted };
    Ok(Statement::Copy(Box::new(copy)))
}

/// The format of a file that is named so.
fn by_ending(file: &str) -> Option<&'static str> {
    let (_, ending) = file.rsplit_once('.')?;
    match ending.to_lowercase().as_str() {
        "parquet" => Some("parquet"),
        "csv" => Some("csv"),
        "json" | "jsonl" | "ndjson" => Some("json"),
        _ => None,
    }
}

/// `(FORMAT csv, HEADER, DELIMITER ',')`.
fn new_options(tokens: &mut Cursor<'_>) -> Result<Options, SqlError> {
    let mut options = Options::default();
    loop {
        let name = tokens.name()?;
        match name.as_str() {
            "format" => options.format = Some(tokens.word_or_string()?.to_lowercase()),
            "delimiter" => options.delimiter = Some(tokens.expect_string()?),
            "null" => options.null = Some(tokens.expect_string()?),
            "header" => options.header = header(tokens)?,
            "quote" => options.quote = Some(tokens.expect_string()?),
            "escape" => options.escape = Some(tokens.expect_string()?),
            "force_quote" if tokens.take(&Token::Mul) => options.force_quote = Some(Vec::new()),
            "force_quote" => options.force_quote = Some(names(tokens.column_list()?)),
            "force_not_null" => options.force_not_null = names(tokens.column_list()?),
            "force_null" => options.force_null = names(tokens.column_list()?),
            "arrival_time" => options.arrival_time = Some(tokens.name()?),
            "deleted" => options.deleted = Some(tokens.name()?),
            "freeze" => drop(tokens.switch()?),
            "encoding" => encoding(&tokens.word_or_string()?)?,
            _ => {
                let message = format!("option \"{name}\" not recognized");
                return Err(SqlError::syntax(message));
            }
        }
        if !tokens.take(&Token::Comma) {
            break;
        }
    }
    tokens.expect(&Token::RParen)?;
    Ok(options)
}

/// `CSV HEADER DELIMITER AS ','`, as before PostgreSQL 9.
fn old_options(tokens: &mut Cursor<'_>) -> Result<Options, SqlError> {
    let mut options = Options::default();
    while !tokens.is_end() && !tokens.has_word("WHERE") {
        if tokens.word("BINARY") {
            options.format = Some("binary".to_string());
        } else if tokens.word("CSV") {
            options.format = Some("csv".to_string());
        } else if tokens.word("HEADER") {
            options.header = CopyHeader::Present;
        } else if tokens.word("FREEZE") {
            // nothing to freeze
        } else if tokens.word("ENCODING") {
            encoding(&tokens.expect_string()?)?;
        } else if tokens.words(&["FORCE", "QUOTE"]) {
            let all = tokens.take(&Token::Mul);
            options.force_quote = Some(if all { Vec::new() } else { bare_names(tokens)? });
        } else if tokens.words(&["FORCE", "NOT", "NULL"]) {
            options.force_not_null = bare_names(tokens)?;
        } else if tokens.words(&["FORCE", "NULL"]) {
            options.force_null = bare_names(tokens)?;
        } else if let Some(name) = tokens.any_word(&["DELIMITER", "NULL", "QUOTE", "ESCAPE"]) {
            tokens.word("AS");
            let value = Some(tokens.expect_string()?);
            match name {
                "DELIMITER" => options.delimiter = value,
                "NULL" => options.null = value,
                "QUOTE" => options.quote = value,
                _ => options.escape = value,
            }
        } else {
            return Err(tokens.unexpected());
        }
    }
    Ok(options)
}

impl Options {
    fn into_format(self) -> Result<CopyFormat, SqlError> {
        let format = self.format.as_deref().unwrap_or("text");
        let csv_only = [
            ("quote", self.quote.is_some()),
            ("escape", self.escape.is_some()),
            ("force quote", self.force_quote.is_some()),
            ("force not null", !self.force_not_null.is_empty()),
            ("force null", !self.force_null.is_empty()),
        ];
        if format != "csv"
            && let Some((name, _)) = csv_only.iter().find(|(_, set)| *set)
        {
            let message = format!("COPY {name} available only in CSV mode");
            return Err(SqlError::unsupported(message));
        }
        let header = self.header;
        match format {
            "text" => Ok(CopyFormat::Text {
                delimiter: one_byte("delimiter", self.delimiter, '\t')?,
                null: self.null.unwrap_or_else(|| "\\N".to_string()),
                header,
            }),
            "csv" => {
                let quote = one_byte("quote", self.quote, '"')?;
                Ok(CopyFormat::Csv {
                    delimiter: one_byte("delimiter", self.delimiter, ',')?,
                    null: self.null.unwrap_or_default(),
                    header,
                    quote,
                    escape: one_byte("escape", self.escape, quote)?,
                    force_quote: self.force_quote,
                    force_not_null: self.force_not_null,
                    force_null: self.force_null,
                })
            }
            "binary" | "parquet" | "json"
                if header != CopyHeader::Absent
                    || self.delimiter.is_some()
                    || self.null.is_some() =>
            {
                let mode = format.to_uppercase();
                let message = format!("cannot specify DELIMITER, NULL or HEADER in {mode} mode");
                Err(SqlError::syntax(message))
            }
            "binary" => Ok(CopyFormat::Binary),
            "parquet" => Ok(CopyFormat::Parquet),
            "json" => Ok(CopyFormat::Json),
            other => {
                let message = format!("COPY format \"{other}\" not recognized");
                Err(SqlError::new(state::INVALID_PARAMETER_VALUE, message))
            }
        }
    }
}

fn one_byte(what: &str, value: Option<String>, default: char) -> Result<char, SqlError> {
    let Some(value) = value else { return Ok(default) };
    let mut chars = value.chars();
    match (chars.next(), chars.next()) {
        (Some('\n' | '\r'), None) => Err(SqlError::new(
            state::INVALID_PARAMETER_VALUE,
            format!("COPY {what} cannot be newline or carriage return"),
        )),
        (Some(c), None) if c.is_ascii() => Ok(c),
        _ => Err(SqlError::unsupported(format!("COPY {what} must be a single one-byte character"))),
    }
}

fn encoding(name: &str) -> Result<(), SqlError> {
    match name.to_lowercase().replace(['-', '_'], "").as_str() {
        "utf8" | "unicode" | "sqlascii" => Ok(()),
        _ => Err(SqlError::unsupported("COPY reads and writes UTF8 only")),
    }
}

fn header(tokens: &mut Cursor<'_>) -> Result<CopyHeader, SqlError> {
    let word = match tokens.peek() {
        Some(Token::Word(word)) => word.value.to_lowercase(),
        Some(Token::SingleQuotedString(text)) => text.to_lowercase(),
        _ => String::new(),
    };
    if word == "match" {
        tokens.advance();
        return Ok(CopyHeader::Match);
    }
    Ok(if tokens.switch()? { CopyHeader::Present } else { CopyHeader::Absent })
}

fn bare_names(tokens: &mut Cursor<'_>) -> Result<Vec<String>, SqlError> {
    let mut names = vec![tokens.name()?];
    while tokens.take(&Token::Comma) {
        names.push(tokens.name()?);
    }
    Ok(names)
}

fn names(idents: Vec<Ident>) -> Vec<String> {
    idents.iter().map(fold).collect()
}
