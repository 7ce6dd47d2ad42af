//! Transactions: several statements that read one snapshot and become one commit.
//!
//! Law      S4: every statement reads the snapshot of the first one plus the transaction's own
//!          writes. Nothing is visible outside before COMMIT; COMMIT is one change of the engine,
//!          refused with 40001 if a table the transaction read or wrote has changed since its
//!          snapshot and it wrote anything. A transaction that only read always commits.
//! Locks    A table is locked exclusively at its first write, the catalog at the first DDL; both
//!          are held to the end.
//!
//! A savepoint is a copy of what is staged: overlays and catalogs share their contents, so it is
//! cheap.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tidemark_catalog::{Catalog, CatalogError, Object, ObjectId, Op};
use tidemark_engine::{
    AddedColumn, AddedKey, Change, CollectionId, Engine, ReadGuard, SourceDef, TableDef,
    TableWrite, Timestamp, ViewDef,
};
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::{Overlay, ReadView, Settings};

use crate::cancel::Cancel;
use crate::coordinator::Switch;
use crate::lock::{LockSet, Locks, Mode, Target};

/// One open transaction.
pub struct Transaction {
    /// Opened by BEGIN, not by being one of several statements in a string.
    pub explicit: bool,
    /// Of one statement alone, which the server began it for.
    pub alone: bool,
    /// Only ROLLBACK, or ROLLBACK TO a savepoint, goes on from here.
    pub failed: bool,
    pub locks: LockSet,
    pub staged: Staged,
    /// The session's settings as they were at the start: ROLLBACK restores them.
    pub settings_before: Settings,
    /// Tables read so far, down to the base of every view.
    pub reads: BTreeSet<ObjectId>,
    /// Versions of views that are filled already and come into force at COMMIT.
    pub switch: Option<Switch>,
    snapshot: Option<Arc<ReadGuard>>,
    savepoints: Vec<Savepoint>,
    /// The catalog as it was when this transaction got the right to change it.
    locked_catalog: Option<Arc<Catalog>>,
}

/// What COMMIT would make permanent.
#[derive(Clone)]
pub struct Staged {
    pub catalog: Arc<Catalog>,
    pub overlay: Arc<Overlay>,
    pub ops: Vec<Op>,
    pub create_tables: Vec<TableDef>,
    pub create_sources: Vec<SourceDef>,
    pub drop_tables: Vec<CollectionId>,
    pub add_columns: Vec<AddedColumn>,
    /// See [`Change`].
    pub add_keys: Vec<AddedKey>,
    pub retentions: Vec<(CollectionId, Option<Duration>)>,
    pub ttls: Vec<(CollectionId, Option<Duration>)>,
    pub create_views: Vec<ViewDef>,
    pub drop_views: Vec<CollectionId>,
    /// The session's settings after COMMIT: SET counts, SET LOCAL doesn't.
    pub settings: Settings,
}

struct Savepoint {
    name: String,
    staged: Staged,
    /// The settings in force when it was made, SET LOCAL included.
    settings: Settings,
}

/// A transaction's end, ready for the engine.
pub struct Commit {
    pub change: Change,
    pub ops: Vec<Op>,
    pub writes: Vec<TableWrite>,
    pub create_views: Vec<CollectionId>,
    pub switch: Option<Switch>,
    /// Tables that must not have changed after `snapshot`.
    pub validate: Vec<CollectionId>,
    pub snapshot: Timestamp,
    /// Held until the commit is visible.
    pub locks: LockSet,
}

impl Transaction {
    pub fn begin(
        locks: &Arc<Locks>,
        catalog: Arc<Catalog>,
        settings: Settings,
        explicit: bool,
    ) -> Transaction {
        Transaction {
            explicit,
            alone: false,
            failed: false,
            locks: LockSet::new(locks),
            staged: Staged::new(catalog, settings.clone()),
            settings_before: settings,
            reads: BTreeSet::new(),
            switch: None,
            snapshot: None,
            savepoints: Vec::new(),
            locked_catalog: None,
        }
    }

    /// Names as this transaction sees them.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.staged.catalog)
    }

    /// The snapshot, if one has been taken.
    pub fn guard(&self) -> Option<Arc<ReadGuard>> {
        self.snapshot.clone()
    }

    /// Whether anything has been read: the snapshot can't move any more.
    pub fn has_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    /// The snapshot, taken now if this is the first statement to read.
    pub fn snapshot(&mut self, engine: &Engine) -> Arc<ReadGuard> {
        Arc::clone(self.snapshot.get_or_insert_with(|| Arc::new(engine.begin_read())))
    }

    /// What a statement reads: the snapshot and this transaction's own writes.
    pub fn read_view(&mut self, engine: &Engine) -> (ReadView, Arc<ReadGuard>) {
        let guard = self.snapshot(engine);
        // With DDL of its own, views that nobody else knows have to be looked for in the overlay
        // too.
        let writes = !self.staged.overlay.is_empty() || !self.staged.ops.is_empty();
        let overlay = writes.then(|| Arc::clone(&self.staged.overlay));
        (ReadView { overlay, ..ReadView::new(guard.at) }, guard)
    }

    /// Locks `table` for writing. Fails with 40P01 in a deadlock, with 40001 if the table has
    /// changed since the snapshot: its rows are not those this transaction saw.
    pub async fn lock_for_write(
        &mut self,
        table: ObjectId,
        engine: &Engine,
        cancel: &Cancel,
    ) -> Result<(), SqlError> {
        acquire(&self.locks, Target::Table(table), Mode::Exclusive, cancel).await?;
        match &self.snapshot {
            Some(guard) if engine.last_changed(CollectionId(table.0)) > guard.at => {
                Err(serialization_failure())
            }
            _ => Ok(()),
        }
    }

    /// Takes the right to change the catalog, and the newest catalog with it.
    pub async fn lock_catalog(
        &mut self,
        newest: impl FnOnce() -> Arc<Catalog>,
        cancel: &Cancel,
    ) -> Result<(), SqlError> {
        if self.locks.holds(Target::Catalog, Mode::Exclusive) {
            return Ok(());
        }
        acquire(&self.locks, Target::Catalog, Mode::Exclusive, cancel).await?;
        self.staged.catalog = newest();
        self.locked_catalog = Some(self.catalog());
        Ok(())
    }

    /// Adds a change of the catalog, seen by the transaction's later statements.
    pub fn stage(&mut self, op: Op) -> Result<(), SqlError> {
        let catalog = Arc::make_mut(&mut self.staged.catalog);
        catalog.apply(&op).map_err(catalog_error)?;
        self.staged.ops.push(op);
        Ok(())
    }

    /// Adds rows to delete and to insert.
    pub fn stage_writes(&mut self, writes: &[TableWrite]) {
        let overlay = Arc::make_mut(&mut self.staged.overlay);
        for write in writes {
            overlay.apply(write);
        }
    }

    /// Forgets what is staged for `object`, which this transaction drops; true if it had created
    /// it.
    pub fn unstage(&mut self, object: &Object) -> bool {
        let id = CollectionId(object.collection().0);
        Arc::make_mut(&mut self.staged.overlay).drop_table(id);
        let before = self.staged.create_tables.len() + self.staged.create_views.len();
        self.staged.create_tables.retain(|table| table.id != id);
        self.staged.create_views.retain(|view| view.id != id);
        // The relations of a source go together.
        let feeds = |source: &SourceDef| source.relations.iter().any(|(table, _)| *table == id);
        self.staged.create_sources.retain(|source| !feeds(source));
        before > self.staged.create_tables.len() + self.staged.create_views.len()
    }

    /// A statement failed. Without a savepoint to return to, nobody need wait for this transaction.
    pub fn fail(&mut self) {
        self.failed = true;
        if self.savepoints.is_empty() {
            self.locks = self.locks.renewed();
            self.locked_catalog = None;
            self.snapshot = None;
            self.staged = Staged::new(self.catalog(), self.settings_before.clone());
        }
    }

    pub fn savepoint(&mut self, name: String, settings: Settings) {
        let staged = self.staged.clone();
        self.savepoints.push(Savepoint { name, staged, settings });
    }

    /// Goes back to the newest savepoint of that name, which stays; returns the settings of then.
    pub fn rollback_to(&mut self, name: &str) -> Result<Settings, SqlError> {
        let index = self.find_savepoint(name)?;
        self.savepoints.truncate(index + 1);
        let savepoint = &self.savepoints[index];
        self.staged = savepoint.staged.clone();
        self.failed = false;
        if let Some(locked) = &self.locked_catalog
            && self.staged.ops.is_empty()
        {
            // The savepoint may be older than the lock, and its catalog than the newest.
            self.staged.catalog = Arc::clone(locked);
        }
        Ok(savepoint.settings.clone())
    }

    /// Forgets the newest savepoint of that name and all later ones.
    pub fn release(&mut self, name: &str) -> Result<(), SqlError> {
        let index = self.find_savepoint(name)?;
        self.savepoints.truncate(index);
        Ok(())
    }

    fn find_savepoint(&self, name: &str) -> Result<usize, SqlError> {
        self.savepoints
            .iter()
            .rposition(|savepoint| savepoint.name == name)
            .ok_or_else(|| SqlError::new("3B001", format!("savepoint \"{name}\" does not exist")))
    }

    /// `None` if there is nothing to make permanent.
    pub fn into_commit(self) -> Option<Commit> {
        let staged = self.staged;
        let writes = staged.overlay.writes();
        if writes.is_empty() && staged.ops.is_empty() {
            return None;
        }
        let own: BTreeSet<_> = staged.create_tables.iter().map(|table| table.id).collect();
        let is_others = |id: &CollectionId| !own.contains(id);
        let written = writes.iter().map(|write| write.table).filter(is_others);
        let mut validate: BTreeSet<_> = written.collect();
        if !validate.is_empty() {
            // Rows of a table that nobody else has seen can't conflict with anybody's.
            validate.extend(self.reads.iter().map(|id| CollectionId(id.0)).filter(is_others));
        }
        let change = Change {
            ddl: staged.ops.iter().map(Op::to_bytes).collect(),
            create_views: staged.create_views.clone(),
            create_tables: staged.create_tables,
            create_sources: staged.create_sources,
            drop_tables: staged.drop_tables,
            add_columns: staged.add_columns,
            add_keys: staged.add_keys,
            retentions: staged.retentions,
            ttls: staged.ttls,
            drop_views: staged.drop_views,
            writes: writes.clone(),
            ..Change::default()
        };
        Some(Commit {
            change,
            ops: staged.ops,
            writes,
            create_views: staged.create_views.iter().map(|view| view.id).collect(),
            switch: self.switch,
            validate: validate.into_iter().collect(),
            // Without a snapshot nothing was read, and nothing need be validated.
            snapshot: self.snapshot.as_ref().map_or(Timestamp::MAX, |guard| guard.at),
            locks: self.locks,
        })
    }
}

impl Staged {
    fn new(catalog: Arc<Catalog>, settings: Settings) -> Staged {
        Staged {
            catalog,
            overlay: Arc::default(),
            ops: Vec::new(),
            create_tables: Vec::new(),
            create_sources: Vec::new(),
            drop_tables: Vec::new(),
            add_columns: Vec::new(),
            add_keys: Vec::new(),
            retentions: Vec::new(),
            ttls: Vec::new(),
            create_views: Vec::new(),
            drop_views: Vec::new(),
            settings,
        }
    }
}

/// The catalog's refusals, in the words clients know.
pub fn catalog_error(error: CatalogError) -> SqlError {
    SqlError {
        detail: error.detail(),
        hint: error.hint(),
        ..SqlError::new(error.sqlstate(), error.to_string())
    }
}

/// Waits for a lock, unless the statement is cancelled first.
pub async fn acquire(
    locks: &LockSet,
    target: Target,
    mode: Mode,
    cancel: &Cancel,
) -> Result<(), SqlError> {
    cancel.guard_lock(locks.acquire(target, mode)).await?.map_err(|_| {
        SqlError::new(state::DEADLOCK_DETECTED, "deadlock detected")
            .with_detail(format!("Waiting for {target} would wait for this transaction itself."))
            .with_hint("Run the transaction again, and lock tables in the same order everywhere.")
    })
}

pub fn serialization_failure() -> SqlError {
    let message = "could not serialize access due to concurrent update";
    SqlError::new(state::SERIALIZATION_FAILURE, message)
        .with_hint("The transaction might succeed if retried.")
}
