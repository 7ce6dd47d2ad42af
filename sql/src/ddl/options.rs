//! Options: what WITH (…), SET (…) and RESET (…) say of a table or a materialized view.
//!
//! Law: an option is read once, here, whichever statement it stands in. What only tunes
//! PostgreSQL's storage says nothing; what nobody knows is refused (22023), and so is a length of
//! time that is not fixed or not longer than nothing.

use sqlparser::ast::{self, SqlOption};
use tidemark_catalog::{Length, Table};

use super::source::{Outside, read_option};
use crate::error::{SqlError, state};
use crate::parse::{StorageOptions, fold};
use crate::text_io::interval;

/// What CREATE TABLE … WITH (…) says.
#[derive(Debug, Clone, Default)]
pub struct TableOptions {
    pub append_only: bool,
    /// The column's name.
    pub event_time: Option<String>,
    pub retention: Option<Length>,
    pub ttl: Option<Length>,
    /// WITH (connector = …): the columns are those of its one relation.
    pub outside: Option<Outside>,
}

impl TableOptions {
    pub fn read(options: &[SqlOption]) -> Result<TableOptions, SqlError> {
        let mut read = TableOptions::default();
        let mut others = vec![];
        let is_connector = |option: &SqlOption| match option {
            SqlOption::KeyValue { key, .. } => fold(key) == "connector",
            _ => false,
        };
        let outside = options.iter().any(is_connector);
        for option in options {
            let (name, value) = name_and_value(option)?;
            match name.as_str() {
                "append_only" => read.append_only = boolean(&name, value)?,
                "event_time" => read.event_time = Some(column_name(&name, value)?),
                "retention" => read.retention = Some(length(&name, value)?),
                "ttl" => read.ttl = Some(length(&name, value)?),
                name if is_storage(name) => {}
                _ if outside => others.push(read_option(option)?),
                _ => return Err(unrecognized_of_table(&name)),
            }
        }
        read.outside = Outside::of(others)?;
        Ok(read)
    }
}

/// Changes a table's options as ALTER TABLE says.
///
/// Errors: 22023; 0A000 for what only CREATE TABLE can say.
pub fn alter_table_options(table: &mut Table, options: &StorageOptions) -> Result<(), SqlError> {
    table.had_ttl |= table.ttl.is_some();
    for (name, said) in said(options)? {
        let length = || said.map(|value| length(&name, value)).transpose();
        match name.as_str() {
            "retention" => table.retention = length()?,
            "ttl" => table.ttl = length()?,
            name if is_storage(name) => {}
            "append_only" | "event_time" => return Err(once(&name)),
            _ => return Err(unrecognized_of_table(&name)),
        }
    }
    Ok(())
}

/// How long a materialized view is to keep its own changes, by WITH (…) or ALTER.
///
/// `None`: nothing is said; `Some(None)`: as long as by itself.
pub fn history_retention(options: &StorageOptions) -> Result<Option<Option<Length>>, SqlError> {
    let mut kept = None;
    for (name, said) in said(options)? {
        match name.as_str() {
            "history_retention" => {
                kept = Some(said.map(|value| length(&name, value)).transpose()?);
            }
            name if is_storage(name) => {}
            _ => return Err(unrecognized_of_view(&name)),
        }
    }
    Ok(kept)
}

/// An option, and the value that SET gives it; `None` where it is RESET.
type Said<'a> = (String, Option<Option<&'a ast::Expr>>);

fn said(options: &StorageOptions) -> Result<Vec<Said<'_>>, SqlError> {
    match options {
        StorageOptions::Set(options) => {
            let set = |option| name_and_value(option).map(|(name, value)| (name, Some(value)));
            options.iter().map(set).collect()
        }
        StorageOptions::Reset(names) => Ok(names.iter().map(|name| (name.clone(), None)).collect()),
    }
}

/// Storage parameters of PostgreSQL that mean nothing here.
fn is_storage(name: &str) -> bool {
    matches!(name, "fillfactor" | "parallel_workers")
        || name.starts_with("autovacuum_")
        || name.starts_with("toast")
}

fn unrecognized_of_table(name: &str) -> SqlError {
    unrecognized(name).with_hint(
        "Tables know append_only = true, event_time = 'column', retention = '90 days' and \
         ttl = '90 days'.",
    )
}

fn unrecognized_of_view(name: &str) -> SqlError {
    unrecognized(name).with_hint("Materialized views know history_retention = '7 days'.")
}

fn unrecognized(name: &str) -> SqlError {
    let message = format!("unrecognized parameter \"{name}\"");
    SqlError::new(state::INVALID_PARAMETER_VALUE, message)
}

fn once(name: &str) -> SqlError {
    SqlError::unsupported(format!("{name} of a table cannot be changed"))
        .with_hint("CREATE TABLE … WITH (…) says it; CREATE TABLE … AS copies the rows.")
}

fn name_and_value(option: &SqlOption) -> Result<(String, Option<&ast::Expr>), SqlError> {
    match option {
        SqlOption::KeyValue { key, value } => Ok((fold(key), Some(value))),
        SqlOption::Ident(name) => Ok((fold(name), None)),
        other => Err(unrecognized(&other.to_string())),
    }
}

/// The name of a column.
fn column_name(option: &str, value: Option<&ast::Expr>) -> Result<String, SqlError> {
    match value {
        Some(ast::Expr::Identifier(column)) => Ok(fold(column)),
        Some(ast::Expr::Value(value)) => match &value.value {
            ast::Value::SingleQuotedString(column) => Ok(column.clone()),
            _ => Err(no_name(option)),
        },
        _ => Err(no_name(option)),
    }
}

fn no_name(option: &str) -> SqlError {
    let message = format!("{option} takes the name of a column");
    SqlError::new(state::INVALID_PARAMETER_VALUE, message)
}

/// As PostgreSQL reads a boolean of a storage parameter; without a value it is on.
fn boolean(name: &str, value: Option<&ast::Expr>) -> Result<bool, SqlError> {
    let Some(value) = value else { return Ok(true) };
    let text = match value {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(text) => text.clone(),
            other => other.to_string(),
        },
        other => other.to_string(),
    };
    match text.to_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        _ => {
            let message = format!("invalid value for boolean option \"{name}\": {text}");
            Err(SqlError::new(state::INVALID_PARAMETER_VALUE, message))
        }
    }
}

/// `'90 days'` or `INTERVAL '90 days'`.
fn length(name: &str, value: Option<&ast::Expr>) -> Result<Length, SqlError> {
    let invalid = |why: String| {
        let message = format!("invalid value for option \"{name}\": {why}");
        SqlError::new(state::INVALID_PARAMETER_VALUE, message)
            .with_hint(format!("Write a length of time, such as {name} = '90 days'."))
    };
    let value = match value {
        Some(ast::Expr::Interval(interval)) if interval.leading_field.is_none() => {
            Some(interval.value.as_ref())
        }
        value => value,
    };
    let Some(ast::Expr::Value(ast::ValueWithSpan {
        value: ast::Value::SingleQuotedString(text),
        ..
    })) = value
    else {
        let written = value.map_or_else(|| "none".to_owned(), ToString::to_string);
        return Err(invalid(written));
    };
    let interval = interval::parse(text).map_err(|_| invalid(text.clone()))?;
    if interval.months != 0 {
        return Err(invalid(text.clone()).with_detail("A month is no fixed length of time."));
    }
    match u64::try_from(interval::span(interval)) {
        Ok(us) if us > 0 => Ok(Length(us)),
        _ => Err(invalid(text.clone()).with_detail("It must be longer than nothing.")),
    }
}
