//! pg_attribute: one row per column of every relation, those of indexes and of the system too.
//!
//! Missing  Postgres' own columns (ctid, xmin, tableoid …), which no table here has

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::column::{Column, Value, build, column, describe, fixed, null};
use crate::system::relation::{Attribute, relations};
use crate::system::{SystemContext, SystemTable};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_attribute",
    oid: Oid(1249),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, attributes(context)),
};

const COLUMNS: &[Column<Attribute>] = &[
    column("attrelid", PgType::Oid, |column| column.relation.into()),
    column("attname", PgType::Name, |column| (&column.name).into()),
    column("atttypid", PgType::Oid, |column| column.ty.oid().into()),
    fixed("attstattarget", PgType::Int4, Value::Int(-1)),
    column("attlen", PgType::Int2, |column| column.ty.typlen().into()),
    column("attnum", PgType::Int2, |column| column.number.into()),
    column("attndims", PgType::Int4, |column| {
        i32::from(matches!(column.ty, PgType::Array(_))).into()
    }),
    fixed("attcacheoff", PgType::Int4, Value::Int(-1)),
    column("atttypmod", PgType::Int4, |column| column.typmod.into()),
    column("attbyval", PgType::Bool, |column| column.ty.is_by_value().into()),
    column("attalign", PgType::Char, |column| column.ty.align().into()),
    column("attstorage", PgType::Char, |column| column.ty.storage().into()),
    fixed("attcompression", PgType::Char, Value::Text("")),
    column("attnotnull", PgType::Bool, |column| column.not_null.into()),
    column("atthasdef", PgType::Bool, |column| column.default.is_some().into()),
    fixed("atthasmissing", PgType::Bool, Value::Bool(false)),
    fixed("attidentity", PgType::Char, Value::Text("")),
    fixed("attgenerated", PgType::Char, Value::Text("")),
    fixed("attisdropped", PgType::Bool, Value::Bool(false)),
    fixed("attislocal", PgType::Bool, Value::Bool(true)),
    fixed("attinhcount", PgType::Int4, Value::Int(0)),
    column("attcollation", PgType::Oid, |column| column.ty.collation().into()),
    null("attacl", PgType::Array(&PgType::Aclitem)),
    null("attoptions", PgType::Array(&PgType::Text)),
    null("attfdwoptions", PgType::Array(&PgType::Text)),
    null("attmissingval", PgType::AnyArray),
];

fn attributes(context: &SystemContext) -> Vec<Attribute> {
    relations(context).into_iter().flat_map(|relation| relation.attributes).collect()
}
