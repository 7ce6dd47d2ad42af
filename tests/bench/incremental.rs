//! What a one-row change costs beside little data and beside much.
//!
//! Law    inserting one row and reading the view row it changes costs the same, whatever is there:
//!        less than 1.5 times as much beside a million rows as beside a thousand
//!
//! `cargo bench --bench incremental`. Small and large data are asked in turn, so that what else the
//! machine does falls on both alike; the ratio of the medians is what counts.

#[path = "support.rs"]
mod support;

use std::time::{Duration, Instant};

use support::{BenchServer, Table, Value, load, percentile};
use tidemark_server::config::Switch;
use tokio_postgres::{Client, Statement};

const ROUNDS: usize = 400;

struct Case {
    name: &'static str,
    schema: &'static str,
    tables: &'static [Load],
    view: &'static str,
    insert: &'static str,
    read: &'static str,
}

struct Load {
    table: &'static str,
    /// Rows beside little data and beside much.
    rows: [u64; 2],
    /// The text of a row, by its number and the number of rows.
    row: fn(u64, u64) -> String,
}

const CASES: &[Case] = &[
    Case {
        name: "group by (10,000 keys)",
        schema: "CREATE TABLE t (id int PRIMARY KEY, k int, v int)",
        tables: &[Load {
            table: "t",
            rows: [1_000, 1_000_000],
            row: |i, _| format!("{i}\t{}\t{}\n", i % 10_000, i % 97),
        }],
        view: "CREATE MATERIALIZED VIEW v AS SELECT k, count(*) n, sum(v) s FROM t GROUP BY k",
        insert: "INSERT INTO t VALUES ($1, $1 % 1000, 1)",
        read: "SELECT * FROM v WHERE k = $1 % 1000",
    },
    Case {
        name: "join",
        schema: "CREATE TABLE o (id int PRIMARY KEY, c int, v int);
                 CREATE TABLE c (id int PRIMARY KEY, name text)",
        tables: &[
            Load { table: "c", rows: [100, 100_000], row: |i, _| format!("{i}\tcustomer {i}\n") },
            Load {
                table: "o",
                rows: [1_000, 1_000_000],
                row: |i, n| format!("{i}\t{}\t{}\n", i % (n / 10), i % 97),
            },
        ],
        view: "CREATE MATERIALIZED VIEW v AS SELECT o.id, o.v, c.name FROM o JOIN c ON c.id = o.c",
        insert: "INSERT INTO o VALUES ($1, $1 % 100, 1)",
        read: "SELECT * FROM v WHERE id = $1",
    },
];

#[tokio::main]
async fn main() {
    let mut table = Table::new("incremental", &["case", "fsync", "small_us", "large_us", "ratio"]);
    for case in CASES {
        for fsync in [Switch::On, Switch::Off] {
            measure(&mut table, case, fsync).await;
        }
    }
    table.write();
}

async fn measure(table: &mut Table, case: &Case, fsync: Switch) {
    let mut sides = Vec::new();
    for size in [0, 1] {
        sides.push(Side::start(case, size, fsync).await);
    }
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS as i32 {
        for (side, times) in sides.iter().zip(&mut times) {
            let id = 2_000_000 + round;
            let began = Instant::now();
            side.client.execute(&side.insert, &[&id]).await.expect("a new row");
            let rows = side.client.query(&side.read, &[&id]).await.expect("the view");
            times.push(began.elapsed());
            assert_eq!(rows.len(), 1, "the changed row is read");
        }
    }
    let [small, large] = times.map(median);
    let ratio = large.as_secs_f64() / small.as_secs_f64();
    table.row(vec![
        Value::Text(case.name.to_owned()),
        Value::Text(format!("{fsync:?}").to_lowercase()),
        Value::Number(small.as_secs_f64() * 1e6, 0),
        Value::Number(large.as_secs_f64() * 1e6, 0),
        Value::Number(ratio, 2),
    ]);
    for side in sides {
        side.server.running.shutdown().await;
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    percentile(&times, 0.5)
}

struct Side {
    client: Client,
    insert: Statement,
    read: Statement,
    server: BenchServer,
}

impl Side {
    async fn start(case: &Case, size: usize, fsync: Switch) -> Side {
        let server = BenchServer::start(fsync).await;
        let client = server.client().await;
        client.batch_execute(case.schema).await.expect("tables");
        for Load { table, rows, row } in case.tables {
            let rows = rows[size];
            load(&client, &format!("{table} FROM STDIN"), rows, |number| row(number, rows)).await;
        }
        client.batch_execute(case.view).await.expect("a view");
        let insert = client.prepare(case.insert).await.expect("an insert");
        let read = client.prepare(case.read).await.expect("a query");
        Side { client, insert, read, server }
    }
}
