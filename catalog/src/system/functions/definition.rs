//! Objects as the SQL that would make them.

use crate::catalog::Catalog;
use crate::function::FunctionBody;
use crate::object::{Derived, Object, ObjectId, Oid};
use crate::pg_type::PgType;
use crate::quote::quote_identifier;
use crate::system::pg_catalog::pg_proc::{FUNCTIONS, Function};

/// `format_type(oid, typmod)`; `None` for the typmod is SQL NULL: the type without its modifier.
pub fn format_type(oid: Oid, typmod: Option<i32>) -> String {
    match (PgType::from_oid(oid), typmod) {
        (Some(ty), Some(typmod)) => ty.format(typmod),
        (Some(ty), None) => ty.sql_name(),
        (None, _) if oid == Oid::NONE => "-".to_owned(),
        (None, _) => "???".to_owned(),
    }
}

/// The query of a plain or materialized view, as written, ended by a semicolon.
pub fn pg_get_viewdef(catalog: &Catalog, view: Oid) -> Option<String> {
    let view = catalog.get(ObjectId::from_oid(view)?)?.view()?;
    Some(format!(" {};", view.sql.trim().trim_end_matches(';').trim_end()))
}

/// The CREATE INDEX of a primary key's index; with a `column` (from 1), that column's name alone.
pub fn pg_get_indexdef(catalog: &Catalog, index: Oid, column: i32) -> Option<String> {
    let (object, key) = key_of(catalog, Derived::PrimaryKeyIndex, index)?;
    let columns = key_columns(object);
    if column > 0 {
        let at = usize::try_from(column - 1).ok()?;
        return Some(columns.get(at).cloned().unwrap_or_default());
    }
    Some(format!(
        "CREATE UNIQUE INDEX {} ON {}.{} USING btree ({})",
        quote_identifier(key),
        quote_identifier(&object.schema),
        quote_identifier(&object.name),
        columns.join(", ")
    ))
}

/// `PRIMARY KEY (a, b)`.
pub fn pg_get_constraintdef(catalog: &Catalog, constraint: Oid) -> Option<String> {
    let (object, _) = key_of(catalog, Derived::PrimaryKey, constraint)?;
    Some(format!("PRIMARY KEY ({})", key_columns(object).join(", ")))
}

/// The rule that makes a view, as Postgres would spell it.
pub fn pg_get_ruledef(catalog: &Catalog, rule: Oid) -> Option<String> {
    let view = catalog.get(ObjectId::from_derived(Derived::Rule, rule)?)?;
    let query = pg_get_viewdef(catalog, view.oid())?;
    let (schema, name) = (quote_identifier(&view.schema), quote_identifier(&view.name));
    Some(format!("CREATE RULE \"_RETURN\" AS\n    ON SELECT TO {schema}.{name} DO INSTEAD {query}"))
}

/// Expressions are kept as SQL text: `pg_attrdef.adbin` is what was written.
pub fn pg_get_expr(expression: &str) -> String {
    expression.to_owned()
}

/// The CREATE FUNCTION of a function of the user's; the system's have none.
pub fn pg_get_functiondef(catalog: &Catalog, function: Oid) -> Option<String> {
    Some(user_function(catalog, function)?.definition())
}

/// `RETURN expression` of a function that was made so.
pub fn pg_get_function_sqlbody(catalog: &Catalog, function: Oid) -> Option<String> {
    match &user_function(catalog, function)?.body {
        FunctionBody::Expression(body) => Some(format!("RETURN {body}")),
        FunctionBody::Query(_) => None,
    }
}

/// The result type of a function that pg_proc lists.
pub fn pg_get_function_result(catalog: &Catalog, function: Oid) -> Option<String> {
    if let Some(function) = user_function(catalog, function) {
        return Some(function.returns.sql_name());
    }
    let function = find_function(function)?;
    let result = format_type(function.result, None);
    Some(if function.returns_set() { format!("SETOF {result}") } else { result })
}

/// The parameters of a function that pg_proc lists: names where there are such, and types.
pub fn pg_get_function_arguments(catalog: &Catalog, function: Oid) -> Option<String> {
    if let Some(function) = user_function(catalog, function) {
        return Some(function.parameters());
    }
    let function = find_function(function)?;
    let arguments = function.arguments.iter().map(|ty| format_type(Oid(*ty), None));
    Some(arguments.collect::<Vec<_>>().join(", "))
}

/// There are no sequences, so no column has one.
pub fn pg_get_serial_sequence() -> Option<String> {
    None
}

/// There are no extended statistics.
pub fn pg_get_statisticsobjdef_columns() -> Option<String> {
    None
}

fn user_function(catalog: &Catalog, oid: Oid) -> Option<&crate::Function> {
    catalog.function(ObjectId::from_oid(oid)?)
}

fn find_function(oid: Oid) -> Option<&'static Function> {
    let at = FUNCTIONS.binary_search_by_key(&oid, |function| function.oid).ok()?;
    Some(&FUNCTIONS[at])
}

/// The table and the name of the primary key that a derived oid stands for.
fn key_of(catalog: &Catalog, what: Derived, oid: Oid) -> Option<(&Object, &str)> {
    let object = catalog.get(ObjectId::from_derived(what, oid)?)?;
    Some((object, object.table()?.primary_key_name()?))
}

fn key_columns(object: &Object) -> Vec<String> {
    let Some(table) = object.table() else {
        return Vec::new();
    };
    let name = |column: &usize| quote_identifier(&table.columns[*column].name);
    table.primary_key.iter().map(name).collect()
}
