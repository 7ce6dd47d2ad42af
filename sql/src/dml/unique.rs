//! Primary keys: no two rows of a table have the same.
//!
//! Law: what is checked here is what the statement sees. The engine checks again when it commits,
//! against rows committed in between; [`commit_error`] words its refusal the same.

use std::collections::HashSet;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};
use tidemark_catalog::{Object, ObjectId};
use tidemark_engine::log::LogError;
use tidemark_engine::time::ClockError;
use tidemark_engine::{CollectionId, CommitError, KeyError, RowId, TableWrite, Timestamp};

use super::assign;
use crate::context::{PlanContext, ReadView};
use crate::error::{SqlError, state};
use crate::provider::RelationProvider;
use crate::resolve::relation_schema;

/// 23505 if a row of `rows` (all columns of `table`) has the key of another or of a row that `read`
/// sees and `delete` does not take away.
pub fn check_unique(
    ctx: &PlanContext,
    table: &Object,
    rows: &RecordBatch,
    delete: &[RowId],
    read: &ReadView,
) -> Result<(), SqlError> {
    let key = key_of(table);
    if key.is_empty() || rows.num_rows() == 0 {
        return Ok(());
    }
    let keys = Keys::new(rows, &key)?;
    let mut seen = keys.existing(ctx, table, rows, delete, read)?;
    for row in 0..rows.num_rows() {
        if !seen.insert(keys.rows.row(row).owned()) {
            return Err(duplicate(table, rows, row));
        }
    }
    Ok(())
}

pub fn key_of(table: &Object) -> Vec<usize> {
    table.table().map(|table| table.primary_key.clone()).unwrap_or_default()
}

/// The primary keys of some rows, comparable.
pub struct Keys {
    pub converter: RowConverter,
    pub rows: Rows,
    pub key: Vec<usize>,
}

impl Keys {
    pub fn new(batch: &RecordBatch, key: &[usize]) -> Result<Keys, SqlError> {
        let columns = key_columns(batch, key);
        let fields = columns.iter().map(|column| SortField::new(column.data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        let rows = converter.convert_columns(&columns)?;
        Ok(Keys { converter, rows, key: key.to_vec() })
    }

    /// Keys of stored rows that may be those of `rows`, without the deleted ones.
    fn existing(
        &self,
        ctx: &PlanContext,
        table: &Object,
        rows: &RecordBatch,
        delete: &[RowId],
        read: &ReadView,
    ) -> Result<HashSet<OwnedRow>, SqlError> {
        let deleted: HashSet<RowId> = delete.iter().copied().collect();
        let mut found = HashSet::new();
        for stored in stored(ctx, table, rows, &self.key, read) {
            let keys = self.converter.convert_columns(&key_columns(&stored.batch, &self.key))?;
            for (row, id) in stored.ids.values().iter().enumerate() {
                if !deleted.contains(&RowId(*id)) {
                    found.insert(keys.row(row).owned());
                }
            }
        }
        Ok(found)
    }
}

/// Stored rows that have the key of one of `rows`, and perhaps others.
pub fn stored(
    ctx: &PlanContext,
    table: &Object,
    rows: &RecordBatch,
    key: &[usize],
    read: &ReadView,
) -> Vec<tidemark_engine::Rows> {
    let schema = relation_schema(table.columns());
    let provider = RelationProvider::new(ctx, ctx.collection(table.id), schema, read);
    provider.lookup(key, &key_columns(rows, key)).unwrap_or_else(|| provider.scan_all())
}

pub fn key_columns(batch: &RecordBatch, key: &[usize]) -> Vec<ArrayRef> {
    key.iter().map(|column| batch.column(*column).clone()).collect()
}

/// 23505 for a row whose key is there already.
pub fn duplicate(table: &Object, rows: &RecordBatch, row: usize) -> SqlError {
    let key = key_of(table);
    let constraint = table.table().and_then(|table| table.primary_key_name());
    let constraint = constraint.map_or_else(|| format!("{}_pkey", table.name), str::to_string);
    let names: Vec<&str> = key.iter().map(|i| table.columns()[*i].name.as_str()).collect();
    let values = assign::values(&key_columns(rows, &key), row, "null");
    let message = format!("duplicate key value violates unique constraint \"{constraint}\"");
    let detail = format!("Key ({})=({values}) already exists.", names.join(", "));
    SqlError::new(state::UNIQUE_VIOLATION, message).with_detail(detail)
}

/// What the client is told when the engine refuses a commit. `writes` are those submitted.
pub fn commit_error(ctx: &PlanContext, error: CommitError, writes: &[TableWrite]) -> SqlError {
    match error {
        CommitError::DuplicateKey { table, row } => {
            let write = writes.iter().find(|write| write.table == table);
            match (ctx.catalog.get(ObjectId(table.0)), write) {
                (Some(object), Some(write)) if row < write.insert.num_rows() => {
                    duplicate(object, &write.insert, row)
                }
                (Some(object), _) => {
                    let message = format!(
                        "duplicate key value violates the primary key of \"{}\"",
                        object.name
                    );
                    SqlError::new(state::UNIQUE_VIOLATION, message)
                }
                _ => SqlError::new(state::UNIQUE_VIOLATION, "duplicate key value"),
            }
        }
        CommitError::Key { table, error } => no_key(ctx, table, error),
        CommitError::Rejected(error) => match error.downcast::<SqlError>() {
            Ok(error) => *error,
            Err(error) => SqlError::internal(error.to_string()),
        },
        CommitError::Clock(error @ ClockError::Stepped { .. }) => {
            SqlError::new(state::OBJECT_NOT_IN_PREREQUISITE_STATE, error.to_string())
                .with_detail("Reads go on. No commit has a time that may prove wrong (S2).")
                .with_hint(
                    "If the wall clock is right, ALTER SYSTEM CONFIRM CLOCK takes its time; else \
                     set it back.",
                )
        }
        CommitError::NoRoom(error) => no_room(&error),
        other => SqlError::new(state::IO_ERROR, format!("could not commit: {other}")),
    }
}

/// Why columns cannot become a table's primary key.
fn no_key(ctx: &PlanContext, table: CollectionId, error: KeyError) -> SqlError {
    let object = ctx.catalog.get(ObjectId(table.0));
    let name = object.map_or_else(|| table.to_string(), |object| object.name.clone());
    match error {
        KeyError::Null { column } => {
            let column = object.and_then(|object| object.columns().get(column));
            let column = column.map_or("", |column| column.name.as_str());
            let message =
                format!("column \"{column}\" of relation \"{name}\" contains null values");
            SqlError::new(state::NOT_NULL_VIOLATION, message).with_hint(PAST_ROWS)
        }
        KeyError::Duplicate { key, until } => {
            let message = format!("could not create unique index \"{name}_pkey\"");
            let schema = key.schema();
            let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            let values = assign::values(key.columns(), 0, "null");
            let was = if until == Timestamp::MAX { "is" } else { "was" };
            let detail = format!("Key ({})=({values}) {was} duplicated.", names.join(", "));
            SqlError::new(state::UNIQUE_VIOLATION, message).with_detail(detail).with_hint(PAST_ROWS)
        }
    }
}

const PAST_ROWS: &str = "The key must be one at every time, as the table's past is read by it too: \
                         CREATE TABLE … AS copies the present rows alone.";

/// 53100: the log has no room for what was to be committed.
fn no_room(error: &LogError) -> SqlError {
    let hint = match error {
        LogError::Unsealed { .. } => "The server's messages say why the log cannot be sealed.",
        _ => "Free some space on the disk of the data directory; nothing has to be restarted.",
    };
    SqlError::new(state::DISK_FULL, "could not commit: the log has no room")
        .with_detail(error.to_string())
        .with_hint(hint)
}

/// The ids of rows in a batch of ids.
pub fn ids(ids: &UInt64Array) -> impl Iterator<Item = RowId> + '_ {
    ids.values().iter().map(|id| RowId(*id))
}
