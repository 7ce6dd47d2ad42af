//! tables: the user's tables, what they are declared to be, and what is kept of their past.
//!
//! `past` is open while old rows may be loaded (S20): answers about it are provisional until then.
//! `readable_from` is the oldest time that may be read (S21), NULL where none is too old.

use crate::catalog::TIDEMARK;
use crate::length::Length;
use crate::object::{Object, ObjectId, Oid};
use crate::pg_type::PgType;
use crate::system::column::{Column, Value, build, column, describe, optional};
use crate::system::{Past, SystemContext, SystemTable};

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
    column("append_only", PgType::Bool, |row| row.append_only.into()),
    optional("event_time", PgType::Name, |row| Value::or_null(row.event_time.clone())),
    optional("past", PgType::Text, |row| {
        Value::or_null(row.past.map(|past| if past.is_open { "open" } else { "closed" }))
    }),
    optional("retention", PgType::Interval, |row| Value::or_null(row.retention)),
    optional("ttl", PgType::Interval, |row| Value::or_null(row.ttl)),
    optional("readable_from", PgType::Timestamptz, |row| {
        Value::or_null(row.past.and_then(|past| past.readable_from))
    }),
    optional("last_changed", PgType::Timestamptz, |row| {
        Value::or_null(row.past.and_then(|past| past.last_changed))
    }),
];

struct Row {
    id: ObjectId,
    schema: String,
    name: String,
    rows: Option<i64>,
    /// Column names; NULL without a primary key.
    primary_key: Option<Vec<String>>,
    append_only: bool,
    event_time: Option<String>,
    past: Option<Past>,
    retention: Option<Length>,
    ttl: Option<Length>,
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
            append_only: table.append_only,
            event_time: table.event_time.map(|column| table.columns[column].name.clone()),
            past: context.past_of(object.id).copied(),
            retention: table.retention,
            ttl: table.ttl,
        })
    };
    context.catalog.objects().filter_map(row).collect()
}
