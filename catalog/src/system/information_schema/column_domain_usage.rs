//! column_domain_usage: columns of a domain. Always empty: there are none.

use crate::catalog::INFORMATION_SCHEMA;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: INFORMATION_SCHEMA,
    name: "column_domain_usage",
    oid: Oid(13280),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    null("domain_catalog", PgType::Name),
    null("domain_schema", PgType::Name),
    null("domain_name", PgType::Name),
    null("table_catalog", PgType::Name),
    null("table_schema", PgType::Name),
    null("table_name", PgType::Name),
    null("column_name", PgType::Name),
];
