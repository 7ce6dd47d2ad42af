//! pg_description: comments on schemas, relations and their columns.

use crate::catalog::{Catalog, PG_CATALOG};
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, build, column, describe};
use crate::system::relation::number;

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_description",
    oid: Oid(2609),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, comments(&context.catalog)),
};

const COLUMNS: &[Column<Comment>] = &[
    column("objoid", PgType::Oid, |comment| comment.object.into()),
    column("classoid", PgType::Oid, |comment| comment.class.into()),
    column("objsubid", PgType::Int4, |comment| comment.column.into()),
    column("description", PgType::Text, |comment| (&comment.text).into()),
];

struct Comment {
    object: Oid,
    /// The system table that lists the object.
    class: Oid,
    /// 0 for the object itself.
    column: i32,
    text: String,
}

const PG_CLASS: Oid = Oid(1259);
const PG_NAMESPACE: Oid = Oid(2615);

fn comments(catalog: &Catalog) -> Vec<Comment> {
    let on_schemas = catalog.schemas().filter_map(|schema| {
        let text = schema.comment.clone()?;
        Some(Comment { object: schema.oid, class: PG_NAMESPACE, column: 0, text })
    });
    let on_objects = catalog.objects().flat_map(|object| {
        let comment = |(column, text): (i32, &String)| Comment {
            object: object.oid(),
            class: PG_CLASS,
            column,
            text: text.clone(),
        };
        let own = object.comment.iter().map(|text| (0, text));
        let columns =
            object.column_comments.iter().map(|(at, text)| (i32::from(number(*at)), text));
        own.chain(columns).map(comment).collect::<Vec<_>>()
    });
    on_schemas.chain(on_objects).collect()
}
