//! pg_auth_members: who is a member of which role. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_auth_members",
    oid: Oid(1261),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("roleid", PgType::Oid),
    declared("member", PgType::Oid),
    declared("grantor", PgType::Oid),
    declared("admin_option", PgType::Bool),
];
