//! pg_range: range types. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_range",
    oid: Oid(3541),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("rngtypid", PgType::Oid),
    declared("rngsubtype", PgType::Oid),
    declared("rngmultitypid", PgType::Oid),
    declared("rngcollation", PgType::Oid),
    declared("rngsubopc", PgType::Oid),
    declared("rngcanonical", PgType::Regproc),
    declared("rngsubdiff", PgType::Regproc),
];
