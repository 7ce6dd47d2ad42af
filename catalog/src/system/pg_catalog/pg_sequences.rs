//! pg_sequences: sequences, for people. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_sequences",
    oid: Oid(12048),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    null("schemaname", PgType::Name),
    null("sequencename", PgType::Name),
    null("sequenceowner", PgType::Name),
    null("data_type", PgType::Regtype),
    null("start_value", PgType::Int8),
    null("min_value", PgType::Int8),
    null("max_value", PgType::Int8),
    null("increment_by", PgType::Int8),
    null("cycle", PgType::Bool),
    null("cache_size", PgType::Int8),
    null("last_value", PgType::Int8),
];
