//! table_constraints: primary keys, and NOT NULL as the CHECK that the standard sees in it.

use crate::catalog::INFORMATION_SCHEMA;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, Value, build, column, describe, fixed, null};
use crate::system::constraint::{Constraint, constraints};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: INFORMATION_SCHEMA,
    name: "table_constraints",
    oid: Oid(13411),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, constraints(context)),
};

const COLUMNS: &[Column<Constraint>] = &[
    column("constraint_catalog", PgType::Name, |row| (&row.catalog).into()),
    column("constraint_schema", PgType::Name, |row| (&row.schema).into()),
    column("constraint_name", PgType::Name, |row| (&row.name).into()),
    column("table_catalog", PgType::Name, |row| (&row.catalog).into()),
    column("table_schema", PgType::Name, |row| (&row.schema).into()),
    column("table_name", PgType::Name, |row| (&row.table).into()),
    column("constraint_type", PgType::Varchar, |row| row.kind().into()),
    fixed("is_deferrable", PgType::Varchar, Value::Text("NO")),
    fixed("initially_deferred", PgType::Varchar, Value::Text("NO")),
    fixed("enforced", PgType::Varchar, Value::Text("YES")),
    null("nulls_distinct", PgType::Varchar),
];
