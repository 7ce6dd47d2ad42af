//! pg_extension: installed extensions. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_extension",
    oid: Oid(3079),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("oid", PgType::Oid),
    declared("extname", PgType::Name),
    declared("extowner", PgType::Oid),
    declared("extnamespace", PgType::Oid),
    declared("extrelocatable", PgType::Bool),
    declared("extversion", PgType::Text),
    null("extconfig", PgType::Array(&PgType::Oid)),
    null("extcondition", PgType::Array(&PgType::Text)),
];
