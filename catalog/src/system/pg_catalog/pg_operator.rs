//! pg_operator: operators. Empty: what there is of them is not listed.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_operator",
    oid: Oid(2617),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("oid", PgType::Oid),
    declared("oprname", PgType::Name),
    declared("oprnamespace", PgType::Oid),
    declared("oprowner", PgType::Oid),
    declared("oprkind", PgType::Char),
    declared("oprcanmerge", PgType::Bool),
    declared("oprcanhash", PgType::Bool),
    declared("oprleft", PgType::Oid),
    declared("oprright", PgType::Oid),
    declared("oprresult", PgType::Oid),
    declared("oprcom", PgType::Oid),
    declared("oprnegate", PgType::Oid),
    declared("oprcode", PgType::Regproc),
    declared("oprrest", PgType::Regproc),
    declared("oprjoin", PgType::Regproc),
];
