//! pg_matviews: materialized views.

use crate::catalog::PG_CATALOG;
use crate::object::{Object, Oid};
use crate::pg_type::PgType;
use crate::system::column::{Column, Value, build, column, describe, fixed, null};
use crate::system::functions::pg_get_viewdef;
use crate::system::{SystemContext, SystemTable};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_matviews",
    oid: Oid(12038),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, views(context)),
};

const COLUMNS: &[Column<View>] = &[
    column("schemaname", PgType::Name, |view| (&view.schema).into()),
    column("matviewname", PgType::Name, |view| (&view.name).into()),
    column("matviewowner", PgType::Name, |view| (&view.owner).into()),
    null("tablespace", PgType::Name),
    fixed("hasindexes", PgType::Bool, Value::Bool(false)),
    fixed("ispopulated", PgType::Bool, Value::Bool(true)),
    column("definition", PgType::Text, |view| (&view.definition).into()),
];

struct View {
    schema: String,
    name: String,
    owner: String,
    definition: String,
}

fn views(context: &SystemContext) -> Vec<View> {
    let views = context.catalog.objects().filter(|object| object.kind.relkind() == 'm');
    let row = |object: &Object| View {
        schema: object.schema.clone(),
        name: object.name.clone(),
        owner: context.user.clone(),
        definition: pg_get_viewdef(&context.catalog, object.oid()).unwrap_or_default(),
    };
    views.map(row).collect()
}
