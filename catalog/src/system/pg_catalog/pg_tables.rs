//! pg_tables: tables, those of the system too.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::column::{Column, Value, build, column, describe, fixed, null};
use crate::system::relation::{Relation, relations};
use crate::system::{SystemContext, SystemTable};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_tables",
    oid: Oid(12033),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, tables(context)),
};

const COLUMNS: &[Column<Table>] = &[
    column("schemaname", PgType::Name, |table| (&table.schema).into()),
    column("tablename", PgType::Name, |table| (&table.name).into()),
    column("tableowner", PgType::Name, |table| (&table.owner).into()),
    null("tablespace", PgType::Name),
    column("hasindexes", PgType::Bool, |table| table.has_index.into()),
    fixed("hasrules", PgType::Bool, Value::Bool(false)),
    fixed("hastriggers", PgType::Bool, Value::Bool(false)),
    fixed("rowsecurity", PgType::Bool, Value::Bool(false)),
];

struct Table {
    schema: String,
    name: String,
    owner: String,
    has_index: bool,
}

fn tables(context: &SystemContext) -> Vec<Table> {
    let tables = relations(context).into_iter().filter(|relation| relation.kind == 'r');
    let row = |relation: Relation| Table {
        schema: relation.schema,
        name: relation.name,
        owner: context.user.clone(),
        has_index: relation.has_index,
    };
    tables.map(row).collect()
}
