//! What a statement is planned in, and what it reads.
//!
//! Law: planning depends on a [`PlanContext`] alone, so a plan may be kept as long as
//! `catalog.version` and the settings stay; a run depends on the plan, its parameters and a
//! [`ReadView`].

use std::sync::Arc;

use tidemark_catalog::quote::quote_identifier;
use tidemark_catalog::system::{
    Activity, Backfill, CheckpointTaken, Past, Quarantined, RowCount, Setting, SettingKind,
    SourceProgress, SystemContext, SystemTable, ViewProgress,
};
use tidemark_catalog::{Catalog, CommitTime, Object, ObjectId, View};
use tidemark_engine::{CollectionId, Engine, Latencies, ReadGuard, Timestamp};

use crate::error::SqlError;
use crate::memory;
use crate::overlay::Overlay;
use crate::plan::base_tables;
use crate::settings::Settings;
use crate::tell::Tell;
use crate::work::WorkKind;

/// Names, settings and the engine, as one statement finds them.
#[derive(Clone)]
pub struct PlanContext {
    pub catalog: Arc<Catalog>,
    pub engine: Arc<Engine>,
    pub settings: Settings,
    pub user: String,
    pub database: String,
    /// The server's connections.
    pub connections: Option<Arc<dyn Connections>>,
    /// Who is told what happens while a statement runs.
    pub tell: Tell,
}

/// The server's connections, for pg_stat_activity and those who end what others do.
pub trait Connections: Send + Sync {
    /// What each is doing; asked only when it is read.
    fn activity(&self) -> Vec<Activity>;

    /// Cancels the statement of a connection; false if there is no such connection.
    fn cancel(&self, pid: i32) -> bool;

    /// Ends a connection; false if there is none.
    fn terminate(&self, pid: i32) -> bool;
}

impl PlanContext {
    /// The schemas in which a bare name is looked up.
    pub fn search_path(&self) -> Vec<String> {
        self.settings.search_path(&self.user)
    }

    /// The same with the names and settings that a view's text was written under (S11).
    pub fn under(&self, view: &View) -> Result<PlanContext, SqlError> {
        let mut ctx = self.clone();
        let path = view.search_path.iter().map(|schema| quote_identifier(schema));
        ctx.settings.set("search_path", &path.collect::<Vec<_>>().join(", "))?;
        ctx.settings.set("TimeZone", &view.time_zone)?;
        Ok(ctx)
    }

    /// The engine's name for the rows of an object.
    pub fn collection(&self, id: ObjectId) -> CollectionId {
        collection(&self.catalog, id)
    }

    /// The object whose rows the engine keeps under this name: none for a version of a view that
    /// is not in force yet, or no more.
    pub fn of_collection(&self, id: CollectionId) -> Option<&Object> {
        self.catalog.of_collection(ObjectId(id.0))
    }

    /// What a system table is computed from; what takes long to find out, only for who reads it.
    pub(crate) fn system_context(&self, of: &SystemTable, now: Timestamp) -> SystemContext {
        let settings = self.settings.all().into_iter().map(|(name, value, description)| Setting {
            default: value.clone(),
            name,
            value,
            description: description.to_string(),
            kind: SettingKind::String,
        });
        let row_count = |object: &Object| {
            let relation = self.engine.relation(self.collection(object.id))?;
            Some(RowCount { id: object.id, rows: relation.count(now) as u64 })
        };
        SystemContext {
            catalog: Arc::clone(&self.catalog),
            user: self.user.clone(),
            database: self.database.clone(),
            now: CommitTime(now.0),
            settings: settings.collect(),
            activity: self.connections.as_ref().map(|all| all.activity()).unwrap_or_default(),
            views: self.view_progress(),
            sources: self.source_progress(),
            backfills: self.backfills(),
            checkpoints: self.checkpoints(),
            memory: if of.name == "memory" { memory::parts(self) } else { vec![] },
            row_counts: self.catalog.objects().filter_map(row_count).collect(),
            pasts: self.catalog.objects().filter_map(|object| self.past(object)).collect(),
            quarantine: self.quarantined(),
        }
    }

    /// What is kept of a table's or a view's past.
    fn past(&self, object: &Object) -> Option<Past> {
        let id = self.collection(object.id);
        let relation = self.engine.relation(id)?;
        let time = |time: Timestamp| (time > Timestamp::MIN).then_some(CommitTime(time.0));
        let is_open = relation.is_open();
        let readable_from = time(relation.readable_from());
        let last_changed = time(self.engine.last_changed(id));
        Some(Past { id: object.id, is_open, readable_from, last_changed })
    }

    fn view_progress(&self) -> Vec<ViewProgress> {
        let wall = self.engine.now();
        let progress = self.engine.views().into_iter().filter_map(|view| {
            let id = self.of_collection(view.id)?.id;
            let tables = base_tables(&self.catalog, &[id].into());
            let changes =
                tables.iter().map(|table| self.engine.last_changed(self.collection(*table)));
            let changed = changes.max().unwrap_or(Timestamp::MIN);
            let behind_commits = changed.next().0.saturating_sub(view.upper.0);
            let due = view.next_time.unwrap_or(Timestamp::MAX);
            let behind_time = wall.0.saturating_sub(due.0);
            Some(ViewProgress {
                id,
                upper: CommitTime(view.upper.0),
                lag_us: behind_commits.max(behind_time),
                next_expiry: view.next_time.map(|time| CommitTime(time.0)),
            })
        });
        progress.collect()
    }

    /// Views that are filled, and other long work of statements.
    fn backfills(&self) -> Vec<Backfill> {
        let works = self.tell.works().going_on();
        let filled = self.engine.views().into_iter().filter_map(|view| {
            let filling = view.filling?;
            let work = works.iter().find(|work| work.fills(view.id));
            let relation = match (self.of_collection(view.id), work) {
                (Some(object), _) => object.name.clone(),
                (None, Some(work)) => work.name.clone(),
                (None, None) => String::new(),
            };
            let as_of = CommitTime(filling.as_of.0);
            let progress = (filling.operators_done as u64, filling.operators as u64);
            Some(Backfill {
                pid: work.and_then(|work| work.pid),
                kind: WorkKind::Backfill.name(),
                relation,
                started_at: CommitTime(filling.started_at.0),
                times: Some((as_of, as_of)),
                progress: Some(progress),
                unit: WorkKind::Backfill.unit(),
                rows: Some(filling.rows as u64),
            })
        });
        let replayed = works.iter().filter(|work| work.kind != WorkKind::Backfill).map(|work| {
            let times = work.times().map(|(from, to)| (CommitTime(from.0), CommitTime(to.0)));
            Backfill {
                pid: work.pid,
                kind: work.kind.name(),
                relation: work.name.clone(),
                started_at: CommitTime(work.started_at.0),
                times,
                progress: Some(work.progress()).filter(|(_, total)| *total > 0),
                unit: work.kind.unit(),
                rows: None,
            }
        });
        filled.chain(replayed).collect()
    }

    fn source_progress(&self) -> Vec<SourceProgress> {
        let ms = |latencies: &Latencies| {
            let quantiles = latencies.quantiles([0.5, 0.99, 0.999])?;
            Some(quantiles.map(|latency| latency.as_secs_f64() * 1000.0))
        };
        let progress = self.engine.sources().into_iter().map(|source| SourceProgress {
            id: ObjectId(source.id.0),
            offset: source.offset,
            end: source.end,
            behind: source.behind,
            commit_to_visible: ms(&source.commit_to_visible),
            arrival_to_visible: ms(&source.arrival_to_visible),
        });
        progress.collect()
    }

    fn checkpoints(&self) -> Vec<CheckpointTaken> {
        let taken = self.engine.checkpoints().into_iter().map(|checkpoint| CheckpointTaken {
            at: CommitTime(checkpoint.at.0),
            took_ms: checkpoint.took.as_secs_f64() * 1000.0,
            bytes_written: checkpoint.bytes_written,
            bytes_total: checkpoint.bytes_total,
            records_written: checkpoint.records_written,
            records_total: checkpoint.records_total,
            views_kept: checkpoint.views_kept,
            views_rebuilt: checkpoint.views_rebuilt,
        });
        taken.collect()
    }

    fn quarantined(&self) -> Vec<Quarantined> {
        let rows = self.engine.quarantine().rows().into_iter().filter_map(|row| {
            Some(Quarantined {
                view: self.of_collection(row.view)?.id,
                operator: row.operator.to_string(),
                row: row.row,
                error: row.error,
                time: CommitTime(row.since.0),
            })
        });
        rows.collect()
    }
}

/// The engine's name for the rows of an object: a version of a materialized view has a collection
/// of its own.
pub fn collection(catalog: &Catalog, id: ObjectId) -> CollectionId {
    CollectionId(catalog.collection(id).0)
}

/// The snapshot one statement reads: every relation as of `at`, with the transaction's own writes
/// over it.
#[derive(Debug, Clone)]
pub struct ReadView {
    pub at: Timestamp,
    /// The value of `now()`. Equal to `at`, but for DML in the committer, where it is the commit's
    /// time.
    pub now: Timestamp,
    /// The statement's own time, wherever in the past it reads: retention counts back from it.
    pub present: Timestamp,
    /// When what the statement writes will have arrived, where that is settled: in the committer.
    pub commits_at: Option<Timestamp>,
    /// Tables are read by event time: what had happened by `at`, as known at this time (S13).
    pub known: Option<Timestamp>,
    pub overlay: Option<Arc<Overlay>>,
    /// What keeps a time of the past readable until the rows are read.
    pub held: Option<Arc<ReadGuard>>,
}

impl ReadView {
    pub fn new(at: Timestamp) -> Self {
        ReadView {
            at,
            now: at,
            present: at,
            commits_at: None,
            known: None,
            overlay: None,
            held: None,
        }
    }
}
