//! Crashes: the real binary is killed (SIGKILL) while clients write, again and again.
//!
//! After each restart: every acknowledged commit is there, once; every transaction is whole or
//! absent; the materialized views say what the tables say; and every later commit is later than any
//! time a reader was ever given (S1).

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::support::{connect, rows, value};

const WRITERS: usize = 3;
const CRASHES: u64 = 4;
/// Replaying a log of a few seconds takes much less.
const START_PATIENCE: Duration = Duration::from_secs(60);

const SCHEMA: &[&str] = &[
    "CREATE TABLE ones (writer int, n bigint, PRIMARY KEY (writer, n))",
    "CREATE TABLE lefts (writer int, n bigint)",
    "CREATE TABLE rights (writer int, n bigint)",
    "CREATE TABLE latest (writer int PRIMARY KEY, n bigint)",
    "CREATE MATERIALIZED VIEW counts AS
        SELECT writer, count(*) AS n, max(n) AS last FROM ones GROUP BY writer",
    "CREATE MATERIALIZED VIEW pairs AS
        SELECT l.writer, l.n FROM lefts l JOIN rights r ON l.writer = r.writer AND l.n = r.n",
    "CREATE MATERIALIZED VIEW over_all AS SELECT sum(n) AS n FROM counts",
];

/// The server as a process of its own, killed when dropped.
pub struct Process {
    child: Child,
    pub addr: SocketAddr,
}

impl Process {
    pub async fn start(data: &Path) -> Process {
        // Free a moment ago, and nobody else is looking for one on this machine.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let addr = port.expect("a free port");
        let child = Command::new(env!("CARGO_BIN_EXE_tidemark"))
            .args(["--listen", &addr.to_string(), "--workers", "2"])
            // small, so that it is killed while it seals and takes checkpoints, too
            .args(["--segment-size", "16KiB", "--checkpoint-size", "8KiB", "--data"])
            .arg(data)
            .env("TIDEMARK_LOG", "error")
            .stdout(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let mut process = Process { child, addr };
        process.wait_until_it_listens().await;
        process
    }

    async fn wait_until_it_listens(&mut self) {
        let started = Instant::now();
        while connect(self.addr).await.is_err() {
            assert!(started.elapsed() < START_PATIENCE, "the server does not come up");
            let ended = self.child.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "the server ended by itself: {ended:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub fn kill(&mut self) {
        let ended = self.child.try_wait().expect("a child can be asked");
        assert!(ended.is_none(), "the server ended by itself: {ended:?}");
        self.child.kill().expect("the server can be killed");
        self.child.wait().expect("and is gone");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a writer has been told is there.
#[derive(Default)]
struct Acknowledged {
    ones: AtomicU64,
    pairs: AtomicU64,
    latest: AtomicU64,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let acknowledged: Arc<Vec<Acknowledged>> =
        Arc::new((0..WRITERS).map(|_| Acknowledged::default()).collect());
    let last_read = Arc::new(AtomicU64::new(0));
    let mut process = Process::start(data.path()).await;
    let client = connect(process.addr).await.expect("a connection");
    for statement in SCHEMA {
        client.batch_execute(statement).await.expect(statement);
    }
    for round in 0..CRASHES {
        let mut tasks: Vec<JoinHandle<()>> = Vec::new();
        for writer in 0..WRITERS {
            let client = connect(process.addr).await.expect("a connection");
            tasks.push(tokio::spawn(write(client, writer, round, acknowledged.clone())));
        }
        let client = connect(process.addr).await.expect("a connection");
        tasks.push(tokio::spawn(read_times(client, last_read.clone())));
        tokio::time::sleep(Duration::from_millis(random.random_range(200..1500))).await;
        process.kill();
        for task in tasks {
            task.await.expect("clients end when the server is gone");
        }
        process = Process::start(data.path()).await;
        let client = connect(process.addr).await.expect("a connection");
        check(&client, &acknowledged).await;
        check_time(&client, last_read.load(Ordering::SeqCst)).await;
    }
    let written = acknowledged.iter().map(|writer| writer.ones.load(Ordering::SeqCst));
    assert!(written.sum::<u64>() > 20, "hardly anything was written");
}

/// Writes until the server is gone. Numbers go up from where the last round's acknowledgements
/// ended, and a row that is there without having been acknowledged is a number skipped.
async fn write(client: Client, writer: usize, round: u64, acknowledged: Arc<Vec<Acknowledged>>) {
    let mine = &acknowledged[writer];
    // Commits in flight at a crash may or may not be there: numbers of a round are its own.
    let mut n = (round + 1) * 1_000_000;
    loop {
        n += 1;
        let one = format!("INSERT INTO ones VALUES ({writer}, {n})");
        if client.batch_execute(&one).await.is_err() {
            return;
        }
        mine.ones.fetch_add(1, Ordering::SeqCst);
        let pair = format!(
            "BEGIN; INSERT INTO lefts VALUES ({writer}, {n}); \
             INSERT INTO rights VALUES ({writer}, {n}); COMMIT"
        );
        match client.batch_execute(&pair).await {
            Ok(()) => {
                mine.pairs.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) if error.code().is_some() => {
                let _ = client.batch_execute("ROLLBACK").await;
            }
            Err(_) => return,
        }
        let latest = format!(
            "INSERT INTO latest VALUES ({writer}, {n}) \
             ON CONFLICT (writer) DO UPDATE SET n = excluded.n"
        );
        if client.batch_execute(&latest).await.is_err() {
            return;
        }
        mine.latest.store(n, Ordering::SeqCst);
    }
}

/// Keeps the greatest time a read was given.
async fn read_times(client: Client, last_read: Arc<AtomicU64>) {
    loop {
        let now = "SELECT (extract(epoch FROM now()) * 1000000)::bigint";
        let Ok(row) = client.query_one(now, &[]).await else {
            return;
        };
        let now: i64 = row.get(0);
        last_read.fetch_max(now as u64, Ordering::SeqCst);
    }
}

async fn check(client: &Client, acknowledged: &[Acknowledged]) {
    for (writer, told) in acknowledged.iter().enumerate() {
        let count = async |table: &str| -> u64 {
            let count = format!("SELECT count(*) FROM {table} WHERE writer = {writer}");
            value(client, &count).await.parse().expect("a number")
        };
        // One commit of each writer may be in flight at each crash: there, but not acknowledged.
        let ones = count("ones").await;
        let told_ones = told.ones.load(Ordering::SeqCst);
        assert!(ones >= told_ones && ones <= told_ones + CRASHES, "{ones} of {told_ones} rows");
        let (lefts, rights) = (count("lefts").await, count("rights").await);
        assert_eq!(lefts, rights, "half a transaction");
        let pairs = told.pairs.load(Ordering::SeqCst);
        assert!(lefts >= pairs && lefts <= pairs + CRASHES, "{lefts} of {pairs} pairs");
        assert_eq!(count("pairs").await, lefts);
        let latest = format!("SELECT n FROM latest WHERE writer = {writer}");
        let latest =
            rows(client, &latest).await.first().map_or(0, |n| n.parse().expect("a number"));
        let told_latest = told.latest.load(Ordering::SeqCst);
        assert!(latest >= told_latest, "an update to {told_latest} is lost: {latest}");
    }
    let of_view = rows(client, "SELECT writer, n, last FROM counts ORDER BY writer").await;
    let of_table = "SELECT writer, count(*), max(n) FROM ones GROUP BY writer ORDER BY writer";
    assert_eq!(of_view, rows(client, of_table).await);
    let sum = value(client, "SELECT coalesce(sum(n), 0) FROM over_all").await;
    assert_eq!(sum, value(client, "SELECT count(*) FROM ones").await);
}

/// A commit after the restart is later than any time handed out before.
async fn check_time(client: &Client, last_read: u64) {
    let insert = "INSERT INTO lefts SELECT -1, (extract(epoch FROM now()) * 1000000)::bigint \
                  RETURNING n";
    let row = client.query_one(insert, &[]).await.expect(insert);
    let committed: i64 = row.get(0);
    assert!(committed as u64 > last_read, "{committed} is not after {last_read}");
    client.batch_execute("DELETE FROM lefts WHERE writer = -1").await.expect("a delete");
}
