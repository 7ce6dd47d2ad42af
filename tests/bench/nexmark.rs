//! Nexmark: how many events a second each query takes, and how long an event takes to show.
//!
//! Law    an answer is compared with DataFusion's over the same events; a wrong one counts as none
//!
//! `cargo bench --bench nexmark [-- NAME …] [--events N] [--seconds N]`. Each query runs alone in
//! a server of its own, a process with two workers:
//! - at full throttle, over events that lie prepared in memory, from the first commit of the source
//!   to when the view has all events. `k_events_s` is by the clock on the wall, which others on the
//!   machine share; `k_per_cpu_s` by the processors' time that the server took; `peak_mib` what it
//!   took beyond what it had as the events were there;
//! - at 100,000 events a second, the time from a commit until the view shows it.
//!
//! State rows are those that the operators keep; what the view shows is kept beside.

#[path = "nexmark/queries.rs"]
mod queries;
#[path = "report.rs"]
mod report;

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use queries::{QUERIES, Query, SIDE_INPUT, normal};
use report::{Table, Value};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// Events a second for the latencies.
const RATE: u64 = 100_000;
/// Clock ticks of /proc in a second.
const TICKS: f64 = 100.0;

struct Options {
    events: u64,
    /// How long at [`RATE`].
    seconds: u64,
    names: Vec<String>,
}

#[tokio::main]
async fn main() {
    let options = Options::from_command_line();
    let context = queries::datafusion(options.events);
    let mut table = Table::new(
        "nexmark",
        &[
            "query",
            "k_events_s",
            "k_per_cpu_s",
            "peak_mib",
            "state_rows",
            "rows",
            "p50_ms",
            "p99_ms",
            "p999_ms",
            "answer",
        ],
    );
    for query in QUERIES.iter().filter(|query| options.wants(query)) {
        let run = throughput(query, options.events).await;
        let expected = query.fingerprint(&context).await;
        let [p50, p99, p999] = match options.seconds {
            0 => [0, 1, 2].map(|_| Value::Text("not asked".to_owned())),
            seconds => latency(query, seconds).await.map(|ms| Value::Number(ms, 1)),
        };
        let events = run.events as f64 / 1000.0;
        let right = if run.answer == expected { "right" } else { "WRONG" };
        table.row(vec![
            Value::Text(query.name.to_owned()),
            Value::Number(events / run.seconds, 0),
            Value::Number(events / run.cpu_seconds, 0),
            Value::Number(run.peak_mib, 0),
            Value::Number(run.state_rows as f64, 0),
            Value::Number(run.answer.0 as f64, 0),
            p50,
            p99,
            p999,
            Value::Text(right.to_owned()),
        ]);
    }
    table.write();
}

impl Options {
    fn from_command_line() -> Options {
        let mut options = Options { events: 5_000_000, seconds: 10, names: vec![] };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut number = || words.next().and_then(|word| word.replace('_', "").parse().ok());
            match word.as_str() {
                "--events" => options.events = number().expect("--events takes a number"),
                "--seconds" => options.seconds = number().expect("--seconds takes a number"),
                // What cargo says to every benchmark.
                "--bench" => {}
                _ => options.names.push(word),
            }
        }
        options
    }

    fn wants(&self, query: &Query) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| name == query.name)
    }
}

struct Run {
    /// How many were measured: those after the first commit.
    events: u64,
    seconds: f64,
    cpu_seconds: f64,
    peak_mib: f64,
    state_rows: u64,
    answer: (u64, u64),
}

/// At full throttle to the end.
async fn throughput(query: &Query, events: u64) -> Run {
    let (server, client) = Server::start().await;
    make(&client, query, &format!("events = {events}, prepared = true")).await;
    // The first commit waits until all events are made.
    let mut measured = events;
    while measured == events {
        tokio::time::sleep(Duration::from_millis(1)).await;
        measured = behind(&client).await;
    }
    let (cpu, resident, began) = (server.cpu_seconds(), server.mib("VmRSS"), Instant::now());
    while behind(&client).await > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let count = format!("SELECT count(*) FROM {}", query.name);
    client.simple_query(&count).await.expect("the view is there");
    Run {
        events: measured,
        seconds: began.elapsed().as_secs_f64(),
        cpu_seconds: server.cpu_seconds() - cpu,
        peak_mib: server.mib("VmHWM") - resident,
        state_rows: state_rows(&client, query).await,
        answer: fingerprint(&client, query).await,
    }
}

/// At [`RATE`]: the median, and what 99 and 99.9 of 100 commits stay below, in ms.
async fn latency(query: &Query, seconds: u64) -> [f64; 3] {
    let (_server, client) = Server::start().await;
    make(&client, query, &format!("rate = {RATE}, events = {}", RATE * seconds)).await;
    while behind(&client).await > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let latencies = "SELECT unnest(commit_to_visible_ms) FROM tidemark.sources";
    let rows = client.query(latencies, &[]).await.expect("the source has made commits");
    [0, 1, 2].map(|place| rows[place].get(0))
}

/// The source and the view over it, in one transaction: the view sees the first event come.
async fn make(client: &Client, query: &Query, options: &str) {
    client.batch_execute(SIDE_INPUT).await.expect("a table");
    let source = format!("CREATE SOURCE nexmark WITH (connector = 'nexmark', {options})");
    for statement in ["BEGIN", &source, query.view, "COMMIT"] {
        client.batch_execute(statement).await.expect(statement);
    }
}

/// How many events the view does not have yet.
async fn behind(client: &Client) -> u64 {
    let behind = "SELECT behind FROM tidemark.sources";
    let behind: i64 = client.query_one(behind, &[]).await.expect("a source").get(0);
    u64::try_from(behind).expect("a number of events")
}

async fn state_rows(client: &Client, query: &Query) -> u64 {
    let explain = format!("EXPLAIN ANALYZE MATERIALIZED VIEW {}", query.name);
    let lines = client.simple_query(&explain).await.expect("a running view");
    let state = lines.iter().filter_map(|line| match line {
        SimpleQueryMessage::Row(row) => {
            let (_, rest) = row.get(0)?.split_once("state=")?;
            rest.split(' ').next()?.parse::<u64>().ok()
        }
        _ => None,
    });
    state.sum()
}

/// How many rows the view has, and the sum of their hashes.
async fn fingerprint(client: &Client, query: &Query) -> (u64, u64) {
    let select = format!("SELECT * FROM {}", query.name);
    let rows = client.simple_query_raw(&select).await.expect("the view is there");
    let mut rows = std::pin::pin!(rows);
    let mut sum = (0, 0);
    while let Some(message) = rows.try_next().await.expect("its rows") {
        if let SimpleQueryMessage::Row(row) = message {
            let values = (0..row.len()).map(|column| normal(row.get(column).unwrap_or("NULL")));
            add(&mut sum, &values.collect::<Vec<_>>().join("|"));
        }
    }
    sum
}

impl Query {
    /// The same of DataFusion's answer.
    async fn fingerprint(&self, context: &datafusion::prelude::SessionContext) -> (u64, u64) {
        let mut sum = (0, 0);
        self.expected(context).await.iter().for_each(|row| add(&mut sum, row));
        sum
    }
}

fn add(sum: &mut (u64, u64), row: &str) {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(row);
    *sum = (sum.0 + 1, sum.1.wrapping_add(hash));
}

/// A server in a process of its own, on data of its own.
struct Server {
    child: Child,
    _data: tempfile::TempDir,
}

impl Server {
    async fn start() -> (Server, Client) {
        let data = tempfile::tempdir().expect("a temporary directory");
        // Free a moment ago, and nobody else is looking for one on this machine.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let addr = port.expect("a free port");
        let child = Command::new(env!("CARGO_BIN_EXE_tidemark"))
            .args(["--listen", &addr.to_string(), "--workers", "2", "--data"])
            .arg(data.path())
            .env("TIDEMARK_LOG", "error")
            .stdout(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let server = Server { child, _data: data };
        loop {
            if let Ok(client) = connect(addr).await {
                return (server, client);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// User and system time.
    fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.unwrap_or_default();
        // The second field is a name in parentheses; user time is the 14th, system time the 15th.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
        fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS
    }

    /// A line of what the system says of the process's memory.
    fn mib(&self, name: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.unwrap_or(0.0) / 1024.0
    }
}

async fn connect(addr: SocketAddr) -> Result<Client, tokio_postgres::Error> {
    let url = format!("host={} port={} user=bench dbname=bench", addr.ip(), addr.port());
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
