//! Checkpoints between everything else: after a crash, views that go on from one equal the oracle
//! as those do that are filled anew.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::*;
use crate::aggregate::aggregate_function;
use crate::checkpoint::CheckpointStatus;
use crate::operator::aggregate::{AggregateCall, AggregatePlan};

impl Harness {
    fn checkpoint(&self) -> CheckpointStatus {
        let taken = block_on(self.engine.checkpoint());
        taken.expect("it answers").expect("the disk has room")
    }

    /// As after `kill -9` at this moment. Whether each view goes on from a checkpoint.
    fn crash(&mut self, workers: usize) -> BTreeMap<CollectionId, bool> {
        let directory = tempfile::tempdir().expect("a directory");
        copy_folder(&self.config.data, directory.path());
        self.reopen(directory, workers)
    }

    fn reopen(
        &mut self,
        directory: tempfile::TempDir,
        workers: usize,
    ) -> BTreeMap<CollectionId, bool> {
        self.engine.shutdown();
        self.config.workers = workers;
        self.config.data = directory.path().to_owned();
        self.engine = Engine::open(self.config.clone()).expect("what was just copied").0;
        self._directory = directory;
        for (id, plan) in self.views.clone() {
            self.create_view(id.0, plan);
        }
        self.engine.resume();
        self.engine.maintenance.restored()
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        match entry.file_type().expect("of a type").is_dir() {
            true => copy_folder(&entry.path(), &to),
            // A checkpoint that is being taken removes what it replaces.
            false => match fs::copy(entry.path(), to) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                copied => drop(copied.expect("a file")),
            },
        }
    }
}

/// Tables 1 and 2 with random views over them.
fn opened(seed: u64, random: &mut StdRng) -> (Harness, Plan) {
    eprintln!("TIDEMARK_SEED={seed}");
    let mut harness = Harness::open(1 + (seed % 3) as usize);
    let grows = |_: &CollectionId| random.random_bool(0.3);
    harness.growing = [1, 2].map(CollectionId).into_iter().filter(grows).collect();
    let tables = [1, 2].map(|id| TableDef::new(CollectionId(id), table_schema(id), vec![]));
    harness.commit(Change { create_tables: tables.into(), ..Change::default() }).expect("tables");
    let mut plan = random_plan(random, 1 + (seed % 3) as u32, harness.scale);
    mark_append_only(&mut plan, &|id| harness.growing.contains(&id));
    harness.create_view(10, plan.clone());
    harness.create_view(11, over(10, &plan));
    harness.create_view(15, with_arrival(1));
    harness.create_view(16, counted(1));
    (harness, plan)
}

/// How many rows of a table have each first column, and the least and greatest of the others.
fn counted(table: u64) -> Plan {
    let schema = table_schema(table);
    let function = |name| aggregate_function(name).expect("a function");
    let mut calls = vec![AggregateCall::new(function("count"), vec![], None)];
    calls.extend(["min", "max"].map(|name| AggregateCall::new(function(name), vec![1], None)));
    let field = |name: &str, of: usize| schema.field(of).clone().with_name(name);
    let count = arrow::datatypes::Field::new("n", arrow::datatypes::DataType::Int64, true);
    let fields = vec![field("k", 0), count, field("least", 1), field("most", 1)];
    Plan::Aggregate(Box::new(AggregatePlan {
        input: input(table, &schema),
        keys: vec![0],
        calls,
        schema: Arc::new(Schema::new(fields)),
        append_only: false,
    }))
}

fn kept_roads(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut harness, plan) = opened(seed, &mut random);
    harness.create_view(17, pairs(1, 1));
    let mut workers = harness.config.workers;
    let mut next = 20;
    for _ in 0..6 {
        for _ in 0..random.random_range(1..6) {
            harness.random_commit(&mut random);
            match random.random_range(0..8) {
                0..3 => drop(harness.checkpoint()),
                3 => {
                    // Whether it was taken before or after what follows is for it to know.
                    drop(harness.engine.checkpoint());
                }
                4 => {
                    harness.create_view(next, plan.clone());
                    harness.create_view(next + 1, over(next, &plan));
                    next += 2;
                }
                5 if next > 20 => {
                    // The one above first.
                    harness.drop_view(next - 1);
                    harness.drop_view(next - 2);
                    next -= 2;
                }
                _ => {}
            }
        }
        harness.check();
        let checkpoint = random.random_bool(0.5).then(|| harness.checkpoint());
        if random.random_bool(0.2) {
            workers = random.random_range(1..5);
        }
        let same = workers == harness.config.workers;
        let restored = harness.crash(workers);
        if checkpoint.is_some() {
            for view in [16, 17].map(CollectionId) {
                assert_eq!(restored[&view], same, "{view:?} of {restored:?}");
            }
        }
        assert!(same || restored.values().all(|restored| !restored));
        harness.check();
        harness.random_commit(&mut random);
        harness.check();
    }
}

#[test]
fn views_go_on_from_checkpoints() {
    match std::env::var("TIDEMARK_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => kept_roads(seed),
        None => (0..40).for_each(kept_roads),
    }
}

#[test]
#[ignore = "nightly size"]
fn views_go_on_from_checkpoints_nightly() {
    (1_000..2_000).for_each(kept_roads);
}

#[test]
fn damage_is_found_and_passed_over() {
    let mut random = StdRng::seed_from_u64(7);
    let (mut harness, _) = opened(7, &mut random);
    for _ in 0..3 {
        (0..4).for_each(|_| harness.random_commit(&mut random));
        harness.checkpoint();
    }
    let whole = tempfile::tempdir().expect("a directory");
    copy_folder(&harness.config.data, whole.path());
    let names = fs::read_dir(whole.path().join("checkpoints")).expect("a folder");
    let names = names.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert!(names.len() > 4, "{names:?}");
    let workers = harness.config.workers;
    for name in names {
        for cut in [false, true] {
            let directory = tempfile::tempdir().expect("a directory");
            copy_folder(whole.path(), directory.path());
            let file = directory.path().join("checkpoints").join(&name);
            let mut bytes = fs::read(&file).expect("a file");
            let place = random.random_range(0..bytes.len());
            match cut {
                true => bytes.truncate(place),
                false => bytes[place] ^= 1 << random.random_range(0..8),
            }
            fs::write(&file, bytes).expect("a file");
            let restored = harness.reopen(directory, workers);
            assert!(restored.values().any(|restored| !restored), "{name:?} at {place}");
            harness.check();
            harness.random_commit(&mut random);
            harness.check();
        }
    }
}

#[test]
fn what_is_written_follows_what_changed() {
    let mut harness = Harness::open(2);
    let tables = [1, 2].map(|id| TableDef::new(CollectionId(id), table_schema(id), vec![]));
    harness.commit(Change { create_tables: tables.into(), ..Change::default() }).expect("tables");
    harness.create_view(16, counted(1));
    harness.create_view(17, with_arrival(1));
    let mut random = StdRng::seed_from_u64(3);
    let mut write = |rows| {
        let insert = random_rows(&mut random, 1, rows, harness.scale);
        let write = TableWrite { table: CollectionId(1), delete: vec![], insert };
        let change = Change { writes: vec![write], ..Change::default() };
        harness.commit(change).expect("no constraint to break");
    };
    write(20_000);
    let first = block_on(harness.engine.checkpoint()).expect("it answers").expect("room");
    write(200);
    let second = block_on(harness.engine.checkpoint()).expect("it answers").expect("room");
    assert!(second.bytes_written * 10 < first.bytes_written, "{first:?} {second:?}");
    assert!(first.records_total > 20_000 && second.records_written < 1_000, "{second:?}");
    let third = block_on(harness.engine.checkpoint()).expect("it answers").expect("room");
    assert_eq!(third.bytes_written, 0, "{third:?}");
    harness.crash(2);
    harness.check();
}

#[test]
fn a_view_below_others_is_kept_as_of_later_than_they_are() {
    let mut harness = Harness::open(2);
    let tables = [1, 2].map(|id| TableDef::new(CollectionId(id), table_schema(id), vec![]));
    harness.commit(Change { create_tables: tables.into(), ..Change::default() }).expect("tables");
    let mut random = StdRng::seed_from_u64(5);
    harness.create_view(16, counted(1));
    (0..4).for_each(|_| harness.random_commit(&mut random));
    // It moves on with each that is made above it, though it does not change.
    harness.create_view(17, over(16, &counted(1)));
    harness.create_view(18, over(16, &counted(1)));
    // What makes views is not in this log, which may not end before a checkpoint.
    let insert = random_rows(&mut random, 2, 3, harness.scale);
    let write = TableWrite { table: CollectionId(2), delete: vec![], insert };
    let change = Change { writes: vec![write], ..Change::default() };
    harness.commit(change).expect("no constraint to break");
    // A view that is being filled is not kept.
    harness.check();
    harness.checkpoint();
    let restored = harness.crash(2);
    assert!(restored.values().all(|restored| *restored), "{restored:?}");
    harness.check();
    harness.random_commit(&mut random);
    harness.check();
}

/// The manifest of one that failed may be in its place nevertheless, if only the sync after it
/// failed: what it names must not be written over by the next one.
#[test]
fn one_that_fails_costs_nothing_and_its_files_are_not_written_over() {
    let mut harness = Harness::open(2);
    let tables = [1, 2].map(|id| TableDef::new(CollectionId(id), table_schema(id), vec![]));
    harness.commit(Change { create_tables: tables.into(), ..Change::default() }).expect("tables");
    let mut random = StdRng::seed_from_u64(11);
    harness.create_view(16, counted(1));
    let insert = |harness: &mut Harness, random: &mut StdRng| {
        let insert = random_rows(random, 1, 20, harness.scale);
        let write = TableWrite { table: CollectionId(1), delete: vec![], insert };
        let change = Change { writes: vec![write], ..Change::default() };
        harness.commit(change).expect("no constraint to break");
        harness.check();
    };
    insert(&mut harness, &mut random);
    harness.checkpoint();
    let folder = harness.config.data.join("checkpoints");
    let before = file_names(&folder);
    fs::create_dir(folder.join("manifest.next")).expect("a folder where a file should be");
    insert(&mut harness, &mut random);
    let failed = block_on(harness.engine.checkpoint()).expect("it answers");
    assert!(failed.is_err(), "{failed:?}");
    fs::remove_dir(folder.join("manifest.next")).expect("it is empty");
    let mut of_failed = file_names(&folder);
    of_failed.retain(|name| !before.contains(name));
    assert!(!of_failed.is_empty(), "{before:?}");
    insert(&mut harness, &mut random);
    harness.checkpoint();
    let after = file_names(&folder);
    assert!(!of_failed.iter().any(|name| after.contains(name)), "{of_failed:?} {after:?}");
    let restored = harness.crash(2);
    assert!(restored.values().all(|restored| *restored), "{restored:?}");
    harness.check();
}

fn file_names(folder: &Path) -> Vec<std::ffi::OsString> {
    let entries = fs::read_dir(folder).expect("a folder");
    entries.map(|entry| entry.expect("an entry").file_name()).collect()
}
