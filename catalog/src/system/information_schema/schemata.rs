//! schemata: schemas.

use crate::catalog::{INFORMATION_SCHEMA, Schema};
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::column::{Column, build, column, describe, null};
use crate::system::{SystemContext, SystemTable};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: INFORMATION_SCHEMA,
    name: "schemata",
    oid: Oid(13382),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, rows(context)),
};

const COLUMNS: &[Column<Row>] = &[
    column("catalog_name", PgType::Name, |row| (&row.catalog).into()),
    column("schema_name", PgType::Name, |row| (&row.name).into()),
    column("schema_owner", PgType::Name, |row| (&row.owner).into()),
    null("default_character_set_catalog", PgType::Name),
    null("default_character_set_schema", PgType::Name),
    null("default_character_set_name", PgType::Name),
    null("sql_path", PgType::Varchar),
];

struct Row {
    catalog: String,
    name: String,
    owner: String,
}

fn rows(context: &SystemContext) -> Vec<Row> {
    let row = |schema: &Schema| Row {
        catalog: context.database.clone(),
        name: schema.name.clone(),
        owner: context.user.clone(),
    };
    context.catalog.schemas().map(row).collect()
}
