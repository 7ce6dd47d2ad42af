//! pg_ts_parser: text search parsers. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_ts_parser",
    oid: Oid(3601),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("oid", PgType::Oid),
    declared("prsname", PgType::Name),
    declared("prsnamespace", PgType::Oid),
    declared("prsstart", PgType::Regproc),
    declared("prstoken", PgType::Regproc),
    declared("prsend", PgType::Regproc),
    declared("prsheadline", PgType::Regproc),
    declared("prslextype", PgType::Regproc),
];
