//! A key that a table gets later: it holds from then on, for the past too, and after a crash.

use super::*;

const PLAIN: CollectionId = CollectionId(5);

fn with_plain(running: Running) -> Running {
    let table = TableDef::new(PLAIN, schema(), vec![]);
    let change = Change { create_tables: vec![table], ..Change::default() };
    running.commit(move |_| Ok(change)).expect("a table");
    running
}

fn add_key(running: &Running) -> Result_ {
    let key = AddedKey { table: PLAIN, columns: vec![0] };
    running.commit(move |_| Ok(Change { add_keys: vec![key], ..Change::default() }))
}

fn put(running: &Running, rows: &[(i64, i64)]) -> Timestamp {
    let write = insert(PLAIN, rows);
    running.commit(move |_| Ok(writes(vec![write]))).expect("rows")
}

fn delete(running: &Running, key: i64) -> Timestamp {
    let tables = Arc::clone(&running.tables);
    let gone = running.commit(move |context| {
        let mut write = insert(PLAIN, &[]);
        write.delete = vec![rows(&tables, PLAIN, context.read)[&key].0];
        Ok(writes(vec![write]))
    });
    gone.expect("it was there")
}

/// The value of a key at a time, by the index.
fn found(running: &Running, key: i64, at: Timestamp) -> Vec<i64> {
    let relation = running.tables.relation(PLAIN).expect("it exists");
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![key]));
    let found = relation.lookup(&[0], &[keys], at).expect("an index");
    let value = |at: &crate::Lookup| at.batch.column(1).as_primitive::<Int64Type>().value(at.row);
    found.iter().map(value).collect()
}

#[test]
fn a_key_is_one_for_all_times() {
    is_one_for_all_times(with_plain(fresh()));
}

#[test]
fn a_sealed_key_is_one_for_all_times() {
    is_one_for_all_times(with_plain(fresh_sealing()));
}

fn is_one_for_all_times(running: Running) {
    let first = put(&running, &[(1, 10), (2, 20)]);
    delete(&running, 1);
    let second = put(&running, &[(1, 11), (3, 30)]);
    let keyed = add_key(&running).expect("a key at every time");
    let error = running.commit(|_| Ok(writes(vec![insert(PLAIN, &[(3, 31)])])));
    assert!(matches!(error, Err(CommitError::DuplicateKey { table: PLAIN, row: 0 })));
    delete(&running, 3);
    let third = put(&running, &[(3, 32)]);
    let check = |running: &Running| {
        for (key, at, want) in [
            (1, first, vec![10]),
            (1, first.next(), vec![]),
            (1, second, vec![11]),
            (3, keyed, vec![30]),
            (3, third, vec![32]),
            (4, third, vec![]),
        ] {
            assert_eq!(found(running, key, at), want, "{key} at {at}");
        }
    };
    check(&running);
    let running = running.crash();
    check(&running);
    let error = running.commit(|_| Ok(writes(vec![insert(PLAIN, &[(3, 33)])])));
    assert!(matches!(error, Err(CommitError::DuplicateKey { .. })));
    let last = put(&running, &[(4, 40)]);
    assert_eq!(found(&running.crash(), 4, last), [40]);
}

#[test]
fn what_two_rows_ever_had_is_no_key() {
    let running = with_plain(fresh());
    put(&running, &[(1, 10), (2, 20), (1, 11)]);
    let error = add_key(&running).expect_err("two rows");
    let CommitError::Key { error: KeyError::Duplicate { key, until }, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(key.column(0).as_primitive::<Int64Type>().value(0), 1);
    assert_eq!(until, Timestamp::MAX);
    let gone = delete(&running, 1);
    let error = add_key(&running).expect_err("there were two rows");
    let CommitError::Key { error: KeyError::Duplicate { until, .. }, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(until, gone);
    let running = running.crash();
    put(&running, &[(1, 12)]);
    assert_eq!(rows(&running.tables, PLAIN, running.clock.read_time()).len(), 2);
}
