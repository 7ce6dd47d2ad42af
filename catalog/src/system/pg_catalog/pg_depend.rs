//! pg_depend: what stands on what. A view stands on what it reads through its rewrite rule, as in
//! Postgres; an index belongs to its constraint, a constraint to its table.
//!
//! Missing  dependencies on single columns (views are recorded as reading whole relations)

use crate::catalog::{Catalog, PG_CATALOG};
use crate::object::{Derived, Object, Oid};
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, Value, build, column, describe, fixed};
use crate::system::relation::primary_key;

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_depend",
    oid: Oid(2608),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, dependencies(&context.catalog)),
};

const COLUMNS: &[Column<Dependency>] = &[
    column("classid", PgType::Oid, |dependency| dependency.class.into()),
    column("objid", PgType::Oid, |dependency| dependency.object.into()),
    fixed("objsubid", PgType::Int4, Value::Int(0)),
    column("refclassid", PgType::Oid, |dependency| dependency.on_class.into()),
    column("refobjid", PgType::Oid, |dependency| dependency.on.into()),
    fixed("refobjsubid", PgType::Int4, Value::Int(0)),
    column("deptype", PgType::Char, |dependency| dependency.kind.into()),
];

struct Dependency {
    class: Oid,
    object: Oid,
    on_class: Oid,
    on: Oid,
    /// `i` internal, `a` automatic, `n` normal.
    kind: char,
}

const PG_CLASS: Oid = Oid(1259);
const PG_CONSTRAINT: Oid = Oid(2606);
const PG_REWRITE: Oid = Oid(2618);

fn dependencies(catalog: &Catalog) -> Vec<Dependency> {
    catalog.objects().flat_map(|object| of_object(catalog, object)).collect()
}

fn of_object(catalog: &Catalog, object: &Object) -> Vec<Dependency> {
    let mut found = Vec::new();
    if object.view().is_some() {
        let rule = |on, kind| Dependency {
            class: PG_REWRITE,
            object: object.id.derived(Derived::Rule),
            on_class: PG_CLASS,
            on,
            kind,
        };
        found.push(rule(object.oid(), 'i'));
        found.extend(object.depends_on().iter().map(|on| rule(on.oid(), 'n')));
    }
    if let Some(key) = primary_key(catalog, object) {
        let (index, constraint) = (key.index_oid(), key.constraint_oid());
        let table = object.oid();
        found.extend([
            Dependency {
                class: PG_CONSTRAINT,
                object: constraint,
                on_class: PG_CLASS,
                on: table,
                kind: 'a',
            },
            Dependency {
                class: PG_CLASS,
                object: index,
                on_class: PG_CONSTRAINT,
                on: constraint,
                kind: 'i',
            },
        ]);
    }
    found
}
