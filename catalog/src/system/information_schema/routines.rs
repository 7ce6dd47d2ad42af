//! routines: the user's functions.

use crate::catalog::INFORMATION_SCHEMA;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::column::{Column, Value, build, column, describe, fixed, null, optional};
use crate::system::{SystemContext, SystemTable};
use crate::{Function, FunctionBody, Volatility};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: INFORMATION_SCHEMA,
    name: "routines",
    oid: Oid(13377),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, rows(context)),
};

const COLUMNS: &[Column<Row>] = &[
    column("specific_catalog", PgType::Name, |row| (&row.catalog).into()),
    column("specific_schema", PgType::Name, |row| (&row.function.schema).into()),
    column("specific_name", PgType::Name, |row| specific_name(&row.function).into()),
    column("routine_catalog", PgType::Name, |row| (&row.catalog).into()),
    column("routine_schema", PgType::Name, |row| (&row.function.schema).into()),
    column("routine_name", PgType::Name, |row| (&row.function.name).into()),
    fixed("routine_type", PgType::Varchar, Value::Text("FUNCTION")),
    null("module_catalog", PgType::Name),
    null("module_schema", PgType::Name),
    null("module_name", PgType::Name),
    null("udt_catalog", PgType::Name),
    null("udt_schema", PgType::Name),
    null("udt_name", PgType::Name),
    column("data_type", PgType::Varchar, |row| standard_type(row.function.returns).into()),
    null("character_maximum_length", PgType::Int4),
    null("character_octet_length", PgType::Int4),
    null("character_set_catalog", PgType::Name),
    null("character_set_schema", PgType::Name),
    null("character_set_name", PgType::Name),
    null("collation_catalog", PgType::Name),
    null("collation_schema", PgType::Name),
    null("collation_name", PgType::Name),
    null("numeric_precision", PgType::Int4),
    null("numeric_precision_radix", PgType::Int4),
    null("numeric_scale", PgType::Int4),
    null("datetime_precision", PgType::Int4),
    null("interval_type", PgType::Varchar),
    null("interval_precision", PgType::Int4),
    column("type_udt_catalog", PgType::Name, |row| (&row.catalog).into()),
    fixed("type_udt_schema", PgType::Name, Value::Text("pg_catalog")),
    column("type_udt_name", PgType::Name, |row| row.function.returns.name().into()),
    null("scope_catalog", PgType::Name),
    null("scope_schema", PgType::Name),
    null("scope_name", PgType::Name),
    null("maximum_cardinality", PgType::Int4),
    fixed("dtd_identifier", PgType::Name, Value::Text("0")),
    fixed("routine_body", PgType::Varchar, Value::Text("SQL")),
    optional("routine_definition", PgType::Varchar, |row| definition(&row.function)),
    null("external_name", PgType::Varchar),
    fixed("external_language", PgType::Varchar, Value::Text("SQL")),
    fixed("parameter_style", PgType::Varchar, Value::Text("GENERAL")),
    column("is_deterministic", PgType::Varchar, |row| {
        Value::yes_or_no(row.function.volatility == Volatility::Immutable)
    }),
    fixed("sql_data_access", PgType::Varchar, Value::Text("MODIFIES")),
    column("is_null_call", PgType::Varchar, |row| Value::yes_or_no(row.function.strict)),
    null("sql_path", PgType::Varchar),
    fixed("schema_level_routine", PgType::Varchar, Value::Text("YES")),
    fixed("max_dynamic_result_sets", PgType::Int4, Value::Int(0)),
    null("is_user_defined_cast", PgType::Varchar),
    null("is_implicitly_invocable", PgType::Varchar),
    fixed("security_type", PgType::Varchar, Value::Text("INVOKER")),
    null("to_sql_specific_catalog", PgType::Name),
    null("to_sql_specific_schema", PgType::Name),
    null("to_sql_specific_name", PgType::Name),
    fixed("as_locator", PgType::Varchar, Value::Text("NO")),
    null("created", PgType::Timestamptz),
    null("last_altered", PgType::Timestamptz),
    null("new_savepoint_level", PgType::Varchar),
    fixed("is_udt_dependent", PgType::Varchar, Value::Text("NO")),
    null("result_cast_from_data_type", PgType::Varchar),
    null("result_cast_as_locator", PgType::Varchar),
    null("result_cast_char_max_length", PgType::Int4),
    null("result_cast_char_octet_length", PgType::Int4),
    null("result_cast_char_set_catalog", PgType::Name),
    null("result_cast_char_set_schema", PgType::Name),
    null("result_cast_char_set_name", PgType::Name),
    null("result_cast_collation_catalog", PgType::Name),
    null("result_cast_collation_schema", PgType::Name),
    null("result_cast_collation_name", PgType::Name),
    null("result_cast_numeric_precision", PgType::Int4),
    null("result_cast_numeric_precision_radix", PgType::Int4),
    null("result_cast_numeric_scale", PgType::Int4),
    null("result_cast_datetime_precision", PgType::Int4),
    null("result_cast_interval_type", PgType::Varchar),
    null("result_cast_interval_precision", PgType::Int4),
    null("result_cast_type_udt_catalog", PgType::Name),
    null("result_cast_type_udt_schema", PgType::Name),
    null("result_cast_type_udt_name", PgType::Name),
    null("result_cast_scope_catalog", PgType::Name),
    null("result_cast_scope_schema", PgType::Name),
    null("result_cast_scope_name", PgType::Name),
    null("result_cast_maximum_cardinality", PgType::Int4),
    null("result_cast_dtd_identifier", PgType::Name),
];

struct Row {
    catalog: String,
    function: Function,
}

fn rows(context: &SystemContext) -> Vec<Row> {
    let row =
        |function: &Function| Row { catalog: context.database.clone(), function: function.clone() };
    context.catalog.functions().map(row).collect()
}

/// Unique in its schema, also where names are not.
pub(super) fn specific_name(function: &Function) -> String {
    format!("{}_{}", function.name, function.oid())
}

/// A type as the standard names it, to which any array is one.
pub(super) fn standard_type(ty: PgType) -> String {
    if matches!(ty, PgType::Array(_)) { "ARRAY".to_owned() } else { ty.sql_name() }
}

fn definition(function: &Function) -> Value<'_> {
    match &function.body {
        FunctionBody::Query(text) => text.into(),
        FunctionBody::Expression(_) => Value::Null,
    }
}
