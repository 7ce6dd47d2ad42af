//! domains: domains. Always empty: there are none.

use crate::catalog::INFORMATION_SCHEMA;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: INFORMATION_SCHEMA,
    name: "domains",
    oid: Oid(13320),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    null("domain_catalog", PgType::Name),
    null("domain_schema", PgType::Name),
    null("domain_name", PgType::Name),
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
    null("domain_default", PgType::Varchar),
    null("udt_catalog", PgType::Name),
    null("udt_schema", PgType::Name),
    null("udt_name", PgType::Name),
    null("scope_catalog", PgType::Name),
    null("scope_schema", PgType::Name),
    null("scope_name", PgType::Name),
    null("maximum_cardinality", PgType::Int4),
    null("dtd_identifier", PgType::Name),
];
