//! key_column_usage: the columns of primary keys, in order.

use crate::catalog::INFORMATION_SCHEMA;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, build, column, describe, null};
use crate::system::constraint::{ConstraintColumn, key_columns};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: INFORMATION_SCHEMA,
    name: "key_column_usage",
    oid: Oid(13329),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, key_columns(context)),
};

const COLUMNS: &[Column<ConstraintColumn>] = &[
    column("constraint_catalog", PgType::Name, |row| (&row.catalog).into()),
    column("constraint_schema", PgType::Name, |row| (&row.schema).into()),
    column("constraint_name", PgType::Name, |row| (&row.name).into()),
    column("table_catalog", PgType::Name, |row| (&row.catalog).into()),
    column("table_schema", PgType::Name, |row| (&row.schema).into()),
    column("table_name", PgType::Name, |row| (&row.table).into()),
    column("column_name", PgType::Name, |row| (&row.column).into()),
    column("ordinal_position", PgType::Int4, |row| row.position.into()),
    null("position_in_unique_constraint", PgType::Int4),
];
