//! The errors of reading text, in Postgres' words.

use crate::error::SqlError;

/// An error with nothing but a code and a message.
pub fn error(code: &'static str, message: impl Into<String>) -> SqlError {
    SqlError::new(code, message)
}

/// 22P02: text that is no value of the type.
pub fn syntax(name: &str, text: &str) -> SqlError {
    error("22P02", format!("invalid input syntax for type {name}: \"{text}\""))
}

/// 22003: a number, but not one the type can hold.
pub fn range(name: &str, text: &str) -> SqlError {
    error("22003", format!("value \"{text}\" is out of range for type {name}"))
}

/// 22007: text that is no date or time.
pub fn datetime_syntax(name: &str, text: &str) -> SqlError {
    error("22007", format!("invalid input syntax for type {name}: \"{text}\""))
}

/// 22008: a date or time with a part that does not exist, such as 30 February.
pub fn datetime_field(text: &str) -> SqlError {
    error("22008", format!("date/time field value out of range: \"{text}\""))
}
