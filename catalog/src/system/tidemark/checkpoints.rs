//! checkpoints: the last ones, and what each wrote to keep the states of views.

use crate::catalog::TIDEMARK;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::column::{Column, Value, build, column, describe};
use crate::system::{CheckpointTaken, SystemContext, SystemTable};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: TIDEMARK,
    name: "checkpoints",
    oid: Oid(15011),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, rows(context)),
};

const COLUMNS: &[Column<CheckpointTaken>] = &[
    column("at", PgType::Timestamptz, |row| row.at.into()),
    column("took_ms", PgType::Float8, |row| Value::Float(row.took_ms)),
    column("bytes_written", PgType::Int8, |row| integer(row.bytes_written)),
    column("bytes_total", PgType::Int8, |row| integer(row.bytes_total)),
    column("records_written", PgType::Int8, |row| integer(row.records_written)),
    column("records_total", PgType::Int8, |row| integer(row.records_total)),
    column("views_kept", PgType::Int8, |row| integer(row.views_kept)),
    column("views_rebuilt", PgType::Int8, |row| integer(row.views_rebuilt)),
];

fn integer(number: u64) -> Value<'static> {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

fn rows(context: &SystemContext) -> Vec<CheckpointTaken> {
    context.checkpoints.clone()
}
