//! pg_statistic_ext: extended statistics. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_statistic_ext",
    oid: Oid(3381),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("oid", PgType::Oid),
    declared("stxrelid", PgType::Oid),
    declared("stxname", PgType::Name),
    declared("stxnamespace", PgType::Oid),
    declared("stxowner", PgType::Oid),
    declared("stxstattarget", PgType::Int4),
    declared("stxkeys", PgType::Int2Vector),
    declared("stxkind", PgType::Array(&PgType::Char)),
    null("stxexprs", PgType::PgNodeTree),
];
