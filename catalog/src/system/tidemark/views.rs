//! views: one row per version of each materialized and plain view, with its progress.
//!
//! `upper`, `lag` and `next_expiry` are of the version in force of a materialized view, NULL
//! elsewhere and where the context has no progress. An `upper` of NULL beside a `lag_ms` means that
//! nothing can change the view any more. `readable_from` is since when its own changes are stored:
//! for earlier times its definition is evaluated over the tables as they were.

use crate::catalog::{TIDEMARK, Version};
use crate::length::Length;
use crate::object::{CommitTime, ObjectId, ObjectKind, Oid};
use crate::pg_type::PgType;
use crate::system::column::{Column, Value, build, column, describe, optional};
use crate::system::{SystemContext, SystemTable, ViewProgress};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: TIDEMARK,
    name: "views",
    oid: Oid(15001),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, rows(context)),
};

const COLUMNS: &[Column<Row>] = &[
    column("id", PgType::Int8, |row| i64::try_from(row.id.0).unwrap_or(i64::MAX).into()),
    column("schema_name", PgType::Name, |row| (&row.schema).into()),
    column("view_name", PgType::Name, |row| (&row.name).into()),
    column("materialized", PgType::Bool, |row| row.materialized.into()),
    column("version", PgType::Int4, |row| row.version.into()),
    optional("valid_from", PgType::Timestamptz, |row| Value::or_null(row.from)),
    optional("valid_to", PgType::Timestamptz, |row| Value::or_null(row.until)),
    optional("upper", PgType::Timestamptz, |row| Value::or_null(row.progress.map(|p| p.upper))),
    optional("lag_ms", PgType::Float8, |row| Value::or_null(row.progress.map(lag_ms))),
    optional("next_expiry", PgType::Timestamptz, |row| {
        Value::or_null(row.progress.and_then(|p| p.next_expiry))
    }),
    optional("history_retention", PgType::Interval, |row| Value::or_null(row.history_retention)),
    optional("readable_from", PgType::Timestamptz, |row| Value::or_null(row.readable_from)),
    column("definition", PgType::Text, |row| (&row.definition).into()),
];

struct Row {
    id: ObjectId,
    schema: String,
    name: String,
    materialized: bool,
    version: i32,
    /// NULL while the transaction that makes the version is open.
    from: Option<CommitTime>,
    until: Option<CommitTime>,
    progress: Option<ViewProgress>,
    history_retention: Option<Length>,
    readable_from: Option<CommitTime>,
    definition: String,
}

fn rows(context: &SystemContext) -> Vec<Row> {
    let views = context.catalog.objects().filter(|object| object.view().is_some());
    let versions = views.flat_map(|view| context.catalog.versions(view.id));
    versions.map(|version| row(context, &version)).collect()
}

fn row(context: &SystemContext, version: &Version<'_>) -> Row {
    let object = version.object;
    let now = context.catalog.get(object.id).unwrap_or(object);
    let committed = |time: CommitTime| Some(time).filter(|time| *time != CommitTime::STAGED);
    let past = context.past_of(object.id).filter(|_| version.until.is_none());
    let progress = context.views.iter().find(|progress| progress.id == object.id).copied();
    Row {
        id: object.id,
        schema: now.schema.clone(),
        name: now.name.clone(),
        materialized: matches!(object.kind, ObjectKind::MaterializedView(_)),
        version: i32::try_from(version.number).unwrap_or(i32::MAX),
        from: committed(version.from),
        until: version.until.and_then(committed),
        progress: progress.filter(|_| version.until.is_none()),
        history_retention: now.history_retention,
        readable_from: past.and_then(|past| past.readable_from),
        definition: object.view().map(|view| view.sql.clone()).unwrap_or_default(),
    }
}

fn lag_ms(progress: ViewProgress) -> Value<'static> {
    Value::Float(progress.lag_us as f64 / 1000.0)
}
