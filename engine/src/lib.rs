//! The engine: data and time. Collections that change, the operators that keep views of them, the
//! log that a table is, and the store that readers read.
//!
//! It knows no SQL text, no names and no sessions: tables and views are [`CollectionId`]s, what a
//! view computes is a [`Plan`], and what happened is [`Updates`].
//!
//! The law (design §1): V(t) is its plan evaluated from scratch over the tables as they stood at t,
//! with now() = t. [`oracle`] computes it the slow way; everything else is measured against that.

pub mod aggregate;
pub mod batch;
pub mod checkpoint;
pub mod commit;
pub mod connector;
mod contain;
mod dataflow;
pub mod decimal;
mod engine;
mod expression;
mod feed;
pub mod log;
mod maintenance;
pub mod memory;
pub mod operator;
pub mod oracle;
pub mod plan;
mod quarantine;
mod render;
pub mod replay;
mod state;
pub mod stepping;
pub mod store;
pub mod time;
mod updates;

pub use checkpoint::{CheckpointError, CheckpointLimits, CheckpointStatus};
pub use commit::{
    AddedColumn, AddedKey, BoxError, Change, CommitError, Evaluate, EvaluateContext,
    HISTORY_RETENTION, SourceDef, TableDef, TableWrite, ViewDef,
};
pub use contain::is_contained;
pub use engine::{
    Engine, EngineConfig, EngineError, Filling, LogConfig, OperatorStatistics, ReadGuard,
    Recovered, ViewStatus,
};
pub use expression::Expr;
pub use feed::{Latencies, SourceStatus};
pub use log::LogLimits;
pub use plan::Plan;
pub use quarantine::{Quarantine, QuarantinedRow};
pub use store::{
    ARRIVED_AT, KeyError, LoadError, LoadPart, Lookup, ReadAtError, Relation, RelationSize, Rows,
    Spans, TableLoad, arrival_column, with_arrived_at, with_versions,
};
pub use time::{CollectionId, Diff, RowId, Timestamp};
pub use updates::Updates;
