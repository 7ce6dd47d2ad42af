//! What it costs to meet ten million events as of a million requests' own times.
//!
//! Law    each request meets what the view held at its time; DuckDB, asked for the same from the
//!        same Parquet files, gives the same (checked: the number of answers, and their sum)
//!
//! `cargo bench --bench point_in_time [-- EVENTS REQUESTS KEYS]`. Events arrive when they happen,
//! evenly over a day, with even keys and with skewed ones. Two views of them: the average of the 30
//! minutes before, and the newest event of a key (rows of a table, each until the next). The time
//! is of the whole call, the spans' copy included, the best of three. DuckDB (python3, PyPI
//! `duckdb`) is timed on tables in its memory, as many threads as there are cores, by several ways
//! of writing the query, each the best of three; without it the bench says so.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::TimestampMicrosecondArray;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, SchemaRef, TimeUnit};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::physical_expr::expressions::Column;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidemark_engine::aggregate::aggregate_function;
use tidemark_engine::plan::{
    AggregateCall, AggregatePlan, Bound, Edge, InputPlan, NowSide, TemporalMode, TemporalPlan,
    schema_of,
};
use tidemark_engine::replay::{History, point_in_time};
use tidemark_engine::{CollectionId, Expr, Plan, Spans, Timestamp};

/// The allocator of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DAY_US: i64 = 86_400_000_000;
const WINDOW_US: i64 = 30 * 60 * 1_000_000;
const START_US: i64 = 1_781_049_600_000_000;
const PART_ROWS: usize = 1 << 16;
const RUNS: usize = 3;

/// One table.
struct Table(Vec<Spans>);

impl History for Table {
    fn spans(&self, _table: CollectionId, from: Timestamp, to: Timestamp) -> Vec<Spans> {
        let overlaps = |spans: &&Spans| {
            let there = |(&begin, &end): (&u64, &u64)| begin <= to.0 && end > from.0;
            spans.begins.iter().zip(&spans.ends).any(there)
        };
        self.0.iter().filter(overlaps).cloned().collect()
    }
}

fn timestamps() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))
}

fn event_schema() -> SchemaRef {
    schema_of([("k", DataType::Int64), ("ts", timestamps()), ("amount", DataType::Float64)])
}

struct Data {
    keys: Vec<i64>,
    times: Vec<i64>,
    amounts: Vec<f64>,
    request_keys: Vec<i64>,
    request_times: Vec<i64>,
}

impl Data {
    /// With `skew` 1 keys are even; with 4 the most frequent hundredth has a third of all.
    fn random(events: usize, requests: usize, keys: i64, skew: i32) -> Self {
        let mut random = StdRng::seed_from_u64(1);
        let key = |random: &mut StdRng| {
            let place: f64 = random.random::<f64>().powi(skew);
            (place * keys as f64) as i64
        };
        let time = |random: &mut StdRng| START_US + random.random_range(0..DAY_US);
        let mut times: Vec<i64> = (0..events).map(|_| time(&mut random)).collect();
        times.sort_unstable();
        // Of two rows of one key at one time DuckDB takes any.
        (1..events).for_each(|row| times[row] = times[row].max(times[row - 1] + 1));
        Data {
            keys: (0..events).map(|_| key(&mut random)).collect(),
            times,
            amounts: (0..events).map(|_| random.random_range(0..100_000) as f64 / 100.0).collect(),
            request_keys: (0..requests).map(|_| key(&mut random)).collect(),
            request_times: (0..requests).map(|_| time(&mut random)).collect(),
        }
    }

    fn events(&self) -> RecordBatch {
        let times = TimestampMicrosecondArray::from(self.times.clone()).with_timezone("+00:00");
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(self.keys.clone())),
            Arc::new(times),
            Arc::new(Float64Array::from(self.amounts.clone())),
        ];
        RecordBatch::try_new(event_schema(), columns).expect("columns of the schema")
    }

    fn requests(&self) -> RecordBatch {
        let times = TimestampMicrosecondArray::from(self.request_times.clone());
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(self.request_keys.clone())),
            Arc::new(times.with_timezone("+00:00")),
        ];
        let schema = schema_of([("k", DataType::Int64), ("ts", timestamps())]);
        RecordBatch::try_new(schema, columns).expect("columns of the schema")
    }

    /// Each event from its time on; as a table with a key, until the next of its key.
    fn table(&self, until_next: bool) -> Table {
        let mut ends = vec![u64::MAX; self.keys.len()];
        if until_next {
            let keys = self.keys.iter().max().map_or(0, |key| key + 1) as usize;
            let mut next = vec![u64::MAX; keys];
            for row in (0..self.keys.len()).rev() {
                let next = &mut next[self.keys[row] as usize];
                ends[row] = std::mem::replace(next, self.times[row] as u64);
            }
        }
        let events = self.events();
        let part = |start: usize| {
            let rows = start..events.num_rows().min(start + PART_ROWS);
            Spans {
                batch: events.slice(start, rows.len()),
                begins: self.times[rows.clone()].iter().map(|&time| time as u64).collect(),
                ends: ends[rows].to_vec(),
                arrivals: None,
            }
        };
        Table((0..events.num_rows()).step_by(PART_ROWS).map(part).collect())
    }
}

fn input() -> Plan {
    Plan::Input(InputPlan {
        id: CollectionId(1),
        schema: event_schema(),
        append_only: false,
        arrived_at: false,
        versions: false,
    })
}

/// `SELECT k, avg(amount) FROM e WHERE ts > now() - '30 min' AND ts <= now() GROUP BY k`.
fn average() -> Plan {
    let ts: Expr = Arc::new(Column::new("ts", 1));
    let bound = |edge, offset| Bound {
        edge,
        strict: false,
        now: NowSide::Offset(offset),
        value: Arc::clone(&ts),
    };
    let bounds = vec![bound(Edge::Until, -WINDOW_US), bound(Edge::From, 0)];
    let recent = TemporalPlan { input: input(), bounds, mode: TemporalMode::Filter };
    let avg = aggregate_function("avg").expect("there is avg");
    Plan::Aggregate(Box::new(AggregatePlan {
        input: Plan::Temporal(Box::new(recent)),
        keys: vec![0],
        calls: vec![AggregateCall::new(avg, vec![2], None)],
        schema: schema_of([("k", DataType::Int64), ("avg", DataType::Float64)]),
        append_only: false,
    }))
}

/// Answers, the sum of their last columns, and the best of the runs' times in seconds.
struct Measured {
    answers: usize,
    sum: f64,
    seconds: f64,
}

fn measure(plan: &Plan, table: &Table, data: &Data) -> Measured {
    let keys: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(data.request_keys.clone()))];
    let times: Vec<Option<u64>> =
        data.request_times.iter().map(|&time| Some(time as u64)).collect();
    let mut best = Measured { answers: 0, sum: 0.0, seconds: f64::INFINITY };
    for _ in 0..RUNS {
        let begun = Instant::now();
        let watch = &|| false;
        let found = point_in_time(plan, table, &[0], &keys, &times, watch).expect("not cancelled");
        let seconds = begun.elapsed().as_secs_f64();
        let values = |rows: &RecordBatch| {
            let last = rows.column(rows.num_columns() - 1).as_primitive::<Float64Type>();
            (last.len() - last.null_count(), last.iter().flatten().sum::<f64>())
        };
        let (answers, sum) = found
            .iter()
            .map(|(_, rows)| values(rows))
            .fold((0, 0.0), |(answers, sum), (more, plus)| (answers + more, sum + plus));
        best = Measured { answers, sum, seconds: seconds.min(best.seconds) };
    }
    best
}

fn write(path: &Path, rows: &RecordBatch) {
    let file = File::create(path).expect("a file in a new folder");
    let mut writer = ArrowWriter::try_new(file, rows.schema(), None).expect("a flat schema");
    writer.write(rows).and_then(|()| writer.close()).expect("enough room on the disk");
}

/// The ways to ask DuckDB for the same, by view.
const DUCKDB: &str = r#"
import sys, time
try:
    import duckdb
except ImportError:
    sys.exit(3)
folder, view, runs = sys.argv[1], sys.argv[2], int(sys.argv[3])
c = duckdb.connect()
c.execute(f"SET threads = {sys.argv[4]}")
c.execute("SET TimeZone = 'UTC'")
c.execute("SET enable_progress_bar = false")
for name in ("e", "r"):
    c.execute(f"CREATE TABLE {name} AS SELECT * FROM '{folder}/{name}.parquet'")
c.execute("CREATE TABLE q AS SELECT row_number() OVER () AS id, * FROM r")
WAYS = {
  "average": {
    "range join": """SELECT q.id, avg(e.amount) v FROM q JOIN e ON e.k = q.k AND e.ts <= q.ts
        AND e.ts > q.ts - INTERVAL 30 MINUTE GROUP BY q.id""",
    "window": """SELECT id, v FROM (SELECT id, avg(amount) OVER (PARTITION BY k ORDER BY ts
        RANGE BETWEEN INTERVAL 1799999999 MICROSECONDS PRECEDING AND CURRENT ROW) v FROM
        (SELECT NULL AS id, k, ts, amount FROM e UNION ALL SELECT id, k, ts, NULL FROM q))
        WHERE id IS NOT NULL AND v IS NOT NULL""",
    "asof sums": """WITH s AS (SELECT k, ts, sum(amount) OVER w s, count(*) OVER w n FROM e
        WINDOW w AS (PARTITION BY k ORDER BY ts RANGE UNBOUNDED PRECEDING))
        SELECT q.id, (b.s - coalesce(a.s, 0)) / (b.n - coalesce(a.n, 0)) v
        FROM q ASOF JOIN s b ON b.k = q.k AND b.ts <= q.ts
        ASOF LEFT JOIN s a ON a.k = q.k AND a.ts <= q.ts - INTERVAL 30 MINUTE
        WHERE b.n > coalesce(a.n, 0)""",
  },
  "newest row": {
    "asof": """SELECT q.id, e.k, e.ts, e.amount v FROM q
        ASOF JOIN e ON e.k = q.k AND e.ts <= q.ts""",
  },
}
best = None
for way, query in WAYS[view].items():
    seconds = []
    for _ in range(runs):
        begun = time.perf_counter()
        c.execute(f"CREATE OR REPLACE TEMP TABLE answer AS {query}")
        seconds.append(time.perf_counter() - begun)
    n, total = c.execute("SELECT count(v), sum(v) FROM answer").fetchone()
    print(f"{min(seconds):.3f}\t{n}\t{total:.6f}\t{way}", flush=True)
"#;

/// Each way's seconds, answers, sum and name; none without DuckDB.
fn duckdb(folder: &Path, view: &str, cores: usize) -> Option<Vec<(Measured, String)>> {
    let output = Command::new("python3")
        .args(["-c", DUCKDB])
        .arg(folder)
        .args([view, &RUNS.to_string(), &cores.to_string()])
        .output()
        .ok()?;
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = |line: &str| {
        let mut words = line.split('\t');
        let mut number = || words.next()?.parse::<f64>().ok();
        let (seconds, answers, sum) = (number()?, number()?, number()?);
        Some((Measured { answers: answers as usize, sum, seconds }, words.next()?.to_string()))
    };
    text.lines().map(line).collect()
}

fn main() {
    let numbers: Vec<usize> =
        std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let number = |place: usize, default| numbers.get(place).copied().unwrap_or(default);
    let (events, requests) = (number(0, 10_000_000), number(1, 1_000_000));
    let keys = number(2, 217_000) as i64;
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    println!("{events} events, {keys} keys, {requests} requests, {cores} cores");
    println!(
        "{:<12} {:<7} {:>10} {:>10} {:>10}  best way of DuckDB",
        "view", "keys", "answers", "seconds", "DuckDB"
    );
    let mut json = Vec::new();
    for (skew, name) in [(1, "even"), (4, "skewed")] {
        let data = Data::random(events, requests, keys, skew);
        let folder = tempfile::tempdir().expect("a folder for the files");
        write(&folder.path().join("e.parquet"), &data.events());
        write(&folder.path().join("r.parquet"), &data.requests());
        for (view, plan, until_next) in
            [("average", average(), false), ("newest row", input(), true)]
        {
            let ours = measure(&plan, &data.table(until_next), &data);
            let theirs = duckdb(folder.path(), view, cores);
            let mut shown = ("not installed: python3 -m pip install duckdb".to_string(), None);
            for (measured, way) in theirs.into_iter().flatten() {
                eprintln!("  DuckDB, {way}: {:.3} s", measured.seconds);
                assert_eq!(measured.answers, ours.answers, "DuckDB's {way} answers as many");
                let off = (measured.sum - ours.sum).abs() / ours.sum.abs();
                assert!(off < 1e-9, "DuckDB's {way} sums to {}, ours {}", measured.sum, ours.sum);
                if shown.1.is_none_or(|best| measured.seconds < best) {
                    shown = (way, Some(measured.seconds));
                }
            }
            let (way, seconds) = shown;
            let duckdb = seconds.map_or("-".to_string(), |seconds| format!("{seconds:.3}"));
            println!(
                "{view:<12} {name:<7} {:>10} {:>10.3} {duckdb:>10}  {way}",
                ours.answers, ours.seconds
            );
            let duckdb = seconds.map_or("null".to_string(), |seconds| seconds.to_string());
            let Measured { answers, seconds, .. } = ours;
            json.push(format!(
                r#"{{"view":"{view}","keys":"{name}","answers":{answers},"seconds":{seconds:.4},"#
            ));
            json.push(format!(r#""duckdb":{duckdb}}},"#));
        }
    }
    println!("[{}]", json.concat().trim_end_matches(','));
}
