//! EXPLAIN and EXPLAIN ANALYZE of a materialized view: each operator with its keys, its class and
//! whether what it reads only grows; and what it has done: rows in and out, its state, its time.

use tokio_postgres::Client;

use crate::support::{rows, server};

/// What EXPLAIN ANALYZE says of one operator.
#[derive(Debug, PartialEq)]
struct Done {
    updates_in: u64,
    updates_out: u64,
    state_rows: u64,
}

/// The numbers of the operator whose line begins so: what is compared, bytes of state,
/// milliseconds.
async fn done(client: &Client, view: &str, operator: &str) -> (Done, u64, f64) {
    let lines = rows(client, &format!("EXPLAIN ANALYZE MATERIALIZED VIEW {view}")).await;
    let line = lines.iter().find(|line| line.trim_start().starts_with(operator));
    let line = line.unwrap_or_else(|| panic!("no {operator} in {lines:#?}"));
    let number = |before: &str, after: &str| -> f64 {
        let rest = line.split_once(before).unwrap_or_else(|| panic!("no {before} in {line}")).1;
        let text = rest.split_once(after).unwrap_or_else(|| panic!("no {after} in {line}")).0;
        text.parse().unwrap_or_else(|_| panic!("{text} in {line}"))
    };
    let numbers = Done {
        updates_in: number(" in=", " ") as u64,
        updates_out: number(" out=", " ") as u64,
        state_rows: number(" state=", " rows") as u64,
    };
    (numbers, number(" rows ", " bytes") as u64, number(" time=", " ms"))
}

/// The same without bytes and time.
async fn counted(client: &Client, operator: &str) -> [u64; 3] {
    let (done, ..) = done(client, "m", operator).await;
    [done.updates_in, done.updates_out, done.state_rows]
}

async fn run(client: &Client, statement: &str) {
    client.batch_execute(statement).await.expect(statement);
    // The view has it when it can be read.
    rows(client, "SELECT * FROM m").await;
}

async fn set_up(client: &Client) {
    for statement in [
        "CREATE TABLE log (k int, v int) WITH (append_only = true)",
        "CREATE TABLE names (k int PRIMARY KEY, name text)",
        "CREATE MATERIALIZED VIEW m AS SELECT n.name, count(*) AS n, max(l.v) AS high
            FROM log l JOIN names n ON n.k = l.k WHERE l.v > 0 GROUP BY n.name",
    ] {
        client.batch_execute(statement).await.expect(statement);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operator_is_shown_with_keys_class_and_what_only_grows() {
    let server = server().await;
    let client = server.client().await;
    set_up(&client).await;
    assert_eq!(
        rows(&client, "EXPLAIN MATERIALIZED VIEW m").await,
        [
            "Aggregate keys=[name] calls=[count() accumulable, max(v) extremum] -> (name, n, high)",
            "  Project [name@3, v@1] -> (name, v)",
            "    Join [k = k] -> (k, v, k, name)",
            "      Filter v@1 > 0 append-only -> (k, v)",
            "        Input log append-only -> (k, v)",
            "      Input names -> (k, name)",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_have_done_is_counted() {
    let server = server().await;
    let client = server.client().await;
    set_up(&client).await;
    run(&client, "INSERT INTO names VALUES (1, 'a'), (2, 'b')").await;
    run(&client, "INSERT INTO log VALUES (1, 5), (1, 7), (2, 3), (2, -1), (9, 4)").await;
    // Of five rows four pass, three find a name, of two names.
    assert_eq!(counted(&client, "Filter").await, [5, 4, 0]);
    assert_eq!(counted(&client, "Join").await, [2 + 4, 3, 2 + 4]);
    assert_eq!(counted(&client, "Aggregate").await, [3, 2, 2]);

    // One name's old and new row; its group goes and another comes.
    run(&client, "UPDATE names SET name = 'c' WHERE k = 2").await;
    assert_eq!(counted(&client, "Filter").await, [5, 4, 0]);
    assert_eq!(counted(&client, "Join").await, [6 + 2, 3 + 2, 6]);
    assert_eq!(counted(&client, "Aggregate").await, [3 + 2, 2 + 2, 2]);

    // A group that stays changes: its old and its new row.
    run(&client, "INSERT INTO log VALUES (1, 9)").await;
    assert_eq!(counted(&client, "Aggregate").await, [6, 6, 2]);

    run(&client, "DELETE FROM names").await;
    assert_eq!(counted(&client, "Join").await, [8 + 1 + 2, 5 + 1 + 4, 5]);
    assert_eq!(counted(&client, "Aggregate").await, [6 + 4, 6 + 2, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn state_takes_bytes_and_steps_take_time() {
    let server = server().await;
    let client = server.client().await;
    set_up(&client).await;
    run(&client, "INSERT INTO names SELECT k, 'n' || k FROM generate_series(1, 10) AS s(k)").await;
    let (_, few, before) = done(&client, "m", "Join").await;
    run(&client, "INSERT INTO log SELECT v % 10, v FROM generate_series(1, 20000) AS s(v)").await;
    let (join, many, after) = done(&client, "m", "Join").await;
    assert_eq!(join.state_rows, 20_010);
    // Two integers a row, and something to find them by; not kilobytes.
    assert!((160_000..6_000_000).contains(&(many - few)), "from {few} to {many} bytes");
    assert!(after > before, "{after} ms after {before}");
    // What time there is was spent in it: less than the seconds that the statement took.
    assert!(after < 10_000.0, "{after} ms");
    let (filter, none, _) = done(&client, "m", "Filter").await;
    assert_eq!((filter.state_rows, none), (0, 0), "a filter keeps nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_only_table_is_kept_as_far_as_it_matters() {
    let server = server().await;
    let client = server.client().await;
    for (table, only) in [("grows", "true"), ("changes", "false")] {
        let make = format!("CREATE TABLE {table} (k int, v int) WITH (append_only = {only})");
        client.batch_execute(&make).await.expect(&make);
        for (view, query) in [
            ("least", format!("SELECT k, min(v) AS v FROM {table} GROUP BY k")),
            ("top", format!("SELECT k, v FROM {table} ORDER BY v DESC, k LIMIT 3")),
        ] {
            let make = format!("CREATE MATERIALIZED VIEW {view}_{table} AS {query}");
            client.batch_execute(&make).await.expect(&make);
        }
        let fill =
            format!("INSERT INTO {table} SELECT v % 10, v FROM generate_series(1, 5000) AS s(v)");
        client.batch_execute(&fill).await.expect(&fill);
    }
    let mut bytes = Vec::new();
    for (view, kept_of_top) in [("grows", 3), ("changes", 5_000)] {
        let (least, top) = (format!("least_{view}"), format!("top_{view}"));
        assert_eq!(rows(&client, &format!("SELECT * FROM {least}")).await.len(), 10);
        let expected = ["0|5000", "9|4999", "8|4998"];
        let mut found = rows(&client, &format!("SELECT k, v FROM {top}")).await;
        found.sort_by(|a, b| b.split('|').next_back().cmp(&a.split('|').next_back()));
        assert_eq!(found, expected);
        let (limit, ..) = done(&client, &top, "TopK").await;
        assert_eq!(limit.state_rows, kept_of_top, "{top}");
        bytes.push(done(&client, &least, "Aggregate").await.1);
    }
    // One value a group, beside all values of each.
    assert!(bytes[0] * 10 < bytes[1], "{bytes:?}");
}
