//! pg_conversion: encoding conversions. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_conversion",
    oid: Oid(2607),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("oid", PgType::Oid),
    declared("conname", PgType::Name),
    declared("connamespace", PgType::Oid),
    declared("conowner", PgType::Oid),
    declared("conforencoding", PgType::Int4),
    declared("contoencoding", PgType::Int4),
    declared("conproc", PgType::Regproc),
    declared("condefault", PgType::Bool),
];
