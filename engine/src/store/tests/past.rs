//! The past of a relation, at every time there ever was, against the same naive list.

use super::*;
use crate::store::{ReadAtError, with_arrived_at};
use crate::time::{Clock, ManualClock};

/// Everything that can be read of the past, at each of `times`.
fn check_past(relation: &Relation, model: &Model, times: impl Iterator<Item = u64>, keys: i64) {
    for at in times.map(Timestamp) {
        let want = model.at(at);
        let scan = relation.scan(at);
        let mut got: Vec<Row> = scan.iter().flat_map(|rows| rows_of(&rows.batch)).collect();
        got.sort();
        assert_eq!(got, want, "scan at {}", at.0);
        assert_eq!(relation.count(at), want.len());
        let mut ids: Vec<u64> = scan.iter().flat_map(|rows| rows.ids.values().to_vec()).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), want.len(), "an id for each row");
        if relation.indexed() == [vec![0]] {
            check_lookup(relation, &want, at, keys);
        }
    }
}

/// What rows with their begins and ends are at `from` and how they change up to `to`. Which of
/// equal rows goes is not told, so only the net counts.
fn net(
    rows: impl Iterator<Item = (Row, u64, u64)>,
    from: u64,
    to: u64,
) -> BTreeMap<(Row, u64), i64> {
    let mut net = BTreeMap::new();
    for (row, begin, end) in rows.filter(|(_, begin, end)| *begin <= to && *end > from) {
        *net.entry((row.clone(), begin.max(from))).or_default() += 1;
        *net.entry((row, if end > to { u64::MAX } else { end })).or_default() -= 1;
    }
    net.retain(|_, diff| *diff != 0);
    net
}

/// The spans and the changes between two times.
fn check_spans(relation: &Relation, model: &Model, from: u64, to: u64) {
    let mut got = vec![];
    for spans in relation.spans(Timestamp(from), Timestamp(to)) {
        assert!(spans.begins.iter().zip(&spans.ends).all(|(&b, &e)| b <= to && e > from));
        let arrived = spans.batch_for(&with_arrived_at(&spans.batch.schema()), true);
        assert_eq!(arrived.num_columns(), spans.batch.num_columns() + 1);
        let times = spans.begins.iter().copied().zip(spans.ends.iter().copied());
        got.extend(rows_of(&spans.batch).into_iter().zip(times).map(|(row, (b, e))| (row, b, e)));
    }
    let want = model.spans.iter().map(|span| (span.row.clone(), span.begin, span.end));
    assert!(net(got.into_iter(), from, to) == net(want, from, to), "spans from {from} to {to}");

    let changes = relation.changes(Timestamp(from), Timestamp(to));
    assert!(changes.times.is_sorted());
    assert!(changes.times.iter().all(|&time| from < time && time <= to));
    let mut rows: BTreeMap<Row, i64> = BTreeMap::new();
    model.at(Timestamp(from)).into_iter().for_each(|row| *rows.entry(row).or_default() += 1);
    for (row, &diff) in rows_of(&changes.data).into_iter().zip(changes.diffs.iter()) {
        *rows.entry(row).or_default() += diff;
    }
    let rows = rows.into_iter().flat_map(|(row, count)| {
        std::iter::repeat_n(row, usize::try_from(count).expect("no negative rows"))
    });
    assert_eq!(rows.collect::<Vec<_>>(), model.at(Timestamp(to)), "changes up to {to}");
}

fn check_all(relation: &Relation, model: &Model, from: u64, to: u64, keys: i64, seed: u64) {
    check_past(relation, model, (from..=to).step_by(7), keys);
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..50 {
        let begin = random.random_range(from..=to);
        check_spans(relation, model, begin, random.random_range(begin..=to));
    }
}

#[test]
fn tables_keep_everything() {
    for (seed, key) in [(1, None), (2, Some(vec![0])), (3, Some(vec![1, 0]))] {
        let (relation, model, _) = table(seed, key, 100, 2000);
        assert_eq!(relation.readable_from(), Timestamp::MIN);
        check_all(&relation, &model, 0, 2000, 100, seed);
    }
}

#[test]
fn views_keep_what_is_within_their_limits() {
    for (seed, key) in [(1, None), (2, Some(vec![0]))] {
        for retention in [None, Some(500), Some(0)] {
            let (relation, model, last) = view(seed, key.clone(), 600, retention);
            let from = retention.map_or(0, |retention| last - retention);
            assert_eq!(relation.readable_from(), Timestamp(from));
            check_all(&relation, &model, from, last, 20, seed);
        }
    }
}

/// Replaces the one row again and again, at times from `from` on.
fn replace(writer: &mut Writer, horizon: &Horizon, from: u64, to: u64) {
    let mut random = StdRng::seed_from_u64(0);
    for time in from..to {
        let row = |time: u64| -> Row { (Some(1), time.to_string(), 0) };
        let rows = [row(time), row(time - 1)];
        let updates = Updates::new(batch(&rows, &mut random), vec![time; 2], vec![1, -1]);
        let missed = writer.apply(&updates);
        assert_eq!(missed.is_some(), time == 1);
        horizon.raise_floor(Timestamp(time));
    }
}

#[test]
fn a_time_that_is_read_is_not_forgotten() {
    let horizon = Horizon::new();
    let clock = Clock::start(ManualClock::new(Timestamp(999)), Timestamp(7)).expect("ahead");
    clock.reserved(Timestamp(10_000));
    let key = Some(vec![0]);
    let (relation, mut writers) = Relation::new(CollectionId(1), schema(), key, 1, &horizon);
    relation.limit_past(Some(Duration::from_micros(100)), None);
    replace(&mut writers[0], &horizon, 1, 1000);
    assert_eq!(relation.readable_from(), Timestamp(899));
    let at = |at: u64| horizon.begin_read_at(&clock, Timestamp(at));
    let too_old = at(898).expect("it is over");
    let oldest = Timestamp(899);
    let error = ReadAtError::Forgotten { at: Timestamp(898), oldest };
    assert_eq!(relation.check_readable(too_old.at), Err(error));
    let held = at(950).expect("it is over");
    assert_eq!(relation.check_readable(held.at), Ok(()));
    let future = at(1000).expect_err("not yet");
    assert_eq!(future, ReadAtError::Future { at: Timestamp(1000), latest: Timestamp(999) });
    drop(too_old);
    replace(&mut writers[0], &horizon, 1000, 4000);
    assert!(relation.check_readable(held.at).is_err(), "for whoever comes now");
    let rows = |at: u64| -> Vec<Row> {
        relation.batches(Timestamp(at)).flat_map(|batch| rows_of(&batch)).collect()
    };
    assert_eq!(rows(950), [(Some(1), "950".to_owned(), 0)], "for whoever holds it");
    drop(held);
    replace(&mut writers[0], &horizon, 4000, 4100);
    assert_eq!(rows(950), []);
    assert_eq!(rows(4080), [(Some(1), "4080".to_owned(), 0)]);
}

#[test]
fn a_bound_on_bytes_forgets_the_oldest() {
    let horizon = Horizon::new();
    let key = Some(vec![0]);
    let (relation, mut writers) = Relation::new(CollectionId(1), schema(), key, 1, &horizon);
    relation.limit_past(None, Some(200_000));
    replace(&mut writers[0], &horizon, 1, 20_000);
    let from = relation.readable_from().0;
    assert!((10_000..19_000).contains(&from), "{from}");
    for at in (from..20_000).step_by(99) {
        let batches: Vec<_> = relation.batches(Timestamp(at)).collect();
        let rows: Vec<Row> = batches.iter().flat_map(rows_of).collect();
        assert_eq!(rows, [(Some(1), at.to_string(), 0)]);
    }
}
