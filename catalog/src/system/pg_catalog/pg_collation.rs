//! pg_collation: text compares by bytes (S11), under the names Postgres has for that.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, Value, build, column, describe, fixed, null, optional};
use crate::system::relation::OWNER;

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_collation",
    oid: Oid(3456),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| build(COLUMNS, COLLATIONS),
};

const COLUMNS: &[Column<Collation>] = &[
    column("oid", PgType::Oid, |collation| Oid(collation.0).into()),
    column("collname", PgType::Name, |collation| collation.1.into()),
    fixed("collnamespace", PgType::Oid, Value::Oid(Oid(11))),
    fixed("collowner", PgType::Oid, Value::Oid(OWNER)),
    column("collprovider", PgType::Char, |collation| collation.2.into()),
    fixed("collisdeterministic", PgType::Bool, Value::Bool(true)),
    fixed("collencoding", PgType::Int4, Value::Int(-1)),
    optional("collcollate", PgType::Text, |collation| Value::or_null(collation.3)),
    optional("collctype", PgType::Text, |collation| Value::or_null(collation.3)),
    null("colliculocale", PgType::Text),
    null("collversion", PgType::Text),
];

/// oid, name, provider, locale.
struct Collation(u32, &'static str, char, Option<&'static str>);

const COLLATIONS: &[Collation] = &[
    Collation(100, "default", 'd', None),
    Collation(950, "C", 'c', Some("C")),
    Collation(951, "POSIX", 'c', Some("POSIX")),
];
