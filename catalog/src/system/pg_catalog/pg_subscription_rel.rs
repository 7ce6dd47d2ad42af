//! pg_subscription_rel: tables of subscriptions. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_subscription_rel",
    oid: Oid(6102),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("srsubid", PgType::Oid),
    declared("srrelid", PgType::Oid),
    declared("srsubstate", PgType::Char),
    null("srsublsn", PgType::PgLsn),
];
