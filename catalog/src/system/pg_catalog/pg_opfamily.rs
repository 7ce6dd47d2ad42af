//! pg_opfamily: operator families. Empty: what there is of them is not listed.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_opfamily",
    oid: Oid(2753),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("oid", PgType::Oid),
    declared("opfmethod", PgType::Oid),
    declared("opfname", PgType::Name),
    declared("opfnamespace", PgType::Oid),
    declared("opfowner", PgType::Oid),
];
