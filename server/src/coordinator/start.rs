//! Starting: from what the disk holds to a coordinator that takes statements.
//!
//! Law      The log is the truth: tables come back with the engine, the catalog by applying the
//!          log's records, its sled copy is checked against them. Materialized views are planned
//!          again from their text, below before above, and filled from the tables before anybody is
//!          let in. One that can't be planned any more is reported and stays without rows;
//!          everything else works. Sources go on from where they were after that.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use tidemark_catalog::durable::{self, Durable, Entry};
use tidemark_catalog::{Catalog, CommitTime, Object, ObjectId, ObjectKind};
use tidemark_engine::time::WallClock;
use tidemark_engine::{Change, Engine, EngineConfig, Recovered, Timestamp};
use tidemark_sql::Works;
use tidemark_sql::context::collection;
use tidemark_sql::error::SqlError;
use tidemark_sql::maintain::plan_stored_view;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::Coordinator;
use super::create_materialized_view::view_def;
use crate::StartError;
use crate::config::{Config, Switch};
use crate::lock::Locks;
use crate::sessions::Sessions;

/// Recovers everything from the data directory. Blocks while the log is read.
pub fn open(
    config: &Config,
    clock: Arc<dyn WallClock>,
    runtime: Handle,
    io: Handle,
) -> Result<Arc<Coordinator>, StartError> {
    let engine_config = EngineConfig {
        data: config.data.clone(),
        workers: config.worker_count(),
        fsync: config.fsync == Switch::On,
        log: config.log(),
    };
    let (engine, recovered) = Engine::open_by(engine_config, clock).map_err(StartError::Engine)?;
    let (durable, catalog) = recover_catalog(&config.data, recovered)?;
    let coordinator = Arc::new(Coordinator {
        engine,
        locks: Arc::new(Locks::default()),
        sessions: Arc::new(Sessions::default()),
        works: Arc::new(works(config)?),
        runtime: runtime.clone(),
        io,
        catalog: RwLock::new(Arc::new(catalog)),
        definitions: watch::Sender::new(0),
        former: Mutex::default(),
        replacing: tokio::sync::RwLock::default(),
        unplanned: OnceLock::new(),
        durable: Mutex::new(durable),
        evaluated: Arc::default(),
        unnamed: AtomicU64::new(0),
    });
    runtime.block_on(recreate_views(&coordinator));
    coordinator.engine.resume();
    Ok(coordinator)
}

/// What statements may hold: as much for replays as for queries, a quarter of `--memory` each.
fn works(config: &Config) -> Result<Works, StartError> {
    let Some(memory) = config.memory else { return Ok(Works::default()) };
    // What a process that was killed has left.
    let folder = config.data.join("spilled");
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(StartError::Spill(error)),
        _ => {}
    }
    let share = usize::try_from(memory / 4).unwrap_or(usize::MAX);
    Works::within(share, folder).map_err(|error| StartError::Spill(std::io::Error::other(error)))
}

fn recover_catalog(data: &Path, recovered: Recovered) -> Result<(Durable, Catalog), StartError> {
    let entry = |(at, record): (Timestamp, Vec<u8>)| Entry { at: CommitTime(at.0), record };
    let log: Vec<Entry> = recovered.ddl.into_iter().map(entry).collect();
    durable::open(&data.join("catalog"), &log).map_err(StartError::Catalog)
}

async fn recreate_views(coordinator: &Coordinator) {
    let catalog = coordinator.catalog();
    let (mut created, mut unplanned) = (Vec::new(), BTreeSet::new());
    let mut last = None;
    for id in below_before_above(&catalog) {
        let Some(object) = catalog.get(id) else {
            continue;
        };
        if !matches!(object.kind, ObjectKind::MaterializedView(_)) {
            continue;
        }
        match recreate(coordinator, &catalog, object).await {
            Ok(at) => {
                created.push(collection(&catalog, id));
                last = Some(at);
            }
            Err(error) => {
                unplanned.insert(collection(&catalog, id));
                tracing::error!(
                    view = object.name,
                    %error,
                    "a materialized view can't be planned any more: it stays without rows",
                );
            }
        }
    }
    coordinator.unplanned.set(unplanned).expect("views are made again once");
    if let Some(at) = last {
        // Nobody could have dropped one yet.
        let _ = coordinator.engine.wait_for(&created, at).await;
    }
}

async fn recreate(
    coordinator: &Coordinator,
    catalog: &Arc<Catalog>,
    object: &Object,
) -> Result<Timestamp, SqlError> {
    let ctx = coordinator.own_context(Arc::clone(catalog));
    let plan = plan_stored_view(&ctx, object)?;
    let create = view_def(object, ctx.collection(object.id), plan.plan, plan.key);
    let change = Change { create_views: vec![create], ..Change::default() };
    let submitted = coordinator.submit(change).await;
    submitted.map_err(|error| tidemark_sql::commit_error(&ctx, error, &[]))
}

/// Every object after those it reads; a replaced view may read what is younger than itself.
fn below_before_above(catalog: &Catalog) -> Vec<ObjectId> {
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    for object in catalog.objects() {
        visit(catalog, object.id, &mut seen, &mut order);
    }
    order
}

fn visit(
    catalog: &Catalog,
    id: ObjectId,
    seen: &mut BTreeSet<ObjectId>,
    order: &mut Vec<ObjectId>,
) {
    if !seen.insert(id) {
        return;
    }
    for below in catalog.get(id).map(Object::depends_on).unwrap_or_default() {
        visit(catalog, *below, seen, order);
    }
    order.push(id);
}
