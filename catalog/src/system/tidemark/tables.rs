//! tables: the user's tables and the number of their rows.

use crate::catalog::TIDEMARK;
use crate::object::{Object, ObjectId, Oid};
use crate::pg_type::PgType;
use crate::system::column::{Column, Value, build, column, describe, optional};
use crate::system::{SystemContext, SystemTable};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: TIDEMARK,
    name: "tables",
    oid: Oid(15002),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, rows(context)),
};

const COLUMNS: &[Column<Row>] = &[
    column("id", PgType::Int8, |row| i64::try_from(row.id.0).unwrap_or(i64::MAX).into()),
    column("schema_name", PgType::Name, |row| (&row.schema).into()),
    column("table_name", PgType::Name, |row| (&row.name).into()),
    optional("row_count", PgType::Int8, |row| Value::or_null(row.rows)),
    optional("primary_key", PgType::Array(&PgType::Name), |row| {
        Value::or_null(row.primary_key.clone().map(Value::Texts))
    }),
];

struct Row {
    id: ObjectId,
    schema: String,
    name: String,
    rows: Option<i64>,
    /// Column names; NULL without a primary key.
    primary_key: Option<Vec<String>>,
}

fn rows(context: &SystemContext) -> Vec<Row> {
    let row = |object: &Object| {
        let table = object.table()?;
        let key = table.primary_key.iter().map(|column| table.columns[*column].name.clone());
        Some(Row {
            id: object.id,
            schema: object.schema.clone(),
            name: object.name.clone(),
            rows: context.rows_in(object.id).and_then(|rows| i64::try_from(rows).ok()),
            primary_key: Some(key.collect()).filter(|key: &Vec<String>| !key.is_empty()),
        })
    };
    context.catalog.objects().filter_map(row).collect()
}
