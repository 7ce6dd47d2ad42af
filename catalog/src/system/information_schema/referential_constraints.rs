//! referential_constraints: foreign keys. Always empty: there are none.

use crate::catalog::INFORMATION_SCHEMA;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: INFORMATION_SCHEMA,
    name: "referential_constraints",
    oid: Oid(13339),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    null("constraint_catalog", PgType::Name),
    null("constraint_schema", PgType::Name),
    null("constraint_name", PgType::Name),
    null("unique_constraint_catalog", PgType::Name),
    null("unique_constraint_schema", PgType::Name),
    null("unique_constraint_name", PgType::Name),
    null("match_option", PgType::Varchar),
    null("update_rule", PgType::Varchar),
    null("delete_rule", PgType::Varchar),
];
