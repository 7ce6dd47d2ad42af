//! What the benchmarks share: a server of their own, loading, percentiles, a table and its JSON.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use futures::SinkExt;
use tidemark_server::config::{Config, Switch};
use tidemark_server::{Running, Server};
use tokio_postgres::{Client, NoTls};

/// A server in this process, on data of its own.
pub struct BenchServer {
    pub running: Running,
    _data: tempfile::TempDir,
}

impl BenchServer {
    pub async fn start(fsync: Switch) -> BenchServer {
        let data = tempfile::tempdir().expect("a temporary directory");
        let config = Config { fsync, ..Config::for_test(data.path()) };
        let running = Server::start(config).await.expect("a server starts");
        BenchServer { running, _data: data }
    }

    pub async fn client(&self) -> Client {
        connect(self.running.addr).await
    }
}

pub async fn connect(addr: SocketAddr) -> Client {
    let url = format!("host={} port={} user=bench dbname=bench", addr.ip(), addr.port());
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

/// Copies rows into a table, each the text of its number; `how` stands behind COPY.
pub async fn load(client: &Client, how: &str, rows: u64, row: impl Fn(u64) -> String) -> u64 {
    let copy = client.copy_in(&format!("COPY {how}")).await.expect("a copy");
    let mut copy = std::pin::pin!(copy);
    for start in (0..rows).step_by(10_000) {
        let text: String = (start..rows.min(start + 10_000)).map(&row).collect();
        copy.send(bytes::Bytes::from(text)).await.expect("rows");
    }
    copy.finish().await.expect("all rows")
}

/// The time below which `share` of the times are.
pub fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get(((last as f64) * share).round() as usize).copied().unwrap_or_default()
}

/// A value of a table.
pub enum Value {
    Text(String),
    /// Printed with so many digits behind the point.
    Number(f64, usize),
}

/// Rows of values under names, printed as they come.
pub struct Table {
    name: &'static str,
    columns: &'static [&'static str],
    rows: Vec<Vec<Value>>,
}

impl Table {
    pub fn new(name: &'static str, columns: &'static [&'static str]) -> Table {
        println!("{}", columns.iter().map(|column| padded(column)).collect::<String>());
        Table { name, columns, rows: vec![] }
    }

    pub fn row(&mut self, values: Vec<Value>) {
        assert_eq!(values.len(), self.columns.len(), "a value for each column");
        let shown = values.iter().map(|value| match value {
            Value::Text(text) => padded(text),
            Value::Number(number, digits) => padded(&format!("{number:.digits$}")),
        });
        println!("{}", shown.collect::<String>());
        self.rows.push(values);
    }

    /// Writes the rows as JSON beside the build, and says where.
    pub fn write(&self) {
        let mut json = String::from("[\n");
        for (place, row) in self.rows.iter().enumerate() {
            let fields = self.columns.iter().zip(row).map(|(column, value)| match value {
                Value::Text(text) => format!("{column:?}: {text:?}"),
                Value::Number(number, _) => format!("{column:?}: {number}"),
            });
            let comma = if place + 1 < self.rows.len() { "," } else { "" };
            writeln!(json, "  {{{}}}{comma}", fields.collect::<Vec<_>>().join(", "))
                .expect("writing to a string");
        }
        json.push_str("]\n");
        let path = format!("{}/{}.json", env!("CARGO_TARGET_TMPDIR"), self.name);
        std::fs::write(&path, json).expect("the folder of the build can be written");
        println!("written to {path}");
    }
}

fn padded(text: &str) -> String {
    format!("{text:<26}")
}
