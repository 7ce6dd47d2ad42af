//! What a new view over ten million rows costs, and the same query asked once.
//!
//! Law    DuckDB and DataFusion answer the same questions over the same Parquet file; the number of
//!        rows and the sum of the last column agree, or the bench fails
//!
//! `cargo bench --bench backfill [-- ROWS KEYS]`. The file is loaded into a table with COPY. For
//! each query: the time from CREATE MATERIALIZED VIEW until the view answers; the best of three of
//! the same as a subquery whose rows are counted and summed, here, by DataFusion and by DuckDB
//! (python3, PyPI `duckdb`; without it the bench says so), each with its own defaults, as many
//! threads as there are cores. `x` is ours beside theirs, of the view and of the ad-hoc query.

#[path = "support.rs"]
#[allow(dead_code)] // What others use of it.
mod support;

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::array::{AsArray, StringArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, TimeUnit};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use support::{BenchServer, Table, Value};
use tidemark_server::config::Switch;
use tokio_postgres::Client;

/// The allocator of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RUNS: usize = 3;
/// Rows made at a time.
const PART_ROWS: u64 = 1 << 20;

/// Name and query; `events` and `cards` are the tables. The last column is a number.
const QUERIES: [(&str, &str); 4] = [
    ("grouped", "SELECT k, count(*) AS n, avg(v) AS a, sum(v) AS s FROM events GROUP BY k"),
    (
        "join",
        "SELECT c.kind, count(*) AS n, sum(e.v) AS s \
         FROM events AS e JOIN cards AS c ON e.k = c.k GROUP BY c.kind",
    ),
    (
        "top 3",
        "SELECT k, id, v FROM (SELECT k, id, v, row_number() OVER \
         (PARTITION BY k ORDER BY v DESC, id) AS place FROM events) AS r WHERE place <= 3",
    ),
    (
        "30 minutes",
        "SELECT k % 1000 AS part, date_bin(INTERVAL '30 minutes', ts, TIMESTAMP '2001-01-01') AS t, \
         count(*) AS n, sum(v) AS s FROM events GROUP BY k % 1000, \
         date_bin(INTERVAL '30 minutes', ts, TIMESTAMP '2001-01-01')",
    ),
];

/// The seconds that an answer took, its rows and the sum of its last column.
#[derive(Clone, Copy)]
struct Answer {
    seconds: f64,
    rows: i64,
    sum: f64,
}

#[tokio::main]
async fn main() {
    let mut numbers =
        std::env::args().skip(1).filter_map(|word| word.replace('_', "").parse().ok());
    let (rows, keys) = (numbers.next().unwrap_or(10_000_000), numbers.next().unwrap_or(217_000));
    let folder = tempfile::tempdir().expect("a temporary directory");
    let files = ["events", "cards"].map(|name| folder.path().join(format!("{name}.parquet")));
    write_events(&files[0], rows, keys);
    write_cards(&files[1], keys);
    let server = BenchServer::start(Switch::On).await;
    let client = server.client().await;
    load(&client, &files).await;
    let context = SessionContext::new();
    for (name, file) in ["events", "cards"].into_iter().zip(&files) {
        let path = file.to_string_lossy();
        let options = ParquetReadOptions::default();
        context.register_parquet(name, path.as_ref(), options).await.expect("a file");
    }
    let columns =
        &["query", "view_s", "ad_hoc_s", "datafusion_s", "duckdb_s", "view_x", "ad_hoc_x", "rows"];
    let mut table = Table::new("backfill", columns);
    for (number, (name, query)) in QUERIES.iter().enumerate() {
        let column = if query.starts_with("SELECT k, id, v") { "v" } else { "s" };
        let asked = format!("SELECT count(*) AS n, sum({column}) AS s FROM ({query}) AS q");
        let view = view(&client, number, query, column).await;
        let ours = best(async || ask(&client, &asked).await).await;
        let datafusion = best(async || of_datafusion(&context, &asked).await).await;
        let duckdb = of_duckdb(&files, &asked);
        for (who, answer) in [("the view", Some(view)), ("DataFusion", Some(datafusion))]
            .into_iter()
            .chain([("DuckDB", duckdb)])
        {
            let Some(answer) = answer else { continue };
            assert_eq!(answer.rows, ours.rows, "{name}: rows of {who}");
            let off = (answer.sum - ours.sum).abs() / ours.sum.abs();
            assert!(off < 1e-9, "{name}: {who} sums to {}, ours to {}", answer.sum, ours.sum);
        }
        let number = |value: Option<f64>, digits| match value {
            Some(value) => Value::Number(value, digits),
            None => Value::Text("-".to_owned()),
        };
        table.row(vec![
            Value::Text((*name).to_owned()),
            Value::Number(view.seconds, 2),
            Value::Number(ours.seconds, 3),
            Value::Number(datafusion.seconds, 3),
            number(duckdb.map(|answer| answer.seconds), 3),
            number(duckdb.map(|answer| view.seconds / answer.seconds), 2),
            Value::Number(ours.seconds / datafusion.seconds, 2),
            Value::Number(ours.rows as f64, 0),
        ]);
    }
    table.write();
}

/// The best of a few.
async fn best(mut run: impl AsyncFnMut() -> Answer) -> Answer {
    let mut best = run().await;
    for _ in 1..RUNS {
        let answer = run().await;
        best = if answer.seconds < best.seconds { answer } else { best };
    }
    best
}

async fn load(client: &Client, files: &[std::path::PathBuf; 2]) {
    let tables = "CREATE TABLE events (k bigint, id bigint, v double precision, ts timestamp) \
         WITH (append_only = true); CREATE TABLE cards (k bigint PRIMARY KEY, kind text)";
    client.batch_execute(tables).await.expect("tables");
    for (name, file) in ["events", "cards"].into_iter().zip(files) {
        let began = Instant::now();
        let copy = format!("COPY {name} FROM '{}' (FORMAT parquet)", file.display());
        let rows = client.execute(&copy, &[]).await.expect("a file of the table's columns");
        println!("{name}: {rows} rows loaded in {:.2} s", began.elapsed().as_secs_f64());
    }
}

/// From the statement that makes a view until it answers.
async fn view(client: &Client, number: usize, query: &str, column: &str) -> Answer {
    let began = Instant::now();
    let create = format!("CREATE MATERIALIZED VIEW v{number} AS {query}");
    client.batch_execute(&create).await.expect("a view");
    let count = format!("SELECT count(*) FROM v{number}");
    client.query_one(&count, &[]).await.expect("the view is complete");
    let seconds = began.elapsed().as_secs_f64();
    let answer = ask(client, &format!("SELECT count(*), sum({column}) FROM v{number}")).await;
    client.batch_execute(&format!("DROP MATERIALIZED VIEW v{number}")).await.expect("a view");
    Answer { seconds, ..answer }
}

async fn ask(client: &Client, query: &str) -> Answer {
    let began = Instant::now();
    let row = client.query_one(query, &[]).await.expect("a query");
    Answer { seconds: began.elapsed().as_secs_f64(), rows: row.get(0), sum: row.get(1) }
}

async fn of_datafusion(context: &SessionContext, query: &str) -> Answer {
    let began = Instant::now();
    let frame = context.sql(query).await.expect("a query");
    let batches = frame.collect().await.expect("its answer");
    let seconds = began.elapsed().as_secs_f64();
    let (rows, sum) = (batches[0].column(0), batches[0].column(1));
    let (rows, sum) = (rows.as_primitive::<Int64Type>(), sum.as_primitive::<Float64Type>());
    Answer { seconds, rows: rows.value(0), sum: sum.value(0) }
}

/// Asks DuckDB, which reads the files.
const DUCKDB: &str = "
import sys, time
try:
    import duckdb
except ImportError:
    sys.exit(3)
c = duckdb.connect()
for name, file in zip(['events', 'cards'], sys.argv[2:]):
    c.execute(f\"CREATE VIEW {name} AS SELECT * FROM read_parquet('{file}')\")
best = None
for _ in range(3):
    began = time.time()
    rows, total = c.execute(sys.argv[1]).fetchone()
    took = time.time() - began
    best = took if best is None else min(best, took)
print(best, rows, repr(float(total)))
";

fn of_duckdb(files: &[std::path::PathBuf; 2], query: &str) -> Option<Answer> {
    let query = query.replace("date_bin(", "time_bucket(");
    let output = Command::new("python3").args(["-c", DUCKDB, &query]).args(files).output().ok()?;
    if output.status.code() == Some(3) {
        println!("no DuckDB: python3 -m pip install duckdb");
        return None;
    }
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "DuckDB: {error}");
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    Some(Answer { seconds: numbers[0], rows: numbers[1] as i64, sum: numbers[2] })
}

/// SplitMix64's finish.
fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Events of random cards, evenly over a day.
fn write_events(path: &Path, rows: u64, keys: u64) {
    const START_US: i64 = 1_781_049_600_000_000;
    const DAY_US: u64 = 86_400_000_000;
    let schema = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("id", DataType::Int64, true),
        Field::new("v", DataType::Float64, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, None), true),
    ]));
    let file = File::create(path).expect("a file");
    let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), None).expect("a writer");
    for from in (0..rows).step_by(PART_ROWS as usize) {
        let numbers = from..rows.min(from + PART_ROWS);
        let k = numbers.clone().map(|number| (mixed(number) % keys) as i64);
        let v = numbers.clone().map(|number| (mixed(!number) % 100_000) as f64 / 8.0);
        let ts = numbers.clone().map(|number| {
            START_US + (u128::from(number) * u128::from(DAY_US) / u128::from(rows)) as i64
        });
        let columns: Vec<ArrayRef> = vec![
            Arc::new(k.collect::<Int64Array>()),
            Arc::new(numbers.clone().map(|number| number as i64).collect::<Int64Array>()),
            Arc::new(v.collect::<Float64Array>()),
            Arc::new(TimestampMicrosecondArray::from_iter_values(ts)),
        ];
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).expect("of the schema");
        writer.write(&batch).expect("the disk has room");
    }
    writer.close().expect("the disk has room");
}

fn write_cards(path: &Path, keys: u64) {
    let k: Int64Array = (0..keys as i64).collect();
    let kind: StringArray =
        (0..keys).map(|key| Some(format!("kind {}", mixed(key) % 100))).collect();
    let schema = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("kind", DataType::Utf8, true),
    ]));
    let file = File::create(path).expect("a file");
    let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), None).expect("a writer");
    let columns: Vec<ArrayRef> = vec![Arc::new(k), Arc::new(kind)];
    let batch = RecordBatch::try_new(schema, columns).expect("of the schema");
    writer.write(&batch).expect("the disk has room");
    writer.close().expect("the disk has room");
}
