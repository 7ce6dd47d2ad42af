//! pg_namespace: one row per schema, the system's too.

use crate::catalog::{PG_CATALOG, Schema};
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, Value, build, column, describe, fixed, null};
use crate::system::relation::OWNER;

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_namespace",
    oid: Oid(2615),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, context.catalog.schemas()),
};

const COLUMNS: &[Column<Schema>] = &[
    column("oid", PgType::Oid, |schema| schema.oid.into()),
    column("nspname", PgType::Name, |schema| (&schema.name).into()),
    fixed("nspowner", PgType::Oid, Value::Oid(OWNER)),
    null("nspacl", PgType::Array(&PgType::Aclitem)),
];
