//! pg_class: one row per relation: tables, views, materialized views, the indexes of primary keys,
//! and the system relations themselves.
//!
//! Missing  row types (reltype is 0), pages (sizes are not counted in pages), TOAST tables

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, Value, build, column, describe, fixed, null, optional};
use crate::system::relation::{OWNER, Relation, relations};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_class",
    oid: Oid(1259),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, relations(context)),
};

const COLUMNS: &[Column<Relation>] = &[
    column("oid", PgType::Oid, |relation| relation.oid.into()),
    column("relname", PgType::Name, |relation| (&relation.name).into()),
    column("relnamespace", PgType::Oid, |relation| relation.schema_oid.into()),
    fixed("reltype", PgType::Oid, Value::Oid(Oid::NONE)),
    fixed("reloftype", PgType::Oid, Value::Oid(Oid::NONE)),
    fixed("relowner", PgType::Oid, Value::Oid(OWNER)),
    column("relam", PgType::Oid, |relation| relation.access_method().into()),
    column("relfilenode", PgType::Oid, |relation| {
        if relation.has_storage() { relation.oid } else { Oid::NONE }.into()
    }),
    fixed("reltablespace", PgType::Oid, Value::Oid(Oid::NONE)),
    fixed("relpages", PgType::Int4, Value::Int(0)),
    column("reltuples", PgType::Float4, |relation| Value::Float(relation.tuples)),
    fixed("relallvisible", PgType::Int4, Value::Int(0)),
    fixed("reltoastrelid", PgType::Oid, Value::Oid(Oid::NONE)),
    column("relhasindex", PgType::Bool, |relation| relation.has_index.into()),
    fixed("relisshared", PgType::Bool, Value::Bool(false)),
    fixed("relpersistence", PgType::Char, Value::Char('p')),
    column("relkind", PgType::Char, |relation| relation.kind.into()),
    column("relnatts", PgType::Int2, |relation| count(relation).into()),
    fixed("relchecks", PgType::Int2, Value::Int(0)),
    column("relhasrules", PgType::Bool, |relation| {
        (relation.is_view() && relation.id.is_some()).into()
    }),
    fixed("relhastriggers", PgType::Bool, Value::Bool(false)),
    fixed("relhassubclass", PgType::Bool, Value::Bool(false)),
    fixed("relrowsecurity", PgType::Bool, Value::Bool(false)),
    fixed("relforcerowsecurity", PgType::Bool, Value::Bool(false)),
    fixed("relispopulated", PgType::Bool, Value::Bool(true)),
    column("relreplident", PgType::Char, |relation| replica_identity(relation).into()),
    fixed("relispartition", PgType::Bool, Value::Bool(false)),
    fixed("relrewrite", PgType::Oid, Value::Oid(Oid::NONE)),
    fixed("relfrozenxid", PgType::Xid, Value::Oid(Oid::NONE)),
    fixed("relminmxid", PgType::Xid, Value::Oid(Oid::NONE)),
    null("relacl", PgType::Array(&PgType::Aclitem)),
    optional("reloptions", PgType::Array(&PgType::Text), |relation| {
        Value::or_null(
            (!relation.options.is_empty()).then(|| Value::Texts(relation.options.clone())),
        )
    }),
    null("relpartbound", PgType::PgNodeTree),
];

fn count(relation: &Relation) -> i16 {
    i16::try_from(relation.attributes.len()).expect("a table has at most 1600 columns")
}

/// The default identity is the primary key; indexes, views and system tables have none.
fn replica_identity(relation: &Relation) -> char {
    if relation.id.is_some() && matches!(relation.kind, 'r' | 'm') { 'd' } else { 'n' }
}
