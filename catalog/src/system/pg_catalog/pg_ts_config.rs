//! pg_ts_config: text search configurations. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_ts_config",
    oid: Oid(3602),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("oid", PgType::Oid),
    declared("cfgname", PgType::Name),
    declared("cfgnamespace", PgType::Oid),
    declared("cfgowner", PgType::Oid),
    declared("cfgparser", PgType::Oid),
];
