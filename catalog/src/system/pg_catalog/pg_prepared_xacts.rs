//! pg_prepared_xacts: prepared transactions. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_prepared_xacts",
    oid: Oid(12090),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    null("transaction", PgType::Xid),
    null("gid", PgType::Text),
    null("prepared", PgType::Timestamptz),
    null("owner", PgType::Name),
    null("database", PgType::Name),
];
