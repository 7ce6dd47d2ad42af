//! pg_tablespace: Postgres' two; everything is in the first.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, Value, build, column, describe, fixed, null};
use crate::system::relation::OWNER;

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_tablespace",
    oid: Oid(1213),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| build(COLUMNS, TABLESPACES),
};

const COLUMNS: &[Column<Tablespace>] = &[
    column("oid", PgType::Oid, |space| Oid(space.0).into()),
    column("spcname", PgType::Name, |space| space.1.into()),
    fixed("spcowner", PgType::Oid, Value::Oid(OWNER)),
    null("spcacl", PgType::Array(&PgType::Aclitem)),
    null("spcoptions", PgType::Array(&PgType::Text)),
];

/// oid and name.
struct Tablespace(u32, &'static str);

const TABLESPACES: &[Tablespace] = &[Tablespace(1663, "pg_default"), Tablespace(1664, "pg_global")];
