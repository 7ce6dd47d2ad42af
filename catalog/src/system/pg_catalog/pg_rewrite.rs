//! pg_rewrite: the `_RETURN` rule that makes a view of a relation.

use crate::catalog::PG_CATALOG;
use crate::object::{Derived, Object, Oid};
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, Value, build, column, describe, fixed};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_rewrite",
    oid: Oid(2618),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |context| {
        build(COLUMNS, context.catalog.objects().filter(|object| object.view().is_some()))
    },
};

const COLUMNS: &[Column<Object>] = &[
    column("oid", PgType::Oid, |view| view.id.derived(Derived::Rule).into()),
    fixed("rulename", PgType::Name, Value::Text("_RETURN")),
    column("ev_class", PgType::Oid, |view| view.oid().into()),
    fixed("ev_type", PgType::Char, Value::Char('1')),
    fixed("ev_enabled", PgType::Char, Value::Char('O')),
    fixed("is_instead", PgType::Bool, Value::Bool(true)),
    fixed("ev_qual", PgType::PgNodeTree, Value::Text("<>")),
    fixed("ev_action", PgType::PgNodeTree, Value::Text("<>")),
];
