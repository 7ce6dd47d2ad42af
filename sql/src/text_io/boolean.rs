//! `boolean` as text: `t` and `f` on the wire; the cast to text says `true` and `false`.
//!
//! Law: input is any unambiguous beginning of true, false, yes, no, on, off, or 1 or 0, in either
//! case, white space around it skipped.

use crate::error::SqlError;

use super::fault;

pub fn parse(text: &str) -> Result<bool, SqlError> {
    let word = text.trim_matches(super::is_space);
    let begins = |full: &str, least: usize| {
        (least..=full.len()).contains(&word.len())
            && full.as_bytes()[..word.len()].eq_ignore_ascii_case(word.as_bytes())
    };
    if begins("true", 1) || begins("yes", 1) || begins("on", 2) || word == "1" {
        Ok(true)
    } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || word == "0" {
        Ok(false)
    } else {
        Err(fault::syntax("boolean", text))
    }
}

pub fn wire(value: bool) -> &'static str {
    if value { "t" } else { "f" }
}

pub fn word(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}
