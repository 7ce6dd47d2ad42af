//! What readers see while many write.
//!
//! The bank: money moves between accounts all the time, and nobody ever sees any missing.
//!
//! Every transaction writes one row to each of two tables. Four materialized views stand on them
//! and on each other; a reader that saw one table's row without the other's, or one view ahead of
//! another, would find a total other than 0.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_postgres::Client;

use crate::support::{TestServer, rows, server, value};

const ACCOUNTS: u32 = 10;
const WRITERS: u64 = 4;

const SCHEMA: &str = "
    CREATE TABLE credit_entries (account int NOT NULL, amount bigint NOT NULL);
    CREATE TABLE debit_entries (account int NOT NULL, amount bigint NOT NULL);
    INSERT INTO credit_entries SELECT a, 0 FROM generate_series(1, 10) AS g(a);
    INSERT INTO debit_entries SELECT a, 0 FROM generate_series(1, 10) AS g(a);
    CREATE MATERIALIZED VIEW credits AS
        SELECT account, sum(amount) AS credits FROM credit_entries GROUP BY account;
    CREATE MATERIALIZED VIEW debits AS
        SELECT account, sum(amount) AS debits FROM debit_entries GROUP BY account;
    CREATE MATERIALIZED VIEW balance AS
        SELECT c.account, c.credits - d.debits AS balance
        FROM credits c JOIN debits d ON c.account = d.account;
    CREATE MATERIALIZED VIEW total AS SELECT sum(balance) AS total FROM balance;
";

const EVERYTHING: &str = "
    SELECT t.total, b.account, b.balance, c.credits, d.debits, c.credits - d.debits - b.balance
    FROM total t
    CROSS JOIN balance b
    JOIN credits c ON c.account = b.account
    JOIN debits d ON d.account = b.account";

#[tokio::test(flavor = "multi_thread")]
async fn the_bank_never_loses_a_coin() {
    bank(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute"]
async fn the_bank_never_loses_a_coin_for_a_minute() {
    bank(Duration::from_secs(60)).await;
}

async fn bank(time: Duration) {
    let server = server().await;
    let setup = server.client().await;
    for statement in SCHEMA.split(';').filter(|statement| !statement.trim().is_empty()) {
        setup.batch_execute(statement).await.expect(statement);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let moved = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for seed in 0..WRITERS {
        let (client, stop, moved) = (server.client().await, stop.clone(), moved.clone());
        tasks.push(tokio::spawn(write(client, seed, stop, moved)));
    }
    let readers = [
        tokio::spawn(read_total(server.client().await, stop.clone())),
        tokio::spawn(read_everything(server.client().await, stop.clone())),
    ];
    let end = Instant::now() + time;
    while Instant::now() < end && readers.iter().all(|reader| !reader.is_finished()) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.expect("writers don't fail");
    }
    for reader in readers {
        let reads = reader.await.expect("readers don't fail");
        assert!(reads > 10, "a reader came to read only {reads} times");
    }
    check_end(&server, moved.load(Ordering::Relaxed)).await;
}

/// Everything that was moved, and nothing else, is in the views.
async fn check_end(server: &TestServer, moved: u64) {
    assert!(moved > 100, "only {moved} transfers");
    let client = server.client().await;
    assert_eq!(value(&client, "SELECT total FROM total").await, "0");
    assert_eq!(value(&client, "SELECT sum(credits) FROM credits").await, moved.to_string());
    assert_eq!(value(&client, "SELECT sum(debits) FROM debits").await, moved.to_string());
    assert_eq!(
        rows(&client, "SELECT account, credits FROM credits ORDER BY account").await,
        rows(
            &client,
            "SELECT account, sum(amount) FROM credit_entries GROUP BY account ORDER BY account"
        )
        .await
    );
}

async fn write(client: Client, seed: u64, stop: Arc<AtomicBool>, moved: Arc<AtomicU64>) {
    let mut random = StdRng::seed_from_u64(seed);
    while !stop.load(Ordering::Relaxed) {
        let (from, to) = (random.random_range(1..=ACCOUNTS), random.random_range(1..=ACCOUNTS));
        // All take the tables in one order, so there are no deadlocks to retry.
        let transfer = format!(
            "BEGIN; INSERT INTO credit_entries VALUES ({to}, 1); \
             INSERT INTO debit_entries VALUES ({from}, 1); COMMIT"
        );
        match client.batch_execute(&transfer).await {
            Ok(()) => {
                moved.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                let code = error.code().map(|code| code.code().to_owned());
                assert_eq!(code.as_deref(), Some("40001"), "{error:?}");
                client.batch_execute("ROLLBACK").await.expect("a rollback");
            }
        }
    }
}

async fn read_total(client: Client, stop: Arc<AtomicBool>) -> u64 {
    let mut reads = 0;
    while !stop.load(Ordering::Relaxed) {
        assert_eq!(rows(&client, "SELECT total FROM total").await, ["0"]);
        reads += 1;
    }
    reads
}

async fn read_everything(client: Client, stop: Arc<AtomicBool>) -> u64 {
    let mut reads = 0;
    while !stop.load(Ordering::Relaxed) {
        let rows = rows(&client, EVERYTHING).await;
        assert_eq!(rows.len(), ACCOUNTS as usize);
        for row in rows {
            let values: Vec<&str> = row.split('|').collect();
            assert_eq!((values[0], values[5]), ("0", "0"), "{row}");
        }
        reads += 1;
    }
    reads
}

/// A view made in the midst of writes says the same as the table at once, and goes on doing so.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_made_while_others_write_is_right() {
    const COMPARE: &str = "
        SELECT (SELECT count(*) FROM t), (SELECT coalesce(sum(n), 0) FROM v),
               (SELECT coalesce(sum(id), 0) FROM t), (SELECT coalesce(sum(s), 0) FROM v)";
    let server = server().await;
    let client = server.client().await;
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, g int)").await.expect("a table");
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for seed in 0..WRITERS {
        let (client, stop) = (server.client().await, stop.clone());
        writers.push(tokio::spawn(churn(client, seed, stop)));
    }
    let create =
        "CREATE MATERIALIZED VIEW v AS SELECT g, count(*) AS n, sum(id) AS s FROM t GROUP BY g";
    let end = Instant::now() + Duration::from_secs(5);
    let mut made = 0;
    while Instant::now() < end {
        client.batch_execute(create).await.expect(create);
        for _ in 0..3 {
            let compared = value(&client, COMPARE).await;
            let values: Vec<&str> = compared.split('|').collect();
            assert_eq!((values[0], values[2]), (values[1], values[3]), "view {made}");
        }
        client.batch_execute("DROP MATERIALIZED VIEW v").await.expect("a drop");
        made += 1;
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("writers don't fail");
    }
    assert!(made > 5, "only {made} views");
}

/// Keeps a small table changing, so that its chunks are merged all the time.
async fn churn(client: Client, seed: u64, stop: Arc<AtomicBool>) {
    let mut random = StdRng::seed_from_u64(seed);
    while !stop.load(Ordering::Relaxed) {
        let (id, n) = (random.random_range(0..1000), random.random_range(0..10));
        let statement = match random.random_range(0..5) {
            0 => format!("UPDATE t SET g = g + 1 WHERE id % 7 = {}", n % 7),
            1 => format!("DELETE FROM t WHERE id % 11 = {n}"),
            _ => format!(
                "INSERT INTO t VALUES ({id}, {n}) ON CONFLICT (id) DO UPDATE SET g = excluded.g"
            ),
        };
        client.batch_execute(&statement).await.expect("a write");
    }
}

/// Views that take longer than the writers do.
const SLOW: &str = "
    CREATE TABLE readings (sensor int NOT NULL, v bigint NOT NULL);
    CREATE MATERIALIZED VIEW pairs AS
        SELECT a.sensor, count(*) AS n FROM readings a JOIN readings b
        ON a.sensor = b.sensor AND a.v < b.v GROUP BY a.sensor;
    CREATE TABLE others (id int PRIMARY KEY);
";

/// Acknowledged work that views have not done stays small, so who reads waits little: it is the
/// writers that wait, and only those of the table.
#[tokio::test(flavor = "multi_thread")]
async fn writers_wait_when_views_are_behind() {
    const TIME: Duration = Duration::from_secs(4);
    let server = server().await;
    let client = server.client().await;
    for statement in SLOW.split(';').filter(|statement| !statement.trim().is_empty()) {
        client.batch_execute(statement).await.expect(statement);
    }
    let end = Instant::now() + TIME;
    let mut writers = Vec::new();
    for seed in 0..16_u64 {
        let client = server.client().await;
        writers.push(tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(seed);
            let mut written = 0;
            while Instant::now() < end {
                let v = random.random_range(0..1_000_000_000_u64);
                let insert = format!(
                    "INSERT INTO readings SELECT i % 8, ({v} + i * 7919) % 1000003 \
                     FROM generate_series(1, 200) AS g(i)"
                );
                client.batch_execute(&insert).await.expect("a commit may wait");
                written += 200;
            }
            written
        }));
    }
    let (mut lags, mut inserts) = (Vec::new(), Vec::new());
    let mut id = 0;
    while Instant::now() < end {
        let lag = "SELECT lag_ms FROM tidemark.views WHERE view_name = 'pairs'";
        lags.push(value(&client, lag).await.parse::<f64>().expect("a number"));
        let begun = Instant::now();
        client.batch_execute(&format!("INSERT INTO others VALUES ({id})")).await.expect("a row");
        inserts.push(begun.elapsed());
        id += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut written = 0;
    for writer in writers {
        written += writer.await.expect("no writer is refused");
    }
    assert_eq!(value(&client, "SELECT count(*) FROM readings").await, written.to_string());
    lags.sort_by(f64::total_cmp);
    inserts.sort();
    // Without waiting, the views would be seconds behind by now.
    let median_ms = lags[lags.len() / 2];
    assert!(median_ms < 1000.0, "the view is {median_ms} ms behind");
    println!(
        "{written} rows; lag median {} ms, worst {} ms; another table's insert median {:?}, \
         worst {:?}",
        lags[lags.len() / 2],
        lags[lags.len() - 1],
        inserts[inserts.len() / 2],
        inserts[inserts.len() - 1]
    );
    server.running.shutdown().await;
}
