//! pg_user_mappings: users on foreign servers. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_user_mappings",
    oid: Oid(12327),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    null("umid", PgType::Oid),
    null("srvid", PgType::Oid),
    null("srvname", PgType::Name),
    null("umuser", PgType::Oid),
    null("usename", PgType::Name),
    null("umoptions", PgType::Array(&PgType::Text)),
];
