//! pg_amop: operators of operator families. Empty: what there is of them is not listed.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_amop",
    oid: Oid(2602),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("oid", PgType::Oid),
    declared("amopfamily", PgType::Oid),
    declared("amoplefttype", PgType::Oid),
    declared("amoprighttype", PgType::Oid),
    declared("amopstrategy", PgType::Int2),
    declared("amoppurpose", PgType::Char),
    declared("amopopr", PgType::Oid),
    declared("amopmethod", PgType::Oid),
    declared("amopsortfamily", PgType::Oid),
];
