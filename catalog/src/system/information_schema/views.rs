//! views: plain views of the user's.

use crate::catalog::INFORMATION_SCHEMA;
use crate::object::{Object, Oid};
use crate::pg_type::PgType;
use crate::system::column::{Column, Value, build, column, describe, fixed};
use crate::system::functions::pg_get_viewdef;
use crate::system::{SystemContext, SystemTable};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: INFORMATION_SCHEMA,
    name: "views",
    oid: Oid(13483),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, rows(context)),
};

const COLUMNS: &[Column<Row>] = &[
    column("table_catalog", PgType::Name, |row| (&row.catalog).into()),
    column("table_schema", PgType::Name, |row| (&row.schema).into()),
    column("table_name", PgType::Name, |row| (&row.name).into()),
    column("view_definition", PgType::Varchar, |row| (&row.definition).into()),
    fixed("check_option", PgType::Varchar, Value::Text("NONE")),
    fixed("is_updatable", PgType::Varchar, Value::Text("NO")),
    fixed("is_insertable_into", PgType::Varchar, Value::Text("NO")),
    fixed("is_trigger_updatable", PgType::Varchar, Value::Text("NO")),
    fixed("is_trigger_deletable", PgType::Varchar, Value::Text("NO")),
    fixed("is_trigger_insertable_into", PgType::Varchar, Value::Text("NO")),
];

struct Row {
    catalog: String,
    schema: String,
    name: String,
    definition: String,
}

fn rows(context: &SystemContext) -> Vec<Row> {
    let views = context.catalog.objects().filter(|object| object.kind.relkind() == 'v');
    let row = |object: &Object| Row {
        catalog: context.database.clone(),
        schema: object.schema.clone(),
        name: object.name.clone(),
        definition: pg_get_viewdef(&context.catalog, object.oid()).unwrap_or_default(),
    };
    views.map(row).collect()
}
