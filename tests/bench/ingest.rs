//! How fast rows come in: COPY in three formats, prepared INSERTs of many rows and of one, with no
//! view above the table and with five.
//!
//! `cargo bench --bench ingest [ROWS]`; a million rows by default. One-row INSERTs wait for the
//! disk. Each line is a fresh server; the views are complete before the clock stops.

#[path = "support.rs"]
mod support;

use std::time::{Duration, Instant};

use support::{BenchServer, Table, Value, connect, load, percentile};
use tidemark_server::config::Switch;
use tokio_postgres::Client;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;

const TABLE: &str = "CREATE TABLE t (id bigint, k int, v double precision, note text, n bigint)";
const VIEWS: [&str; 5] = [
    "SELECT k, count(*) AS n, sum(v) AS s FROM t GROUP BY k",
    "SELECT k, min(v) AS low, max(v) AS high FROM t GROUP BY k",
    "SELECT note, avg(v) AS mean FROM t GROUP BY note",
    "SELECT k % 100 AS bucket, sum(n) AS s FROM t GROUP BY k % 100",
    "SELECT id, v FROM t WHERE k = 7",
];

type Fill = fn(Client, u64) -> futures::future::BoxFuture<'static, u64>;

const WAYS: [(&str, Fill); 4] = [
    ("COPY text", |client, rows| Box::pin(copy(client, rows, "text", '\t'))),
    ("COPY csv", |client, rows| Box::pin(copy(client, rows, "csv", ','))),
    ("COPY binary", |client, rows| Box::pin(copy_binary(client, rows))),
    ("INSERT of 100 rows", |client, rows| Box::pin(insert(client, rows / 10))),
];

#[tokio::main]
async fn main() {
    let asked = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let rows: u64 = asked.unwrap_or(1_000_000);
    let columns = &["way", "views", "rows", "seconds", "rows_per_s", "p99_us"];
    let mut table = Table::new("ingest", columns);
    for (name, fill) in WAYS {
        for views in [0, VIEWS.len()] {
            let server = started(views).await;
            let began = Instant::now();
            let rows = fill(server.client().await, rows).await;
            complete(&server.client().await, views).await;
            report(&mut table, name, views, rows, began.elapsed(), None);
            server.running.shutdown().await;
        }
    }
    for connections in [1, 32] {
        let server = started(0).await;
        let (times, took) = one_row_inserts(&server, connections).await;
        let name = format!("INSERT, {connections} connections");
        let p99 = Some(percentile(&times, 0.99));
        report(&mut table, &name, 0, times.len() as u64, took, p99);
        server.running.shutdown().await;
    }
    table.write();
}

/// `p99`: of single statements.
fn report(
    table: &mut Table,
    name: &str,
    views: usize,
    rows: u64,
    took: Duration,
    p99: Option<Duration>,
) {
    let seconds = took.as_secs_f64();
    table.row(vec![
        Value::Text(name.to_owned()),
        Value::Number(views as f64, 0),
        Value::Number(rows as f64, 0),
        Value::Number(seconds, 2),
        Value::Number(rows as f64 / seconds, 0),
        match p99 {
            Some(p99) => Value::Number(p99.as_secs_f64() * 1e6, 0),
            None => Value::Text("-".to_owned()),
        },
    ]);
}

async fn started(views: usize) -> BenchServer {
    let server = BenchServer::start(Switch::On).await;
    let client = server.client().await;
    client.batch_execute(TABLE).await.expect("a table");
    for (number, view) in VIEWS.iter().take(views).enumerate() {
        let create = format!("CREATE MATERIALIZED VIEW v{number} AS {view}");
        client.batch_execute(&create).await.expect("a view");
    }
    server
}

/// Waits until every view has all.
async fn complete(client: &Client, views: usize) {
    for number in 0..views {
        let query = format!("SELECT count(*) FROM v{number}");
        client.query_one(&query, &[]).await.expect("a view");
    }
}

fn values(row: u64) -> (i64, i32, f64, String, i64) {
    let k = (row.wrapping_mul(2_654_435_761) % 100_000) as i32;
    (row as i64, k, (row % 1_000) as f64 / 8.0, format!("note {}", row % 50), (row % 97) as i64)
}

async fn copy(client: Client, rows: u64, format: &'static str, separator: char) -> u64 {
    let line = |row| {
        let (id, k, v, note, n) = values(row);
        format!("{id}{separator}{k}{separator}{v}{separator}{note}{separator}{n}\n")
    };
    load(&client, &format!("t FROM STDIN (FORMAT {format})"), rows, line).await
}

async fn copy_binary(client: Client, rows: u64) -> u64 {
    let copy = client.copy_in("COPY t FROM STDIN (FORMAT binary)").await.expect("a copy");
    let types = [Type::INT8, Type::INT4, Type::FLOAT8, Type::TEXT, Type::INT8];
    let mut writer = std::pin::pin!(BinaryCopyInWriter::new(copy, &types));
    for row in 0..rows {
        let (id, k, v, note, n) = values(row);
        writer.as_mut().write(&[&id, &k, &v, &note, &n]).await.expect("a row");
    }
    writer.finish().await.expect("all rows")
}

async fn insert(client: Client, rows: u64) -> u64 {
    let tuple = |row: usize| {
        let first = row * 5;
        let numbers: Vec<String> = (1..=5).map(|n| format!("${}", first + n)).collect();
        format!("({})", numbers.join(", "))
    };
    let tuples: Vec<String> = (0..100).map(tuple).collect();
    let statement = format!("INSERT INTO t VALUES {}", tuples.join(", "));
    let statement = client.prepare(&statement).await.expect("an insert");
    let mut inserted = 0;
    for start in (0..rows).step_by(100) {
        let values: Vec<_> = (start..start + 100).map(values).collect();
        let parameters: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> = values
            .iter()
            .flat_map(|(id, k, v, note, n)| {
                let row: [&(dyn tokio_postgres::types::ToSql + Sync); 5] = [id, k, v, note, n];
                row
            })
            .collect();
        inserted += client.execute(&statement, &parameters).await.expect("rows");
    }
    inserted
}

/// For five seconds: how long each took, sorted, and all together.
async fn one_row_inserts(server: &BenchServer, connections: usize) -> (Vec<Duration>, Duration) {
    let began = Instant::now();
    let tasks = (0..connections as u64).map(|number| {
        let addr = server.running.addr;
        tokio::spawn(async move {
            let client = connect(addr).await;
            let insert = "INSERT INTO t VALUES ($1, $2, $3, $4, $5)";
            let insert = client.prepare(insert).await.expect("an insert");
            let mut times = vec![];
            while began.elapsed() < Duration::from_secs(5) {
                let (id, k, v, note, n) = values(number << 32 | times.len() as u64);
                let asked = Instant::now();
                client.execute(&insert, &[&id, &k, &v, &note, &n]).await.expect("a row");
                times.push(asked.elapsed());
            }
            times
        })
    });
    let times = futures::future::join_all(tasks).await;
    let took = began.elapsed();
    let mut times: Vec<Duration> =
        times.into_iter().flat_map(|times| times.expect("no client panics")).collect();
    times.sort_unstable();
    (times, took)
}
