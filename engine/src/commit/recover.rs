//! Opening a data directory: the tables and the opaque records, as the log tells them, its sealed
//! segments first.
//!
//! Law: afterwards everything is as after the last durable group: rows under the same ids, when
//! each table changed last, and a clock that is above every time ever given out.

mod sealed;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::group::Writers;
use super::seal::SealStart;
use super::sources::{Source, Sources};
use crate::checkpoint::CheckpointLimits;
use crate::log::sealed::{Depot, SealedError};
use crate::log::{
    Directory, DirectoryLock, LockError, Log, LogError, LogLimits, Replay, ReplayGroup,
    ReplayWrite, Storage,
};
use crate::store::{Horizon, Loader, Tables};
use crate::time::{Clock, ClockError, CollectionId, Timestamp, WallClock};

/// An open directory, ready for a [`super::Committer`].
pub struct Opened {
    pub tables: Arc<Tables>,
    pub horizon: Arc<Horizon>,
    pub clock: Arc<Clock>,
    /// Every opaque record and its commit's time, in order.
    pub ddl: Vec<(Timestamp, Vec<u8>)>,
    /// The time of the last durable group.
    pub last_commit: Timestamp,
    pub(super) writers: Writers,
    pub(crate) sources: Sources,
    pub(crate) log: Log,
    pub(super) seal: SealStart,
    pub(super) lock: Option<DirectoryLock>,
}

/// How the log is kept.
#[derive(Clone, Debug, Default)]
pub struct LogConfig {
    /// Where sealed segments are: `s3://bucket/prefix` or `file:///folder`; `None`: in the data
    /// directory.
    pub storage: Option<String>,
    pub limits: LogLimits,
    pub checkpoints: CheckpointLimits,
}

/// Why a directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Sealed(SealedError),
    #[error(transparent)]
    Clock(#[from] ClockError),
    #[error("a table in the log cannot be read: {0}")]
    Table(String),
}

/// Opens `data`, making it if it is missing: takes its lock, reads its log. `sync`: whether commits
/// wait for the disk. May wait for the wall clock, see [`Clock::start`].
pub fn open(
    data: &Path,
    sync: bool,
    config: LogConfig,
    wall: Arc<dyn WallClock>,
) -> Result<Opened, OpenError> {
    let lock = DirectoryLock::acquire(data)?;
    let depot = Depot::open(config.storage.as_deref(), data)?;
    let directory = Directory::open(&data.join("log"));
    let directory = directory.map_err(|source| LogError::Io { file: String::new(), source })?;
    let mut opened = open_storage(Box::new(directory), depot, sync, config.limits, wall)?;
    opened.lock = Some(lock);
    Ok(opened)
}

/// The same for a log wherever it is, without a lock.
pub(super) fn open_storage(
    storage: Box<dyn Storage>,
    depot: Depot,
    sync: bool,
    limits: LogLimits,
    wall: Arc<dyn WallClock>,
) -> Result<Opened, OpenError> {
    let mut recovery = Recovery { horizon: Horizon::new(), ..Recovery::default() };
    let held = depot.manifest()?;
    sealed::replay(&mut recovery, &depot, &held.manifest)?;
    let schemas = sealed::schemas(&recovery);
    let start = held.manifest.log_start();
    let log = Log::open(storage, sync, limits, start, &mut |record| recovery.replay(record))?;
    let seal = SealStart { depot, held, schemas };
    let clock = Clock::start(wall, recovery.reserved)?;
    recovery.horizon.raise_floor(recovery.last_commit);
    let tables = Arc::new(Tables::default());
    let mut writers = Writers::new();
    for (id, table) in recovery.tables {
        let writer = table.loader.finish().map_err(OpenError::Table)?;
        tables.create(writer.relation(), table.last_changed);
        writers.insert(id, writer);
    }
    Ok(Opened {
        tables,
        horizon: recovery.horizon,
        clock,
        ddl: recovery.ddl,
        last_commit: recovery.last_commit,
        writers,
        sources: recovery.sources,
        log,
        seal,
        lock: None,
    })
}

#[derive(Default)]
struct Recovery {
    horizon: Arc<Horizon>,
    tables: HashMap<CollectionId, Table>,
    sources: Sources,
    ddl: Vec<(Timestamp, Vec<u8>)>,
    last_commit: Timestamp,
    reserved: Timestamp,
}

struct Table {
    loader: Loader,
    last_changed: Timestamp,
}

impl Recovery {
    fn replay(&mut self, record: Replay<'_>) -> Result<(), String> {
        match record {
            Replay::Group(group) => self.replay_group(*group),
            Replay::Reserve(until) if until < self.last_commit => {
                Err(format!("{until} is reserved after a commit at {}", self.last_commit))
            }
            Replay::Reserve(until) => {
                self.reserved = until;
                Ok(())
            }
        }
    }

    fn replay_group(&mut self, group: ReplayGroup<'_>) -> Result<(), String> {
        let time = group.time;
        if time <= self.last_commit {
            return Err(format!("a commit at {time} follows one at {}", self.last_commit));
        }
        (self.last_commit, self.reserved) = (time, group.reserved);
        self.ddl.extend(group.ddl.into_iter().map(|record| (time, record.to_vec())));
        for table in group.creates {
            let loader = Loader::new(table.relation(&self.horizon))?;
            let made = self.tables.insert(table.id, Table { loader, last_changed: time });
            if made.is_some() {
                return Err(format!("table {} is made again", table.id));
            }
        }
        for (id, retention) in group.extension.retentions {
            let table = self.tables.get(&id);
            let table = table.ok_or_else(|| format!("there is no table {id} to alter"))?;
            table.loader.relation().limit_past(retention, None);
        }
        for column in group.extension.added {
            let table = self.tables.get_mut(&column.table);
            let table = table.ok_or_else(|| format!("there is no table {}", column.table))?;
            table.last_changed = time;
            table.loader.widen(&column)?;
        }
        for key in group.extension.keys {
            let table = self.tables.get_mut(&key.table);
            let table = table.ok_or_else(|| format!("there is no table {}", key.table))?;
            table.last_changed = time;
            table.loader.key(&key)?;
        }
        for (id, ttl) in group.extension.ttls {
            let table = self.tables.get_mut(&id);
            let table = table.ok_or_else(|| format!("there is no table {id} with a ttl"))?;
            table.loader.limit_lives(ttl);
        }
        for load in group.extension.loads {
            let (id, table) = (load.table, self.tables.get_mut(&load.table));
            let table = table.ok_or_else(|| format!("there is no table {id} to load"))?;
            table.last_changed = time;
            table.loader.load(time, load)?;
        }
        for def in group.extension.sources {
            self.make_source(Source::open(def)?)?;
        }
        for (id, offset) in group.extension.advances {
            self.advance(time, id, offset)?;
        }
        for write in group.writes {
            self.replay_write(time, write)?;
        }
        for id in group.extension.closes {
            let table = self.tables.get(&id);
            let table = table.ok_or_else(|| format!("there is no table {id} to close"))?;
            table.loader.relation().close_past();
        }
        for id in group.drops {
            self.tables.remove(&id).ok_or_else(|| format!("there is no table {id} to drop"))?;
            self.sources.retain(|_, source| !source.feeds(id));
        }
        Ok(())
    }

    fn make_source(&mut self, source: Source) -> Result<(), String> {
        source
            .attach(|id| self.tables.get(&id).map(|table| Arc::clone(table.loader.relation())))?;
        self.sources.insert(source.def.id, source);
        Ok(())
    }

    fn advance(&mut self, time: Timestamp, id: CollectionId, to: u64) -> Result<(), String> {
        let source = self.sources.get_mut(&id);
        let source = source.ok_or_else(|| format!("there is no source {id}"))?;
        source.offset = to;
        for id in source.outside() {
            let table = self.tables.get_mut(&id);
            let table = table.ok_or_else(|| format!("there is no table {id} of a source"))?;
            table.last_changed = time;
            table.loader.relation().take_in(time, to);
        }
        Ok(())
    }

    fn replay_write(&mut self, time: Timestamp, write: ReplayWrite<'_>) -> Result<(), String> {
        let table = self.tables.get_mut(&write.table);
        let table = table.ok_or_else(|| format!("there is no table {}", write.table))?;
        table.last_changed = time;
        table.loader.insert(time, write.first, write.inserted)?;
        table.loader.delete(time, &write.deleted_ids)
    }
}
