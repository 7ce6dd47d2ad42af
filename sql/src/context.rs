//! What a statement is planned in, and what it reads.
//!
//! Law: planning depends on a [`PlanContext`] alone, so a plan may be kept as long as `catalog.version` and the
//! settings stay; a run depends on the plan, its parameters and a [`ReadView`].

use std::sync::Arc;

use tidemark_catalog::Catalog;
use tidemark_engine::{Engine, Timestamp};

use crate::overlay::Overlay;
use crate::settings::Settings;

/// Names, settings and the engine, as one statement finds them.
#[derive(Clone)]
pub struct PlanContext {
    pub catalog: Arc<Catalog>,
    pub engine: Arc<Engine>,
    pub settings: Settings,
    pub user: String,
    pub database: String,
}

/// The snapshot one statement reads: every relation as of `at`, with the transaction's own writes over it.
#[derive(Clone)]
pub struct ReadView {
    pub at: Timestamp,
    /// The value of `now()`. Equal to `at`, but for DML in the committer, where it is the commit's time.
    pub now: Timestamp,
    pub overlay: Option<Arc<Overlay>>,
}

impl ReadView {
    pub fn new(at: Timestamp) -> Self {
        ReadView { at, now: at, overlay: None }
    }
}
