//! Rows that go by themselves: at exactly their times, whoever reads or commits, after a crash too.

use super::*;

const TTL: Duration = Duration::from_micros(500);
const MORTAL: CollectionId = CollectionId(5);

fn with_mortals(running: Running) -> Running {
    let table = TableDef { ttl: Some(TTL), ..TableDef::new(MORTAL, schema(), vec![0]) };
    let change = Change { create_tables: vec![table], ..Change::default() };
    running.commit(move |_| Ok(change)).expect("a table");
    running
}

fn keys(running: &Running, at: u64) -> Vec<i64> {
    rows(&running.tables, MORTAL, Timestamp(at)).into_keys().collect()
}

#[test]
fn a_row_goes_at_exactly_its_time() {
    let running = with_mortals(fresh());
    let change = writes(vec![insert(MORTAL, &[(1, 1)])]);
    let begin = running.commit(move |_| Ok(change)).expect("a new key").0;
    running.wall.advance(TTL * 3);
    let read = running.clock.read_time();
    assert_eq!(read, Timestamp(begin + 499), "no later time before the row is gone");
    running.committer.expiry()();
    let after = running.commit(|_| Ok(Change::default())).expect("nothing to refuse").0;
    assert!(after > begin + 500);
    assert_eq!(keys(&running, begin + 499), [1]);
    assert_eq!(keys(&running, begin + 500), [0; 0]);
    assert!(running.clock.read_time().0 >= after);
    let notes = running.notes.seen.lock().expect("no panic");
    let gone = notes.iter().find(|publication| publication.time.0 == begin + 500);
    assert_eq!(gone.expect("a tick at that time").updates[0].1.diffs[..], [-1]);
}

#[test]
fn rows_go_in_their_order_whatever_else_happens() {
    for seed in 0..20 {
        let mut random = StdRng::seed_from_u64(seed);
        let sealing = seed % 2 == 1;
        let mut running = with_mortals(if sealing { fresh_sealing() } else { fresh() });
        let mut there: BTreeMap<i64, (u64, u64)> = BTreeMap::new();
        let mut times = vec![];
        for key in 0..60 {
            running.wall.advance(Duration::from_micros(random.random_range(0..200)));
            let old = random.random_range(0..60);
            let tables = Arc::clone(&running.tables);
            let time = running.commit(move |context| {
                let mut write = insert(MORTAL, &[(key, 0)]);
                let old = rows(&tables, MORTAL, context.read).remove(&old);
                write.delete = old.into_iter().map(|(id, _)| id).collect();
                Ok(writes(vec![write]))
            });
            let time = time.expect("a new key").0;
            if let Some(span) = there.get_mut(&old).filter(|span| span.1 > time) {
                span.1 = time;
            }
            there.insert(key, (time, time + 500));
            times.extend([time - 1, time, time + 499, time + 500]);
            if random.random_bool(0.2) {
                running = running.crash();
                running.wall.set_wall(Timestamp(time + 1));
            }
        }
        running.wall.set_wall(Timestamp(times.iter().max().expect("some") + 1));
        running.commit(|_| Ok(Change::default())).expect("nothing to refuse");
        let running = if random.random() { running.crash() } else { running };
        for time in times {
            let want = there.iter().filter(|(_, span)| span.0 <= time && time < span.1);
            let want: Vec<i64> = want.map(|(key, _)| *key).collect();
            assert_eq!(keys(&running, time), want, "seed {seed} at {time}");
        }
    }
}

#[test]
fn another_ttl_holds_for_rows_that_are_there() {
    another_ttl_holds(with_mortals(fresh()));
    another_ttl_holds(with_mortals(fresh_sealing()));
}

fn another_ttl_holds(running: Running) {
    let ttl = |running: &Running, ttl: Option<Duration>| {
        let change = Change { ttls: vec![(MORTAL, ttl)], ..Change::default() };
        running.commit(move |_| Ok(change)).expect("it exists").0
    };
    let put = |running: &Running, key: i64| {
        let change = writes(vec![insert(MORTAL, &[(key, 1)])]);
        running.commit(move |_| Ok(change)).expect("a new key").0
    };
    let first = put(&running, 1);
    ttl(&running, None);
    let running = running.crash();
    running.wall.set_wall(Timestamp(first + 5_000));
    let second = put(&running, 2);
    assert_eq!(keys(&running, second), [1, 2]);
    // What is over goes with the change, the rest at its time.
    let change = ttl(&running, Some(TTL * 2));
    assert_eq!(keys(&running, change - 1), [1, 2]);
    assert_eq!(keys(&running, change), [2]);
    running.wall.set_wall(Timestamp(second + 2_000));
    running.commit(|_| Ok(Change::default())).expect("nothing to refuse");
    let running = running.crash();
    assert_eq!(keys(&running, second + 999), [2]);
    assert_eq!(keys(&running, second + 1_000), [0; 0]);
}
