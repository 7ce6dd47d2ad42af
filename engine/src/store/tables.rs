//! The tables: their relations, and when each changed last.
//!
//! A dropped table stays readable for whoever reads at a time before the drop.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use arrow::datatypes::SchemaRef;

use super::horizon::Horizon;
use super::relation::Relation;
use super::writer::Writer;
use crate::time::{CollectionId, Timestamp};

/// What a table is made of.
#[derive(Clone, Debug)]
pub struct TableDef {
    pub id: CollectionId,
    pub schema: SchemaRef,
    /// Indexes of columns; none: no primary key.
    pub primary_key: Vec<usize>,
    /// How long before the present its past can be read; `None`: for ever.
    pub retention: Option<Duration>,
}

/// All tables, shared by the committer, who writes, and all readers.
#[derive(Debug, Default)]
pub struct Tables {
    tables: RwLock<HashMap<CollectionId, Table>>,
}

#[derive(Debug)]
struct Table {
    relation: Arc<Relation>,
    last_changed: AtomicU64,
    dropped: Option<Timestamp>,
}

impl TableDef {
    /// A table whose past is kept for ever.
    pub fn new(id: CollectionId, schema: SchemaRef, primary_key: Vec<usize>) -> TableDef {
        TableDef { id, schema, primary_key, retention: None }
    }

    /// The empty relation of the table and its one writer.
    pub(crate) fn relation(&self, horizon: &Arc<Horizon>) -> Writer {
        let key = (!self.primary_key.is_empty()).then(|| self.primary_key.clone());
        let schema = Arc::clone(&self.schema);
        let (relation, mut writers) = Relation::new(self.id, schema, key, 1, horizon);
        relation.limit_past(self.retention, None);
        writers.pop().expect("one shard has one writer")
    }
}

impl Tables {
    /// The rows of a table, if there is one of that id, or was and may still be read.
    pub fn relation(&self, id: CollectionId) -> Option<Arc<Relation>> {
        self.read().get(&id).map(|table| Arc::clone(&table.relation))
    }

    /// The tables that are not dropped, in no order.
    pub fn relations(&self) -> Vec<Arc<Relation>> {
        let tables = self.read();
        let present = tables.values().filter(|table| table.dropped.is_none());
        present.map(|table| Arc::clone(&table.relation)).collect()
    }

    /// The time of the last commit that changed the table, its creation included; `MIN` if there
    /// is no such table.
    pub fn last_changed(&self, id: CollectionId) -> Timestamp {
        let changed = |table: &Table| Timestamp(table.last_changed.load(Ordering::Acquire));
        self.read().get(&id).map_or(Timestamp::MIN, changed)
    }

    pub(crate) fn create(&self, relation: &Arc<Relation>, time: Timestamp) {
        let table = Table {
            relation: Arc::clone(relation),
            last_changed: AtomicU64::new(time.0),
            dropped: None,
        };
        let before = self.write().insert(relation.id(), table);
        assert!(before.is_none(), "an id is given to one table ever");
    }

    /// Another relation of the same id takes a table's place.
    pub(crate) fn replace(&self, relation: &Arc<Relation>, time: Timestamp) {
        if let Some(table) = self.write().get_mut(&relation.id()) {
            table.relation = Arc::clone(relation);
            table.last_changed.fetch_max(time.0, Ordering::AcqRel);
        }
    }

    pub(crate) fn changed(&self, id: CollectionId, time: Timestamp) {
        if let Some(table) = self.read().get(&id) {
            table.last_changed.fetch_max(time.0, Ordering::AcqRel);
        }
    }

    pub(crate) fn drop_table(&self, id: CollectionId, time: Timestamp) {
        if let Some(table) = self.write().get_mut(&id) {
            table.dropped = Some(time);
        }
    }

    /// Forgets tables that no one can read any more.
    pub(crate) fn forget_dropped(&self, since: Timestamp) {
        let over = |table: &Table| table.dropped.is_some_and(|dropped| dropped <= since);
        if self.read().values().any(over) {
            self.write().retain(|_, table| !over(table));
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<CollectionId, Table>> {
        self.tables.read().expect("nothing panics while holding it")
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<CollectionId, Table>> {
        self.tables.write().expect("nothing panics while holding it")
    }
}
