//! Commits that wait for views which are behind.

use std::time::Duration;

use super::*;

/// Long enough that a commit which does not wait would be there.
const A_WHILE: Duration = Duration::from_millis(50);

#[test]
fn commits_to_tables_whose_views_are_behind_wait_in_order_and_others_pass() {
    let running = fresh();
    running.notes.behind.lock().expect("no panic").push(TABLE);
    let first = running.submit_insert(TABLE, (1, 1));
    let second = running.submit_insert(TABLE, (1, 2));
    let passes = running.submit_insert(OTHER, (1, 1)).recv().expect("told").expect("a row");
    assert!(first.recv_timeout(A_WHILE).is_err(), "it waits");
    assert_eq!(rows(&running.tables, TABLE, passes).len(), 0, "and is nowhere");

    running.notes.behind.lock().expect("no panic").clear();
    let first = first.recv().expect("told").expect("a row");
    assert!(first > passes);
    let second = second.recv().expect("told").expect_err("the first row has its key");
    assert!(matches!(second, CommitError::DuplicateKey { .. }), "{second}");
}

#[test]
fn what_waits_is_committed_before_the_end() {
    let running = fresh();
    running.notes.behind.lock().expect("no panic").push(TABLE);
    let waits = running.submit_insert(TABLE, (1, 1));
    running.submit_insert(OTHER, (1, 1)).recv().expect("told").expect("a row");
    running.committer.shutdown();
    let at = waits.recv().expect("told").expect("a row");
    assert_eq!(rows(&running.tables, TABLE, at).len(), 1);
}
