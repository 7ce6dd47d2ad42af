//! How much room a change takes in the log, at most: asked for before it is applied, as what is
//! applied cannot be taken back.
//!
//! Law: never less than what is written, but for the rows that a load replaces, which are known
//! only once it is applied. Much more only for a few rows of a table with long texts.

use super::group::{Writers, bytes_of};
use super::{Advance, Change, Sources, TableWrite};
use crate::store::LoadPart;

/// What a record takes beside its rows, and each of its parts.
const PART_BYTES: usize = 256;
/// What the schema of a column takes beside its name, which is short.
const COLUMN_BYTES: usize = 1024;

/// The room for a change of tables that `writers` write, and of `sources`, in bytes.
pub fn room_for(change: &Change, writers: &Writers, sources: &Sources) -> usize {
    let ddl = change.ddl.iter().map(|record| PART_BYTES + record.len());
    let creates = change.create_tables.iter();
    let creates = creates.map(|table| PART_BYTES + COLUMN_BYTES * table.schema.fields().len());
    let added = change.add_columns.iter();
    let added = added.map(|column| COLUMN_BYTES + 2 * column.default.get_array_memory_size());
    let others =
        change.drop_tables.len() + change.retentions.len() + change.close_history.len() + 1;
    let writes = change.writes.iter().map(|write| room_for_write(write, writers));
    let made = change.create_sources.iter();
    let made = made.map(|source| PART_BYTES * (2 + source.options.len() + source.relations.len()));
    let advances = change.advances.iter().map(|advance| room_for_advance(advance, sources));
    let loads = change.loads.iter().flat_map(|load| &load.parts).map(room_for_part);
    let parts = ddl.chain(creates).chain(added).chain(writes).chain(loads);
    let parts = parts.chain(made).chain(advances);
    parts.sum::<usize>() + PART_BYTES * others
}

/// Of a source that keeps its rows they are written as well.
fn room_for_advance(advance: &Advance, sources: &Sources) -> usize {
    let kept = sources.get(&advance.source).is_some_and(|source| source.def.keeps_rows);
    let rows = advance.rows.iter().flatten().filter(|_| kept);
    PART_BYTES + rows.map(|rows| PART_BYTES + 2 * bytes_of(rows)).sum::<usize>()
}

fn room_for_write(write: &TableWrite, writers: &Writers) -> usize {
    let inserted = 2 * bytes_of(&write.insert);
    let deleted = writers.get(&write.table).map_or(0, |writer| writer.bytes_at_most(&write.delete));
    let columns = write.insert.num_columns();
    PART_BYTES + 32 * columns + inserted + 2 * deleted + 8 * write.delete.len()
}

fn room_for_part(part: &LoadPart) -> usize {
    PART_BYTES + 2 * bytes_of(&part.rows) + 40 * part.rows.num_rows()
}
