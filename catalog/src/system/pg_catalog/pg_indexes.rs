//! pg_indexes: the indexes of primary keys.

use crate::catalog::{Catalog, PG_CATALOG};
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, build, column, describe, null};
use crate::system::functions::pg_get_indexdef;
use crate::system::relation::{PrimaryKey, primary_keys};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_indexes",
    oid: Oid(12043),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, indexes(&context.catalog)),
};

const COLUMNS: &[Column<Index>] = &[
    column("schemaname", PgType::Name, |index| (&index.schema).into()),
    column("tablename", PgType::Name, |index| (&index.table).into()),
    column("indexname", PgType::Name, |index| (&index.name).into()),
    null("tablespace", PgType::Name),
    column("indexdef", PgType::Text, |index| (&index.definition).into()),
];

struct Index {
    schema: String,
    table: String,
    name: String,
    definition: String,
}

fn indexes(catalog: &Catalog) -> Vec<Index> {
    let row = |key: PrimaryKey| Index {
        definition: pg_get_indexdef(catalog, key.index_oid(), 0).unwrap_or_default(),
        schema: key.schema,
        table: key.table_name,
        name: key.name,
    };
    primary_keys(catalog).into_iter().map(row).collect()
}
