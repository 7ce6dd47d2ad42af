//! parameters: functions' parameters. Empty: none are of the user's making.

use crate::catalog::INFORMATION_SCHEMA;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: INFORMATION_SCHEMA,
    name: "parameters",
    oid: Oid(13334),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    null("specific_catalog", PgType::Name),
    null("specific_schema", PgType::Name),
    null("specific_name", PgType::Name),
    null("ordinal_position", PgType::Int4),
    null("parameter_mode", PgType::Varchar),
    null("is_result", PgType::Varchar),
    null("as_locator", PgType::Varchar),
    null("parameter_name", PgType::Name),
    null("data_type", PgType::Varchar),
    null("character_maximum_length", PgType::Int4),
    null("character_octet_length", PgType::Int4),
    null("character_set_catalog", PgType::Name),
    null("character_set_schema", PgType::Name),
    null("character_set_name", PgType::Name),
    null("collation_catalog", PgType::Name),
    null("collation_schema", PgType::Name),
    null("collation_name", PgType::Name),
    null("numeric_precision", PgType::Int4),
    null("numeric_precision_radix", PgType::Int4),
    null("numeric_scale", PgType::Int4),
    null("datetime_precision", PgType::Int4),
    null("interval_type", PgType::Varchar),
    null("interval_precision", PgType::Int4),
    null("udt_catalog", PgType::Name),
    null("udt_schema", PgType::Name),
    null("udt_name", PgType::Name),
    null("scope_catalog", PgType::Name),
    null("scope_schema", PgType::Name),
    null("scope_name", PgType::Name),
    null("maximum_cardinality", PgType::Int4),
    null("dtd_identifier", PgType::Name),
    null("parameter_default", PgType::Varchar),
];
