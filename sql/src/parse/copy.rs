//! `COPY`, in the spelling of PostgreSQL 9 and later and in that of 7.3, which psql still sends.

use sqlparser::ast::{Ident, ObjectName, Query};

/// `COPY … FROM STDIN` or `COPY … TO STDOUT`.
#[derive(Debug, Clone)]
pub struct Copy {
    pub source: CopySource,
    pub direction: CopyDirection,
    pub format: CopyFormat,
}

#[derive(Debug, Clone)]
pub enum CopySource {
    /// Empty `columns`: all of them.
    Table { name: ObjectName, columns: Vec<Ident> },
    Query(Box<Query>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyDirection {
    FromStdin,
    ToStdout,
}

/// How the rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyFormat {
    Text { delimiter: char, null: String, header: bool },
    Csv {
        delimiter: char,
        null: String,
        header: bool,
        quote: char,
        escape: char,
        /// `Some(empty)` is `FORCE_QUOTE *`.
        force_quote: Option<Vec<String>>,
        force_not_null: Vec<String>,
        force_null: Vec<String>,
    },
    Binary,
}
