//! Sources: logs outside that commits take entries from, and how far they have come.
//!
//! Law
//! - A commit takes the entries from where the one before it ended, or nothing: what comes twice is
//!   refused, so each entry is there exactly once, across restarts too.
//! - The offset is durable with the commit. Of a source that keeps its rows they are written as any
//!   table's; of any other, they are read again where they came from.
//! - A source ends when a relation of it is dropped.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::CommitError;
use crate::connector::{self, Options, OutsideLog};
use crate::store::{Outside, Relation};
use crate::time::CollectionId;

/// A log outside and the relations that its entries are rows of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceDef {
    /// Its own, or that of its only relation.
    pub id: CollectionId,
    pub connector: String,
    pub options: Options,
    /// Relations made by the same change, each with its place in the log's list.
    pub relations: Vec<(CollectionId, usize)>,
    /// Whether the engine's log keeps the rows.
    pub keeps_rows: bool,
}

/// The next entries of a source.
pub struct Advance {
    pub source: CollectionId,
    pub from: u64,
    pub to: u64,
    /// By relation of the source, its rows among them where somebody wants them.
    pub rows: Vec<Option<RecordBatch>>,
}

/// A source and how far it has come.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub def: SourceDef,
    pub log: Arc<dyn OutsideLog>,
    /// Entries below it have been taken.
    pub offset: u64,
}

/// All sources.
pub(crate) type Sources = HashMap<CollectionId, Source>;

impl Source {
    /// Opens the log, as its definition says.
    pub fn open(def: SourceDef) -> Result<Source, String> {
        let log = connector::open(&def.connector, &def.options).map_err(|e| e.to_string())?;
        let places = log.relations().len();
        if let Some((id, place)) = def.relations.iter().find(|(_, place)| *place >= places) {
            return Err(format!("relation {id} is number {place} of a log of {places}"));
        }
        Ok(Source { def, log, offset: 0 })
    }

    /// The relations whose rows stay outside.
    pub fn outside(&self) -> impl Iterator<Item = CollectionId> + '_ {
        let relations = self.def.relations.iter().filter(|_| !self.def.keeps_rows);
        relations.map(|(id, _)| *id)
    }

    /// Lets the relations be what the log has.
    pub fn attach(
        &self,
        relation: impl Fn(CollectionId) -> Option<Arc<Relation>>,
    ) -> Result<(), String> {
        for (id, place) in self.def.relations.iter().filter(|_| !self.def.keeps_rows) {
            let relation = relation(*id).ok_or_else(|| format!("there is no relation {id}"))?;
            relation.read_outside(Outside::new(Arc::clone(&self.log), *place));
        }
        Ok(())
    }

    pub fn feeds(&self, relation: CollectionId) -> bool {
        self.def.relations.iter().any(|(id, _)| *id == relation)
    }
}

/// Refuses entries that do not follow those that are there.
pub(super) fn check(sources: &Sources, advance: &Advance) -> Result<(), CommitError> {
    let rejected = |message: String| Err(CommitError::Rejected(message.into()));
    match sources.get(&advance.source) {
        None => rejected(format!("there is no source {}", advance.source)),
        Some(source) if source.offset != advance.from => {
            let Advance { source: id, from, .. } = advance;
            rejected(format!("source {id} is at {}, not at {from}", source.offset))
        }
        Some(_) => Ok(()),
    }
}
