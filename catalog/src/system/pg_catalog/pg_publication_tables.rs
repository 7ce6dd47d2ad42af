//! pg_publication_tables: tables in publications, for people. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_publication_tables",
    oid: Oid(12068),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    null("pubname", PgType::Name),
    null("schemaname", PgType::Name),
    null("tablename", PgType::Name),
    null("attnames", PgType::Array(&PgType::Name)),
    null("rowfilter", PgType::Text),
];
