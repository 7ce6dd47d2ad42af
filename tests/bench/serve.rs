//! How fast a feature view is read by its key, idle and while rows come in.
//!
//! `cargo bench --bench serve [SECONDS]`: point reads through the extended protocol from 1, 8 and
//! 64 connections, prepared; then the same view through `pgbench -M prepared` with a script of one
//! SELECT, if Debian's `postgresql` is installed, to hold beside `pgbench -S -M prepared` against
//! that. 100,000 keys; 50,000 rows a second come in where it says so.

#[path = "support.rs"]
mod support;

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::{BenchServer, Table, Value, connect, load, percentile};
use tidemark_server::config::Switch;

const KEYS: u64 = 100_000;
const INGEST_ROWS_PER_SECOND: u64 = 50_000;
const READ: &str = "SELECT n, s FROM feature WHERE k = $1";

#[tokio::main]
async fn main() {
    let asked = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let lasting = Duration::from_secs(asked.unwrap_or(5));
    let server = BenchServer::start(Switch::On).await;
    let client = server.client().await;
    let schema = "CREATE TABLE event (k int, v int);
                  CREATE MATERIALIZED VIEW feature AS
                    SELECT k, count(*) AS n, sum(v) AS s FROM event GROUP BY k";
    client.batch_execute(schema).await.expect("a table and a view");
    let row = |row: u64| format!("{}\t{}\n", row % KEYS, row % 97);
    load(&client, "event FROM STDIN", 10 * KEYS, row).await;
    let columns = &["client", "connections", "load", "reads_per_s", "p50_us", "p99_us", "p999_us"];
    let mut table = Table::new("serve", columns);
    for ingest in [false, true] {
        for connections in [1, 8, 64] {
            let stop = Arc::new(AtomicBool::new(false));
            let feeder = ingest.then(|| tokio::spawn(feed(server.running.addr, stop.clone())));
            let times = read(&server, connections, lasting).await;
            let load = if ingest { "50K rows/s" } else { "idle" };
            report(&mut table, connections, load, &times, lasting);
            stop.store(true, Ordering::Relaxed);
            if let Some(feeder) = feeder {
                feeder.await.expect("the feeder does not panic");
            }
        }
    }
    with_pgbench(&mut table, &server, lasting).await;
    table.write();
    server.running.shutdown().await;
}

fn report(table: &mut Table, connections: usize, load: &str, times: &[Duration], all: Duration) {
    let us = |share| Value::Number(percentile(times, share).as_secs_f64() * 1e6, 0);
    table.row(vec![
        Value::Text("tokio-postgres".to_owned()),
        Value::Number(connections as f64, 0),
        Value::Text(load.to_owned()),
        Value::Number(times.len() as f64 / all.as_secs_f64(), 0),
        us(0.5),
        us(0.99),
        us(0.999),
    ]);
}

/// The times of all reads, sorted.
async fn read(server: &BenchServer, connections: usize, lasting: Duration) -> Vec<Duration> {
    let tasks = (0..connections as u64).map(|number| {
        let addr = server.running.addr;
        tokio::spawn(async move {
            let client = connect(addr).await;
            let statement = client.prepare(READ).await.expect("a query");
            let (began, mut times, mut key) = (Instant::now(), vec![], number);
            while began.elapsed() < lasting {
                key = (key.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1)) >> 1;
                let key = (key % KEYS) as i32;
                let asked = Instant::now();
                let rows = client.query(&statement, &[&key]).await.expect("a read");
                times.push(asked.elapsed());
                assert_eq!(rows.len(), 1, "a key has one row");
            }
            times
        })
    });
    let times = futures::future::join_all(tasks).await;
    let mut times: Vec<Duration> =
        times.into_iter().flat_map(|times| times.expect("no client panics")).collect();
    times.sort_unstable();
    times
}

/// Copies rows in, a fiftieth of a second's at a time, until it is told to stop.
async fn feed(addr: std::net::SocketAddr, stop: Arc<AtomicBool>) {
    let client = connect(addr).await;
    let (began, mut rounds) = (Instant::now(), 0);
    let rows = INGEST_ROWS_PER_SECOND / 50;
    while !stop.load(Ordering::Relaxed) {
        let row = |row: u64| format!("{}\t1\n", (row * 7 + rounds) % KEYS);
        load(&client, "event FROM STDIN", rows, row).await;
        rounds += 1;
        let due = Duration::from_millis(20 * rounds);
        tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
    }
}

/// The same client for both: pgbench against this server, and against PostgreSQL.
async fn with_pgbench(table: &mut Table, server: &BenchServer, lasting: Duration) {
    let Some(tools) = postgres_tools() else {
        println!("pgbench and PostgreSQL are not installed: not compared");
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let script = folder.path().join("read.sql");
    let text = "\\set k random(0, 99999)\nSELECT n, s FROM feature WHERE k = :k;\n";
    std::fs::write(&script, text).expect("a script");
    let port = server.running.addr.port();
    let postgres = Postgres::start(&tools);
    for connections in [1, 8] {
        let script = script.display().to_string();
        let own = ["-n", "-f", &script];
        let tps = pgbench(&tools, port, "bench", &own, connections, lasting).await;
        compared(table, "pgbench, Tidemark", connections, tps);
        if let Some(postgres) = &postgres {
            let select = ["-n", "-S"];
            let tps = pgbench(&tools, postgres.port, "postgres", &select, connections, lasting);
            compared(table, "pgbench, PostgreSQL", connections, tps.await);
        }
    }
}

fn compared(table: &mut Table, client: &str, connections: usize, tps: f64) {
    let none = || Value::Text("-".to_owned());
    table.row(vec![
        Value::Text(client.to_owned()),
        Value::Number(connections as f64, 0),
        Value::Text("idle".to_owned()),
        Value::Number(tps, 0),
        none(),
        none(),
        none(),
    ]);
}

async fn pgbench(
    tools: &std::path::Path,
    port: u16,
    database: &str,
    what: &[&str],
    connections: usize,
    lasting: Duration,
) -> f64 {
    let mut command = Command::new(tools.join("pgbench"));
    command.args(what).args(["-M", "prepared", "-h", "127.0.0.1", "-U", "postgres"]);
    command.args(["-p", &port.to_string(), "-c", &connections.to_string()]);
    command.args(["-T", &lasting.as_secs().to_string(), database]);
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.expect("it does not panic").expect("pgbench runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let tps = text.lines().find_map(|line| line.strip_prefix("tps = "));
    let number = tps.and_then(|rest| rest.split(' ').next()).and_then(|tps| tps.parse().ok());
    number.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// Where Debian puts PostgreSQL's programs.
fn postgres_tools() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.flatten().map(|version| version.path().join("bin"));
    folders.into_iter().find(|folder| folder.join("pgbench").exists())
}

/// A PostgreSQL of one's own with pgbench's tables, stopped when dropped.
struct Postgres {
    port: u16,
    server: std::process::Child,
    _data: tempfile::TempDir,
}

impl Postgres {
    /// `None`, and a line that says why, if it does not start.
    fn start(tools: &std::path::Path) -> Option<Postgres> {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let data = folder.path().join("data");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        drop(listener);
        // It refuses to run as root.
        let as_postgres = format!(
            "chown -R postgres {folder} 2>/dev/null; r='runuser -u postgres --'; \
             [ \"$(id -u)\" = 0 ] || r=''; \
             $r {tools}/initdb -D {data} -A trust -U postgres >/dev/null && \
             exec $r {tools}/postgres -D {data} -p {port} -h 127.0.0.1 -k {folder}",
            folder = folder.path().display(),
            tools = tools.display(),
            data = data.display(),
        );
        let mut shell = Command::new("sh");
        shell.args(["-c", &as_postgres]).stderr(std::process::Stdio::null());
        let server = shell.spawn().expect("a shell");
        let postgres = Postgres { port, server, _data: folder };
        let init = || {
            let mut init = Command::new(tools.join("pgbench"));
            init.args(["-i", "-q", "-s", "1", "-h", "127.0.0.1", "-U", "postgres"]);
            init.args(["-p", &port.to_string(), "postgres"]).output()
        };
        for _ in 0..50 {
            std::thread::sleep(Duration::from_millis(200));
            if init().is_ok_and(|output| output.status.success()) {
                return Some(postgres);
            }
        }
        std::io::stdout().write_all(b"PostgreSQL does not start: not compared\n").ok()?;
        None
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let kill = Command::new("kill").args(["-INT", &self.server.id().to_string()]).status();
        drop(kill);
        let _ = self.server.wait();
    }
}
