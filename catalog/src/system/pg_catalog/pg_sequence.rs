//! pg_sequence: sequences. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_sequence",
    oid: Oid(2224),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("seqrelid", PgType::Oid),
    declared("seqtypid", PgType::Oid),
    declared("seqstart", PgType::Int8),
    declared("seqincrement", PgType::Int8),
    declared("seqmax", PgType::Int8),
    declared("seqmin", PgType::Int8),
    declared("seqcache", PgType::Int8),
    declared("seqcycle", PgType::Bool),
];
