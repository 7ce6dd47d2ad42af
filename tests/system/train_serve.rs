//! Train–serve: what clients read while everything changes, and logged with the time they read it
//! at, is what the point-in-time join rebuilds afterwards, row for row.
//!
//! The load inserts late rows, ties and rows dated in the future, changes prices and deletes rows;
//! the windows are short, so that rows also leave by themselves. The features are a materialized
//! view over a join, and a plain view whose value changes at every instant.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::support::{TestServer, server, value};

const USERS: u32 = 25;
const ITEMS: u32 = 8;
const WRITERS: u64 = 3;
const READERS: u64 = 2;
/// Several windows long, so that rows leave them.
const LOAD: Duration = Duration::from_secs(2);

const SCHEMA: &str = "
    CREATE TABLE users (usr int PRIMARY KEY);
    CREATE TABLE items (item int PRIMARY KEY, price numeric(10,2) NOT NULL);
    CREATE TABLE looks (id int PRIMARY KEY, usr int, item int, ts timestamptz);
    INSERT INTO users SELECT a FROM generate_series(1, 25) AS g(a);
    INSERT INTO items SELECT a, a FROM generate_series(1, 8) AS g(a);
    CREATE MATERIALIZED VIEW recent AS
        SELECT l.usr, avg(i.price) AS price, count(*) AS n, count(DISTINCT l.item) AS items,
               max(l.ts) AS latest, array_agg(l.item ORDER BY l.ts, l.id) AS seen
        FROM looks l JOIN items i ON i.item = l.item
        WHERE l.ts > now() - INTERVAL '700 milliseconds' AND l.ts <= now() GROUP BY l.usr;
    CREATE VIEW idle AS SELECT usr, now() - max(ts) AS idle, count(*) AS n FROM looks GROUP BY usr;
    CREATE TABLE served (at timestamptz, usr int, price numeric, n bigint, items bigint,
                         latest timestamptz, seen int[], idle interval, looks bigint)";

const READ: &str = "
    SELECT now(), u.usr, r.price, r.n, r.items, r.latest, r.seen, i.idle, i.n
    FROM users u LEFT JOIN recent r ON r.usr = u.usr LEFT JOIN idle i ON i.usr = u.usr";

const MISMATCHES: &str = "
    SELECT count(*) FROM served s
    LEFT JOIN recent FOR SYSTEM_TIME AS OF s.at AS r ON r.usr = s.usr
    LEFT JOIN idle FOR SYSTEM_TIME AS OF s.at AS i ON i.usr = s.usr
    WHERE s.price IS DISTINCT FROM r.price OR s.n IS DISTINCT FROM r.n
       OR s.items IS DISTINCT FROM r.items OR s.latest IS DISTINCT FROM r.latest
       OR s.seen IS DISTINCT FROM r.seen OR s.idle IS DISTINCT FROM i.idle
       OR s.looks IS DISTINCT FROM i.n";

#[tokio::test(flavor = "multi_thread")]
async fn what_was_served_is_rebuilt() {
    train_serve(3_000).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes"]
async fn what_was_served_is_rebuilt_a_hundred_thousand_times() {
    train_serve(100_000).await;
}

/// Until `rows` rows have been served.
async fn train_serve(rows: usize) {
    let server = server().await;
    let setup = server.client().await;
    for statement in SCHEMA.split(';') {
        setup.batch_execute(statement).await.expect(statement);
    }
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut writers = Vec::new();
    for seed in 0..WRITERS {
        writers.push(tokio::spawn(write(server.client().await, seed, stop.clone())));
    }
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let (client, stop, served) = (server.client().await, stop.clone(), served.clone());
        readers.push(tokio::spawn(read(client, stop, served)));
    }
    let began = Instant::now();
    let enough = || served.load(Ordering::Relaxed) >= rows && began.elapsed() >= LOAD;
    while !enough() && readers.iter().all(|reader| !reader.is_finished()) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("writers don't fail");
    }
    for reader in readers {
        let logged = reader.await.expect("readers don't fail");
        for rows in logged.chunks(500) {
            let insert = format!("INSERT INTO served VALUES {}", rows.join(", "));
            setup.batch_execute(&insert).await.expect("a log is kept");
        }
    }
    check(&server, rows).await;
    // The past is in the log, not in memory alone.
    let server = server.restart().await;
    check(&server, rows).await;
}

async fn check(server: &TestServer, rows: usize) {
    let client = server.client().await;
    let served = value(&client, "SELECT count(*) FROM served").await;
    assert!(served.parse::<usize>().expect("a number") >= rows, "only {served} rows were served");
    let windows = "SELECT count(DISTINCT n) > 3 AND count(DISTINCT price) > 50 FROM served";
    assert_eq!(value(&client, windows).await, "t", "the load is no load");
    assert_eq!(value(&client, MISMATCHES).await, "0", "of {served} rows");
}

async fn write(client: Client, seed: u64, stop: Arc<AtomicBool>) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut next = seed * 100_000_000;
    while !stop.load(Ordering::Relaxed) {
        next += 1;
        let (usr, item) = (random.random_range(1..=USERS), random.random_range(1..=ITEMS));
        let statement = match random.random_range(0..10) {
            // On time; late or early by up to half a second; at a time that others have as well.
            0..=2 => format!("INSERT INTO looks VALUES ({next}, {usr}, {item}, now())"),
            3..=5 => {
                let off = random.random_range(-500..=500);
                let ts = format!("now() + INTERVAL '{off} milliseconds'");
                format!("INSERT INTO looks VALUES ({next}, {usr}, {item}, {ts})")
            }
            6 => format!(
                "INSERT INTO looks VALUES ({next}, {usr}, {item}, date_trunc('second', now())), \
                 (-{next}, {usr}, {item}, date_trunc('second', now()))"
            ),
            7 => {
                let price = random.random_range(1..10_000);
                format!("UPDATE items SET price = {price} / 100.0 WHERE item = {item}")
            }
            8 => {
                let old = seed * 100_000_000 + random.random_range(1..=next % 100_000_000);
                format!("UPDATE looks SET usr = {usr} WHERE id = {old}")
            }
            _ => {
                let old = seed * 100_000_000 + random.random_range(1..=next % 100_000_000);
                format!("DELETE FROM looks WHERE id = {old}")
            }
        };
        client.batch_execute(&statement).await.expect(&statement);
    }
}

/// Reads all users' features again and again; what it read, as rows of VALUES.
async fn read(client: Client, stop: Arc<AtomicBool>, served: Arc<AtomicUsize>) -> Vec<String> {
    let mut logged = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for message in client.simple_query(READ).await.expect(READ) {
            let SimpleQueryMessage::Row(row) = message else { continue };
            let value = |column| match row.get(column) {
                Some(value) => format!("'{value}'"),
                None => "NULL".to_owned(),
            };
            let values: Vec<String> = (0..row.len()).map(value).collect();
            logged.push(format!("({})", values.join(", ")));
        }
        served.store(logged.len(), Ordering::Relaxed);
    }
    logged
}
