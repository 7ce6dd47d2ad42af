//! pg_database: the one database, by the name the session came with.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::column::{Column, Value, build, column, describe, fixed, null};
use crate::system::relation::OWNER;
use crate::system::{SystemContext, SystemTable};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_database",
    oid: Oid(1262),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, [context]),
};

const COLUMNS: &[Column<SystemContext>] = &[
    fixed("oid", PgType::Oid, Value::Oid(Oid(5))),
    column("datname", PgType::Name, |context| (&context.database).into()),
    fixed("datdba", PgType::Oid, Value::Oid(OWNER)),
    fixed("encoding", PgType::Int4, Value::Int(6)),
    fixed("datlocprovider", PgType::Char, Value::Char('c')),
    fixed("datistemplate", PgType::Bool, Value::Bool(false)),
    fixed("datallowconn", PgType::Bool, Value::Bool(true)),
    fixed("datconnlimit", PgType::Int4, Value::Int(-1)),
    fixed("datfrozenxid", PgType::Xid, Value::Oid(Oid::NONE)),
    fixed("datminmxid", PgType::Xid, Value::Oid(Oid::NONE)),
    fixed("dattablespace", PgType::Oid, Value::Oid(Oid(1663))),
    fixed("datcollate", PgType::Text, Value::Text("C")),
    fixed("datctype", PgType::Text, Value::Text("C.UTF-8")),
    null("daticulocale", PgType::Text),
    null("datcollversion", PgType::Text),
    null("datacl", PgType::Array(&PgType::Aclitem)),
];
