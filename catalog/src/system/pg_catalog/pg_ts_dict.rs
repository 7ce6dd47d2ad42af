//! pg_ts_dict: text search dictionaries. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_ts_dict",
    oid: Oid(3600),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("oid", PgType::Oid),
    declared("dictname", PgType::Name),
    declared("dictnamespace", PgType::Oid),
    declared("dictowner", PgType::Oid),
    declared("dicttemplate", PgType::Oid),
    null("dictinitoption", PgType::Text),
];
