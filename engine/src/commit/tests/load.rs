//! Loading the past: rows with arrival times of their own, against a list of what happened (S20).

use arrow::array::{BooleanArray, TimestampMicrosecondArray};

use super::*;
use crate::store::{LoadError, LoadPart, TableLoad};

/// What happens to a key at a time: it gets a value, or goes.
type Event = (u64, i64, Option<i64>);

fn part(events: &[Event]) -> LoadPart {
    let rows: Vec<(i64, i64)> = events.iter().map(|e| (e.1, e.2.unwrap_or(0))).collect();
    let deletes = events.iter().any(|event| event.2.is_none());
    LoadPart {
        rows: insert(TABLE, &rows).insert,
        arrived: events.iter().map(|event| Some(event.0 as i64)).collect(),
        deletes: deletes.then(|| events.iter().map(|event| Some(event.2.is_none())).collect()),
    }
}

fn load(table: CollectionId, parts: Vec<LoadPart>) -> Change {
    Change { loads: vec![TableLoad { table, parts, append_only: false }], ..Change::default() }
}

fn at(events: &[Event], time: u64) -> BTreeMap<i64, i64> {
    let mut rows = BTreeMap::new();
    for (_, key, value) in events.iter().filter(|event| event.0 <= time) {
        match value {
            Some(value) => drop(rows.insert(*key, *value)),
            None => drop(rows.remove(key)),
        }
    }
    rows
}

/// When the present image of each key arrived.
fn arrivals(events: &[Event], time: u64) -> BTreeMap<i64, u64> {
    let mut arrived = BTreeMap::new();
    for (begin, key, value) in events.iter().filter(|event| event.0 <= time) {
        match value {
            Some(_) => drop(arrived.insert(*key, *begin)),
            None => drop(arrived.remove(key)),
        }
    }
    arrived
}

fn check_everywhere(running: &Running, events: &[Event]) {
    let relation = running.tables.relation(TABLE).expect("it exists");
    let mut times: Vec<u64> = events.iter().flat_map(|e| [e.0 - 1, e.0, e.0 + 1]).collect();
    times.dedup();
    for time in times {
        assert_eq!(running.rows(Timestamp(time)), at(events, time), "at {time}");
        let mut got = BTreeMap::new();
        for batch in relation.batches_arrived(Timestamp(time)) {
            let keys = batch.column(0).as_primitive::<Int64Type>();
            let arrived = batch.column(2).as_primitive::<TimestampMicrosecondType>();
            got.extend((0..batch.num_rows()).map(|i| (keys.value(i), arrived.value(i) as u64)));
        }
        assert_eq!(got, arrivals(events, time), "arrivals at {time}");
        let asked: ArrayRef = Arc::new(Int64Array::from_iter_values(0..8));
        let found = relation.lookup(&[0], &[asked], Timestamp(time)).expect("indexed");
        let found: BTreeMap<i64, u64> =
            found.iter().map(|lookup| (lookup.key as i64, lookup.begin.0)).collect();
        assert_eq!(found, arrivals(events, time), "lookup at {time}");
    }
}

/// The net of everything published about the table.
fn published(running: &Running) -> BTreeMap<(i64, i64, u64), i64> {
    let mut net: BTreeMap<(i64, i64, u64), i64> = BTreeMap::new();
    for publication in running.notes.seen.lock().expect("no panic").iter() {
        for (_, updates) in publication.updates.iter().filter(|(table, _)| *table == TABLE) {
            let keys = updates.data.column(0).as_primitive::<Int64Type>();
            let values = updates.data.column(1).as_primitive::<Int64Type>();
            let arrived = updates.data.column(2).as_primitive::<TimestampMicrosecondType>();
            for row in 0..updates.len() {
                assert_eq!(updates.times[row], publication.time.0, "one tick, at the commit");
                let row_of = (keys.value(row), values.value(row), arrived.value(row) as u64);
                *net.entry(row_of).or_default() += updates.diffs[row];
            }
        }
    }
    net.retain(|_, diff| *diff != 0);
    net
}

fn random_load(random: &mut StdRng, events: &mut Vec<Event>, last: &mut u64) -> Change {
    let mut parts = vec![];
    for _ in 0..random.random_range(1..4) {
        let from = events.len();
        for _ in 0..random.random_range(1..20) {
            *last += [0, 0, 1, 7][random.random_range(0..4)];
            let value = random.random_bool(0.8).then(|| random.random_range(0..1000));
            events.push((*last, random.random_range(0..8), value));
        }
        parts.push(part(&events[from..]));
    }
    load(TABLE, parts)
}

#[test]
fn loads_are_what_happened_at_every_time_and_after_a_crash() {
    for seed in 0..20 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut running = if seed % 2 == 0 { fresh() } else { fresh_sealing() };
        let (mut events, mut last) = (vec![], 1_000);
        for _ in 0..random.random_range(1..5) {
            let before = events.len();
            let change = random_load(&mut random, &mut events, &mut last);
            let time = running.commit(move |_| Ok(change)).expect("the past is open");
            let relation = running.tables.relation(TABLE).expect("it exists");
            assert!(relation.is_open());
            let adds = events[before..].iter().any(|event| event.2.is_some());
            assert!(!adds || relation.last_rewritten() == time);
            check_everywhere(&running, &events);
            let now = arrivals(&events, u64::MAX);
            let values = at(&events, u64::MAX);
            let want = now.iter().map(|(&key, &time)| ((key, values[&key], time), 1));
            assert_eq!(published(&running), want.collect(), "seed {seed}");
            if random.random() {
                let notes = Arc::clone(&running.notes.seen);
                running = running.crash();
                *running.notes.seen.lock().expect("no panic") =
                    std::mem::take(&mut *notes.lock().expect("no panic"));
            }
        }
        // ordinary commits close the past and go on from there
        for _ in 0..random.random_range(1..100) {
            let key = random.random_range(0..8);
            let tables = Arc::clone(&running.tables);
            let time = running.commit(move |context| {
                let mut write = insert(TABLE, &[(key, 5)]);
                write.delete = rows(&tables, TABLE, context.read)
                    .get(&key)
                    .map_or(vec![], |(id, _)| vec![*id]);
                Ok(writes(vec![write]))
            });
            events.push((time.expect("replaced").0, key, Some(5)));
        }
        check_everywhere(&running, &events);
        let change = load(TABLE, vec![part(&[(last, 1, Some(1))])]);
        let running = if random.random() { running.crash() } else { running };
        let error = running.commit(move |_| Ok(change)).expect_err("it is closed");
        assert!(matches!(error, CommitError::Load { table: TABLE, error: LoadError::Closed }));
        check_everywhere(&running, &events);
    }
}

#[test]
fn what_cannot_be_loaded_is_refused_as_a_whole() {
    let running = fresh();
    let good = load(TABLE, vec![part(&[(10, 1, Some(1)), (20, 2, Some(2))])]);
    running.commit(move |_| Ok(good)).expect("it is open");
    let refused = |parts: Vec<LoadPart>| match running
        .commit(move |_| Ok(load(TABLE, parts)))
        .expect_err("it is wrong")
    {
        CommitError::Load { table: TABLE, error } => error,
        other => panic!("{other}"),
    };
    let (ok, early) = (part(&[(20, 3, Some(3)), (21, 3, Some(4))]), part(&[(19, 3, Some(3))]));
    let (time, before) = (Timestamp(19), Timestamp(20));
    assert_eq!(refused(vec![early.clone()]), LoadError::Falling { row: 0, time, before });
    let before = Timestamp(21);
    assert_eq!(refused(vec![ok.clone(), early]), LoadError::Falling { row: 2, time, before });
    let time = Timestamp(T0.0 * 2);
    let future = refused(vec![ok.clone(), part(&[(time.0, 1, Some(1))])]);
    assert!(matches!(future, LoadError::Future { row: 2, time: t, .. } if t == time));
    let mut null = ok.clone();
    null.arrived = TimestampMicrosecondArray::from(vec![Some(20), None]);
    assert_eq!(refused(vec![null.clone()]), LoadError::NullTime { row: 1 });
    null.arrived = TimestampMicrosecondArray::from(vec![Some(-1), Some(0)]);
    assert_eq!(refused(vec![null]), LoadError::BeforeEpoch { row: 0 });
    assert_eq!(running.rows(T0), [(1, 1), (2, 2)].into(), "nothing of it is there");
    let close = Change { close_history: vec![TABLE], ..Change::default() };
    running.commit(move |_| Ok(close)).expect("it exists");
    assert!(!running.tables.relation(TABLE).expect("it exists").is_open());
    let again = running.crash();
    let change = load(TABLE, vec![ok]);
    let error = again.commit(move |_| Ok(change)).expect_err("it stays closed");
    assert!(matches!(error, CommitError::Load { error: LoadError::Closed, .. }));
    assert_eq!(again.rows(T0), [(1, 1), (2, 2)].into());
}

#[test]
fn without_a_key_rows_are_added_and_nothing_is_deleted() {
    let running = fresh();
    let id = CollectionId(5);
    let create = Change {
        create_tables: vec![TableDef::new(id, schema(), vec![])],
        ..load(id, vec![part(&[(10, 1, Some(1)), (20, 1, Some(2))]), part(&[(20, 1, Some(2))])])
    };
    running.commit(move |_| Ok(create)).expect("made and loaded in one");
    let mut delete = part(&[(30, 1, Some(1)), (30, 2, None)]);
    delete.deletes = Some(BooleanArray::from(vec![None, Some(true)]));
    let error = running.commit(move |_| Ok(load(id, vec![delete]))).expect_err("no key");
    assert!(matches!(error, CommitError::Load { error: LoadError::NoKey { row: 1 }, .. }));
    let again = running.crash();
    let count = |time| again.tables.relation(id).expect("it exists").count(Timestamp(time));
    assert_eq!([9, 10, 19, 20, 30].map(count), [0, 1, 1, 3, 3]);
}

#[test]
fn the_retention_of_a_table_survives_and_can_be_changed() {
    change_retention(fresh());
    change_retention(fresh_sealing());
}

fn change_retention(running: Running) {
    let id = CollectionId(5);
    let table = TableDef {
        retention: Some(Duration::from_secs(5)),
        ..TableDef::new(id, schema(), vec![0])
    };
    let create = Change { create_tables: vec![table], ..Change::default() };
    running.commit(move |_| Ok(create)).expect("a table");
    running.wall.advance(Duration::from_secs(20));
    let time = running.commit(|_| Ok(Change::default())).expect("nothing to refuse");
    let from = |running: &Running| running.tables.relation(id).expect("it is").readable_from();
    assert_eq!(from(&running), Timestamp(time.0 - 5_000_000));
    let change = Change { retentions: vec![(id, None)], ..Change::default() };
    let again = running.crash();
    again.wall.advance(Duration::from_secs(20));
    let time = again.commit(|_| Ok(Change::default())).expect("nothing to refuse");
    assert_eq!(from(&again), Timestamp(time.0 - 5_000_000));
    again.commit(move |_| Ok(change)).expect("it exists");
    assert_eq!(from(&again), Timestamp::MIN);
    assert_eq!(from(&again.crash()), Timestamp::MIN);
}
