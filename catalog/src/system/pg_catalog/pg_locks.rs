//! pg_locks: locks held and awaited. Empty: what there is of them is not listed.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_locks",
    oid: Oid(12073),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    null("locktype", PgType::Text),
    null("database", PgType::Oid),
    null("relation", PgType::Oid),
    null("page", PgType::Int4),
    null("tuple", PgType::Int2),
    null("virtualxid", PgType::Text),
    null("transactionid", PgType::Xid),
    null("classid", PgType::Oid),
    null("objid", PgType::Oid),
    null("objsubid", PgType::Int2),
    null("virtualtransaction", PgType::Text),
    null("pid", PgType::Int4),
    null("mode", PgType::Text),
    null("granted", PgType::Bool),
    null("fastpath", PgType::Bool),
    null("waitstart", PgType::Timestamptz),
];
