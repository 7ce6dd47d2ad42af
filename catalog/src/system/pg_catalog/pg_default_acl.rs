//! pg_default_acl: default privileges. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_default_acl",
    oid: Oid(826),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("oid", PgType::Oid),
    declared("defaclrole", PgType::Oid),
    declared("defaclnamespace", PgType::Oid),
    declared("defaclobjtype", PgType::Char),
    declared("defaclacl", PgType::Array(&PgType::Aclitem)),
];
