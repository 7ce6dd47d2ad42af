//! pg_constraint: one row per primary key. NOT NULL is no constraint of its own, as in PostgreSQL
//! 15.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, Value, build, column, describe, fixed, null, optional};
use crate::system::relation::{PrimaryKey, primary_keys};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_constraint",
    oid: Oid(2606),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, primary_keys(&context.catalog)),
};

const COLUMNS: &[Column<PrimaryKey>] = &[
    column("oid", PgType::Oid, |key| key.constraint_oid().into()),
    column("conname", PgType::Name, |key| (&key.name).into()),
    column("connamespace", PgType::Oid, |key| key.schema_oid.into()),
    fixed("contype", PgType::Char, Value::Char('p')),
    fixed("condeferrable", PgType::Bool, Value::Bool(false)),
    fixed("condeferred", PgType::Bool, Value::Bool(false)),
    fixed("convalidated", PgType::Bool, Value::Bool(true)),
    column("conrelid", PgType::Oid, |key| key.table.oid().into()),
    fixed("contypid", PgType::Oid, Value::Oid(Oid::NONE)),
    column("conindid", PgType::Oid, |key| key.index_oid().into()),
    fixed("conparentid", PgType::Oid, Value::Oid(Oid::NONE)),
    fixed("confrelid", PgType::Oid, Value::Oid(Oid::NONE)),
    fixed("confupdtype", PgType::Char, Value::Char(' ')),
    fixed("confdeltype", PgType::Char, Value::Char(' ')),
    fixed("confmatchtype", PgType::Char, Value::Char(' ')),
    fixed("conislocal", PgType::Bool, Value::Bool(true)),
    fixed("coninhcount", PgType::Int4, Value::Int(0)),
    fixed("connoinherit", PgType::Bool, Value::Bool(true)),
    optional("conkey", PgType::Array(&PgType::Int2), |key| Value::Ints(key.columns.clone())),
    null("confkey", PgType::Array(&PgType::Int2)),
    null("conpfeqop", PgType::Array(&PgType::Oid)),
    null("conppeqop", PgType::Array(&PgType::Oid)),
    null("conffeqop", PgType::Array(&PgType::Oid)),
    null("confdelsetcols", PgType::Array(&PgType::Int2)),
    null("conexclop", PgType::Array(&PgType::Oid)),
    null("conbin", PgType::PgNodeTree),
];
