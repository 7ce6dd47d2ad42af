//! Servers and clients for tests.

use std::net::SocketAddr;

use tempfile::TempDir;
use tidemark_server::{Config, Running, Server};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// A server in this process with a directory of its own.
pub struct TestServer {
    pub running: Running,
    pub data: TempDir,
}

pub async fn server() -> TestServer {
    let data = tempfile::tempdir().expect("a temporary directory");
    let running = Server::start(Config::for_test(data.path())).await.expect("a server starts");
    TestServer { running, data }
}

impl TestServer {
    pub fn addr(&self) -> SocketAddr {
        self.running.addr
    }

    pub async fn client(&self) -> Client {
        connect(self.addr()).await.expect("a connection")
    }

    /// Stops it and starts another over the same data.
    pub async fn restart(self) -> TestServer {
        self.running.shutdown().await;
        let config = Config::for_test(self.data.path());
        let running = Server::start(config).await.expect("a server starts again");
        TestServer { running, data: self.data }
    }
}

pub async fn connect(addr: SocketAddr) -> Result<Client, tokio_postgres::Error> {
    let url = format!("host={} port={} user=tester dbname=test", addr.ip(), addr.port());
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Rows of a simple query, each as its values joined by `|`.
pub async fn rows(client: &Client, query: &str) -> Vec<String> {
    let messages = client.simple_query(query).await.expect(query);
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            let values = (0..row.len()).map(|column| row.get(column).unwrap_or("NULL"));
            Some(values.collect::<Vec<_>>().join("|"))
        }
        _ => None,
    });
    rows.collect()
}

/// The one value of a simple query.
pub async fn value(client: &Client, query: &str) -> String {
    let rows = rows(client, query).await;
    assert_eq!(rows.len(), 1, "{query}");
    rows[0].clone()
}

/// SQLSTATE and message of a statement that must fail.
pub async fn failure(client: &Client, query: &str) -> (String, String) {
    let error = client.simple_query(query).await.expect_err(query);
    let error = error.as_db_error().unwrap_or_else(|| panic!("{query}: {error}"));
    (error.code().code().to_owned(), error.message().to_owned())
}
