//! pg_replication_slots: replication slots. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_replication_slots",
    oid: Oid(12257),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    null("slot_name", PgType::Name),
    null("plugin", PgType::Name),
    null("slot_type", PgType::Text),
    null("datoid", PgType::Oid),
    null("database", PgType::Name),
    null("temporary", PgType::Bool),
    null("active", PgType::Bool),
    null("active_pid", PgType::Int4),
    null("xmin", PgType::Xid),
    null("catalog_xmin", PgType::Xid),
    null("restart_lsn", PgType::PgLsn),
    null("confirmed_flush_lsn", PgType::PgLsn),
    null("wal_status", PgType::Text),
    null("safe_wal_size", PgType::Int8),
    null("two_phase", PgType::Bool),
];
