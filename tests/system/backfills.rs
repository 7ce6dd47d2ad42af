//! Long work seen and stopped from outside: one client begins it, another finds it in
//! `tidemark.backfills` and cancels it. Nothing of it is left.

use std::time::{Duration, Instant};

use tidemark_server::{Config, Server};
use tokio_postgres::Client;

use crate::support::{TestServer, failure, rows, value};

const PATIENCE: Duration = Duration::from_secs(120);

/// A table `e` of events, `r` of requests about them at many times, and a plain view `f` over `e`.
async fn events(events: u32, requests: u32) -> TestServer {
    events_within(None, events, requests).await
}

/// The same where replays may hold so much.
async fn events_within(memory: Option<u64>, events: u32, requests: u32) -> TestServer {
    let data = tempfile::tempdir().expect("a temporary directory");
    let config = Config { memory, ..Config::for_test(data.path()) };
    let running = Server::start(config).await.expect("a server starts");
    let server = TestServer { running, data };
    let client = server.client().await;
    let inserts = format!(
        "INSERT INTO e SELECT n, n % 100, n % 7 FROM generate_series(1, {}) AS g(n)",
        events / 10
    );
    client
        .batch_execute(
            "CREATE TABLE e (n bigint, k int, v bigint);
             CREATE TABLE r (id bigint, k int, ts timestamptz);
             CREATE VIEW f AS SELECT k, sum(v) AS s, count(DISTINCT v) AS d FROM e GROUP BY k",
        )
        .await
        .expect("tables and a view");
    for _ in 0..10 {
        client.batch_execute(&inserts).await.expect("events");
        let asked = format!(
            "INSERT INTO r SELECT n, n % 100, now() FROM generate_series(1, {}) AS g(n)",
            requests / 10
        );
        client.batch_execute(&asked).await.expect("requests");
    }
    server
}

/// Waits until a client finds work of these kinds about these relations, and nothing else, and
/// returns whose it is.
async fn found(client: &Client, wanted: &[&str]) -> String {
    let begun = Instant::now();
    loop {
        let work =
            rows(client, "SELECT kind || ' ' || relation_name FROM tidemark.backfills").await;
        if wanted.iter().all(|wanted| work.iter().any(|found| found == wanted)) {
            let pids = "SELECT DISTINCT pid FROM tidemark.backfills WHERE pid IS NOT NULL";
            if let [pid] = &rows(client, pids).await[..] {
                return pid.clone();
            }
        }
        assert!(begun.elapsed() < PATIENCE, "{work:?} is there, {wanted:?} is not");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn all_done(client: &Client) {
    let begun = Instant::now();
    while value(client, "SELECT count(*) FROM tidemark.backfills").await != "0" {
        assert!(begun.elapsed() < PATIENCE, "something goes on for ever");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Runs a statement until somebody else cancels it.
async fn cancelled(server: &TestServer, statement: &str, wanted: &[&str]) {
    let (running, looking) = (server.client().await, server.client().await);
    let own_pid = value(&running, "SELECT pg_backend_pid()").await;
    let looks = async {
        let pid = found(&looking, wanted).await;
        let times =
            "SELECT count(*) FROM tidemark.backfills WHERE started_at > now() OR done > total";
        assert_eq!(value(&looking, times).await, "0");
        let begun = Instant::now();
        assert_eq!(value(&looking, &format!("SELECT pg_cancel_backend({pid})")).await, "t");
        (pid, begun)
    };
    let ((code, message), (pid, begun)) = tokio::join!(failure(&running, statement), looks);
    assert!(begun.elapsed() < Duration::from_secs(10), "cancelled after {:?}", begun.elapsed());
    assert_eq!((code.as_str(), pid), ("57014", own_pid), "{message}");
    all_done(&looking).await;
    assert_eq!(value(&running, "SELECT 1").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_seen_and_cancelled() {
    let server = events(200_000, 100_000).await;
    let train = "CREATE TABLE train AS SELECT r.id, f.s, f.d FROM r
                 LEFT JOIN f FOR SYSTEM_TIME AS OF r.ts AS f ON f.k = r.k";
    cancelled(&server, train, &["create table as train", "point-in-time join f"]).await;
    let client = server.client().await;
    assert_eq!(failure(&client, "SELECT * FROM train").await.0, "42P01");
    cancelled(&server, "SELECT count(*) FROM history('f')", &["replay f"]).await;
    let past = "SELECT * FROM f FOR SYSTEM_TIME AS OF now()";
    assert_eq!(rows(&client, past).await.len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_is_cancelled_while_it_is_filled_never_was() {
    let server = events(200_000, 10).await;
    let create = "CREATE MATERIALIZED VIEW m AS
                  SELECT n, k, v, rank() OVER (PARTITION BY k % 3 ORDER BY v, n) AS place FROM e";
    let client = server.client().await;
    cancelled(&server, create, &["backfill m"]).await;
    assert_eq!(failure(&client, "SELECT * FROM m").await.0, "42P01");
    assert_eq!(server.running.maintained_views(), 0);
    client
        .batch_execute("CREATE MATERIALIZED VIEW m AS SELECT k, count(*) AS c FROM e GROUP BY k")
        .await
        .expect("its name is free");
    let replace = create
        .replace("CREATE", "CREATE OR REPLACE")
        .replace("SELECT n, k, v, rank()", "SELECT k, n AS c, v, rank()");
    cancelled(&server, &replace, &["backfill m"]).await;
    assert_eq!(value(&client, "SELECT sum(c) FROM m").await, "200000");
    let server = server.restart().await;
    let client = server.client().await;
    assert_eq!(value(&client, "SELECT sum(c) FROM m").await, "200000");
    let versions = "SELECT count(*) FROM tidemark.views WHERE view_name = 'm'";
    assert_eq!(value(&client, versions).await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_cancelled_while_its_views_are_filled_has_happened() {
    let server = events(100_000, 10).await;
    let (client, other) = (server.client().await, server.client().await);
    let create = "BEGIN; CREATE MATERIALIZED VIEW m AS
                  SELECT n, rank() OVER (PARTITION BY k % 3 ORDER BY v, n) AS place FROM e";
    client.batch_execute(create).await.expect("it is staged");
    let cancels = async {
        let pid = found(&other, &["backfill m"]).await;
        value(&other, &format!("SELECT pg_cancel_backend({pid})")).await
    };
    let (committed, _) = tokio::join!(client.batch_execute("COMMIT"), cancels);
    committed.expect("what has been committed is not taken back");
    assert_eq!(value(&other, "SELECT count(*) FROM m").await, "100000");
}

/// A probe, a replay by key, and one of all keys at once.
const JOINS: [&str; 3] = [
    "SELECT count(*), sum(f.s), sum(f.d) FROM r
     LEFT JOIN f FOR SYSTEM_TIME AS OF r.ts AS f ON f.k = r.k",
    "SELECT count(*), sum(f.n) FROM r
     LEFT JOIN last FOR SYSTEM_TIME AS OF r.ts AS f ON f.k = r.k",
    "SELECT count(*), sum(f.n) FROM (SELECT DISTINCT ts FROM r) AS r
     LEFT JOIN last FOR SYSTEM_TIME AS OF r.ts AS f ON true",
];
const LAST: &str = "CREATE VIEW last AS
    SELECT k, n FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY n DESC) AS place FROM e)
    AS ranked WHERE place <= 3";

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_keeps_to_its_memory() {
    let unlimited = events(20_000, 500).await;
    let client = unlimited.client().await;
    client.batch_execute(LAST).await.expect("a view");
    let mut expected = Vec::new();
    for join in JOINS {
        expected.push(rows(&client, join).await);
    }
    // Enough for some of the hundred keys, so that it goes by fewer at a time.
    let some = events_within(Some(800 << 10), 20_000, 500).await;
    let client = some.client().await;
    client.batch_execute(LAST).await.expect("a view");
    for (join, expected) in JOINS.iter().zip(&expected).take(2) {
        assert_eq!(rows(&client, join).await, *expected, "{join}");
    }
    let (code, message) = failure(&client, JOINS[2]).await;
    assert_eq!(code, "53200", "{message}");
    // Enough for no key, and none is left to sum up what a replay would give.
    let none = events_within(Some(400), 20_000, 500).await;
    let client = none.client().await;
    client.batch_execute(LAST).await.expect("a view");
    for join in &JOINS[..2] {
        let (_, from) = join.split_once(" FROM ").expect("a query");
        let (code, message) = failure(&client, &format!("SELECT * FROM {from}")).await;
        assert_eq!(code, "53200", "{message}");
        assert!(message.contains("out of memory while replaying"), "{message}");
    }
    assert_eq!(rows(&client, "SELECT k FROM e WHERE n = 5").await.len(), 10);
}
