//! pg_index: one row per index, which is one per primary key.

use super::pg_opclass;
use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, Value, build, column, describe, fixed, null};
use crate::system::relation::{PrimaryKey, primary_keys};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_index",
    oid: Oid(2610),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, primary_keys(&context.catalog)),
};

const COLUMNS: &[Column<PrimaryKey>] = &[
    column("indexrelid", PgType::Oid, |key| key.index_oid().into()),
    column("indrelid", PgType::Oid, |key| key.table.oid().into()),
    column("indnatts", PgType::Int2, |key| count(key).into()),
    column("indnkeyatts", PgType::Int2, |key| count(key).into()),
    fixed("indisunique", PgType::Bool, Value::Bool(true)),
    fixed("indnullsnotdistinct", PgType::Bool, Value::Bool(false)),
    fixed("indisprimary", PgType::Bool, Value::Bool(true)),
    fixed("indisexclusion", PgType::Bool, Value::Bool(false)),
    fixed("indimmediate", PgType::Bool, Value::Bool(true)),
    fixed("indisclustered", PgType::Bool, Value::Bool(false)),
    fixed("indisvalid", PgType::Bool, Value::Bool(true)),
    fixed("indcheckxmin", PgType::Bool, Value::Bool(false)),
    fixed("indisready", PgType::Bool, Value::Bool(true)),
    fixed("indislive", PgType::Bool, Value::Bool(true)),
    fixed("indisreplident", PgType::Bool, Value::Bool(false)),
    column("indkey", PgType::Int2Vector, |key| Value::Ints(key.columns.clone())),
    column("indcollation", PgType::OidVector, |key| each(key, PgType::collation)),
    column("indclass", PgType::OidVector, |key| each(key, pg_opclass::default_btree)),
    column("indoption", PgType::Int2Vector, |key| Value::Ints(vec![0; key.columns.len()])),
    null("indexprs", PgType::PgNodeTree),
    null("indpred", PgType::PgNodeTree),
];

fn count(key: &PrimaryKey) -> i16 {
    i16::try_from(key.columns.len()).expect("a table has at most 1600 columns")
}

fn each(key: &PrimaryKey, of: impl Fn(PgType) -> Oid) -> Value<'static> {
    Value::Oids(key.attributes.iter().map(|column| of(column.ty)).collect())
}
