//! pg_foreign_data_wrapper: foreign-data wrappers. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_foreign_data_wrapper",
    oid: Oid(2328),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("oid", PgType::Oid),
    declared("fdwname", PgType::Name),
    declared("fdwowner", PgType::Oid),
    declared("fdwhandler", PgType::Oid),
    declared("fdwvalidator", PgType::Oid),
    null("fdwacl", PgType::Array(&PgType::Aclitem)),
    null("fdwoptions", PgType::Array(&PgType::Text)),
];
