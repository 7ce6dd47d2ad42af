//! The server under test: Tidemark in this process, or a PostgreSQL to learn the expected answers
//! from.
//!
//! Law: an [`Instance`] begins empty, and nobody else uses it. A restart keeps the data and nothing
//! else. Tidemark runs without fsync here: these tests are about meaning; the crash tests are about
//! disks.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tidemark_server::{Config, Running, Server};
use tokio::sync::Mutex;
use tokio_postgres::{Config as ClientConfig, NoTls};

/// Where the statements go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A Tidemark server in this process, with this many workers.
    Tidemark { workers: usize },
    /// The PostgreSQL at this URL; every instance is a database of its own there.
    Postgres { url: String },
}

/// One running server with a state of its own.
pub struct Instance {
    kind: Kind,
    generation: AtomicU64,
}

enum Kind {
    Tidemark { data: TempDir, workers: usize, running: Mutex<Option<Running>> },
    Postgres { admin: ClientConfig, database: String },
}

impl Instance {
    /// Starts the target with nothing in it.
    pub async fn start(target: &Target) -> Result<Arc<Self>, String> {
        let kind = match target {
            Target::Tidemark { workers } => {
                let data = TempDir::new().map_err(|e| format!("no folder for the data: {e}"))?;
                let running = open(data.path(), *workers).await?;
                Kind::Tidemark { data, workers: *workers, running: Mutex::new(Some(running)) }
            }
            Target::Postgres { url } => create_database(url).await?,
        };
        Ok(Arc::new(Self { kind, generation: AtomicU64::new(0) }))
    }

    /// As `skipif` and `onlyif` name it.
    pub fn engine_name(&self) -> &'static str {
        match self.kind {
            Kind::Tidemark { .. } => "tidemark",
            Kind::Postgres { .. } => "postgres",
        }
    }

    /// How many restarts there have been: a connection made under another number is gone.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Stops the server and starts it again over the same data.
    pub async fn restart(&self) -> Result<(), String> {
        if let Kind::Tidemark { data, workers, running } = &self.kind {
            let mut running = running.lock().await;
            stop(running.take()).await;
            *running = Some(open(data.path(), *workers).await?);
        }
        self.generation.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Where a client connects.
    pub async fn address(&self) -> Result<ClientConfig, String> {
        match &self.kind {
            Kind::Tidemark { running, .. } => {
                let running = running.lock().await;
                let address = running.as_ref().ok_or("the server is stopped")?.addr;
                let mut config = ClientConfig::new();
                config.host(address.ip().to_string()).port(address.port());
                config.user("slt").dbname("slt");
                Ok(config)
            }
            Kind::Postgres { admin, database } => {
                let mut config = admin.clone();
                config.dbname(database);
                Ok(config)
            }
        }
    }

    /// The statement as this server spells it. PostgreSQL doesn't keep materialized views up, but
    /// by the law one says at every moment what the plain view says.
    pub fn spelled(&self, sql: &str) -> String {
        match self.kind {
            Kind::Tidemark { .. } => sql.to_owned(),
            Kind::Postgres { .. } => sql.replace("MATERIALIZED VIEW", "VIEW"),
        }
    }

    /// Stops the server and removes its data.
    pub async fn shutdown(&self) {
        match &self.kind {
            Kind::Tidemark { running, .. } => stop(running.lock().await.take()).await,
            Kind::Postgres { admin, database } => {
                let drop = format!("DROP DATABASE {database} WITH (FORCE)");
                if let Err(error) = as_admin(admin, &drop).await {
                    eprintln!("database {database} stays behind: {error}");
                }
            }
        }
    }
}

async fn open(data: &Path, workers: usize) -> Result<Running, String> {
    let config = Config { workers: Some(workers), ..Config::for_test(data) };
    Server::start(config).await.map_err(|e| format!("the server does not start: {e}"))
}

async fn stop(running: Option<Running>) {
    if let Some(running) = running {
        running.shutdown().await;
    }
}

async fn create_database(url: &str) -> Result<Kind, String> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let admin: ClientConfig = url.parse().map_err(|e| format!("not a PostgreSQL URL: {e}"))?;
    let number = NEXT.fetch_add(1, Ordering::SeqCst);
    let database = format!("slt_{}_{number}", std::process::id());
    as_admin(&admin, &format!("CREATE DATABASE {database} TEMPLATE template0")).await?;
    Ok(Kind::Postgres { admin, database })
}

async fn as_admin(admin: &ClientConfig, sql: &str) -> Result<(), String> {
    let (client, connection) = admin.connect(NoTls).await.map_err(|e| e.to_string())?;
    let driver = tokio::spawn(connection);
    let answer = client.batch_execute(sql).await.map_err(|e| e.to_string());
    drop(client);
    // The connection ends by itself once its client is gone; a hung server must not hang us.
    let _ended = tokio::time::timeout(Duration::from_secs(5), driver).await;
    answer
}
