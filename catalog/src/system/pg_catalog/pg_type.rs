//! pg_type: one row per type of `PgType`, arrays included, as PostgreSQL 15 has it.
//!
//! Missing  row types of relations; the types that Tidemark has not

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, Value, build, column, describe, fixed, null};
use crate::system::relation::OWNER;

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_type",
    oid: Oid(1247),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| build(COLUMNS, PgType::all()),
};

const COLUMNS: &[Column<PgType>] = &[
    column("oid", PgType::Oid, |ty| ty.oid().into()),
    column("typname", PgType::Name, |ty| ty.name().into()),
    fixed("typnamespace", PgType::Oid, Value::Oid(Oid(11))),
    fixed("typowner", PgType::Oid, Value::Oid(OWNER)),
    column("typlen", PgType::Int2, |ty| ty.typlen().into()),
    column("typbyval", PgType::Bool, |ty| ty.is_by_value().into()),
    column("typtype", PgType::Char, |ty| ty.typtype().into()),
    column("typcategory", PgType::Char, |ty| ty.category().into()),
    column("typispreferred", PgType::Bool, |ty| ty.is_preferred().into()),
    fixed("typisdefined", PgType::Bool, Value::Bool(true)),
    fixed("typdelim", PgType::Char, Value::Char(',')),
    fixed("typrelid", PgType::Oid, Value::Oid(Oid::NONE)),
    column("typsubscript", PgType::Regproc, |ty| subscript(*ty).into()),
    column("typelem", PgType::Oid, |ty| ty_element(*ty).into()),
    column("typarray", PgType::Oid, |ty| ty.array_oid().into()),
    column("typinput", PgType::Regproc, |ty| ty.io_functions()[0].into()),
    column("typoutput", PgType::Regproc, |ty| ty.io_functions()[1].into()),
    column("typreceive", PgType::Regproc, |ty| ty.io_functions()[2].into()),
    column("typsend", PgType::Regproc, |ty| ty.io_functions()[3].into()),
    column("typmodin", PgType::Regproc, |ty| ty.typmod_functions()[0].into()),
    column("typmodout", PgType::Regproc, |ty| ty.typmod_functions()[1].into()),
    column("typanalyze", PgType::Regproc, |ty| analyze(*ty).into()),
    column("typalign", PgType::Char, |ty| ty.align().into()),
    column("typstorage", PgType::Char, |ty| ty.storage().into()),
    fixed("typnotnull", PgType::Bool, Value::Bool(false)),
    fixed("typbasetype", PgType::Oid, Value::Oid(Oid::NONE)),
    fixed("typtypmod", PgType::Int4, Value::Int(-1)),
    fixed("typndims", PgType::Int4, Value::Int(0)),
    column("typcollation", PgType::Oid, |ty| ty.collation().into()),
    null("typdefaultbin", PgType::PgNodeTree),
    null("typdefault", PgType::Text),
    null("typacl", PgType::Array(&PgType::Aclitem)),
];

/// `name` subscripts into its characters though it is no array.
fn ty_element(ty: PgType) -> Oid {
    match ty {
        PgType::Name => PgType::Char.oid(),
        other => other.element().map_or(Oid::NONE, PgType::oid),
    }
}

/// array_subscript_handler and its two variants.
fn subscript(ty: PgType) -> Oid {
    match ty {
        PgType::Array(_) | PgType::Int2Vector | PgType::OidVector => Oid(6179),
        PgType::Name => Oid(6180),
        PgType::Jsonb => Oid(6098),
        _ => Oid::NONE,
    }
}

/// array_typanalyze.
fn analyze(ty: PgType) -> Oid {
    if matches!(ty, PgType::Array(_)) { Oid(3816) } else { Oid::NONE }
}
