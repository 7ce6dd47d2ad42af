//! pg_inherits: inheritance and partitions of tables. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_inherits",
    oid: Oid(2611),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("inhrelid", PgType::Oid),
    declared("inhparent", PgType::Oid),
    declared("inhseqno", PgType::Int4),
    declared("inhdetachpending", PgType::Bool),
];
