//! tables: tables and plain views. Materialized views are not in the standard, and Postgres leaves
//! them out here too; `pg_matviews` and `tidemark.views` have them.

use crate::catalog::INFORMATION_SCHEMA;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::column::{Column, Value, build, column, describe, fixed, null};
use crate::system::relation::{Relation, tables_and_views};
use crate::system::{SystemContext, SystemTable};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: INFORMATION_SCHEMA,
    name: "tables",
    oid: Oid(13425),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, rows(context)),
};

const COLUMNS: &[Column<Row>] = &[
    column("table_catalog", PgType::Name, |row| (&row.catalog).into()),
    column("table_schema", PgType::Name, |row| (&row.relation.schema).into()),
    column("table_name", PgType::Name, |row| (&row.relation.name).into()),
    column("table_type", PgType::Varchar, |row| table_type(&row.relation).into()),
    null("self_referencing_column_name", PgType::Name),
    null("reference_generation", PgType::Varchar),
    null("user_defined_type_catalog", PgType::Name),
    null("user_defined_type_schema", PgType::Name),
    null("user_defined_type_name", PgType::Name),
    column("is_insertable_into", PgType::Varchar, |row| {
        Value::yes_or_no(insertable(&row.relation))
    }),
    fixed("is_typed", PgType::Varchar, Value::Text("NO")),
    null("commit_action", PgType::Varchar),
];

struct Row {
    catalog: String,
    relation: Relation,
}

fn rows(context: &SystemContext) -> Vec<Row> {
    let listed = tables_and_views(context).into_iter().filter(|relation| relation.kind != 'm');
    listed.map(|relation| Row { catalog: context.database.clone(), relation }).collect()
}

fn table_type(relation: &Relation) -> &'static str {
    if relation.kind == 'r' { "BASE TABLE" } else { "VIEW" }
}

fn insertable(relation: &Relation) -> bool {
    relation.kind == 'r' && relation.id.is_some()
}
