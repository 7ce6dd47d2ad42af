//! `x VERSION AS OF n`, `x VERSION AS OF CURRENT`: which version of a view a name means.
//!
//! Law: the version becomes part of the name, which the resolver takes apart again; the relation is
//! called in the query what it would be called without. What time it is read at is said, or not,
//! independently.

use sqlparser::ast::{
    BinaryOperator, Expr, ObjectNamePart, TableAlias, TableFactor, TableVersion, TableWithJoins,
    Value,
};
use tidemark_catalog::VersionSelection;

use crate::error::{SqlError, state};
use crate::parse::{CURRENT_VERSION, fold};

/// Between a name and the number of its version.
const MARK: char = '\u{3}';

/// Puts the versions of relations into their names.
pub fn mark(tables: &mut TableWithJoins) -> Result<(), SqlError> {
    mark_factor(&mut tables.relation)?;
    tables.joins.iter_mut().try_for_each(|join| mark_factor(&mut join.relation))
}

/// The name as it is in the catalog, and the version that is selected with it.
pub fn unmarked(name: &str) -> Result<(&str, Option<VersionSelection>), SqlError> {
    let Some((name, number)) = name.split_once(MARK) else { return Ok((name, None)) };
    if number == CURRENT_VERSION {
        return Ok((name, Some(VersionSelection::Current)));
    }
    let number = number.parse().map_err(|_| {
        let message = format!("\"{number}\" is not the number of a version");
        SqlError::new(state::INVALID_PARAMETER_VALUE, message)
            .with_hint("Versions are numbered from 1; VERSION AS OF CURRENT is the newest.")
    })?;
    Ok((name, Some(VersionSelection::Number(number))))
}

fn mark_factor(factor: &mut TableFactor) -> Result<(), SqlError> {
    let TableFactor::Table { name, alias, version, .. } = factor else {
        return Ok(());
    };
    let (number, time) = match version.take() {
        Some(TableVersion::VersionAsOf(number)) => (Some(number), None),
        Some(TableVersion::ForSystemTimeAsOf(time)) => {
            let (number, time) = with_version(time);
            (number, Some(TableVersion::ForSystemTimeAsOf(time)))
        }
        Some(TableVersion::TimestampAsOf(time)) => {
            let (number, time) = with_version(time);
            (number, Some(TableVersion::TimestampAsOf(time)))
        }
        other => (None, other),
    };
    *version = time;
    let (Some(number), Some(ObjectNamePart::Identifier(own))) = (number, name.0.last_mut()) else {
        return Ok(());
    };
    let called = own.clone();
    own.value = format!("{}{MARK}{number}", fold(own));
    own.quote_style = Some('"');
    alias.get_or_insert(TableAlias { explicit: true, name: called, columns: vec![], at: None });
    Ok(())
}

/// A time that a version was put before, by [`crate::parse`]; apart.
fn with_version(time: Expr) -> (Option<Expr>, Expr) {
    match time {
        Expr::BinaryOp { left, op: BinaryOperator::Or, right } if is_number(&left) => {
            (Some(*left), *right)
        }
        time => (None, time),
    }
}

fn is_number(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(value.value, Value::Number(..)))
}
