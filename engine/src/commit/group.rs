//! A group of commits in the making: what its commits did, gathered for the log and the views.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use super::sources::{self, Advance, Source, SourceDef, Sources};
use super::{
    AddedColumn, AddedKey, Change, CommitError, Publication, TableDef, TableLoad, TableWrite,
    ViewDef,
};
use crate::log;
use crate::store::{
    Horizon, Loaded, Prepared, PreparedLoad, Relation, Tables, WriteError, Writer, Written,
};
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
    loads: Vec<log::GroupLoad>,
    /// What the loads change at present.
    loaded: Vec<(CollectionId, Updates)>,
    closes: Vec<CollectionId>,
    drops: Vec<CollectionId>,
    retentions: Vec<(CollectionId, Option<Duration>)>,
    ttls: Vec<(CollectionId, Option<Duration>)>,
    added: Vec<AddedColumn>,
    /// How far each source has come.
    advances: BTreeMap<CollectionId, u64>,
    /// The rows that came with that, and that the log does not keep.
    fed: Vec<(CollectionId, Updates)>,
    create_sources: Vec<SourceDef>,
    keys: Vec<AddedKey>,
    create_views: Vec<ViewDef>,
    drop_views: Vec<CollectionId>,
    bytes: usize,
}

struct TableChange {
    relation: Arc<Relation>,
    deleted_ids: Vec<RowId>,
    deleted: Vec<RecordBatch>,
    deleted_begins: Vec<u64>,
    first: RowId,
    inserted: Vec<RecordBatch>,
}

/// Where a change is applied.
pub struct Applied<'a> {
    pub horizon: &'a Arc<Horizon>,
    pub tables: &'a Tables,
    pub writers: &'a mut Writers,
    pub sources: &'a mut Sources,
}

impl Applied<'_> {
    /// Applies one commit at the group's time and notes it in the group; or does nothing.
    pub fn apply(&mut self, mut change: Change, group: &mut Group) -> Result<(), CommitError> {
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
        for key in &change.add_keys {
            let table = key.table;
            let writer = self.writer(table, &created)?;
            writer.check_key(&key.columns).map_err(|error| CommitError::Key { table, error })?;
            let keyed = writer.keyed(&key.columns, group.time);
            created.insert(table, keyed);
        }
        let limited = change.retentions.iter().chain(&change.ttls).map(|(id, _)| id);
        let altered = limited.chain(&change.close_history);
        for id in change.drop_tables.iter().chain(altered) {
            self.writer(*id, &created)?;
        }
        let opened = open_sources(std::mem::take(&mut change.create_sources), &created)?;
        let kept = self.take_kept(&mut change.advances)?;
        change.writes.extend(kept);
        let loads = self.prepare_loads(change.loads, &change.writes, &created, group.time)?;
        let mut prepared = vec![];
        for write in one_per_table(change.writes)? {
            let writer = self.writer(write.table, &created)?;
            let ready = writer.prepare(&write.delete, write.insert);
            prepared.push((write.table, ready.map_err(|error| refused(write.table, error))?));
        }
        // From here on nothing fails.
        for source in opened {
            let relation = |id| created.get(&id).map(|writer| Arc::clone(writer.relation()));
            source.attach(relation).expect("its relations are made here");
            group.create_sources.push(source.def.clone());
            self.sources.insert(source.def.id, source);
        }
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
        group.keys.extend(change.add_keys);
        for (table, prepared) in loads {
            self.load(table, prepared, group);
        }
        for (table, prepared) in prepared {
            self.write(table, prepared, group);
        }
        for advance in change.advances {
            self.advance(advance, group);
        }
        for id in change.close_history {
            self.writers[&id].relation().close_past();
            group.closes.push(id);
        }
        for (id, retention) in change.retentions {
            self.writers[&id].relation().limit_past(retention, None);
            group.retentions.push((id, retention));
        }
        for (id, ttl) in change.ttls {
            self.writers.get_mut(&id).expect("it was looked up").limit_lives(ttl);
            group.ttls.push((id, ttl));
            self.expire(id, group);
        }
        for id in change.drop_tables {
            self.writers.remove(&id);
            self.sources.retain(|_, source| !source.feeds(id));
            self.tables.drop_table(id, group.time);
            group.drops.push(id);
        }
        group.create_views.extend(change.create_views);
        group.drop_views.extend(change.drop_views);
        Ok(())
    }

    /// Checks what sources bring; the rows that are to be kept come out of it.
    fn take_kept(&self, advances: &mut [Advance]) -> Result<Vec<TableWrite>, CommitError> {
        let mut kept = vec![];
        for advance in advances {
            sources::check(self.sources, advance)?;
            let def = &self.sources[&advance.source].def;
            let relations = def.relations.iter().zip(&mut advance.rows);
            for ((table, _), rows) in relations.filter(|_| def.keeps_rows) {
                let write = |insert| TableWrite { table: *table, delete: vec![], insert };
                kept.extend(rows.take().map(write));
            }
        }
        Ok(kept)
    }

    fn advance(&mut self, advance: Advance, group: &mut Group) {
        let Advance { source: id, to, rows, .. } = advance;
        let source = self.sources.get_mut(&id).expect("the advance was checked");
        source.offset = to;
        group.advances.insert(id, to);
        if source.def.keeps_rows {
            return;
        }
        for ((table, _), rows) in source.def.relations.iter().zip(rows) {
            let relation = self.writers[table].relation();
            relation.take_in(group.time, to);
            self.tables.changed(*table, group.time);
            if let Some(rows) = rows {
                group.bytes += bytes_of(&rows);
                let begins = vec![group.time.0; rows.num_rows()];
                let updates = Updates::at(relation.arrived(rows, begins), group.time.0, 1);
                group.fed.push((*table, updates));
            }
        }
    }

    fn writer<'w>(
        &'w self,
        id: CollectionId,
        created: &'w Writers,
    ) -> Result<&'w Writer, CommitError> {
        let writer = created.get(&id).or_else(|| self.writers.get(&id));
        writer.ok_or_else(|| CommitError::Rejected(format!("there is no table {id}").into()))
    }

    fn prepare_loads(
        &self,
        loads: Vec<TableLoad>,
        writes: &[TableWrite],
        created: &Writers,
        time: Timestamp,
    ) -> Result<Vec<(CollectionId, PreparedLoad)>, CommitError> {
        let mut prepared: Vec<(CollectionId, PreparedLoad)> = vec![];
        for TableLoad { table, parts, append_only } in loads {
            let writer = self.writer(table, created)?;
            if prepared.iter().any(|(other, _)| *other == table)
                || writes.iter().any(|write| write.table == table)
            {
                let message = format!("table {table} is loaded and changed by one commit");
                return Err(CommitError::Rejected(message.into()));
            }
            let load = writer.prepare_load(parts, append_only, time);
            prepared.push((table, load.map_err(|error| CommitError::Load { table, error })?));
        }
        Ok(prepared)
    }

    fn load(&mut self, table: CollectionId, prepared: PreparedLoad, group: &mut Group) {
        let writer = self.writers.get_mut(&table).expect("the load was prepared");
        let Loaded { first, until, rows, begins, ended, ends, gone, came } =
            writer.load(prepared, group.time);
        if begins.is_empty() && ended.is_empty() {
            return;
        }
        writer.relation().rewritten(group.time);
        group.bytes += rows.iter().chain(&gone).map(bytes_of).sum::<usize>();
        let columns: Vec<usize> = (0..writer.relation().schema().fields().len()).collect();
        let without_arrival = |batch: &RecordBatch| batch.project(&columns).expect("its columns");
        let gone_rows = gone.iter().map(without_arrival).collect();
        let parts = [(gone, -1), (came, 1)];
        let parts = parts
            .into_iter()
            .flat_map(|(batches, diff)| batches.into_iter().map(move |batch| (batch, diff)));
        let time = group.time.0;
        group.loaded.extend(parts.map(|(batch, diff)| (table, Updates::at(batch, time, diff))));
        let load =
            log::GroupLoad { table, until, first, rows, begins, ended, ends, gone: gone_rows };
        group.loads.push(load);
    }

    /// Deletes the rows of a table that are due at the group's time.
    pub fn expire(&mut self, table: CollectionId, group: &mut Group) {
        let writer = &self.writers[&table];
        let empty = RecordBatch::new_empty(writer.relation().schema());
        let prepared = writer.prepare(&writer.due(group.time), empty).expect("live rows");
        self.write(table, prepared, group);
    }

    fn write(&mut self, table: CollectionId, prepared: Prepared, group: &mut Group) {
        let writer = self.writers.get_mut(&table).expect("the write was prepared");
        let written = writer.write(group.time, prepared);
        if written.deleted_ids.is_empty() && written.inserted.num_rows() == 0 {
            return;
        }
        let relation = Arc::clone(writer.relation());
        let change = group.writes.entry(table).or_insert_with(|| TableChange {
            relation,
            deleted_ids: vec![],
            deleted: vec![],
            deleted_begins: vec![],
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
        self.deleted_begins.extend(written.deleted_begins);
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
            loads: vec![],
            loaded: vec![],
            closes: vec![],
            drops: vec![],
            retentions: vec![],
            ttls: vec![],
            added: vec![],
            advances: BTreeMap::new(),
            fed: vec![],
            create_sources: vec![],
            keys: vec![],
            create_views: vec![],
            drop_views: vec![],
            bytes: 0,
        }
    }

    /// Whether tables come or go, or rows live otherwise.
    pub fn changes_tables(&self) -> bool {
        !self.creates.is_empty() || !self.drops.is_empty() || !self.ttls.is_empty()
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
        sources: &Sources,
        reserved: Timestamp,
    ) -> (Option<log::Group>, Option<Publication>) {
        let time = self.time;
        let (mut writes, mut updates) = (vec![], self.loaded);
        updates.extend(self.fed);
        updates.retain(|(table, _)| writers.contains_key(table));
        for (table, change) in self.writes {
            let TableChange { relation, deleted_ids, deleted, deleted_begins, first, inserted } =
                change;
            let inserted = together(&relation.schema(), inserted);
            // A table that the group drops has no views any more.
            if writers.contains_key(&table) {
                let parts = changes(&relation, &deleted, &deleted_begins, &inserted, time);
                let parts = updates_together(&relation.arrived_schema(), parts);
                updates.extend(parts.into_iter().map(|part| (table, part)));
            }
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
            ttls: self.ttls,
            added: self.added,
            keys: self.keys,
            loads: self.loads,
            closes: self.closes,
            sources: self.create_sources,
            advances: self.advances.into_iter().collect(),
        };
        let made = record.sources.iter().filter_map(|def| sources.get(&def.id));
        let publication = Publication {
            time,
            updates,
            loaded: record.loads.iter().map(|load| load.table).collect(),
            drop_tables: self.drops,
            drop_views: self.drop_views,
            create_views: self.create_views,
            create_sources: made.cloned().collect(),
        };
        let logged = !(record.ddl.is_empty()
            && record.creates.is_empty()
            && record.writes.is_empty()
            && record.retentions.is_empty()
            && record.ttls.is_empty()
            && record.added.is_empty()
            && record.keys.is_empty()
            && record.loads.is_empty()
            && record.advances.is_empty()
            && record.closes.is_empty()
            && record.drops.is_empty());
        let published = !(publication.updates.is_empty()
            && publication.loaded.is_empty()
            && publication.create_sources.is_empty()
            && publication.drop_tables.is_empty()
            && publication.drop_views.is_empty()
            && publication.create_views.is_empty());
        (logged.then_some(record), published.then_some(publication))
    }
}

fn open_sources(defs: Vec<SourceDef>, created: &Writers) -> Result<Vec<Source>, CommitError> {
    let open = |def: SourceDef| {
        let made = |(id, _): &(CollectionId, usize)| created.contains_key(id);
        match def.relations.iter().all(made) {
            true => Source::open(def).map_err(|error| CommitError::Rejected(error.into())),
            false => Err(CommitError::Rejected("a source's relations are made with it".into())),
        }
    };
    defs.into_iter().map(open).collect()
}

/// What goes and what comes, with the times of arrival.
fn changes(
    relation: &Relation,
    deleted: &[RecordBatch],
    deleted_begins: &[u64],
    inserted: &[RecordBatch],
    time: Timestamp,
) -> Vec<Updates> {
    let mut rest = deleted_begins;
    let gone = deleted.iter().map(|batch| {
        let (begins, others) = rest.split_at(batch.num_rows());
        rest = others;
        Updates::at(relation.arrived(batch.clone(), begins.to_vec()), time.0, -1)
    });
    let come = inserted.iter().map(|batch| {
        let begins = vec![time.0; batch.num_rows()];
        Updates::at(relation.arrived(batch.clone(), begins), time.0, 1)
    });
    gone.chain(come).collect()
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
pub fn bytes_of(batch: &RecordBatch) -> usize {
    let columns = batch.columns().iter();
    columns.map(|column| 16 * column.len() + crate::store::payload_bytes(column)).sum()
}
