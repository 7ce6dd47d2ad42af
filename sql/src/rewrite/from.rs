//! What a FROM clause may not say, though it parses: one name for two tables, a reserved word for
//! the name of one, a join that says nothing of its condition.

use std::collections::BTreeMap;

use sqlparser::ast::{
    Ident, JoinConstraint, JoinOperator, Select, Spanned, TableFactor, TableWithJoins,
};

use super::using::relation;
use crate::error::{SqlError, state};
use crate::parse::fold;
use crate::parse::position::of_span;

/// PostgreSQL's reserved words, but for those that are functions without parentheses.
#[rustfmt::skip]
const RESERVED: &[&str] = &[
    "all", "analyse", "analyze", "and", "any", "array", "as", "asc", "asymmetric", "both", "case",
    "cast", "check", "collate", "column", "constraint", "create", "default", "deferrable", "desc",
    "distinct", "do", "else", "end", "except", "false", "fetch", "for", "foreign", "from", "grant",
    "group", "having", "in", "initially", "intersect", "into", "lateral", "leading", "limit", "not",
    "null", "offset", "on", "only", "or", "order", "placing", "primary", "references", "returning",
    "select", "some", "symmetric", "table", "then", "to", "trailing", "true", "union", "unique",
    "using", "variadic", "when", "where", "window", "with",
];

/// Checks the FROM of one SELECT.
pub fn check(select: &Select) -> Result<(), SqlError> {
    let mut names = BTreeMap::new();
    select.from.iter().try_for_each(|tables| check_tables(tables, &mut names))
}

/// Names so far, each with the table as written if it has no alias.
type Names = BTreeMap<String, Option<String>>;

fn check_tables(tables: &TableWithJoins, names: &mut Names) -> Result<(), SqlError> {
    check_factor(&tables.relation, names)?;
    tables.joins.iter().try_for_each(|join| {
        check_condition(&join.join_operator, &join.relation)?;
        check_factor(&join.relation, names)
    })
}

/// Whether a join that needs ON or USING has one.
fn check_condition(operator: &JoinOperator, joined: &TableFactor) -> Result<(), SqlError> {
    use JoinOperator::{FullOuter, Inner, Join, Left, LeftOuter, Right, RightOuter};
    let (Join(constraint)
    | Inner(constraint)
    | Left(constraint)
    | LeftOuter(constraint)
    | Right(constraint)
    | RightOuter(constraint)
    | FullOuter(constraint)) = operator
    else {
        return Ok(());
    };
    if *constraint != JoinConstraint::None {
        return Ok(());
    }
    let error = SqlError::syntax("syntax error: JOIN without ON or USING")
        .with_hint("CROSS JOIN makes all pairs of rows.");
    Err(error.at(of_span(joined.span())))
}

fn check_factor(factor: &TableFactor, names: &mut Names) -> Result<(), SqlError> {
    if let TableFactor::NestedJoin { table_with_joins, alias: None } = factor {
        return check_tables(table_with_joins, names);
    }
    let table = match factor {
        TableFactor::Table { name, alias, args: None, .. } => {
            if let [part] = name.0.as_slice()
                && let Some(ident) = part.as_ident()
            {
                check_word(ident)?;
            }
            alias.is_none().then(|| name.to_string())
        }
        _ => None,
    };
    let Some(name) = relation(factor).as_ref().map(fold) else { return Ok(()) };
    match names.get(&name) {
        // Tables of one name in different schemas are told apart by these.
        Some(Some(other)) if table.as_ref().is_some_and(|table| table != other) => Ok(()),
        Some(_) => {
            let message = format!("table name \"{name}\" specified more than once");
            Err(SqlError::new(state::DUPLICATE_ALIAS, message))
        }
        None => {
            names.insert(name, table);
            Ok(())
        }
    }
}

fn check_word(ident: &Ident) -> Result<(), SqlError> {
    if ident.quote_style.is_none() && RESERVED.contains(&fold(ident).as_str()) {
        let message = format!("syntax error at or near \"{}\"", ident.value);
        return Err(SqlError::syntax(message).at(of_span(ident.span)));
    }
    Ok(())
}
