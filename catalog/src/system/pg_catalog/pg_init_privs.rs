//! pg_init_privs: initial privileges. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_init_privs",
    oid: Oid(3394),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("objoid", PgType::Oid),
    declared("classoid", PgType::Oid),
    declared("objsubid", PgType::Int4),
    declared("privtype", PgType::Char),
    declared("initprivs", PgType::Array(&PgType::Aclitem)),
];
