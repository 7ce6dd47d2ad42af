//! pg_views: the user's plain views. System relations that Postgres makes as views have no text
//! here.

use crate::catalog::PG_CATALOG;
use crate::object::{Object, Oid};
use crate::pg_type::PgType;
use crate::system::column::{Column, build, column, describe};
use crate::system::functions::pg_get_viewdef;
use crate::system::{SystemContext, SystemTable};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_views",
    oid: Oid(12028),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, views(context)),
};

const COLUMNS: &[Column<View>] = &[
    column("schemaname", PgType::Name, |view| (&view.schema).into()),
    column("viewname", PgType::Name, |view| (&view.name).into()),
    column("viewowner", PgType::Name, |view| (&view.owner).into()),
    column("definition", PgType::Text, |view| (&view.definition).into()),
];

struct View {
    schema: String,
    name: String,
    owner: String,
    definition: String,
}

fn views(context: &SystemContext) -> Vec<View> {
    let views = context.catalog.objects().filter(|object| object.kind.relkind() == 'v');
    let row = |object: &Object| View {
        schema: object.schema.clone(),
        name: object.name.clone(),
        owner: context.user.clone(),
        definition: pg_get_viewdef(&context.catalog, object.oid()).unwrap_or_default(),
    };
    views.map(row).collect()
}
