//! The story of each test: a server stops, something happens to the store, the server starts again
//! with its log.

use std::fs;
use std::path::Path;

use super::{DurableError, Entry, open};
use crate::catalog::Catalog;
use crate::object::{CommitTime, ObjectId};
use crate::op::Op;

fn entry(number: u64) -> Entry {
    let op = Op::CreateSchema { id: ObjectId(number), name: format!("s{number}") };
    Entry { at: CommitTime(number * 100), record: op.to_bytes() }
}

fn log(length: u64) -> Vec<Entry> {
    (1..=length).map(entry).collect()
}

fn replayed(log: &[Entry]) -> Catalog {
    super::replay(log).expect("the log is right")
}

/// Opens, checks that store and catalog agree with the log, and closes.
fn reopen(path: &Path, log: &[Entry]) {
    let (durable, catalog) = open(path, log).expect("it opens");
    assert_eq!(catalog, replayed(log));
    assert_eq!(durable.len(), log.len() as u64);
    assert_eq!(durable.is_empty(), log.is_empty());
}

/// Whether opening now would write the store anew; the marker is a file only a rebuild removes.
fn rebuilds(path: &Path, log: &[Entry]) -> bool {
    let marker = path.join("marker");
    fs::write(&marker, "").expect("the folder is there");
    reopen(path, log);
    !marker.exists()
}

#[test]
fn a_new_store_is_made_and_found_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("catalog");
    reopen(&path, &[]);
    let (mut durable, _) = open(&path, &[]).expect("it opens");
    for entry in log(3) {
        durable.append(&entry);
    }
    drop(durable);
    assert!(!rebuilds(&path, &log(3)));
}

#[test]
fn a_store_behind_the_log_catches_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("catalog");
    reopen(&path, &log(2));
    assert!(!rebuilds(&path, &log(5)));
    assert!(!rebuilds(&path, &log(5)));
}

#[test]
fn a_missing_store_comes_from_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("catalog");
    reopen(&path, &log(4));
    fs::remove_dir_all(&path).expect("it was there");
    reopen(&path, &log(4));
    assert!(!rebuilds(&path, &log(4)));
}

#[test]
fn a_store_of_another_history_is_written_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("catalog");
    reopen(&path, &log(4));
    // Longer than the log: what the log lost was never acknowledged.
    assert!(rebuilds(&path, &log(3)));
    let mut other = log(3);
    other[1].at = CommitTime(201);
    assert!(rebuilds(&path, &other));
    assert!(!rebuilds(&path, &other));
}

#[test]
fn a_damaged_store_is_written_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("catalog");
    for damage in [damage_all, truncate, overwrite_middle] {
        reopen(&path, &log(50));
        for file in ["db", "conf"] {
            let file = path.join(file);
            damage(&file);
        }
        reopen(&path, &log(50));
        assert!(!rebuilds(&path, &log(50)));
    }
}

fn damage_all(file: &Path) {
    let length = fs::metadata(file).expect("sled's file").len();
    fs::write(file, vec![0xa5; usize::try_from(length).expect("small")]).expect("writable");
}

fn truncate(file: &Path) {
    fs::write(file, b"").expect("writable");
}

fn overwrite_middle(file: &Path) {
    let mut bytes = fs::read(file).expect("sled's file");
    let (middle, length) = (bytes.len() / 2, bytes.len());
    bytes[middle.saturating_sub(200)..(middle + 200).min(length)].fill(0xff);
    fs::write(file, bytes).expect("writable");
}

#[test]
fn a_file_where_the_folder_should_be_is_no_obstacle() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("catalog");
    fs::write(&path, "not a store").expect("writable");
    reopen(&path, &log(2));
}

#[test]
fn a_store_in_use_is_not_damage() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("catalog");
    let (first, _) = open(&path, &log(2)).expect("it opens");
    let second = open(&path, &log(2)).map(|_| ());
    assert!(matches!(second, Err(DurableError::Locked(_))));
    drop(first);
    reopen(&path, &log(2));
}

#[test]
fn an_unreadable_log_is_told_by_its_position() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("catalog");
    let mut bad = log(2);
    bad.push(Entry { at: CommitTime(300), record: b"{\"format\":9}".to_vec() });
    let error = open(&path, &bad).map(|_| ()).expect_err("format 9");
    assert_eq!(
        error.to_string(),
        "op 2 of the log's catalog: catalog record is unreadable: \
         catalog record has format 9, this program reads up to 1"
    );
}

#[test]
fn the_image_of_a_crash_is_made_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, image) = (folder.path().join("catalog"), folder.path().join("image"));
    let (mut durable, _) = open(&path, &log(10)).expect("it opens");
    for number in 11..=40 {
        durable.append(&entry(number));
        if number == 25 {
            // What the disk holds if the power fails now.
            copy(&path, &image);
        }
    }
    reopen(&image, &log(40));
    assert!(!rebuilds(&image, &log(40)));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for file in fs::read_dir(from).expect("sled's folder") {
        let file = file.expect("sled's folder");
        let target = to.join(file.file_name());
        if file.path().is_dir() {
            copy(&file.path(), &target);
        } else {
            fs::copy(file.path(), target).expect("copied");
        }
    }
}
