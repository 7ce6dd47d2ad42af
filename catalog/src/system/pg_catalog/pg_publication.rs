//! pg_publication: publications. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_publication",
    oid: Oid(6104),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("oid", PgType::Oid),
    declared("pubname", PgType::Name),
    declared("pubowner", PgType::Oid),
    declared("puballtables", PgType::Bool),
    declared("pubinsert", PgType::Bool),
    declared("pubupdate", PgType::Bool),
    declared("pubdelete", PgType::Bool),
    declared("pubtruncate", PgType::Bool),
    declared("pubviaroot", PgType::Bool),
];
