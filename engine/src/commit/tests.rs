//! The committer from outside: what is acknowledged is there after a crash, what fails leaves
//! nothing, and no one reads a time before what belongs to it.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use object_store::ObjectStore;
use object_store::memory::InMemory;

use super::recover::open_storage;
use super::*;
use crate::log::sealed::Depot;
use crate::log::{Fault, LogLimits, MemoryStorage};
use crate::time::{ManualClock, RowId, WallClock};

mod admission;
mod key;
mod load;
mod seal;
mod ttl;

const TABLE: CollectionId = CollectionId(1);
const OTHER: CollectionId = CollectionId(2);
const T0: Timestamp = Timestamp(1_000_000_000);

/// Notes what is published, and that no one could read it yet.
#[derive(Clone)]
struct Notes {
    clock: Arc<Clock>,
    seen: Arc<Mutex<Vec<Publication>>>,
    behind: Arc<Mutex<Vec<CollectionId>>>,
}

impl GroupSink for Notes {
    fn publish(&mut self, publication: Publication) {
        assert!(self.clock.read_time() < publication.time, "published before it is read");
        self.seen.lock().expect("no panic").push(publication);
    }

    fn is_behind(&self, tables: &[CollectionId]) -> bool {
        self.behind.lock().expect("no panic").iter().any(|table| tables.contains(table))
    }
}

struct Running {
    committer: Committer,
    storage: MemoryStorage,
    objects: Arc<dyn ObjectStore>,
    limits: LogLimits,
    wall: Arc<ManualClock>,
    clock: Arc<Clock>,
    horizon: Arc<Horizon>,
    tables: Arc<Tables>,
    ddl: Vec<(Timestamp, Vec<u8>)>,
    notes: Notes,
}

fn start(storage: &MemoryStorage) -> Running {
    start_sealing(storage, Arc::new(InMemory::new()), LogLimits::default()).expect("all is whole")
}

fn start_sealing(
    storage: &MemoryStorage,
    objects: Arc<dyn ObjectStore>,
    limits: LogLimits,
) -> Result<Running, OpenError> {
    let wall = ManualClock::new(T0);
    let depot = Depot::over(Arc::clone(&objects), Default::default(), "memory".to_owned());
    let opened =
        open_storage(Box::new(storage.clone()), depot, true, limits.clone(), wall.clone())?;
    let notes =
        Notes { clock: Arc::clone(&opened.clock), seen: Arc::default(), behind: Arc::default() };
    Ok(Running {
        storage: storage.clone(),
        objects,
        limits,
        wall,
        clock: Arc::clone(&opened.clock),
        horizon: Arc::clone(&opened.horizon),
        tables: Arc::clone(&opened.tables),
        ddl: opened.ddl.clone(),
        notes: notes.clone(),
        committer: Committer::start(opened, Box::new(notes)),
    })
}

/// A fresh engine with two tables of (key, value), keyed by key.
fn fresh() -> Running {
    with_tables(start(&MemoryStorage::new()))
}

/// The same, whose log is sealed after every few commits.
fn fresh_sealing() -> Running {
    let limits = LogLimits { segment_bytes: 600, ..LogLimits::default() };
    let objects = Arc::new(InMemory::new());
    with_tables(start_sealing(&MemoryStorage::new(), objects, limits).expect("nothing is there"))
}

fn with_tables(running: Running) -> Running {
    let tables = [TABLE, OTHER].map(|id| TableDef::new(id, schema(), vec![0]));
    let change = Change {
        create_tables: tables.to_vec(),
        ddl: vec![b"create".to_vec()],
        ..Change::default()
    };
    running.commit(move |_| Ok(change)).expect("two tables");
    running
}

fn schema() -> SchemaRef {
    let columns = ["key", "value"].map(|name| Field::new(name, DataType::Int64, false));
    Arc::new(Schema::new(columns.to_vec()))
}

fn insert(table: CollectionId, rows: &[(i64, i64)]) -> TableWrite {
    let keys = Int64Array::from_iter_values(rows.iter().map(|row| row.0));
    let values = Int64Array::from_iter_values(rows.iter().map(|row| row.1));
    let columns: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(values)];
    let insert = RecordBatch::try_new(schema(), columns).expect("two columns");
    TableWrite { table, delete: vec![], insert }
}

fn writes(writes: Vec<TableWrite>) -> Change {
    Change { writes, ..Change::default() }
}

type Result_ = Result<Timestamp, CommitError>;

impl Running {
    fn submit(
        &self,
        evaluate: impl FnOnce(&EvaluateContext) -> Result<Change, BoxError> + Send + 'static,
    ) -> Receiver<Result_> {
        let (sender, receiver) = channel();
        let done = move |result| sender.send(result).expect("the test waits");
        self.committer.submit(vec![], Box::new(evaluate), Box::new(done));
        receiver
    }

    /// The same for one that waits while views over the table are behind.
    fn submit_insert(&self, table: CollectionId, row: (i64, i64)) -> Receiver<Result_> {
        let (sender, receiver) = channel();
        let done = move |result| sender.send(result).expect("the test waits");
        let change = writes(vec![insert(table, &[row])]);
        self.committer.submit(vec![table], Box::new(move |_| Ok(change)), Box::new(done));
        receiver
    }

    fn commit(
        &self,
        evaluate: impl FnOnce(&EvaluateContext) -> Result<Change, BoxError> + Send + 'static,
    ) -> Result_ {
        self.submit(evaluate).recv().expect("every commit is told")
    }

    fn insert(&self, rows: &[(i64, i64)]) -> Result_ {
        let write = insert(TABLE, rows);
        self.commit(move |_| Ok(writes(vec![write])))
    }

    fn rows(&self, at: Timestamp) -> BTreeMap<i64, i64> {
        rows(&self.tables, TABLE, at).into_iter().map(|(key, (_, value))| (key, value)).collect()
    }

    /// Lets the wall clock run, so that reservations end.
    fn pass(&self) {
        self.wall.advance(Duration::from_secs(10));
    }

    fn crash(self) -> Running {
        self.committer.stop_sealing();
        let (storage, objects) = (self.storage.crash(), Arc::clone(&self.objects));
        start_sealing(&storage, objects, self.limits.clone()).expect("all is whole")
    }
}

fn rows(tables: &Tables, table: CollectionId, at: Timestamp) -> BTreeMap<i64, (RowId, i64)> {
    let mut found = BTreeMap::new();
    for rows in tables.relation(table).expect("it exists").scan(at) {
        let keys = rows.batch.column(0).as_primitive::<Int64Type>();
        let values = rows.batch.column(1).as_primitive::<Int64Type>();
        for row in 0..rows.batch.num_rows() {
            let id = RowId(rows.ids.value(row));
            found.insert(keys.value(row), (id, values.value(row)));
        }
    }
    found
}

#[test]
fn a_restart_gives_everything_back() {
    everything_comes_back(fresh());
    everything_comes_back(fresh_sealing());
}

fn everything_comes_back(first: Running) {
    let one = first.insert(&[(1, 10), (2, 20), (3, 30)]).expect("new keys");
    let tables = Arc::clone(&first.tables);
    let two = first.commit(move |context| {
        let old = rows(&tables, TABLE, context.read)[&2].0;
        let mut change = writes(vec![insert(TABLE, &[(2, 21)])]);
        change.writes[0].delete = vec![old];
        change.ddl = vec![b"a".to_vec(), b"b".to_vec()];
        change.drop_tables = vec![OTHER];
        Ok(change)
    });
    let two = two.expect("key 2 is replaced");
    let before = rows(&first.tables, TABLE, two);
    assert_eq!(first.rows(one), [(1, 10), (2, 20), (3, 30)].into());
    let second = first.crash();
    assert_eq!(rows(&second.tables, TABLE, two), before, "the same rows under the same ids");
    assert_eq!(second.tables.last_changed(TABLE), two);
    assert!(second.tables.relation(OTHER).is_none());
    let ddl: Vec<&[u8]> = second.ddl.iter().map(|(_, record)| &record[..]).collect();
    assert_eq!(ddl, [&b"create"[..], b"a", b"b"]);
    assert_eq!(second.ddl[2].0, two);
    let three = second.insert(&[(4, 40)]).expect("new key");
    assert!(three > two);
    assert_eq!(rows(&second.tables, TABLE, three)[&4].0, RowId(4), "ids go on");
    assert!(matches!(second.insert(&[(2, 0)]), Err(CommitError::DuplicateKey { row: 0, .. })));
}

/// How many groups are in the log.
fn groups(storage: &MemoryStorage) -> usize {
    let mut groups = 0;
    let (storage, limits) = (Box::new(storage.crash()), LogLimits::default());
    let log = log::Log::open(storage, true, limits, log::LogStart::default(), &mut |record| {
        groups += usize::from(matches!(record, log::Replay::Group(_)));
        Ok(())
    });
    log.map(|_| groups).expect("the log is whole")
}

/// Holds the committer up, so that what is submitted meanwhile becomes one group.
fn hold_up(running: &Running) -> (std::sync::mpsc::Sender<()>, Receiver<Result_>) {
    let (go, wait) = channel::<()>();
    let held = running.submit(move |_| {
        wait.recv().expect("the test lets go");
        Ok(Change::default())
    });
    (go, held)
}

#[test]
fn a_group_has_one_time_and_one_record_and_its_commits_see_each_other() {
    let running = fresh();
    let (go, held) = hold_up(&running);
    let before = groups(&running.storage);
    let mut told = vec![];
    for key in 0..10 {
        let tables = Arc::clone(&running.tables);
        told.push(running.submit(move |context| {
            let seen = rows(&tables, TABLE, context.read).len() as i64;
            Ok(writes(vec![insert(TABLE, &[(key, seen)])]))
        }));
    }
    go.send(()).expect("the committer waits");
    held.recv().expect("told").expect("empty");
    let times: Vec<Timestamp> =
        told.iter().map(|told| told.recv().expect("told").expect("new keys")).collect();
    assert!(times.iter().all(|time| *time == times[0]), "{times:?}");
    assert_eq!(groups(&running.storage), before + 1);
    assert_eq!(running.rows(times[0]), (0..10).map(|key| (key, key)).collect());
    assert_eq!(running.rows(times[0].before()).len(), 0);
    let notes = running.notes.seen.lock().expect("no panic");
    let last = notes.last().expect("published");
    assert_eq!((last.time, last.updates.len(), last.updates[0].1.len()), (times[0], 1, 10));
}

#[test]
fn a_commit_that_fails_leaves_nothing_and_harms_no_other() {
    let running = fresh();
    let (go, held) = hold_up(&running);
    let good = running.submit(|_| Ok(writes(vec![insert(TABLE, &[(1, 1)])])));
    let twice = running.submit(|_| {
        Ok(writes(vec![insert(OTHER, &[(7, 7)]), insert(TABLE, &[(2, 2), (3, 3), (2, 4)])]))
    });
    let panics = running.submit(|_| panic!("of this commit alone"));
    let says_no = running.submit(|_| Err("no".into()));
    let nowhere = running.submit(|_| Ok(writes(vec![insert(CollectionId(9), &[(1, 1)])])));
    let made_for_nothing = running.submit(|_| {
        let id = CollectionId(5);
        let table = TableDef::new(id, schema(), vec![]);
        let mut change = writes(vec![insert(TABLE, &[(1, 1)])]);
        change.create_tables = vec![table];
        Ok(change)
    });
    let also_good = running.submit(|_| Ok(writes(vec![insert(TABLE, &[(2, 2)])])));
    go.send(()).expect("the committer waits");
    held.recv().expect("told").expect("empty");
    let time = good.recv().expect("told").expect("new key");
    let error = |told: Receiver<Result_>| told.recv().expect("told").expect_err("it fails");
    assert!(matches!(error(twice), CommitError::DuplicateKey { table: TABLE, row: 2 }));
    assert!(error(panics).to_string().contains("of this commit alone"));
    assert_eq!(error(says_no).to_string(), "no");
    assert_eq!(error(nowhere).to_string(), "there is no table 9");
    assert!(matches!(error(made_for_nothing), CommitError::DuplicateKey { .. }));
    assert_eq!(also_good.recv().expect("told").expect("new key"), time);
    assert!(running.tables.relation(CollectionId(5)).is_none());
    assert_eq!(running.rows(time), [(1, 1), (2, 2)].into());
    assert!(rows(&running.tables, OTHER, time).is_empty());
    let again = running.crash();
    assert_eq!(again.rows(time), [(1, 1), (2, 2)].into());
}

#[test]
fn an_empty_commit_writes_nothing_and_has_a_time() {
    let running = fresh();
    let before = groups(&running.storage);
    let time = running.commit(|_| Ok(Change::default())).expect("nothing to refuse");
    let deletes_nothing = writes(vec![insert(TABLE, &[])]);
    let later = running.commit(move |_| Ok(deletes_nothing)).expect("nothing to refuse");
    assert!(time < later);
    let drop_view = Change { drop_views: vec![CollectionId(3)], ..Change::default() };
    let later = running.commit(move |_| Ok(drop_view)).expect("published only");
    assert_eq!(groups(&running.storage), before);
    assert_eq!(running.notes.seen.lock().expect("no panic").last().expect("it is").time, later);
}

#[test]
fn after_a_failed_write_only_reads_go_on() {
    for fault in [Fault::Sync, Fault::ShortWrite(0), Fault::ShortWrite(30)] {
        let running = fresh();
        running.insert(&[(1, 1)]).expect("new key");
        let seen = running.horizon.begin_read(&running.clock).at;
        running.storage.inject(fault);
        assert!(matches!(running.insert(&[(2, 2)]), Err(CommitError::Storage(_))), "{fault:?}");
        assert!(matches!(running.insert(&[(3, 3)]), Err(CommitError::Storage(_))));
        running.pass();
        let at = running.horizon.begin_read(&running.clock).at;
        assert!(at >= seen);
        assert_eq!(running.rows(at), [(1, 1)].into());
        // whatever is on disk, a time that was read stays as it was read
        for again in [start(&running.storage.crash()), running.crash()] {
            assert_eq!(again.rows(at), [(1, 1)].into());
            assert!(again.insert(&[(4, 4)]).expect("writable again") > at);
        }
    }
}

#[test]
fn a_time_that_was_read_stays_closed_across_a_restart() {
    times_stay_closed(fresh());
    times_stay_closed(fresh_sealing());
}

fn times_stay_closed(mut running: Running) {
    let mut random = StdRng::seed_from_u64(1);
    for round in 0..15 {
        running.wall.advance(Duration::from_micros(random.random_range(0..2_000_000)));
        let mut last = Timestamp::MIN;
        for _ in 0..random.random_range(0..3) {
            last = running.clock.read_time();
        }
        if random.random() {
            let committed = running.insert(&[(round, 0)]).expect("new key");
            assert!(committed > last);
            last = committed;
        }
        if random.random() {
            last = last.max(running.clock.read_time());
        }
        // the wall clock starts over: behind what was given out
        running = match random.random() {
            true => running.crash(),
            false => {
                running.committer.shutdown();
                running.crash()
            }
        };
        assert!(running.clock.read_time() > last, "round {round}");
        let next = running.commit(|_| Ok(Change::default())).expect("nothing to refuse");
        assert!(next > last);
    }
}

#[test]
fn a_reader_waits_for_no_evaluation() {
    let running = fresh();
    running.pass();
    let (go, held) = hold_up(&running);
    let read = running.horizon.begin_read(&running.clock).at;
    go.send(()).expect("the committer waits");
    assert!(read < held.recv().expect("told").expect("empty"));
}

#[test]
fn a_clean_stop_gives_its_reservation_back() {
    let running = fresh();
    let read = running.clock.read_time();
    running.committer.shutdown();
    assert!(matches!(running.insert(&[(1, 1)]), Err(CommitError::Stopped)));
    let again = start(&running.storage);
    assert!(again.wall.wall().0 - T0.0 < 100, "no second is waited for");
    assert!(again.clock.read_time() > read);
}

#[test]
fn a_stepped_clock_stops_commits_and_not_the_committer() {
    let running = fresh();
    running.wall.set_wall(Timestamp(T0.0 + 3_600_000_000));
    let refused = running.insert(&[(1, 1)]).expect_err("the clock stepped");
    assert!(matches!(refused, CommitError::Clock(ClockError::Stepped { .. })));
    running.clock.confirm_step();
    assert!(running.insert(&[(1, 1)]).expect("confirmed").0 >= T0.0 + 3_600_000_000);
}

/// Several connections move money between accounts; the machine stops at any time. Afterwards every
/// acknowledged transfer is there and none is half there.
#[test]
fn acknowledged_transfers_survive_a_crash_whole() {
    for seed in 0..10 {
        let mut running = if seed % 2 == 0 { fresh() } else { fresh_sealing() };
        let accounts: Vec<(i64, i64)> = (0..10).map(|key| (key, 100)).collect();
        running.insert(&accounts).expect("new keys");
        for round in 0..3 {
            let mut random = StdRng::seed_from_u64(seed * 100 + round);
            let last = transfers(&running, &mut random);
            let sum = |running: &Running, at| running.rows(at).values().sum::<i64>();
            let at = running.clock.read_time();
            assert_eq!(sum(&running, at), 1000, "seed {seed}");
            let before = running.rows(last);
            running = running.crash();
            let at = running.clock.read_time();
            assert_eq!(running.rows(last), before, "seed {seed}");
            assert_eq!(sum(&running, at), 1000, "seed {seed}");
        }
    }
}

/// Runs transfers until a write fails, in groups; returns the time of the last acknowledged one.
fn transfers(running: &Running, random: &mut StdRng) -> Timestamp {
    let mut last = running.commit(|_| Ok(Change::default())).expect("nothing to refuse");
    for round in 0.. {
        if round > 5 && random.random_bool(0.2) {
            running.storage.inject(match random.random() {
                true => Fault::Sync,
                false => Fault::ShortWrite(random.random_range(0..300)),
            });
        }
        let told: Vec<_> = (0..random.random_range(1..20))
            .map(|_| {
                let (from, to) = (random.random_range(0..10), random.random_range(0..9));
                let to = if to == from { 9 } else { to };
                transfer(running, from, to)
            })
            .collect();
        for told in told {
            match told.recv().expect("every commit is told") {
                Ok(time) => last = time,
                // the next segment could not be made, and nothing has happened
                Err(CommitError::NoRoom(_)) => {}
                Err(CommitError::Storage(_)) => return last,
                Err(other) => panic!("{other}"),
            }
        }
    }
    unreachable!("a write fails at last")
}

fn transfer(running: &Running, from: i64, to: i64) -> Receiver<Result_> {
    let tables = Arc::clone(&running.tables);
    running.submit(move |context| {
        let accounts = rows(&tables, TABLE, context.read);
        let (from, to) = if from == to { (from, (to + 1) % 10) } else { (from, to) };
        let (a, b) = (accounts[&from], accounts[&to]);
        let mut write = insert(TABLE, &[(from, a.1 - 1), (to, b.1 + 1)]);
        write.delete = vec![a.0, b.0];
        Ok(writes(vec![write]))
    })
}

/// The third column by key.
fn thirds(running: &Running, at: Timestamp) -> BTreeMap<i64, i64> {
    let mut found = BTreeMap::new();
    for rows in running.tables.relation(TABLE).expect("it exists").scan(at) {
        let keys = rows.batch.column(0).as_primitive::<Int64Type>();
        let values = rows.batch.column(2).as_primitive::<Int64Type>();
        found.extend((0..rows.batch.num_rows()).map(|row| (keys.value(row), values.value(row))));
    }
    found
}

#[test]
fn an_added_column_has_its_default_at_every_time() {
    add_a_column(fresh());
    add_a_column(fresh_sealing());
    // all within one segment
    let limits = LogLimits { segment_age: Duration::ZERO, ..LogLimits::default() };
    let nothing = (MemoryStorage::new(), Arc::new(InMemory::new()));
    add_a_column(with_tables(start_sealing(&nothing.0, nothing.1, limits).expect("nothing")));
}

fn add_a_column(running: Running) {
    let one = running.insert(&[(1, 10), (2, 20)]).expect("new keys");
    let old = rows(&running.tables, TABLE, one)[&2].0;
    let two = running.commit(move |_| {
        let mut change = writes(vec![insert(TABLE, &[(3, 30)])]);
        change.writes[0].delete = vec![old];
        Ok(change)
    });
    let two = two.expect("a key goes, another comes");
    let before = rows(&running.tables, TABLE, two);
    let column = AddedColumn {
        table: TABLE,
        field: Arc::new(Field::new("third", DataType::Int64, true)),
        default: Arc::new(Int64Array::from_iter_values([7])),
    };
    let change = Change { add_columns: vec![column], ..Change::default() };
    let three = running.commit(move |_| Ok(change)).expect("a column more");
    assert!(three > two);
    let wide = insert(TABLE, &[(4, 40)]).insert;
    assert!(running.insert(&[(5, 50)]).is_err(), "there are three columns");
    let four = running.commit(move |_| {
        let mut fields = wide.schema().fields().to_vec();
        fields.push(Arc::new(Field::new("third", DataType::Int64, true)));
        let third: ArrayRef = Arc::new(Int64Array::from_iter_values([8]));
        let columns = wide.columns().iter().cloned().chain([third]).collect();
        let insert = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns);
        let insert = insert.expect("three columns");
        Ok(writes(vec![TableWrite { table: TABLE, delete: vec![], insert }]))
    });
    let four = four.expect("a row of three columns");
    let check = |running: &Running| {
        assert_eq!(rows(&running.tables, TABLE, two), before, "the same rows and ids");
        assert_eq!(thirds(running, one), [(1, 7), (2, 7)].into());
        assert_eq!(thirds(running, three), [(1, 7), (3, 7)].into());
        assert_eq!(thirds(running, four), [(1, 7), (3, 7), (4, 8)].into());
        let key: ArrayRef = Arc::new(Int64Array::from_iter_values([3]));
        let relation = running.tables.relation(TABLE).expect("it exists");
        let found = relation.lookup(&[0], &[key], four).expect("an index on the key");
        assert_eq!((found.len(), found[0].batch.num_columns()), (1, 3));
    };
    check(&running);
    check(&running.crash());
}
