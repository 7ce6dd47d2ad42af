//! pg_stat_replication: replication connections. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_stat_replication",
    oid: Oid(12227),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    null("pid", PgType::Int4),
    null("usesysid", PgType::Oid),
    null("usename", PgType::Name),
    null("application_name", PgType::Text),
    null("client_addr", PgType::Inet),
    null("client_hostname", PgType::Text),
    null("client_port", PgType::Int4),
    null("backend_start", PgType::Timestamptz),
    null("backend_xmin", PgType::Xid),
    null("state", PgType::Text),
    null("sent_lsn", PgType::PgLsn),
    null("write_lsn", PgType::PgLsn),
    null("flush_lsn", PgType::PgLsn),
    null("replay_lsn", PgType::PgLsn),
    null("write_lag", PgType::Interval),
    null("flush_lag", PgType::Interval),
    null("replay_lag", PgType::Interval),
    null("sync_priority", PgType::Int4),
    null("sync_state", PgType::Text),
    null("reply_time", PgType::Timestamptz),
];
