//! A transaction's own writes, seen by its later statements before anybody else sees them.
//!
//! Law: a relation read through an overlay is the snapshot minus the deleted rows plus the inserted
//! ones. Rows the transaction itself inserted have provisional ids with bit 63 set; deleting one
//! takes it out of the inserts, so [`Overlay::writes`] holds only the net change.

use std::collections::{BTreeMap, HashSet};

use arrow::array::{Array, BooleanArray, UInt64Array};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::SchemaRef;
use tidemark_engine::{CollectionId, RowId, Rows, TableWrite};

/// Set in the id of a row that no commit has made yet.
pub const PROVISIONAL: u64 = 1 << 63;

/// What one transaction has written so far. Cheap to clone: batches are shared.
#[derive(Debug, Clone, Default)]
pub struct Overlay {
    tables: BTreeMap<CollectionId, TableOverlay>,
    next_id: u64,
}

/// The writes to one table.
#[derive(Debug, Clone)]
pub struct TableOverlay {
    /// Created by this transaction: the engine has no relation for it.
    pub created: bool,
    pub schema: SchemaRef,
    pub deleted: HashSet<RowId>,
    /// Rows inserted and still there, in order of insertion.
    pub inserted: Vec<Rows>,
}

impl Overlay {
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The tables written or created so far.
    pub fn tables(&self) -> impl Iterator<Item = (CollectionId, &TableOverlay)> {
        self.tables.iter().map(|(id, table)| (*id, table))
    }

    pub fn table(&self, id: CollectionId) -> Option<&TableOverlay> {
        self.tables.get(&id)
    }

    /// Notes a table that this transaction creates, so that it can be read and written before it
    /// exists.
    pub fn create_table(&mut self, id: CollectionId, schema: SchemaRef) {
        self.tables.insert(id, TableOverlay::new(true, schema));
    }

    /// Forgets a table that this transaction drops.
    pub fn drop_table(&mut self, id: CollectionId) {
        self.tables.remove(&id);
    }

    /// Adds a statement's writes: deletes first, then inserts.
    pub fn apply(&mut self, write: &TableWrite) {
        let table = self
            .tables
            .entry(write.table)
            .or_insert_with(|| TableOverlay::new(false, write.insert.schema()));
        table.delete(&write.delete);
        let rows = write.insert.num_rows() as u64;
        if rows > 0 {
            let first = PROVISIONAL | self.next_id;
            self.next_id += rows;
            let ids = UInt64Array::from_iter_values(first..first + rows);
            table.inserted.push(Rows { batch: write.insert.clone(), ids });
        }
    }

    /// The net change, ready for one commit.
    pub fn writes(&self) -> Vec<TableWrite> {
        self.tables
            .iter()
            .filter(|(_, table)| !table.deleted.is_empty() || !table.inserted.is_empty())
            .map(|(id, table)| {
                let mut delete: Vec<RowId> = table.deleted.iter().copied().collect();
                delete.sort();
                let batches = table.inserted.iter().map(|rows| &rows.batch);
                let insert = concat_batches(&table.schema, batches)
                    .expect("every batch written to a table has its schema");
                TableWrite { table: *id, delete, insert }
            })
            .collect()
    }
}

impl TableOverlay {
    fn new(created: bool, schema: SchemaRef) -> Self {
        TableOverlay { created, schema, deleted: HashSet::new(), inserted: Vec::new() }
    }

    fn delete(&mut self, ids: &[RowId]) {
        let (own, others): (Vec<RowId>, Vec<RowId>) =
            ids.iter().partition(|id| id.0 & PROVISIONAL != 0);
        self.deleted.extend(others);
        if own.is_empty() {
            return;
        }
        let own: HashSet<RowId> = own.into_iter().collect();
        let inserted = std::mem::take(&mut self.inserted);
        self.inserted = inserted
            .into_iter()
            .map(|rows| without(rows, &own))
            .filter(|rows| rows.batch.num_rows() > 0)
            .collect();
    }

    /// The snapshot's rows with this table's writes over them.
    pub fn over(&self, snapshot: Vec<Rows>) -> Vec<Rows> {
        let mut rows: Vec<Rows> = if self.deleted.is_empty() {
            snapshot
        } else {
            snapshot.into_iter().map(|rows| without(rows, &self.deleted)).collect()
        };
        rows.extend(self.inserted.iter().cloned());
        rows
    }
}

fn without(rows: Rows, ids: &HashSet<RowId>) -> Rows {
    let keep: BooleanArray =
        rows.ids.values().iter().map(|id| Some(!ids.contains(&RowId(*id)))).collect();
    if keep.true_count() == keep.len() {
        return rows;
    }
    let batch = filter_record_batch(&rows.batch, &keep).expect("one flag for each row");
    let ids = arrow::compute::filter(&rows.ids, &keep).expect("one flag for each row");
    let ids = ids.as_any().downcast_ref::<UInt64Array>().expect("filter keeps the type").clone();
    Rows { batch, ids }
}
