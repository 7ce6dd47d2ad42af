//! `--storage s3://…` against a server that speaks S3: moto, from PyPI (`pip install
//! 'moto[server,s3]'`). Without it there is nothing to test against, and the tests say so.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::crash::Process;
use crate::support::{connect, rows, value};

const PATIENCE: Duration = Duration::from_secs(60);

/// A server of S3, stopped when dropped.
struct S3 {
    child: Child,
    addr: SocketAddr,
}

impl S3 {
    /// With an empty bucket `logs`; `None` if moto is not installed.
    fn start() -> Option<S3> {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let addr = free.expect("a free port");
        let named = std::env::var("MOTO_SERVER").ok();
        let spawned = Command::new(named.as_deref().unwrap_or("moto_server"))
            .args(["-H", "127.0.0.1", "-p", &addr.port().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = spawned else {
            assert!(named.is_none(), "$MOTO_SERVER cannot be started");
            eprintln!("not tested: moto_server is not installed (pip install 'moto[server,s3]')");
            return None;
        };
        let s3 = S3 { child, addr };
        let started = Instant::now();
        while s3.ask("PUT", "/logs").is_none_or(|said| !said.starts_with("HTTP/1.1 200")) {
            assert!(started.elapsed() < PATIENCE, "moto does not come up");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(s3)
    }

    /// What it answers, if it does.
    fn ask(&self, method: &str, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.addr).ok()?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.addr
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut said = String::new();
        stream.read_to_string(&mut said).ok()?;
        Some(said)
    }

    /// The objects whose names begin so.
    fn objects(&self, prefix: &str) -> usize {
        let path = format!("/logs?list-type=2&prefix={prefix}");
        self.ask("GET", &path).map_or(0, |said| said.matches("<Key>").count())
    }

    /// A server of Tidemark that keeps its sealed log here.
    async fn tidemark(&self, data: &Path) -> Process {
        let endpoint = format!("http://{}", self.addr);
        let options = ["--storage", "s3://logs/shop", "--segment-size", "16KiB"];
        let environment = [
            ("AWS_ENDPOINT", endpoint.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
        ];
        let mut process = Process::spawn_with(data, &options, &environment);
        process.wait_until_it_listens().await;
        process
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Commits `count` rows, one by one, until more than `sealed` objects hold the table.
async fn commit_until_sealed(s3: &S3, process: &Process, sealed: usize) {
    let client = connect(process.addr).await.expect("a connection");
    let started = Instant::now();
    while s3.objects("shop/tables/") <= sealed {
        assert!(started.elapsed() < PATIENCE, "nothing is sealed");
        let insert = "INSERT INTO t (v) SELECT repeat('x', 100) FROM generate_series(1, 200)";
        client.batch_execute(insert).await.expect("rows");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_sealed_into_s3_and_read_from_there() {
    let Some(s3) = S3::start() else { return };
    let data = tempfile::tempdir().expect("a temporary directory");
    let mut process = s3.tidemark(data.path()).await;
    let client = connect(process.addr).await.expect("a connection");
    client
        .batch_execute(
            "CREATE TABLE t (v text, at timestamptz DEFAULT now());
             CREATE MATERIALIZED VIEW m AS SELECT at, count(*) AS n FROM t GROUP BY at",
        )
        .await
        .expect("a table and a view");
    commit_until_sealed(&s3, &process, 2).await;
    assert_eq!(s3.objects("shop/manifest"), 1);
    assert!(!data.path().join("sealed").exists(), "nothing is sealed into the folder");

    let asked = "SELECT count(*), min(at), max(at), sum(length(v)) FROM t";
    let (before, groups) = (rows(&client, asked).await, value(&client, "SELECT count(*) FROM m"));
    let groups = groups.await;
    process.kill();
    let mut process = s3.tidemark(data.path()).await;
    let client = connect(process.addr).await.expect("a connection");
    assert_eq!(rows(&client, asked).await, before);
    assert_eq!(value(&client, "SELECT count(*) FROM m").await, groups);
    commit_until_sealed(&s3, &process, s3.objects("shop/tables/")).await;
    process.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_servers_with_one_prefix_one_seals() {
    let Some(s3) = S3::start() else { return };
    let (one, two) = (tempfile::tempdir(), tempfile::tempdir());
    let (one, two) = (one.expect("a directory"), two.expect("another"));
    let first = s3.tidemark(one.path()).await;
    let client = connect(first.addr).await.expect("a connection");
    client.batch_execute("CREATE TABLE t (v text, n int)").await.expect("a table");
    commit_until_sealed(&s3, &first, 0).await;
    // It has the log that is there, and goes on with it.
    let second = s3.tidemark(two.path()).await;
    let other = connect(second.addr).await.expect("a connection");
    let sealed = value(&other, "SELECT count(*) FROM t").await;
    assert!(sealed.parse::<u64>().is_ok_and(|rows| rows > 0), "{sealed}");
    commit_until_sealed(&s3, &second, s3.objects("shop/tables/")).await;
    let files = s3.objects("shop/ddl/");
    // The first one finds the manifest replaced, and goes on without sealing.
    for _ in 0..50 {
        let insert = "INSERT INTO t (v) SELECT repeat('y', 100) FROM generate_series(1, 200)";
        client.batch_execute(insert).await.expect("commits go on");
    }
    assert_eq!(value(&client, "SELECT count(*) FROM t WHERE v LIKE 'y%'").await, "10000");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let of_first = s3.objects("shop/ddl/") - files;
    assert!(of_first <= 1, "{of_first} segments of the server that was put aside");
}
