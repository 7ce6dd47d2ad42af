//! The store against a naive list of rows with their spans of time: random writes at many times,
//! read at every time that is held.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Horizon, ReadGuard, Relation, WriteError, Writer};
use crate::time::{CollectionId, RowId, Timestamp};
use crate::updates::Updates;

mod past;

/// A row: key, text, and the bits of a float with one zero and one NaN.
type Row = (Option<i64>, String, u64);

/// A row with when it begins and ends, and its id where that is known.
struct Span {
    row: Row,
    begin: u64,
    end: u64,
    id: u64,
}

#[derive(Default)]
struct Model {
    spans: Vec<Span>,
}

impl Model {
    fn at(&self, at: Timestamp) -> Vec<Row> {
        let there = self.spans.iter().filter(|span| span.begin <= at.0 && at.0 < span.end);
        let mut rows: Vec<Row> = there.map(|span| span.row.clone()).collect();
        rows.sort();
        rows
    }

    fn live(&self) -> impl Iterator<Item = &Span> {
        self.spans.iter().filter(|span| span.end == u64::MAX)
    }

    fn add(&mut self, row: Row, time: u64, id: u64) {
        self.spans.push(Span { row, begin: time, end: u64::MAX, id });
    }

    /// Ends an equal live row; says whether there was one.
    fn retract(&mut self, row: &Row, time: u64) -> bool {
        let found = self.spans.iter_mut().find(|span| span.end == u64::MAX && span.row == *row);
        found.map(|span| span.end = time).is_some()
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, true),
        Field::new("text", DataType::Utf8, false),
        Field::new("float", DataType::Float64, false),
    ]))
}

fn one_float(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() }
}

/// A batch of rows, some zeros negative.
fn batch(rows: &[Row], random: &mut StdRng) -> RecordBatch {
    let float = |row: &Row| match f64::from_bits(row.2) {
        0.0 if random.random() => -0.0,
        float => float,
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.0))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.1))),
        Arc::new(Float64Array::from_iter_values(rows.iter().map(float))),
    ];
    RecordBatch::try_new(schema(), columns).expect("three columns of one length")
}

fn rows_of(batch: &RecordBatch) -> Vec<Row> {
    let keys = batch.column(0).as_primitive::<Int64Type>();
    let texts = batch.column(1).as_string::<i32>();
    let floats = batch.column(2).as_primitive::<Float64Type>();
    let row = |i| {
        let key = keys.is_valid(i).then(|| keys.value(i));
        (key, texts.value(i).to_owned(), one_float(floats.value(i)))
    };
    (0..batch.num_rows()).map(row).collect()
}

fn random_row(keys: i64, random: &mut StdRng) -> Row {
    let key = random.random_range(0..keys);
    let float = [0.0, 1.5, f64::NAN][random.random_range(0..3)];
    ((key > 0).then_some(key), format!("t{}", random.random_range(0..2)), one_float(float))
}

/// Compares everything that can be read at each time that is held.
fn check(relation: &Relation, model: &Model, held: &[ReadGuard], keys: i64) {
    for guard in held {
        let at = guard.at;
        let want = model.at(at);
        let scan = relation.scan(at);
        let mut got: Vec<Row> = scan.iter().flat_map(|rows| rows_of(&rows.batch)).collect();
        got.sort();
        assert_eq!(got, want, "scan at {}", at.0);
        assert_eq!(relation.count(at), want.len());
        assert_eq!(relation.batches(at).map(|b| b.num_rows()).sum::<usize>(), want.len());
        if relation.indexed() == [vec![0]] {
            check_lookup(relation, &want, at, keys);
        }
    }
}

fn check_lookup(relation: &Relation, want: &[Row], at: Timestamp, keys: i64) {
    let asked: Vec<Option<i64>> = (0..keys).map(|key| (key > 0).then_some(key)).collect();
    let column: ArrayRef = Arc::new(Int64Array::from(asked.clone()));
    let found = relation.lookup(&[0], &[column], at).expect("indexed");
    let got = rows_of(&relation.gather(&found).batch);
    for (lookup, row) in found.iter().zip(&got) {
        assert_eq!(asked[lookup.key], row.0);
    }
    let mut got = got;
    got.sort();
    assert_eq!(got, want, "lookup at {}", at.0);
}

/// Holds the present, lets go of some of the past.
fn hold(horizon: &Arc<Horizon>, held: &mut Vec<ReadGuard>, time: u64, random: &mut StdRng) {
    held.push(horizon.hold(Timestamp(time)));
    horizon.raise_floor(Timestamp(time));
    while held.len() > 4 || held.len() > 1 && random.random_bool(0.3) {
        held.remove(random.random_range(0..held.len() - 1));
    }
}

fn table(
    seed: u64,
    key: Option<Vec<usize>>,
    keys: i64,
    writes: usize,
) -> (Arc<Relation>, Model, Vec<Writer>) {
    let mut random = StdRng::seed_from_u64(seed);
    let horizon = Horizon::new();
    let (relation, mut writers) = Relation::new(CollectionId(1), schema(), key, 1, &horizon);
    let writer = &mut writers[0];
    let (mut model, mut held, mut next) = (Model::default(), vec![], 0);
    for time in 1..=writes as u64 {
        let live: Vec<u64> = model.live().map(|span| span.id).collect();
        let deletes = if live.is_empty() { 0 } else { random.random_range(0..4) };
        let mut delete: Vec<u64> =
            (0..deletes).map(|_| live[random.random_range(0..live.len())]).collect();
        delete.sort();
        delete.dedup();
        let size = if random.random_bool(0.05) { 100 } else { 4 };
        let insert: Vec<Row> =
            (0..random.random_range(0..size)).map(|_| random_row(keys, &mut random)).collect();
        let ids: Vec<RowId> = delete.iter().map(|&id| RowId(id)).collect();
        let prepared = writer.prepare(&ids, batch(&insert, &mut random));
        let want = duplicate(&relation, &model, &delete, &insert);
        let prepared = match (prepared, want) {
            (Ok(prepared), None) => prepared,
            (Err(WriteError::Duplicate { row }), Some(want)) if row == want => continue,
            (other, want) => panic!("seed {seed}: {other:?} instead of {want:?}"),
        };
        let written = writer.write(Timestamp(time), prepared);
        assert_eq!(written.first, RowId(next), "ids go on in order");
        let deleted: Vec<Row> = written.deleted.iter().flat_map(rows_of).collect();
        let there = |id: &RowId| model.spans[id.0 as usize].row.clone();
        assert_eq!(deleted, written.deleted_ids.iter().map(there).collect::<Vec<_>>());
        delete.iter().for_each(|&id| model.spans[id as usize].end = time);
        for row in insert {
            model.add(row, time, next);
            next += 1;
        }
        hold(&horizon, &mut held, time, &mut random);
        if time % 16 == 0 {
            check(&relation, &model, &held, keys);
        }
    }
    drop(held);
    bounded(&relation, writer, &model);
    (relation, model, writers)
}

/// The row of `insert` that a primary key on column 0 refuses. Existing rows first, as they are
/// met.
fn duplicate(relation: &Relation, model: &Model, delete: &[u64], insert: &[Row]) -> Option<usize> {
    if relation.indexed().is_empty() {
        return None;
    }
    let by_key = relation.indexed()[0].len() == 1;
    let same = |a: &Row, b: &Row| if by_key { a.0 == b.0 } else { (a.0, &a.1) == (b.0, &b.1) };
    let stays = |span: &&Span| !delete.contains(&span.id);
    let old = |row: &Row| model.live().filter(stays).any(|span| same(&span.row, row));
    let stored = insert.iter().position(old);
    let within = || (0..insert.len()).find(|&i| insert[..i].iter().any(|r| same(r, &insert[i])));
    stored.or_else(within)
}

/// With no one reading the past, deleting everything leaves nothing after the next write.
fn bounded(relation: &Relation, writer: &mut Writer, model: &Model) {
    let live: Vec<RowId> = model.live().map(|span| RowId(span.id)).collect();
    let empty = RecordBatch::new_empty(schema());
    for (time, delete) in [(1 << 40, &live[..]), (1 << 41, &[])] {
        let prepared = writer.prepare(delete, empty.clone()).expect("live rows");
        writer.write(Timestamp(time), prepared);
        relation.horizon.raise_floor(Timestamp(time));
        assert_eq!(relation.count(Timestamp(time)), 0);
    }
    let state = relation.shards[0].read();
    let stored: usize = state.chunks.iter().map(|chunk| chunk.len()).sum();
    assert!(stored <= 64 || live.len() <= 64, "{stored} of {} rows stored", live.len());
    assert!(state.index.len() <= 64 || live.len() <= 64, "{} ids indexed", state.index.len());
}

#[test]
fn tables_without_a_key() {
    (0..4).for_each(|seed| drop(table(seed, None, 50, 2000)));
}

#[test]
fn tables_with_a_key() {
    (0..4).for_each(|seed| drop(table(seed, Some(vec![0]), 300, 2000)));
    (0..4).for_each(|seed| drop(table(seed, Some(vec![1, 0]), 300, 2000)));
}

fn view(
    seed: u64,
    key: Option<Vec<usize>>,
    batches: usize,
    retention: Option<u64>,
) -> (Arc<Relation>, Model, u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let horizon = Horizon::new();
    let keyed = key.is_some();
    let (relation, mut writers) = Relation::new(CollectionId(1), schema(), key, 1, &horizon);
    relation.limit_past(retention.map(Duration::from_micros), None);
    let (mut model, mut held, mut time) = (Model::default(), vec![], 0);
    for round in 0..batches {
        let mut updates: Vec<(Row, u64, i64)> = vec![];
        let mut missed: BTreeMap<(u64, Row), i64> = BTreeMap::new();
        for _ in 0..random.random_range(1..5) {
            time += random.random_range(1..3);
            let mut now: Vec<(Row, i64)> = vec![];
            for _ in 0..random.random_range(0..8) {
                let row = random_row(20, &mut random);
                if keyed {
                    // as a view does it: the old row of the key goes, a new one comes
                    let old = model.live().find(|span| span.row.0 == row.0);
                    if now.iter().any(|(other, _)| other.0 == row.0) {
                        continue;
                    }
                    now.extend(old.map(|span| (span.row.clone(), -1)));
                    if random.random_bool(0.7) {
                        now.push((row, 1));
                    }
                } else {
                    now.push((row, random.random_range(-2..4)));
                }
            }
            // the model adds first, as the contract says
            for (row, diff) in &now {
                (0..*diff).for_each(|_| model.add(row.clone(), time, 0));
            }
            for (row, diff) in &now {
                let lost = (*diff..0).filter(|_| !model.retract(row, time)).count();
                if lost > 0 {
                    *missed.entry((time, row.clone())).or_default() -= lost as i64;
                }
            }
            updates.extend(now.into_iter().map(|(row, diff)| (row, time, diff)));
        }
        let rows: Vec<Row> = updates.iter().map(|update| update.0.clone()).collect();
        let times: Vec<u64> = updates.iter().map(|update| update.1).collect();
        let diffs: Vec<i64> = updates.iter().map(|update| update.2).collect();
        let report = writers[0].apply(&Updates::new(batch(&rows, &mut random), times, diffs));
        let mut got: BTreeMap<(u64, Row), i64> = BTreeMap::new();
        if let Some(report) = report {
            for (i, row) in rows_of(&report.data).into_iter().enumerate() {
                *got.entry((report.times[i], row)).or_default() += report.diffs[i];
            }
        }
        assert_eq!(got, missed, "seed {seed}: over-retractions");
        hold(&horizon, &mut held, time, &mut random);
        if round % 16 == 0 {
            check(&relation, &model, &held, 20);
        }
    }
    (relation, model, time)
}

#[test]
fn views_without_a_key() {
    (0..6).for_each(|seed| drop(view(seed, None, 600, None)));
}

#[test]
fn views_with_a_key() {
    (0..6).for_each(|seed| drop(view(seed, Some(vec![0]), 1500, None)));
}

#[test]
fn a_view_of_one_row_stays_one_chunk_long() {
    let horizon = Horizon::new();
    let (relation, mut writers) =
        Relation::new(CollectionId(1), schema(), Some(vec![]), 1, &horizon);
    let mut random = StdRng::seed_from_u64(0);
    let mut old: Option<Row> = None;
    for time in 1..=10_000u64 {
        let new: Row = (Some(time as i64), "x".into(), 0);
        let rows: Vec<Row> = old.iter().cloned().chain([new.clone()]).collect();
        let diffs: Vec<i64> = old.iter().map(|_| -1).chain([1]).collect();
        let times = vec![time; rows.len()];
        let missed = writers[0].apply(&Updates::new(batch(&rows, &mut random), times, diffs));
        assert!(missed.is_none());
        horizon.raise_floor(Timestamp(time));
        old = Some(new);
    }
    let state = relation.shards[0].read();
    let stored: usize = state.chunks.iter().map(|chunk| chunk.len()).sum();
    assert!(stored <= 16, "{stored} rows stored");
    assert!(state.index.len() <= 16, "{} ids indexed", state.index.len());
}

#[test]
fn updates_of_all_rows_keep_the_store_within_twice_its_live_size() {
    const ROWS: i64 = 20_000;
    let horizon = Horizon::new();
    let (relation, mut writers) =
        Relation::new(CollectionId(1), schema(), Some(vec![0]), 1, &horizon);
    let mut random = StdRng::seed_from_u64(0);
    let rows: Vec<Row> = (1..=ROWS).map(|key| (Some(key), "x".into(), 0)).collect();
    let prepared = writers[0].prepare(&[], batch(&rows, &mut random)).expect("new keys");
    writers[0].write(Timestamp(1), prepared);
    for time in 2..400u64 {
        let keys: Vec<i64> = (0..500).map(|_| random.random_range(1..=ROWS)).collect();
        let keys: BTreeSet<i64> = keys.into_iter().collect();
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(keys.iter().copied()));
        let found = relation.lookup(&[0], &[column], Timestamp(time)).expect("indexed");
        assert_eq!(found.len(), keys.len());
        let delete: Vec<RowId> = found.iter().map(|lookup| lookup.id).collect();
        let rows: Vec<Row> = keys.iter().map(|&key| (Some(key), "y".into(), time)).collect();
        let prepared = writers[0].prepare(&delete, batch(&rows, &mut random)).expect("replaced");
        writers[0].write(Timestamp(time), prepared);
        horizon.raise_floor(Timestamp(time));
        let state = relation.shards[0].read();
        let stored: usize = state.chunks.iter().map(|chunk| chunk.len()).sum();
        assert!(stored <= 2 * ROWS as usize, "{stored} rows stored at {time}");
        assert!(state.chunks.len() <= 40, "{} chunks", state.chunks.len());
    }
    let state = relation.shards[0].read();
    assert!(state.index.len() <= 2 * ROWS as usize, "{} ids indexed", state.index.len());
}

#[test]
fn a_table_without_columns_counts_its_rows() {
    let horizon = Horizon::new();
    let schema: SchemaRef = Arc::new(Schema::empty());
    let (relation, mut writers) =
        Relation::new(CollectionId(1), Arc::clone(&schema), None, 1, &horizon);
    let row = crate::updates::batch_of(schema, vec![], 1);
    for time in 1..=20 {
        let prepared = writers[0].prepare(&[], row.clone()).expect("nothing to check");
        writers[0].write(Timestamp(time), prepared);
    }
    let prepared = writers[0].prepare(&[RowId(3)], row.slice(0, 0)).expect("row 3 is there");
    writers[0].write(Timestamp(21), prepared);
    assert_eq!(relation.count(Timestamp(20)), 20);
    assert_eq!(relation.scan(Timestamp(21)).iter().map(|r| r.ids.len()).sum::<usize>(), 19);
}

#[test]
fn a_key_is_found_in_whatever_shard_it_is() {
    let horizon = Horizon::new();
    let (relation, mut writers) =
        Relation::new(CollectionId(1), schema(), Some(vec![0]), 3, &horizon);
    let mut random = StdRng::seed_from_u64(0);
    for key in 0..30i64 {
        let row: Row = (Some(key), "x".into(), 0);
        let updates = Updates::at(batch(&[row], &mut random), 1 + key as u64, 1);
        assert!(writers[key as usize % 3].apply(&updates).is_none());
    }
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![7, 99, 3, 8]));
    let found = relation.lookup(&[0], &[Arc::clone(&keys)], Timestamp(30)).expect("indexed");
    assert_eq!(found.iter().map(|lookup| lookup.key).collect::<Vec<_>>(), [0, 2, 3]);
    let found: Vec<_> = rows_of(&relation.gather(&found).batch).into_iter().map(|r| r.0).collect();
    assert_eq!(found, [Some(7), Some(3), Some(8)]);
    assert!(relation.lookup(&[1], &[keys], Timestamp(30)).is_none(), "no index");
    let ids: Vec<u64> =
        relation.scan(Timestamp(30)).iter().flat_map(|r| r.ids.values().to_vec()).collect();
    let distinct: BTreeSet<u64> = ids.iter().copied().collect();
    assert_eq!((ids.len(), distinct.len()), (30, 30));
}

/// One writer moves 1 from row to row as fast as it can; readers see the same sum at every time,
/// while chunks are merged and dead rows dropped under them.
#[test]
fn readers_see_one_time_while_the_writer_works() {
    const ROWS: u64 = 200;
    let horizon = Horizon::new();
    let (relation, mut writers) =
        Relation::new(CollectionId(1), schema(), Some(vec![0]), 1, &horizon);
    let mut random = StdRng::seed_from_u64(0);
    let mut values = vec![100u64; ROWS as usize];
    let row = |key: u64, value: u64| -> Row { (Some(key as i64), value.to_string(), 0) };
    let rows: Vec<Row> = (0..ROWS).map(|key| row(key, 100)).collect();
    writers[0].apply(&Updates::at(batch(&rows, &mut random), 1, 1));
    horizon.raise_floor(Timestamp(1));
    let written = AtomicU64::new(1);
    std::thread::scope(|scope| {
        let reader = |seed: u64| {
            let (relation, horizon, written) = (&relation, &horizon, &written);
            move || {
                let mut random = StdRng::seed_from_u64(seed);
                let mut held: Vec<ReadGuard> = vec![];
                loop {
                    let placeholder = horizon.hold(Timestamp::MIN);
                    let time = written.load(Ordering::SeqCst);
                    held.push(horizon.hold(Timestamp(time)));
                    drop(placeholder);
                    let guard = &held[random.random_range(0..held.len())];
                    let rows: Vec<Row> =
                        relation.batches(guard.at).flat_map(|batch| rows_of(&batch)).collect();
                    let sum: u64 = rows.iter().map(|row| row.1.parse::<u64>().expect("one")).sum();
                    assert_eq!((rows.len() as u64, sum), (ROWS, 100 * ROWS), "at {}", guard.at.0);
                    if held.len() > 3 {
                        held.remove(random.random_range(0..held.len()));
                    }
                    if time > 5_000 {
                        return;
                    }
                }
            }
        };
        scope.spawn(reader(1));
        scope.spawn(reader(2));
        for time in 2..=5_001u64 {
            let (from, to) = (random.random_range(0..ROWS), random.random_range(0..ROWS));
            let mut rows = vec![];
            let mut diffs = vec![];
            if from != to && values[from as usize] > 0 {
                for (key, change) in [(from, -1i64), (to, 1)] {
                    let old = values[key as usize];
                    values[key as usize] = old.wrapping_add_signed(change);
                    rows.extend([row(key, values[key as usize]), row(key, old)]);
                    diffs.extend([1, -1]);
                }
            }
            let times = vec![time; rows.len()];
            let missed = writers[0].apply(&Updates::new(batch(&rows, &mut random), times, diffs));
            assert!(missed.is_none());
            written.store(time, Ordering::SeqCst);
            horizon.raise_floor(Timestamp(time));
        }
    });
}
