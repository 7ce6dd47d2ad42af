//! COPY's formats: rows to and from text, CSV, binary and JSON, apart from any connection.
//!
//! Law     byte for byte PostgreSQL 15's COPY: what its `COPY TO` writes is read here and the other
//!         way round; malformed input gets its message, SQLSTATE and context
//!         (`COPY t, line 3, column x: "abc"`)
//! Cost    input goes from the client's bytes into Arrow builders, field by field, without a row or
//!         string object in between
//!
//! The way in: [`Reader`] cuts what was fed into lines (`line`), lines into fields (`field`), and
//! hands each field to the parser of its column. The way out: [`Writer`] wraps the encoders of
//! `wire::encode`. [`Options`] are what the statement said, checked.
//!
//! Not promised: encodings other than UTF-8, files and programs on the server.

mod binary;
mod field;
mod json;
mod line;
mod options;
mod reader;
#[cfg(test)]
mod tests;
mod text;
mod writer;

pub use options::{Format, Options};
pub use reader::{Reader, Rows};
pub use writer::Writer;

use arrow::datatypes::DataType;
use tidemark_catalog::PgType;

/// A column of the target, in the order of the data.
#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub ty: PgType,
    pub typmod: i32,
    /// Nobody has said that the data has it: a header, if there is one, must.
    pub implied: bool,
}

impl Column {
    fn data_type(&self) -> DataType {
        self.ty.to_arrow(self.typmod)
    }

    /// Most characters of a `varchar(n)` or `char(n)`.
    fn characters_max(&self) -> Option<usize> {
        let limited = matches!(self.ty, PgType::Varchar | PgType::Bpchar);
        limited.then(|| PgType::length_limit(self.typmod)).flatten()
    }
}
