//! pg_ts_template: text search templates. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_ts_template",
    oid: Oid(3764),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("oid", PgType::Oid),
    declared("tmplname", PgType::Name),
    declared("tmplnamespace", PgType::Oid),
    declared("tmplinit", PgType::Regproc),
    declared("tmpllexize", PgType::Regproc),
];
