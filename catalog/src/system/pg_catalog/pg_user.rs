//! pg_user: the one role, by the name of whoever looks: until there are roles, every user may do
//! everything.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::column::{Column, Value, build, column, describe, fixed, null};
use crate::system::relation::OWNER;
use crate::system::{SystemContext, SystemTable};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_user",
    oid: Oid(12014),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, [context]),
};

const COLUMNS: &[Column<SystemContext>] = &[
    column("usename", PgType::Name, |context| (&context.user).into()),
    fixed("usesysid", PgType::Oid, Value::Oid(OWNER)),
    fixed("usecreatedb", PgType::Bool, Value::Bool(true)),
    fixed("usesuper", PgType::Bool, Value::Bool(true)),
    fixed("userepl", PgType::Bool, Value::Bool(true)),
    fixed("usebypassrls", PgType::Bool, Value::Bool(true)),
    fixed("passwd", PgType::Text, Value::Text("********")),
    null("valuntil", PgType::Timestamptz),
    null("useconfig", PgType::Array(&PgType::Text)),
];
