//! backfills: what goes on now and takes long, a row each.
//!
//! A `backfill` fills a materialized view, or a new version of one, with what is there already; a
//! `replay`, an `as of` and a `point-in-time join` make the past again for a statement; a `create
//! table as` writes rows. `pid` is the connection whose statement waits for it: a view that is
//! filled at a start has none. `done` of `total` are counted in `unit`: rows (of a join, the
//! table's and those that ask), or a plan's operators where each takes all rows at once. Both are
//! NULL as long as they are not known. `rows` is how many rows a view is filled from.

use crate::catalog::TIDEMARK;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::column::{Column, Value, build, column, describe, optional};
use crate::system::{Backfill, SystemContext, SystemTable};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: TIDEMARK,
    name: "backfills",
    oid: Oid(15010),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context: &SystemContext| build(COLUMNS, context.backfills.clone()),
};

const COLUMNS: &[Column<Backfill>] = &[
    optional("pid", PgType::Int4, |row| Value::or_null(row.pid)),
    column("kind", PgType::Text, |row| row.kind.into()),
    column("relation_name", PgType::Name, |row| (&row.relation).into()),
    column("started_at", PgType::Timestamptz, |row| row.started_at.into()),
    optional("from_time", PgType::Timestamptz, |row| Value::or_null(row.times.map(|t| t.0))),
    optional("to_time", PgType::Timestamptz, |row| Value::or_null(row.times.map(|t| t.1))),
    optional("done", PgType::Int8, |row| integer(row.progress.map(|(done, _)| done))),
    optional("total", PgType::Int8, |row| integer(row.progress.map(|(_, total)| total))),
    column("unit", PgType::Text, |row| row.unit.into()),
    optional("rows", PgType::Int8, |row| integer(row.rows)),
];

fn integer(number: Option<u64>) -> Value<'static> {
    number.map_or(Value::Null, |number| i64::try_from(number).unwrap_or(i64::MAX).into())
}
