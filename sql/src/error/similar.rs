//! The hint with the column that was perhaps meant, as PostgreSQL 15 gives it.
//!
//! Law: no more than three letters differ, and no more than half of the written ones, the table's
//! name counted in if one was written; two columns that are as near are both named, more are not.

use datafusion::common::utils::datafusion_strsim::levenshtein as distance;
use datafusion::common::{Column, TableReference};

use crate::rewrite::names;

/// Most differences.
const DISTANCE_MAX: usize = 3;

/// The hint for a column that is none of these.
pub fn hint(written: &Column, columns: &[Column]) -> Option<String> {
    let mut best = DISTANCE_MAX.min(written.name.chars().count() / 2);
    let mut found: Vec<&Column> = Vec::new();
    for column in columns.iter().filter(|column| names::shown(&column.name) == column.name) {
        let of_table = match (&written.relation, &column.relation) {
            (Some(written), Some(other)) => distance(written.table(), other.table()),
            _ => 0,
        };
        let distance = distance(&written.name, &column.name) + of_table;
        if distance > best || found.contains(&column) {
            continue;
        }
        if distance < best {
            found.clear();
        }
        best = distance;
        found.push(column);
    }
    let name = |column: &Column| match column.relation.as_ref().map(TableReference::table) {
        Some(table) => format!("{table}.{}", column.name),
        None => column.name.clone(),
    };
    match found.as_slice() {
        [one] => Some(format!("Perhaps you meant to reference the column \"{}\".", name(one))),
        [one, other] => Some(format!(
            "Perhaps you meant to reference the column \"{}\" or the column \"{}\".",
            name(one),
            name(other)
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_differ() {
        assert_eq!(distance("amuont", "amount"), 2);
        assert_eq!(distance("cardid", "card_id"), 1);
        assert_eq!(distance("", "abc"), 3);
    }
}
