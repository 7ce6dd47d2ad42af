//! Rewriting the expectations of a file with what a server answers.
//!
//! Law: only expectations change, statements and comments stay. Records under `skipif` or `onlyif`
//! for another engine keep theirs, so a file can be completed from PostgreSQL and then from
//! Tidemark.

use sqllogictest::Runner;

use crate::database::{Column, Connector, Protocol};
use crate::file::TestFile;
use crate::server::{Instance, Target};
use crate::way::{self, Way};

/// Plays the file one-shot over the simple protocol and writes the answers into it.
pub async fn complete(file: &TestFile, target: &Target) -> Result<(), String> {
    let instance = Instance::start(target).await?;
    let connector =
        Connector { instance: instance.clone(), protocol: Protocol::Simple, describe: true };
    let mut runner = Runner::new(connector);
    runner.add_label(Way::OneShot.label());
    runner.add_label(Protocol::Simple.label());
    let updated = runner
        .update_test_file(&file.path, " ", way::same_list, way::unchanged, same_types)
        .await
        .map_err(|e| format!("{}: {e}", file.name));
    drop(runner);
    instance.shutdown().await;
    updated
}

#[allow(clippy::ptr_arg)] // the signature that the crate asks for
fn same_types(actual: &Vec<Column>, expected: &Vec<Column>) -> bool {
    actual == expected
}
