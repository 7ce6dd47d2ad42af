//! pg_ts_config_map: token mappings of text search. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_ts_config_map",
    oid: Oid(3603),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("mapcfg", PgType::Oid),
    declared("maptokentype", PgType::Int4),
    declared("mapseqno", PgType::Int4),
    declared("mapdict", PgType::Oid),
];
