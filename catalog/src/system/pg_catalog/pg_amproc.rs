//! pg_amproc: support functions of operator families. Empty: what there is of them is not listed.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_amproc",
    oid: Oid(2603),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("oid", PgType::Oid),
    declared("amprocfamily", PgType::Oid),
    declared("amproclefttype", PgType::Oid),
    declared("amprocrighttype", PgType::Oid),
    declared("amprocnum", PgType::Int2),
    declared("amproc", PgType::Regproc),
];
