//! pg_stat_user_functions: calls of functions. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_stat_user_functions",
    oid: Oid(12275),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    null("funcid", PgType::Oid),
    null("schemaname", PgType::Name),
    null("funcname", PgType::Name),
    null("calls", PgType::Int8),
    null("total_time", PgType::Float8),
    null("self_time", PgType::Float8),
];
