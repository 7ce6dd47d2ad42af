//! Nexmark: the source, and all queries of the benchmark over it, as DataFusion answers them.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::crash::Process;
use crate::support::{connect, failure, rows, server, value};

#[path = "../bench/nexmark/queries.rs"]
mod queries;

use queries::{QUERIES, SIDE_INPUT, normal};

const EVENTS: u64 = 20_000;
/// Much longer than it takes.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn all_queries_agree_with_datafusion() {
    let server = server().await;
    let client = server.client().await;
    client.batch_execute(SIDE_INPUT).await.expect("a table");
    // Half of the views before the first event, the others beside what is there already.
    let (before, after) = QUERIES.split_at(QUERIES.len() / 2);
    let source = format!(
        "BEGIN; CREATE SOURCE nexmark WITH (connector = 'nexmark', events = {EVENTS}, rate = 40000)"
    );
    client.batch_execute(&source).await.expect("a source");
    for query in before {
        client.batch_execute(query.view).await.expect(query.name);
    }
    client.batch_execute("COMMIT").await.expect("a commit");
    for query in after {
        client.batch_execute(query.view).await.expect(query.name);
    }
    wait_for_end(&client).await;
    let events = queries::datafusion(EVENTS);
    let mut expected = Vec::new();
    for query in QUERIES {
        expected.push(query.expected(&events).await);
    }
    check(&client, &expected).await;
    drop(client);
    let server = server.restart().await;
    check(&server.client().await, &expected).await;
}

async fn check(client: &Client, expected: &[Vec<String>]) {
    for (query, expected) in QUERIES.iter().zip(expected) {
        assert!(!expected.is_empty(), "{} proves something", query.name);
        let answer = answer(client, &format!("SELECT * FROM {}", query.name)).await;
        let differ = answer.iter().zip(expected).find(|(is, should)| is != should);
        assert_eq!(differ, None, "{}: the first row that differs", query.name);
        assert_eq!(answer.len(), expected.len(), "{}: the number of rows", query.name);
    }
}

/// Rows as [`normal`] text, sorted.
async fn answer(client: &Client, query: &str) -> Vec<String> {
    let rows = rows(client, query).await;
    let mut rows: Vec<String> =
        rows.iter().map(|row| row.split('|').map(normal).collect::<Vec<_>>().join("|")).collect();
    rows.sort_unstable();
    rows
}

async fn wait_for_end(client: &Client) {
    let started = Instant::now();
    while value(client, "SELECT max(behind) FROM tidemark.sources").await != "0" {
        assert!(started.elapsed() < PATIENCE, "the source does not come to its end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Killed again and again, a view has each event once, and the past stays what it was.
#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_there_once_across_kill_9() {
    const VIEW: &str = "CREATE MATERIALIZED VIEW v AS
        SELECT auction, count(*) AS n, sum(price) AS total FROM bid GROUP BY auction";
    let data = tempfile::tempdir().expect("a temporary directory");
    let mut process = Process::start(data.path()).await;
    let client = connect(process.addr).await.expect("a connection");
    let source = "CREATE SOURCE nexmark WITH
        (connector = 'nexmark', events = 20000, rate = 8000, seed = 3)";
    client.batch_execute(source).await.expect("a source");
    client.batch_execute(VIEW).await.expect("a view");
    let kept = "CREATE TABLE kept WITH
        (connector = 'nexmark', table = 'auction', events = 20000, rate = 8000, seed = 3)";
    client.batch_execute(kept).await.expect("a table");
    let mut client = client;
    let mut past: Vec<(String, String)> = Vec::new();
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        // now() and the rows beside it are of one time.
        let now = value(&client, "SELECT now()::text || '|' || count(*) FROM bid").await;
        past.push(now.split_once('|').map(|(at, n)| (at.into(), n.into())).expect("two values"));
        process.kill();
        process = Process::start(data.path()).await;
        client = connect(process.addr).await.expect("a connection");
        for (at, count) in &past {
            let then = format!("SELECT count(*) FROM bid FOR SYSTEM_TIME AS OF '{at}'");
            assert_eq!(value(&client, &then).await, *count, "at {at}");
        }
    }
    wait_for_end(&client).await;
    let both = "SELECT auction, count(*) AS n, sum(price) AS total FROM bid GROUP BY auction";
    let expected = answer(&client, both).await;
    assert_eq!(answer(&client, "SELECT * FROM v").await, expected);
    assert_eq!(value(&client, "SELECT sum(n) FROM v").await, "18400");
    assert_eq!(value(&client, "SELECT count(*) FROM kept").await, "1200");
    let same = "SELECT count(*) FROM kept JOIN auction USING (id, seller, expires, extra)";
    assert_eq!(value(&client, same).await, "1200");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_shown_and_dropped() {
    let server = server().await;
    let client = server.client().await;
    let source = "CREATE SOURCE nexmark WITH (connector = 'nexmark', events = 500)";
    client.batch_execute(source).await.expect("a source");
    let view = "CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM bid";
    client.batch_execute(view).await.expect("a view");
    wait_for_end(&client).await;
    let shown = "SELECT source_name, connector, options, relations, read_to, ends_at, behind,
                 commit_to_visible_ms IS NOT NULL FROM tidemark.sources";
    let expected = "nexmark|nexmark|events = 500|{person,auction,bid}|500|500|0|t";
    assert_eq!(value(&client, shown).await, expected);
    let counts = "SELECT string_agg(relname || reltuples, ' ' ORDER BY oid) FROM pg_class
                  WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    assert_eq!(value(&client, counts).await, "person10 auction30 bid460");
    let changes = "SELECT sum(_diff), count(DISTINCT _time) > 0 FROM changes('bid')";
    assert_eq!(value(&client, changes).await, "460|t");
    assert_eq!(failure(&client, "DROP SOURCE nexmark").await.0, "2BP01");
    assert_eq!(failure(&client, "DROP TABLE bid").await.0, "2BP01");
    client.batch_execute("DROP SOURCE nexmark CASCADE").await.expect("a drop");
    assert_eq!(value(&client, "SELECT count(*) FROM tidemark.sources").await, "0");
    assert_eq!(failure(&client, "SELECT * FROM v").await.0, "42P01");
    client.batch_execute(source).await.expect("the names are free again");
    drop(client);
    let server = server.restart().await;
    let client = server.client().await;
    wait_for_end(&client).await;
    assert_eq!(value(&client, "SELECT count(*) FROM auction").await, "30");
}
