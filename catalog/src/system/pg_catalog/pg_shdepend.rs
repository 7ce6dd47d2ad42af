//! pg_shdepend: dependencies on what databases share. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_shdepend",
    oid: Oid(1214),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("dbid", PgType::Oid),
    declared("classid", PgType::Oid),
    declared("objid", PgType::Oid),
    declared("objsubid", PgType::Int4),
    declared("refclassid", PgType::Oid),
    declared("refobjid", PgType::Oid),
    declared("deptype", PgType::Char),
];
