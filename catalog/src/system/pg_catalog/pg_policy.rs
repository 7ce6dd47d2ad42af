//! pg_policy: row-level security policies. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_policy",
    oid: Oid(3256),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("oid", PgType::Oid),
    declared("polname", PgType::Name),
    declared("polrelid", PgType::Oid),
    declared("polcmd", PgType::Char),
    declared("polpermissive", PgType::Bool),
    declared("polroles", PgType::Array(&PgType::Oid)),
    null("polqual", PgType::PgNodeTree),
    null("polwithcheck", PgType::PgNodeTree),
];
