//! What a start costs: ten million rows read back from the log, and from its sealed segments.
//!
//! Law    sealed segments are read no slower than the log that they were
//!
//! `cargo bench --bench start [ROWS]`. A table with a primary key takes rows in commits of ten
//! thousand, each of which also replaces a hundred rows; then its engine is opened, with all of it
//! in the log, and with all of it sealed. Prints seconds and the memory that the process holds.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, SchemaRef};
use tidemark_engine::plan::schema_of;
use tidemark_engine::{
    Change, CollectionId, Engine, EngineConfig, LogConfig, LogLimits, TableDef, TableWrite,
};
use tidemark_engine::{RowId, Timestamp};

const TABLE: CollectionId = CollectionId(1);
const ROWS: u64 = 10_000_000;
const COMMIT_ROWS: u64 = 10_000;
/// Of a commit, replaced by the next.
const REPLACED: u64 = 100;

fn main() {
    let asked = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let rows = asked.unwrap_or(ROWS);
    for (name, segment_bytes) in [("in the log", 1 << 40), ("sealed", 64 << 20)] {
        let data = tempfile::tempdir().expect("a temporary directory");
        let limits = LogLimits { segment_bytes, ..LogLimits::default() };
        let log = || LogConfig { limits: limits.clone(), ..LogConfig::default() };
        let started = Instant::now();
        write(data.path(), log(), rows);
        println!("{name:>12}: {rows} rows written in {:.1} s", started.elapsed().as_secs_f64());
        println!("{name:>12}: log {} MiB, sealed {} MiB", mib(&data, "log"), mib(&data, "sealed"));
        let started = Instant::now();
        let engine = open(data.path(), log());
        let took = started.elapsed();
        let read = engine.begin_read();
        let count = engine.relation(TABLE).expect("it is there").count(read.at);
        assert_eq!(count as u64, rows);
        let memory = memory_mib();
        println!("{name:>12}: opened in {:.2} s, {memory} MiB in memory", took.as_secs_f64());
    }
}

fn open(data: &Path, log: LogConfig) -> Arc<Engine> {
    let config = EngineConfig { data: data.to_owned(), workers: 1, fsync: false, log };
    Engine::open(config).expect("it opens").0
}

fn schema() -> SchemaRef {
    schema_of([("k", DataType::Int64), ("v", DataType::Float64), ("name", DataType::Utf8)])
}

fn write(data: &Path, log: LogConfig, rows: u64) {
    let sealing = log.limits.segment_bytes < 1 << 40;
    let engine = open(data, log);
    let table = TableDef::new(TABLE, schema(), vec![0]);
    commit(&engine, Change { create_tables: vec![table], ..Change::default() });
    let mut next = 0; // the id of the next row
    let mut replaced: Vec<RowId> = vec![];
    for first in (0..rows).step_by(COMMIT_ROWS as usize) {
        let again = (first.saturating_sub(COMMIT_ROWS)..first).take(replaced.len());
        let keys: Vec<i64> =
            again.chain(first..rows.min(first + COMMIT_ROWS)).map(|key| key as i64).collect();
        let names = keys.iter().map(|key| format!("name {}", key % 1000));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(keys.clone())),
            Arc::new(Float64Array::from_iter_values(keys.iter().map(|key| *key as f64 / 7.0))),
            Arc::new(StringArray::from_iter_values(names)),
        ];
        let insert = RecordBatch::try_new(schema(), columns).expect("three columns");
        let new = next + replaced.len() as u64;
        next += keys.len() as u64;
        let delete = std::mem::replace(&mut replaced, (new..new + REPLACED).map(RowId).collect());
        let write = TableWrite { table: TABLE, delete, insert };
        commit(&engine, Change { writes: vec![write], ..Change::default() });
    }
    let folder = data.join("log");
    while sealing && std::fs::read_dir(&folder).expect("a log").count() > 1 {
        std::thread::sleep(Duration::from_millis(10));
    }
    engine.shutdown();
}

fn commit(engine: &Engine, change: Change) -> Timestamp {
    let (done, told) = channel();
    let tell = move |result| done.send(result).expect("it is waited for");
    engine.submit(vec![], Box::new(move |_| Ok(change)), Box::new(tell));
    told.recv().expect("every commit is told").expect("nothing to refuse")
}

fn mib(data: &tempfile::TempDir, folder: &str) -> u64 {
    fn bytes(path: &Path) -> u64 {
        let entries = std::fs::read_dir(path).expect("a folder");
        let size = |entry: std::fs::DirEntry| match entry.path().is_dir() {
            true => bytes(&entry.path()),
            false => entry.metadata().expect("a file").len(),
        };
        entries.map(|entry| size(entry.expect("an entry"))).sum()
    }
    bytes(&data.path().join(folder)) >> 20
}

/// What the process holds now, where the system says so.
fn memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) >> 10
}
