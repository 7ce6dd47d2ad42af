//! pg_prepared_statements: prepared statements of the session. Empty: what there is of them is not
//! listed.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_prepared_statements",
    oid: Oid(12095),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    null("name", PgType::Text),
    null("statement", PgType::Text),
    null("prepare_time", PgType::Timestamptz),
    null("parameter_types", PgType::Array(&PgType::Regtype)),
    null("from_sql", PgType::Bool),
    null("generic_plans", PgType::Int8),
    null("custom_plans", PgType::Int8),
];
