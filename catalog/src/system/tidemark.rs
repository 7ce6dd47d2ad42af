//! tidemark: what Tidemark says about its views and tables, one file per relation.

pub(super) mod backfills;
pub(super) mod checkpoints;
pub(super) mod memory;
pub(super) mod quarantine;
pub(super) mod sources;
pub(super) mod tables;
pub(super) mod views;
