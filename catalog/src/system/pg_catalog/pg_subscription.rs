//! pg_subscription: logical replication subscriptions. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_subscription",
    oid: Oid(6100),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("oid", PgType::Oid),
    declared("subdbid", PgType::Oid),
    declared("subskiplsn", PgType::PgLsn),
    declared("subname", PgType::Name),
    declared("subowner", PgType::Oid),
    declared("subenabled", PgType::Bool),
    declared("subbinary", PgType::Bool),
    declared("substream", PgType::Bool),
    declared("subtwophasestate", PgType::Char),
    declared("subdisableonerr", PgType::Bool),
    declared("subconninfo", PgType::Text),
    null("subslotname", PgType::Name),
    declared("subsynccommit", PgType::Text),
    declared("subpublications", PgType::Array(&PgType::Text)),
];
