//! Recovery from sealed segments: their DDL first, to know which tables are still there, then the
//! rows of these, table by table between the columns that were added to them.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::{OpenError, Recovery};
use crate::log::sealed::{Depot, Manifest, Schemas, SealedError, SealedSegment, SealedTable};
use crate::log::sealed::{read_changes, read_ddl};
use crate::log::{Replay, ReplayGroup};
use crate::time::{CollectionId, Timestamp};

/// Replays all segments that the manifest names.
pub fn replay(
    recovery: &mut Recovery,
    depot: &Depot,
    manifest: &Manifest,
) -> Result<(), SealedError> {
    let segments = &manifest.segments;
    let ddl = segments.iter().map(|segment| depot.get(&segment.ddl));
    let ddl = ddl.collect::<Result<Vec<Bytes>, _>>()?;
    let mut dropped = HashSet::new();
    for (segment, bytes) in segments.iter().zip(&ddl) {
        read_ddl(depot, segment, bytes, &mut |record| {
            if let Replay::Group(group) = record {
                dropped.extend(group.drops);
            }
            Ok(())
        })?;
    }
    for (segment, bytes) in segments.iter().zip(&ddl) {
        let mut replay = SegmentReplay {
            recovery,
            depot,
            dropped: &dropped,
            loaded: HashMap::new(),
            parts: segment.tables.iter().map(|file| ((file.table, file.part), file)).collect(),
            part: HashMap::new(),
        };
        replay.run(segment, bytes)?;
    }
    Ok(())
}

/// The columns of the tables that there are.
pub fn schemas(recovery: &Recovery) -> Schemas {
    let tables = recovery.tables.iter();
    tables.map(|(id, table)| (*id, table.loader.relation().schema())).collect()
}

struct SegmentReplay<'a> {
    recovery: &'a mut Recovery,
    depot: &'a Depot,
    /// Tables that are not there any more at the end.
    dropped: &'a HashSet<CollectionId>,
    /// When each table was loaded last.
    loaded: HashMap<CollectionId, Timestamp>,
    /// The files that were not read yet.
    parts: HashMap<(CollectionId, u32), &'a SealedTable>,
    /// How many columns were added to a table so far.
    part: HashMap<CollectionId, u32>,
}

impl SegmentReplay<'_> {
    fn run(&mut self, segment: &SealedSegment, ddl: &[u8]) -> Result<(), SealedError> {
        read_ddl(self.depot, segment, ddl, &mut |record| {
            if let Replay::Group(group) = record {
                let loads = group.extension.loads.iter();
                self.loaded.extend(loads.map(|load| (load.table, group.time)));
            }
            Ok(())
        })?;
        let mut failed = None;
        let replayed = read_ddl(self.depot, segment, ddl, &mut |record| {
            if let Replay::Group(group) = &record {
                self.before_columns(group).map_err(|error| {
                    let reason = error.to_string();
                    failed = Some(error);
                    reason
                })?;
            }
            self.recovery.replay(record)
        });
        replayed.map_err(|error| failed.unwrap_or(error))?;
        let mut left: Vec<_> = self.parts.keys().copied().collect();
        left.sort_unstable();
        left.into_iter().try_for_each(|(table, part)| self.read(table, part))
    }

    /// Reads what happened to tables before columns are added to them.
    fn before_columns(&mut self, group: &ReplayGroup<'_>) -> Result<(), SealedError> {
        for column in &group.extension.added {
            let part = self.part.entry(column.table).or_default();
            let before = *part;
            *part += 1;
            self.read(column.table, before)?;
        }
        Ok(())
    }

    fn read(&mut self, id: CollectionId, part: u32) -> Result<(), SealedError> {
        let Some(file) = self.parts.remove(&(id, part)) else { return Ok(()) };
        if self.dropped.contains(&id) {
            return Ok(());
        }
        let bytes = self.depot.get(&file.file)?;
        let damaged = |reason| self.depot.damaged(&file.file, reason);
        let table = self.recovery.tables.get_mut(&id);
        let table = table.ok_or_else(|| damaged(format!("there is no table {id}")))?;
        let loaded = self.loaded.get(&id).copied().unwrap_or(Timestamp::MIN);
        let schema = table.loader.relation().schema();
        let mut rows = 0;
        read_changes(bytes, &schema, &mut |changes| {
            rows += changes.times.len() as u64;
            let last = changes.times.last().map_or(Timestamp::MIN, |time| Timestamp(*time));
            table.last_changed = table.last_changed.max(last);
            table.loader.replay(&changes, loaded)
        })
        .map_err(damaged)?;
        match rows == file.rows {
            true => Ok(()),
            false => Err(damaged(format!("it has {rows} rows, not {}", file.rows))),
        }
    }
}

impl From<SealedError> for OpenError {
    fn from(error: SealedError) -> OpenError {
        match error {
            SealedError::Log(error) => OpenError::Log(error),
            error => OpenError::Sealed(error),
        }
    }
}
