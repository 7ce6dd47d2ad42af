//! pg_cursors: cursors of the session. Empty: what there is of them is not listed.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_cursors",
    oid: Oid(12077),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    null("name", PgType::Text),
    null("statement", PgType::Text),
    null("is_holdable", PgType::Bool),
    null("is_binary", PgType::Bool),
    null("is_scrollable", PgType::Bool),
    null("creation_time", PgType::Timestamptz),
];
