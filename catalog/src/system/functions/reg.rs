//! The `reg*` types: oids that are read and written as names.
//!
//! Law      in(out(oid)) is oid for what exists; an oid that leads nowhere is written as its
//!          number, 0 as `-`, and any number is read as itself
//! Missing  regoper, regoperator and regprocedure (no operator has an oid here; functions are found
//!          by name alone)

use std::fmt;

use crate::catalog::Catalog;
use crate::object::{ObjectId, Oid};
use crate::pg_type::PgType;
use crate::quote::{quote_identifier, split_name};
use crate::system::pg_catalog::pg_proc::FUNCTIONS;
use crate::system::relation::OWNER;

/// A name that leads to nothing, in Postgres' words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegError {
    /// SQLSTATE.
    pub code: &'static str,
    pub message: String,
}

impl fmt::Display for RegError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RegError {}

fn error(code: &'static str, message: String) -> RegError {
    RegError { code, message }
}

fn invalid_name() -> RegError {
    error("42602", "invalid name syntax".to_owned())
}

/// `-` is 0 and digits are the oid itself, for every `reg*` type.
fn number(text: &str) -> Option<Oid> {
    let text = text.trim();
    if text == "-" { Some(Oid::NONE) } else { text.parse().ok().map(Oid) }
}

/// An oid that has no name here.
fn unnamed(oid: Oid) -> String {
    if oid == Oid::NONE { "-".to_owned() } else { oid.to_string() }
}

/// Schema and name of a relation or function; a database in front of them is let go by.
fn qualified(text: &str) -> Result<(Option<String>, String), RegError> {
    let mut parts = split_name(text).ok_or_else(invalid_name)?;
    let name = parts.pop().ok_or_else(invalid_name)?;
    match parts.len() {
        0..=2 => Ok((parts.pop(), name)),
        _ => Err(error("42601", format!("improper relation name (too many dotted names): {text}"))),
    }
}

/// `'public.orders'::regclass`.
pub fn regclass_in(catalog: &Catalog, text: &str, path: &[String]) -> Result<Oid, RegError> {
    if let Some(oid) = number(text) {
        return Ok(oid);
    }
    let (schema, name) = qualified(text)?;
    if let Some(schema) = schema.as_deref().filter(|schema| catalog.schema(schema).is_none()) {
        return Err(error("3F000", format!("schema \"{schema}\" does not exist")));
    }
    let found = catalog.lookup(schema.as_deref(), &name, path).map(|found| found.oid());
    found.ok_or_else(|| {
        let schema = schema.map(|schema| format!("{schema}.")).unwrap_or_default();
        error("42P01", format!("relation \"{schema}{name}\" does not exist"))
    })
}

/// `to_regclass`: NULL where `regclass_in` fails, and for numbers.
pub fn to_regclass(catalog: &Catalog, text: &str, path: &[String]) -> Option<Oid> {
    if number(text).is_some() {
        return None;
    }
    regclass_in(catalog, text, path).ok()
}

/// The relation's name, with its schema where the search path does not lead to it.
pub fn regclass_out(catalog: &Catalog, oid: Oid, path: &[String]) -> String {
    let Some(found) = catalog.lookup_oid(oid) else {
        return unnamed(oid);
    };
    let name = quote_identifier(found.name());
    if catalog.is_visible(oid, path) {
        return name;
    }
    format!("{}.{name}", quote_identifier(found.schema()))
}

/// `'numeric(10,2)[]'::regtype`; the modifier is read and dropped.
pub fn regtype_in(text: &str) -> Result<Oid, RegError> {
    if let Some(oid) = number(text) {
        return Ok(oid);
    }
    let parsed = PgType::parse(text).map(|(ty, _)| ty.oid());
    parsed.map_err(|failed| error(failed.sqlstate(), failed.to_string()))
}

/// `to_regtype`: NULL where `regtype_in` fails, and for numbers.
pub fn to_regtype(text: &str) -> Option<Oid> {
    if number(text).is_some() { None } else { regtype_in(text).ok() }
}

pub fn regtype_out(oid: Oid) -> String {
    PgType::from_oid(oid).map_or_else(|| unnamed(oid), PgType::sql_name)
}

/// By bare name; more than one function of it is ambiguous (42725).
pub fn regproc_in(catalog: &Catalog, text: &str, path: &[String]) -> Result<Oid, RegError> {
    if let Some(oid) = number(text) {
        return Ok(oid);
    }
    let (schema, name) = qualified(text)?;
    let in_pg_catalog = schema.as_deref().is_none_or(|schema| schema == "pg_catalog");
    let mut found = FUNCTIONS.iter().filter(|function| in_pg_catalog && function.name == name);
    match (found.next(), found.next()) {
        (Some(function), None) => Ok(function.oid),
        (Some(_), Some(_)) => {
            let message = format!("more than one function named \"{}\"", text.trim());
            Err(error("42725", message))
        }
        (None, _)
            if let Some(function) = catalog.resolve_function(schema.as_deref(), &name, path) =>
        {
            Ok(function.oid())
        }
        (None, _) => Err(error("42883", format!("function \"{}\" does not exist", text.trim()))),
    }
}

pub fn to_regproc(catalog: &Catalog, text: &str, path: &[String]) -> Option<Oid> {
    if number(text).is_some() { None } else { regproc_in(catalog, text, path).ok() }
}

/// The bare name if it leads back, else with its schema.
pub fn regproc_out(catalog: &Catalog, oid: Oid, path: &[String]) -> String {
    if let Some(function) = ObjectId::from_oid(oid).and_then(|id| catalog.function(id)) {
        let name = quote_identifier(&function.name);
        let found = regproc_in(catalog, &name, path);
        let schema = quote_identifier(&function.schema);
        return if found == Ok(oid) { name } else { format!("{schema}.{name}") };
    }
    let Some(function) = FUNCTIONS.iter().find(|function| function.oid == oid) else {
        return unnamed(oid);
    };
    let name = quote_identifier(function.name);
    if regproc_in(catalog, function.name, path).is_ok() {
        name
    } else {
        format!("pg_catalog.{name}")
    }
}

pub fn regnamespace_in(catalog: &Catalog, text: &str) -> Result<Oid, RegError> {
    if let Some(oid) = number(text) {
        return Ok(oid);
    }
    let name = single(text)?;
    let schema = catalog.schema(&name).map(|schema| schema.oid);
    schema.ok_or_else(|| error("3F000", format!("schema \"{name}\" does not exist")))
}

pub fn to_regnamespace(catalog: &Catalog, text: &str) -> Option<Oid> {
    if number(text).is_some() { None } else { regnamespace_in(catalog, text).ok() }
}

pub fn regnamespace_out(catalog: &Catalog, oid: Oid) -> String {
    let schema = catalog.schemas().find(|schema| schema.oid == oid);
    schema.map_or_else(|| unnamed(oid), |schema| quote_identifier(&schema.name))
}

/// There is one role, by the name of the session's user.
pub fn regrole_in(user: &str, text: &str) -> Result<Oid, RegError> {
    if let Some(oid) = number(text) {
        return Ok(oid);
    }
    let name = single(text)?;
    if name == user {
        return Ok(OWNER);
    }
    Err(error("42704", format!("role \"{name}\" does not exist")))
}

pub fn to_regrole(user: &str, text: &str) -> Option<Oid> {
    if number(text).is_some() { None } else { regrole_in(user, text).ok() }
}

pub fn regrole_out(user: &str, oid: Oid) -> String {
    if oid == OWNER { quote_identifier(user) } else { unnamed(oid) }
}

/// Names of collations with their oids: all that pg_collation lists.
const COLLATIONS: [(&str, Oid); 3] = [("default", Oid(100)), ("C", Oid(950)), ("POSIX", Oid(951))];

pub fn regcollation_in(text: &str) -> Result<Oid, RegError> {
    if let Some(oid) = number(text) {
        return Ok(oid);
    }
    let (_, name) = qualified(text)?;
    let found = COLLATIONS.iter().find(|(collation, _)| *collation == name);
    let missing =
        || error("42704", format!("collation \"{name}\" for encoding \"UTF8\" does not exist"));
    found.map(|(_, oid)| *oid).ok_or_else(missing)
}

pub fn regcollation_out(oid: Oid) -> String {
    let found = COLLATIONS.iter().find(|(_, collation)| *collation == oid);
    found.map_or_else(|| unnamed(oid), |(name, _)| quote_identifier(name))
}

/// A name that takes no schema.
fn single(text: &str) -> Result<String, RegError> {
    match split_name(text).ok_or_else(invalid_name)?.as_slice() {
        [name] => Ok(name.clone()),
        _ => Err(invalid_name()),
    }
}
