//! view_table_usage: which relations a plain view reads.

use crate::catalog::INFORMATION_SCHEMA;
use crate::object::{Object, Oid};
use crate::pg_type::PgType;
use crate::system::column::{Column, build, column, describe};
use crate::system::{SystemContext, SystemTable};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: INFORMATION_SCHEMA,
    name: "view_table_usage",
    oid: Oid(13478),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, rows(context)),
};

const COLUMNS: &[Column<Row>] = &[
    column("view_catalog", PgType::Name, |row| (&row.catalog).into()),
    column("view_schema", PgType::Name, |row| (&row.view.0).into()),
    column("view_name", PgType::Name, |row| (&row.view.1).into()),
    column("table_catalog", PgType::Name, |row| (&row.catalog).into()),
    column("table_schema", PgType::Name, |row| (&row.table.0).into()),
    column("table_name", PgType::Name, |row| (&row.table.1).into()),
];

struct Row {
    catalog: String,
    /// Schema and name.
    view: (String, String),
    table: (String, String),
}

fn rows(context: &SystemContext) -> Vec<Row> {
    let catalog = &context.catalog;
    let full_name = |object: &Object| (object.schema.clone(), object.name.clone());
    let views = catalog.objects().filter(|object| object.kind.relkind() == 'v');
    let reads = views.flat_map(|view| {
        let inputs = view.depends_on().iter().filter_map(|id| catalog.get(*id));
        inputs.map(|table| Row {
            catalog: context.database.clone(),
            view: full_name(view),
            table: full_name(table),
        })
    });
    reads.collect()
}
