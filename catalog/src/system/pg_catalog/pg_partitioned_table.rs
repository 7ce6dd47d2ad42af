//! pg_partitioned_table: partitioned tables. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_partitioned_table",
    oid: Oid(3350),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("partrelid", PgType::Oid),
    declared("partstrat", PgType::Char),
    declared("partnatts", PgType::Int2),
    declared("partdefid", PgType::Oid),
    declared("partattrs", PgType::Int2Vector),
    declared("partclass", PgType::OidVector),
    declared("partcollation", PgType::OidVector),
    null("partexprs", PgType::PgNodeTree),
];
