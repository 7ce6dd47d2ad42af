//! A group of commits in the making: what its commits did, gathered for the log and the views.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use super::{AddedColumn, Change, CommitError, Publication, TableDef, TableWrite, ViewDef};
use crate::log;
use crate::store::{Horizon, Prepared, Tables, WriteError, Writer, Written};
use crate::time::{CollectionId, RowId, Timestamp};
use crate::updates::Updates;

/// Batches with more bytes than this together stay apart.
const TOGETHER_BYTES: usize = 64 * 1024 * 1024;

/// The writers of all tables.
pub type Writers = HashMap<CollectionId, Writer>;

/// What a group's commits did so far.
pub struct Group {
    time: Timestamp,
    ddl: Vec<Vec<u8>>,
    creates: Vec<TableDef>,
    writes: BTreeMap<CollectionId, TableChange>,
    drops: Vec<CollectionId>,
    retentions: Vec<(CollectionId, Option<Duration>)>,
    added: Vec<AddedColumn>,
    create_views: Vec<ViewDef>,
    drop_views: Vec<CollectionId>,
    bytes: usize,
}

struct TableChange {
    schema: SchemaRef,
    deleted_ids: Vec<RowId>,
    deleted: Vec<RecordBatch>,
    first: RowId,
    inserted: Vec<RecordBatch>,
}

/// Where a change is applied.
pub struct Applied<'a> {
    pub horizon: &'a Arc<Horizon>,
    pub tables: &'a Tables,
    pub writers: &'a mut Writers,
}

impl Applied<'_> {
    /// Applies one commit at the group's time and notes it in the group; or does nothing.
    pub fn apply(&mut self, change: Change, group: &mut Group) -> Result<(), CommitError> {
        let created =
            change.create_tables.iter().map(|table| (table.id, table.relation(self.horizon)));
        let mut created: Writers = created.collect();
        if created.len() < change.create_tables.len()
            || created.keys().any(|id| self.writers.contains_key(id))
        {
            return Err(CommitError::Rejected("a table of that id exists".into()));
        }
        for column in &change.add_columns {
            let widened = self.writer(column.table, &created)?.widened(column);
            created.insert(column.table, widened);
        }
        let altered = change.retentions.iter().map(|(id, _)| id);
        for id in change.drop_tables.iter().chain(altered) {
            self.writer(*id, &created)?;
        }
        let mut prepared = vec![];
        for write in one_per_table(change.writes)? {
            let writer = self.writer(write.table, &created)?;
            let ready = writer.prepare(&write.delete, write.insert);
            prepared.push((write.table, ready.map_err(|error| refused(write.table, error))?));
        }
        // From here on nothing fails.
        for (id, writer) in created.drain() {
            match self.writers.contains_key(&id) {
                true => self.tables.replace(writer.relation(), group.time),
                false => self.tables.create(writer.relation(), group.time),
            }
            self.writers.insert(id, writer);
        }
        group.ddl.extend(change.ddl);
        group.creates.extend(change.create_tables);
        group.added.extend(change.add_columns);
        for (table, prepared) in prepared {
            self.write(table, prepared, group);
        }
        for (id, retention) in change.retentions {
            self.writers[&id].relation().limit_past(retention, None);
            group.retentions.push((id, retention));
        }
        for id in change.drop_tables {
            self.writers.remove(&id);
            self.tables.drop_table(id, group.time);
            group.drops.push(id);
        }
        group.create_views.extend(change.create_views);
        group.drop_views.extend(change.drop_views);
        Ok(())
    }

    fn writer<'w>(
        &'w self,
        id: CollectionId,
        created: &'w Writers,
    ) -> Result<&'w Writer, CommitError> {
        let writer = created.get(&id).or_else(|| self.writers.get(&id));
        writer.ok_or_else(|| CommitError::Rejected(format!("there is no table {id}").into()))
    }

    fn write(&mut self, table: CollectionId, prepared: Prepared, group: &mut Group) {
        let writer = self.writers.get_mut(&table).expect("the write was prepared");
        let written = writer.write(group.time, prepared);
        if written.deleted_ids.is_empty() && written.inserted.num_rows() == 0 {
            return;
        }
        let schema = writer.relation().schema();
        let change = group.writes.entry(table).or_insert_with(|| TableChange {
            schema,
            deleted_ids: vec![],
            deleted: vec![],
            first: written.first,
            inserted: vec![],
        });
        group.bytes += change.add(written);
    }
}

impl TableChange {
    /// Notes a write; returns about how many bytes it has.
    fn add(&mut self, written: Written) -> usize {
        let bytes = written.deleted.iter().chain([&written.inserted]).map(bytes_of).sum();
        self.deleted_ids.extend(written.deleted_ids);
        self.deleted.extend(written.deleted);
        if written.inserted.num_rows() > 0 {
            self.inserted.push(written.inserted);
        }
        bytes
    }
}

impl Group {
    pub fn new(time: Timestamp) -> Group {
        Group {
            time,
            ddl: vec![],
            creates: vec![],
            writes: BTreeMap::new(),
            drops: vec![],
            retentions: vec![],
            added: vec![],
            create_views: vec![],
            drop_views: vec![],
            bytes: 0,
        }
    }

    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// About how much data changes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What to log and what to publish, each if there is anything.
    pub fn finish(
        self,
        writers: &Writers,
        reserved: Timestamp,
    ) -> (Option<log::Group>, Option<Publication>) {
        let time = self.time;
        let (mut writes, mut updates) = (vec![], vec![]);
        for (table, change) in self.writes {
            let inserted = together(&change.schema, change.inserted);
            let gone = change.deleted.iter().map(|batch| Updates::at(batch.clone(), time.0, -1));
            let come = inserted.iter().map(|batch| Updates::at(batch.clone(), time.0, 1));
            // A table that the group drops has no views any more.
            if writers.contains_key(&table) {
                let parts: Vec<Updates> = gone.chain(come).collect();
                let parts = updates_together(&change.schema, parts);
                updates.extend(parts.into_iter().map(|part| (table, part)));
            }
            let TableChange { deleted_ids, deleted, first, .. } = change;
            writes.push(log::GroupWrite { table, deleted_ids, deleted, first, inserted });
        }
        let record = log::Group {
            time,
            reserved: reserved.max(time),
            ddl: self.ddl,
            creates: self.creates,
            writes,
            drops: self.drops.clone(),
            retentions: self.retentions,
            added: self.added,
            ..log::Group::default()
        };
        let publication = Publication {
            time,
            updates,
            drop_tables: self.drops,
            drop_views: self.drop_views,
            create_views: self.create_views,
        };
        let logged = !(record.ddl.is_empty()
            && record.creates.is_empty()
            && record.writes.is_empty()
            && record.retentions.is_empty()
            && record.added.is_empty()
            && record.drops.is_empty());
        let published = !(publication.updates.is_empty()
            && publication.drop_tables.is_empty()
            && publication.drop_views.is_empty()
            && publication.create_views.is_empty());
        (logged.then_some(record), published.then_some(publication))
    }
}

/// Puts the writes of one table together, in order of first mention.
fn one_per_table(writes: Vec<TableWrite>) -> Result<Vec<TableWrite>, CommitError> {
    let mut merged: Vec<TableWrite> = vec![];
    for write in writes {
        match merged.iter_mut().find(|other| other.table == write.table) {
            Some(other) => {
                other.delete.extend(write.delete);
                let schema = other.insert.schema();
                other.insert = concat_batches(&schema, [&other.insert, &write.insert])
                    .map_err(|error| CommitError::Rejected(error.into()))?;
            }
            None => merged.push(write),
        }
    }
    Ok(merged)
}

fn refused(table: CollectionId, error: WriteError) -> CommitError {
    match error {
        WriteError::Duplicate { row } => CommitError::DuplicateKey { table, row },
        other => CommitError::Rejected(other.into()),
    }
}

/// Many small batches as one, a few large ones as they are.
fn together(schema: &SchemaRef, batches: Vec<RecordBatch>) -> Vec<RecordBatch> {
    if batches.len() <= 1 || batches.iter().map(bytes_of).sum::<usize>() > TOGETHER_BYTES {
        return batches;
    }
    vec![concat_batches(schema, &batches).expect("batches of one table")]
}

fn updates_together(schema: &SchemaRef, parts: Vec<Updates>) -> Vec<Updates> {
    if parts.iter().map(|part| bytes_of(&part.data)).sum::<usize>() > TOGETHER_BYTES {
        return parts;
    }
    vec![Updates::concat(schema, parts)]
}

/// About how many bytes the rows of a batch take, as they are or sliced out of a larger one.
fn bytes_of(batch: &RecordBatch) -> usize {
    let columns = batch.columns().iter();
    columns.map(|column| 16 * column.len() + crate::store::payload_bytes(column)).sum()
}
