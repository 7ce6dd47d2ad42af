//! parameters: those of the user's functions.

use super::routines::{specific_name, standard_type};
use crate::catalog::INFORMATION_SCHEMA;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::column::{Column, Value, build, column, describe, fixed, null, optional};
use crate::system::{SystemContext, SystemTable};
use crate::{Argument, Function};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: INFORMATION_SCHEMA,
    name: "parameters",
    oid: Oid(13334),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, rows(context)),
};

const COLUMNS: &[Column<Row>] = &[
    column("specific_catalog", PgType::Name, |row| (&row.catalog).into()),
    column("specific_schema", PgType::Name, |row| (&row.function.schema).into()),
    column("specific_name", PgType::Name, |row| specific_name(&row.function).into()),
    column("ordinal_position", PgType::Int4, |row| row.number().into()),
    fixed("parameter_mode", PgType::Varchar, Value::Text("IN")),
    fixed("is_result", PgType::Varchar, Value::Text("NO")),
    fixed("as_locator", PgType::Varchar, Value::Text("NO")),
    optional("parameter_name", PgType::Name, |row| row.name()),
    column("data_type", PgType::Varchar, |row| standard_type(row.argument().ty).into()),
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
    column("udt_catalog", PgType::Name, |row| (&row.catalog).into()),
    fixed("udt_schema", PgType::Name, Value::Text("pg_catalog")),
    column("udt_name", PgType::Name, |row| row.argument().ty.name().into()),
    null("scope_catalog", PgType::Name),
    null("scope_schema", PgType::Name),
    null("scope_name", PgType::Name),
    null("maximum_cardinality", PgType::Int4),
    column("dtd_identifier", PgType::Name, |row| row.number().to_string().into()),
    null("parameter_default", PgType::Varchar),
];

struct Row {
    catalog: String,
    function: Function,
    at: usize,
}

impl Row {
    fn argument(&self) -> &Argument {
        &self.function.arguments[self.at]
    }

    fn name(&self) -> Value<'_> {
        self.argument().name.as_ref().map_or(Value::Null, Value::from)
    }

    fn number(&self) -> i32 {
        i32::try_from(self.at + 1).expect("a function has few parameters")
    }
}

fn rows(context: &SystemContext) -> Vec<Row> {
    let of = |function: &Function| {
        let row = |at| Row { catalog: context.database.clone(), function: function.clone(), at };
        (0..function.arguments.len()).map(row).collect::<Vec<_>>()
    };
    context.catalog.functions().flat_map(of).collect()
}
