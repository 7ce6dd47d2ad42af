//! pg_policies: row-level security policies, for people. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_policies",
    oid: Oid(12018),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    null("schemaname", PgType::Name),
    null("tablename", PgType::Name),
    null("policyname", PgType::Name),
    null("permissive", PgType::Text),
    null("roles", PgType::Array(&PgType::Name)),
    null("cmd", PgType::Text),
    null("qual", PgType::Text),
    null("with_check", PgType::Text),
];
