//! pg_stat_activity: one row per connection, from the context.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::column::{Column, Value, build, column, describe, fixed, null, optional};
use crate::system::relation::OWNER;
use crate::system::{Activity, SystemTable};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_stat_activity",
    oid: Oid(12222),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, &context.activity),
};

const COLUMNS: &[Column<Activity>] = &[
    fixed("datid", PgType::Oid, Value::Oid(Oid(5))),
    column("datname", PgType::Name, |peer| (&peer.database).into()),
    column("pid", PgType::Int4, |peer| peer.pid.into()),
    null("leader_pid", PgType::Int4),
    fixed("usesysid", PgType::Oid, Value::Oid(OWNER)),
    column("usename", PgType::Name, |peer| (&peer.user).into()),
    column("application_name", PgType::Text, |peer| (&peer.application_name).into()),
    optional("client_addr", PgType::Inet, |peer| {
        Value::or_null(Some(peer.client_address.as_str()).filter(|a| !a.is_empty()))
    }),
    null("client_hostname", PgType::Text),
    optional("client_port", PgType::Int4, |peer| Value::or_null(peer.client_port)),
    column("backend_start", PgType::Timestamptz, |peer| peer.connected_at.into()),
    optional("xact_start", PgType::Timestamptz, |peer| Value::or_null(peer.transaction_since)),
    optional("query_start", PgType::Timestamptz, |peer| Value::or_null(peer.query_since)),
    optional("state_change", PgType::Timestamptz, |peer| Value::or_null(peer.state_since)),
    null("wait_event_type", PgType::Text),
    null("wait_event", PgType::Text),
    column("state", PgType::Text, |peer| (&peer.state).into()),
    null("backend_xid", PgType::Xid),
    null("backend_xmin", PgType::Xid),
    null("query_id", PgType::Int8),
    column("query", PgType::Text, |peer| (&peer.query).into()),
    fixed("backend_type", PgType::Text, Value::Text("client backend")),
];
