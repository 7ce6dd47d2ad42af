//! pg_authid: the one role, by the name of whoever looks: until there are roles, every user may do
//! everything.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::column::{Column, Value, build, column, describe, fixed, null};
use crate::system::relation::OWNER;
use crate::system::{SystemContext, SystemTable};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_authid",
    oid: Oid(1260),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, [context]),
};

const COLUMNS: &[Column<SystemContext>] = &[
    fixed("oid", PgType::Oid, Value::Oid(OWNER)),
    column("rolname", PgType::Name, |context| (&context.user).into()),
    fixed("rolsuper", PgType::Bool, Value::Bool(true)),
    fixed("rolinherit", PgType::Bool, Value::Bool(true)),
    fixed("rolcreaterole", PgType::Bool, Value::Bool(true)),
    fixed("rolcreatedb", PgType::Bool, Value::Bool(true)),
    fixed("rolcanlogin", PgType::Bool, Value::Bool(true)),
    fixed("rolreplication", PgType::Bool, Value::Bool(true)),
    fixed("rolbypassrls", PgType::Bool, Value::Bool(true)),
    fixed("rolconnlimit", PgType::Int4, Value::Int(-1)),
    null("rolpassword", PgType::Text),
    null("rolvaliduntil", PgType::Timestamptz),
];
