//! check_constraints: NOT NULL, as the CHECK that the standard sees in it.

use crate::catalog::INFORMATION_SCHEMA;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, build, column, describe};
use crate::system::constraint::{Constraint, constraints};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: INFORMATION_SCHEMA,
    name: "check_constraints",
    oid: Oid(13260),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context| {
        build(COLUMNS, constraints(context).into_iter().filter(|row| !row.is_primary_key))
    },
};

const COLUMNS: &[Column<Constraint>] = &[
    column("constraint_catalog", PgType::Name, |row| (&row.catalog).into()),
    column("constraint_schema", PgType::Name, |row| (&row.schema).into()),
    column("constraint_name", PgType::Name, |row| (&row.name).into()),
    column("check_clause", PgType::Varchar, |row| row.check_clause().into()),
];
