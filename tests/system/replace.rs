//! Definitions replaced under load: nobody who reads notices the switch, nobody reads a mixture,
//! and what was read at a time is what the version in force at that time says (S12).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::crash::Process;
use crate::support::{TestServer, connect, failure, rows, server, value};

/// `v`, `w` and `wp`.
const MATERIALIZED: usize = 3;
const ROWS: u32 = 2000;
const REPLACEMENTS: u64 = 25;
const CRASHES: u64 = 4;

/// `v` under the logic of number `n`; `w` and the plain view `p` stand on it.
fn definition(n: u64) -> String {
    format!("CREATE OR REPLACE MATERIALIZED VIEW v AS SELECT k, x * {n} AS x, {n} AS logic FROM t")
}

async fn set_up(client: &Client) {
    let rows = format!("INSERT INTO t SELECT k, 1 FROM generate_series(1, {ROWS}) AS g(k)");
    let statements = [
        "CREATE TABLE t (k int PRIMARY KEY, x bigint NOT NULL)",
        "CREATE TABLE log (at timestamptz, road text, logic bigint)",
        &rows,
        &definition(1),
        "CREATE VIEW p AS SELECT k, x, logic FROM v WHERE k <= 100",
        "CREATE MATERIALIZED VIEW w AS
            SELECT sum(x) AS x, min(logic) AS least, max(logic) AS logic FROM v",
        "CREATE MATERIALIZED VIEW wp AS SELECT count(*) AS n, max(logic) AS logic FROM p",
    ];
    for statement in statements {
        client.batch_execute(statement).await.expect(statement);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_never_notice_a_switch() {
    let server = server().await;
    let client = server.client().await;
    set_up(&client).await;
    let stop = Arc::new(AtomicBool::new(false));
    let readers = [
        tokio::spawn(read(server.client().await, stop.clone())),
        tokio::spawn(read(server.client().await, stop.clone())),
        tokio::spawn(read_by_key(server.client().await, stop.clone())),
        tokio::spawn(read_in_transactions(server.client().await, stop.clone())),
        tokio::spawn(log_reads(server.client().await, stop.clone())),
        tokio::spawn(write(server.client().await, stop.clone())),
    ];
    for n in 2..=REPLACEMENTS {
        client.batch_execute(&definition(n)).await.expect("a replacement");
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(readers.iter().all(|reader| !reader.is_finished()), "a reader failed");
    }
    stop.store(true, Ordering::Relaxed);
    let mut reads = Vec::new();
    for reader in readers {
        reads.extend(reader.await.expect("readers don't fail"));
    }
    assert!(reads.len() > 100, "hardly anything was read: {}", reads.len());
    let values: Vec<String> =
        reads.iter().map(|(at, road, logic)| format!("('{at}', '{road}', {logic})")).collect();
    client
        .batch_execute(&format!("INSERT INTO log VALUES {}", values.join(", ")))
        .await
        .expect("a log");
    // The version of number n has logic n.
    let wrong = "
        SELECT l.road, l.at, l.logic, v.version, v.valid_from FROM log l
        JOIN tidemark.views v ON v.view_name = 'v'
            AND v.valid_from <= l.at AND (v.valid_to IS NULL OR v.valid_to > l.at)
        WHERE v.version <> l.logic";
    assert_eq!(rows(&client, wrong).await, Vec::<String>::new());
    wait_until_only_the_newest_are_kept(&server).await;
}

/// A time, by which road it was read at, and the logic that answered.
type Read = (String, &'static str, String);

const AT: &str = "to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US\"Z\"')";

async fn read(client: Client, stop: Arc<AtomicBool>) -> Vec<Read> {
    let mut reads = Vec::new();
    let query = format!(
        "SELECT {AT}, w.least, w.logic, wp.logic, (SELECT max(logic) FROM p), w.x = \
         (SELECT sum(x) * w.logic FROM t), wp.n FROM w, wp"
    );
    while !stop.load(Ordering::Relaxed) {
        let row = value(&client, &query).await;
        let columns: Vec<&str> = row.split('|').collect();
        let logic = columns[2];
        assert_eq!(columns[1..], [logic, logic, logic, logic, "t", "100"], "a mixture");
        reads.push((columns[0].to_owned(), "query", logic.to_owned()));
    }
    reads
}

async fn read_by_key(client: Client, stop: Arc<AtomicBool>) -> Vec<Read> {
    let mut reads = Vec::new();
    let query = format!("SELECT {AT}, logic FROM v WHERE k = $1::int");
    let prepared = client.prepare(&query).await.expect("a prepared statement");
    while !stop.load(Ordering::Relaxed) {
        let row = client.query_one(&prepared, &[&7]).await.expect("a read by key");
        let (at, logic): (String, i32) = (row.get(0), row.get(1));
        reads.push((at, "key", logic.to_string()));
    }
    reads
}

async fn read_in_transactions(client: Client, stop: Arc<AtomicBool>) -> Vec<Read> {
    let mut reads = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        client.batch_execute("BEGIN").await.expect("BEGIN");
        tokio::time::sleep(Duration::from_millis(10)).await;
        let first = value(&client, &format!("SELECT {AT}, logic FROM w")).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        let again = value(&client, &format!("SELECT {AT}, max(logic) FROM p")).await;
        assert_eq!(first, again, "one transaction, one snapshot");
        client.batch_execute("COMMIT").await.expect("COMMIT");
        let (at, logic) = first.split_once('|').expect("two columns");
        reads.push((at.to_owned(), "transaction", logic.to_owned()));
    }
    reads
}

/// What was served is logged by the statement that reads it.
async fn log_reads(client: Client, stop: Arc<AtomicBool>) -> Vec<Read> {
    let log = "INSERT INTO log SELECT now(), 'log', logic FROM w";
    while !stop.load(Ordering::Relaxed) {
        client.batch_execute(log).await.expect(log);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Vec::new()
}

async fn write(client: Client, stop: Arc<AtomicBool>) -> Vec<Read> {
    let mut k = 0;
    while !stop.load(Ordering::Relaxed) {
        k = k % ROWS + 1;
        let update = format!("UPDATE t SET x = x + 1 WHERE k = {k}");
        client.batch_execute(&update).await.expect("an update");
    }
    Vec::new()
}

/// Versions that nobody can know any more are not kept up.
async fn wait_until_only_the_newest_are_kept(server: &TestServer) {
    let started = Instant::now();
    while server.running.maintained_views() > MATERIALIZED {
        assert!(started.elapsed() < Duration::from_secs(20), "old versions stay");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_replacement_leaves_everything_as_it_was() {
    let server = server().await;
    let client = server.client().await;
    set_up(&client).await;
    let more = "INSERT INTO t SELECT k, 1 FROM generate_series(3000, 200000) AS g(k)";
    client.batch_execute(more).await.expect(more);
    client.batch_execute("SET statement_timeout = '20ms'").await.expect("SET");
    let (code, _) = failure(&client, &definition(2)).await;
    assert_eq!(code, "57014");
    client.batch_execute("RESET statement_timeout").await.expect("RESET");
    assert_eq!(value(&client, "SELECT least, logic FROM w").await, "1|1");
    let versions = "SELECT count(*), max(version) FROM tidemark.views WHERE view_name = 'v'";
    assert_eq!(value(&client, versions).await, "1|1");
    client.batch_execute(&definition(3)).await.expect("the catalog is free again");
    assert_eq!(value(&client, "SELECT least, logic FROM w").await, "3|3");
    assert_eq!(value(&client, versions).await, "2|2");
    wait_until_only_the_newest_are_kept(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_leaves_one_version_in_force_everywhere() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let mut process = Process::start(data.path()).await;
    let client = connect(process.addr).await.expect("a connection");
    set_up(&client).await;
    let last = Arc::new(AtomicU64::new(1));
    for round in 0..CRASHES {
        let client = connect(process.addr).await.expect("a connection");
        let replacing = tokio::spawn(replace(client, last.clone()));
        tokio::time::sleep(Duration::from_millis(120 + 170 * round)).await;
        process.kill();
        replacing.await.expect("the client ends when the server is gone");
        process = Process::start(data.path()).await;
        let client = connect(process.addr).await.expect("a connection");
        check(&client, last.load(Ordering::SeqCst)).await;
    }
}

/// Replaces until the server is gone.
async fn replace(client: Client, last: Arc<AtomicU64>) {
    loop {
        let next = last.load(Ordering::SeqCst) + 1;
        if client.batch_execute(&definition(next)).await.is_err() {
            return;
        }
        last.store(next, Ordering::SeqCst);
    }
}

async fn check(client: &Client, acknowledged: u64) {
    let logic = value(client, "SELECT least, logic FROM w").await;
    let (least, logic) = logic.split_once('|').expect("two columns");
    assert_eq!(least, logic);
    let number: u64 = logic.parse().expect("a number");
    // The last one may have happened without having been acknowledged.
    assert!(number == acknowledged || number == acknowledged + 1, "{number} of {acknowledged}");
    let all = "SELECT min(logic), max(logic), count(*), sum(x) FROM v";
    let sum = u64::from(ROWS) * number;
    assert_eq!(value(client, all).await, format!("{logic}|{logic}|{ROWS}|{sum}"));
    assert_eq!(value(client, "SELECT n, logic FROM wp").await, format!("100|{logic}"));
    let versions = "
        SELECT view_name, count(*), max(version), count(*) FILTER (WHERE valid_to IS NULL)
        FROM tidemark.views GROUP BY view_name ORDER BY view_name";
    let expected: Vec<String> =
        ["p", "v", "w", "wp"].map(|view| format!("{view}|{logic}|{logic}|1")).into();
    assert_eq!(rows(client, versions).await, expected);
}
