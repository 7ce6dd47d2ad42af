//! pg_stat_all_indexes: the indexes of primary keys.
//!
//! Missing  every counter: NULL, not 0, since nobody counts them

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, build, column, describe, null};
use crate::system::relation::{PrimaryKey, primary_keys};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_stat_all_indexes",
    oid: Oid(12183),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, primary_keys(&context.catalog)),
};

const COLUMNS: &[Column<PrimaryKey>] = &[
    column("relid", PgType::Oid, |key| key.table.oid().into()),
    column("indexrelid", PgType::Oid, |key| key.index_oid().into()),
    column("schemaname", PgType::Name, |key| (&key.schema).into()),
    column("relname", PgType::Name, |key| (&key.table_name).into()),
    column("indexrelname", PgType::Name, |key| (&key.name).into()),
    null("idx_scan", PgType::Int8),
    null("idx_tup_read", PgType::Int8),
    null("idx_tup_fetch", PgType::Int8),
];
