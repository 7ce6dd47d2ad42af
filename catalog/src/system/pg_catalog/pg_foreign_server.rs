//! pg_foreign_server: foreign servers. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_foreign_server",
    oid: Oid(1417),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("oid", PgType::Oid),
    declared("srvname", PgType::Name),
    declared("srvowner", PgType::Oid),
    declared("srvfdw", PgType::Oid),
    null("srvtype", PgType::Text),
    null("srvversion", PgType::Text),
    null("srvacl", PgType::Array(&PgType::Aclitem)),
    null("srvoptions", PgType::Array(&PgType::Text)),
];
