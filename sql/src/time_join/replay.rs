//! What a point-in-time join replays: a relation down to the tables, and their past.

use std::fmt;
use std::sync::Arc;

use tidemark_catalog::{Catalog, ObjectId, VersionSelection};
use tidemark_engine::replay::{EventTimeHistory, History};
use tidemark_engine::{CollectionId, Engine, Relation, Spans, Timestamp};

use super::Clock;
use super::event_time::timing;
use crate::context::PlanContext;
use crate::error::SqlError;
use crate::maintain::Replayed;

/// See the module.
#[derive(Debug)]
pub struct Replay {
    /// In order of time; together they are all of it up to `at`.
    pub spans: Vec<ReplayedSpan>,
    /// Which of the keys that the plans have are looked for.
    pub keys: Vec<usize>,
    pub history: Past,
    /// The statement's time: what comes after it is the future.
    pub at: Timestamp,
    /// The present, from which retention counts back.
    pub present: Timestamp,
    /// The relation as the query names it, and what it is.
    pub name: String,
    pub object: ObjectId,
    /// The version that is named: all times are read by it.
    pub version: Option<VersionSelection>,
    /// The plan, printed.
    pub shown: String,
}

/// A stretch of time in which the relation's definition is the same.
#[derive(Debug)]
pub struct ReplayedSpan {
    /// µs since the Unix epoch: the first of its times, and the first after it.
    pub from: u64,
    pub until: u64,
    /// Or why it cannot be read at these times.
    pub planned: std::result::Result<Replayed, SqlError>,
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "replay=[{}]", self.shown)
    }
}

/// The tables' past.
#[derive(Clone)]
pub struct Past {
    pub engine: Arc<Engine>,
    pub catalog: Arc<Catalog>,
    /// None: as it arrived, by the system's clock.
    by_event: Option<Arc<EventTimeHistory>>,
}

impl Past {
    /// By event time, what is known at `known`.
    pub fn new(ctx: &PlanContext, clock: Clock, known: Timestamp) -> Past {
        let (engine, catalog) = (Arc::clone(&ctx.engine), Arc::clone(&ctx.catalog));
        let by_event = || {
            let catalog = Arc::clone(&catalog);
            let tables = move |table| timing(&catalog, table);
            Arc::new(EventTimeHistory::new(Kept(Arc::clone(&engine)), known, tables))
        };
        let by_event = (clock == Clock::Event).then(by_event);
        Past { engine, catalog, by_event }
    }

    pub fn clock(&self) -> Clock {
        match self.by_event {
            Some(_) => Clock::Event,
            None => Clock::System,
        }
    }
}

impl fmt::Debug for Past {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Past")
    }
}

impl History for Past {
    fn spans(&self, table: CollectionId, from: Timestamp, to: Timestamp) -> Vec<Spans> {
        match &self.by_event {
            Some(history) => history.spans(table, from, to),
            None => {
                let relation = self.engine.relation(table);
                relation.map(|relation| relation.spans(from, to)).unwrap_or_default()
            }
        }
    }

    fn changed(
        &self,
        table: CollectionId,
        from: Timestamp,
        to: Timestamp,
        see: &mut dyn FnMut(Spans) -> bool,
    ) {
        match &self.by_event {
            Some(history) => history.changed(table, from, to, see),
            None => {
                if let Some(relation) = self.engine.relation(table) {
                    relation.changed(from, to, see);
                }
            }
        }
    }
}

/// All that is kept of the tables, as it arrived.
struct Kept(Arc<Engine>);

impl History for Kept {
    fn spans(&self, table: CollectionId, from: Timestamp, to: Timestamp) -> Vec<Spans> {
        let Some(relation) = self.0.relation(table) else { return vec![] };
        relation.spans(from.max(relation.readable_from()).min(to), to)
    }
}

/// From when on a table was there: since it was made, or since older rows that were loaded into it
/// (S20).
pub fn there_from(catalog: &Catalog, table: &Relation) -> Timestamp {
    let created = catalog.created(ObjectId(table.id().0)).map(|time| Timestamp(time.0));
    created.into_iter().chain(table.first_row()).min().unwrap_or(Timestamp::MAX)
}

impl Replay {
    /// The first time from which on a table's past is kept, and from when on it was there. By event
    /// time all that is known may have happened at any time.
    pub fn kept(&self, table: CollectionId) -> Option<(Timestamp, Timestamp)> {
        if self.history.clock() == Clock::Event {
            return None;
        }
        let relation = self.history.engine.relation(table)?;
        Some((
            relation.readable_from_at(self.present),
            there_from(&self.history.catalog, &relation),
        ))
    }

    /// How the catalog calls a table.
    pub fn table_name(&self, table: CollectionId) -> String {
        let object = self.history.catalog.get(ObjectId(table.0));
        object.map_or_else(|| format!("#{}", table.0), |object| object.name.clone())
    }
}
