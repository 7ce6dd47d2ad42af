//! sequences: sequences. Always empty: there are none.

use crate::catalog::INFORMATION_SCHEMA;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: INFORMATION_SCHEMA,
    name: "sequences",
    oid: Oid(13386),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    null("sequence_catalog", PgType::Name),
    null("sequence_schema", PgType::Name),
    null("sequence_name", PgType::Name),
    null("data_type", PgType::Varchar),
    null("numeric_precision", PgType::Int4),
    null("numeric_precision_radix", PgType::Int4),
    null("numeric_scale", PgType::Int4),
    null("start_value", PgType::Varchar),
    null("minimum_value", PgType::Varchar),
    null("maximum_value", PgType::Varchar),
    null("increment", PgType::Varchar),
    null("cycle_option", PgType::Varchar),
];
