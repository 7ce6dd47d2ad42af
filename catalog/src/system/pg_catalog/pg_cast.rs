//! pg_cast: casts. Empty: what there is of them is not listed.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_cast",
    oid: Oid(2605),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("oid", PgType::Oid),
    declared("castsource", PgType::Oid),
    declared("casttarget", PgType::Oid),
    declared("castfunc", PgType::Oid),
    declared("castcontext", PgType::Char),
    declared("castmethod", PgType::Char),
];
