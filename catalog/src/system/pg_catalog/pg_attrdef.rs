//! pg_attrdef: one row per column with a DEFAULT. `adbin` is the SQL text itself; `pg_get_expr`
//! gives it back as it is.

use crate::catalog::{Catalog, PG_CATALOG};
use crate::object::{Object, Oid};
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, build, column, describe};
use crate::system::relation::number;

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_attrdef",
    oid: Oid(2604),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, defaults(&context.catalog)),
};

const COLUMNS: &[Column<Default>] = &[
    column("oid", PgType::Oid, |default| default.oid.into()),
    column("adrelid", PgType::Oid, |default| default.relation.into()),
    column("adnum", PgType::Int2, |default| default.number.into()),
    column("adbin", PgType::PgNodeTree, |default| (&default.text).into()),
];

struct Default {
    oid: Oid,
    relation: Oid,
    number: i16,
    text: String,
}

fn defaults(catalog: &Catalog) -> Vec<Default> {
    let of_object = |object: &Object| {
        let columns = object.columns().iter().enumerate();
        let default = |(at, column): (usize, &crate::Column)| {
            let text = column.default.clone()?;
            let oid = object.id.default_oid(at);
            Some(Default { oid, relation: object.oid(), number: number(at), text })
        };
        columns.filter_map(default).collect::<Vec<_>>()
    };
    catalog.objects().flat_map(of_object).collect()
}
