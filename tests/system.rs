//! What must be true of a whole server, proved from outside over its wire: one binary, as each
//! links all of DataFusion.
//!
//! `cargo test --release --test system` runs all, `-- --ignored` the long forms as well.

#[path = "system/backfills.rs"]
mod backfills;
#[path = "system/clients.rs"]
mod clients;
#[path = "system/clock.rs"]
mod clock;
#[path = "system/consistency.rs"]
mod consistency;
#[path = "system/copy_file.rs"]
mod copy_file;
#[path = "system/crash/mod.rs"]
mod crash;
#[path = "system/explain.rs"]
mod explain;
#[path = "system/memory.rs"]
mod memory;
#[path = "system/nexmark.rs"]
mod nexmark;
#[path = "system/past/mod.rs"]
mod past;
#[path = "system/protocol.rs"]
mod protocol;
#[path = "system/raw.rs"]
mod raw;
#[path = "system/replace.rs"]
mod replace;
#[path = "system/s3.rs"]
mod s3;
#[path = "system/sealed.rs"]
mod sealed;
#[path = "system/subscribe.rs"]
mod subscribe;
#[path = "system/support.rs"]
mod support;
#[path = "system/train_serve.rs"]
mod train_serve;
#[path = "system/training_set.rs"]
mod training_set;
#[path = "system/transactions.rs"]
mod transactions;
#[path = "system/values.rs"]
mod values;
