//! triggers: triggers. Always empty: there are none.

use crate::catalog::INFORMATION_SCHEMA;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: INFORMATION_SCHEMA,
    name: "triggers",
    oid: Oid(13440),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    null("trigger_catalog", PgType::Name),
    null("trigger_schema", PgType::Name),
    null("trigger_name", PgType::Name),
    null("event_manipulation", PgType::Varchar),
    null("event_object_catalog", PgType::Name),
    null("event_object_schema", PgType::Name),
    null("event_object_table", PgType::Name),
    null("action_order", PgType::Int4),
    null("action_condition", PgType::Varchar),
    null("action_statement", PgType::Varchar),
    null("action_orientation", PgType::Varchar),
    null("action_timing", PgType::Varchar),
    null("action_reference_old_table", PgType::Name),
    null("action_reference_new_table", PgType::Name),
    null("action_reference_old_row", PgType::Name),
    null("action_reference_new_row", PgType::Name),
    null("created", PgType::Timestamptz),
];
