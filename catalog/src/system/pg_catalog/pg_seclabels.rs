//! pg_seclabels: security labels, for people. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_seclabels",
    oid: Oid(12099),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    null("objoid", PgType::Oid),
    null("classoid", PgType::Oid),
    null("objsubid", PgType::Int4),
    null("objtype", PgType::Text),
    null("objnamespace", PgType::Oid),
    null("objname", PgType::Text),
    null("provider", PgType::Text),
    null("label", PgType::Text),
];
