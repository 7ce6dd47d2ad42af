//! Values as text, the way PostgreSQL 15 prints and accepts them.
//!
//! Text in: [`column_parser`] gives a parser that appends to an Arrow builder, [`parse_text`] reads
//! one value. Text out: [`TextColumn`] prints rows of an array, [`format_value`] one of them. The
//! wire, COPY, parameters and casts all go through here, so a type has one spelling.
//!
//! Law: what is printed reads back as the same value; errors carry Postgres' words and SQLSTATE.
//! One Arrow type is one Postgres type: `LargeUtf8` is jsonb, `Decimal128(38, 20)` is numeric
//! without a type modifier, `Timestamp` with a zone is timestamptz, and so on.

pub mod array;
pub mod boolean;
pub mod bytea;
mod column;
pub mod datetime;
pub mod fault;
pub mod float;
pub mod integer;
pub mod interval;
pub mod jsonb;
pub mod numeric;
mod output;
mod record;
#[cfg(test)]
mod tests;
pub mod uuid;

pub use column::{ColumnParser, column_parser};
pub use datetime::{InputSettings, Zone};
pub use output::{OutputSettings, TextColumn, format_value, to_text};

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use crate::error::SqlError;

/// Reads one value.
pub fn parse_text(
    ty: &DataType,
    text: &str,
    input: &InputSettings,
) -> Result<ScalarValue, SqlError> {
    let mut parser = column_parser(ty, input, 1)?;
    parser.append(text)?;
    Ok(ScalarValue::try_from_array(&parser.finish(), 0)?)
}

/// Reads a literal that stands for one value: a number for `numeric` with the digits it is written
/// with.
pub fn parse_literal(ty: &DataType, text: &str) -> Result<ScalarValue, SqlError> {
    let ty = match *ty == numeric::UNCONSTRAINED {
        true => &numeric::type_of_literal(text),
        false => ty,
    };
    parse_text(ty, text, &InputSettings::default())
}

/// What Postgres skips around a value.
pub fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}')
}
