//! What the benchmarks of a server in this process share: the server, loading, percentiles.

use std::net::SocketAddr;
use std::time::Duration;

use futures::SinkExt;
use tidemark_server::config::{Config, Switch};
use tidemark_server::{Running, Server};
use tokio_postgres::{Client, NoTls};

#[path = "report.rs"]
mod report;

pub use report::{Table, Value};

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
