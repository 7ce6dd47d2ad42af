//! Sealed segments of the log through a whole server: after a restart everything is as it was, and
//! what earlier versions wrote opens.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tidemark_server::{Config, Running, Server};
use tokio_postgres::Client;

use crate::support::{connect, failure, rows};

/// What happens, one commit a line.
const STORY: &[&str] = &[
    "CREATE TABLE stock (item int PRIMARY KEY, name text, price numeric(10,2))",
    "COPY stock FROM '{stock}' (FORMAT csv, ARRIVAL_TIME since, DELETED gone)",
    "COPY stock FROM '{more}' (FORMAT csv, ARRIVAL_TIME since, DELETED gone)",
    "CREATE TABLE kinds (id int PRIMARY KEY, b boolean, s smallint, l bigint, r real,
        d double precision, n numeric(20,3), t text, v varchar(9), c date, ti time,
        ts timestamp, tz timestamptz, i interval, j jsonb, u uuid, y bytea, a int[], x text[])",
    "INSERT INTO kinds VALUES (1, true, -1, 9007199254740993, 0.1, 'NaN', -12345.678, 'a''b', '',
        '2024-02-29', '23:59:59.999999', '2024-02-29 12:00', '2024-02-29 12:00+02',
        '1 mon -2 days 03:04:05.000006', '{\"a\": [1, 2.50]}',
        'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '\\x00ff', '{1,NULL,3}', '{a,NULL,\"\"}')",
    "INSERT INTO kinds (id, d) VALUES (2, '-0'), (3, 'Infinity')",
    "CREATE MATERIALIZED VIEW dear AS SELECT item, name FROM stock WHERE price > 20",
    "UPDATE stock SET price = 25 WHERE item = 2",
    "DELETE FROM kinds WHERE id = 3",
    "ALTER TABLE stock ADD COLUMN note text DEFAULT 'none'",
    "INSERT INTO stock VALUES (4, 'scarf', 40, 'new')",
    "CREATE TABLE gone (a int)",
    "INSERT INTO gone SELECT n FROM generate_series(1, 100) AS g(n)",
    "DROP TABLE gone",
    "CREATE TABLE log (n int, at timestamptz DEFAULT now())",
    "INSERT INTO log (n) SELECT n FROM generate_series(1, 1000) AS g(n)",
    "DELETE FROM log WHERE n % 3 = 0",
    "UPDATE log SET n = n + 1 WHERE n % 2 = 0",
    "CREATE OR REPLACE MATERIALIZED VIEW dear AS SELECT item, name FROM stock WHERE price > 30",
    "DELETE FROM stock WHERE item = 1",
    "CREATE VIEW names AS SELECT name FROM stock",
    "COMMENT ON TABLE stock IS 'what there is'",
];

const STOCK: &str = "1,blouse,30,2020-01-01 00:00Z,f\n2,scarf,12.50,2020-01-02 00:00Z,f\n\
    1,blouse,35,2020-01-03 00:00Z,f\n3,coat,120,2020-01-03 00:00Z,f\n";
const MORE: &str = "3,,,2020-01-04 00:00Z,t\n2,scarf,13,2020-01-05 00:00Z,f\n";

/// What is asked of it, before and after.
const QUESTIONS: &[&str] = &[
    "SELECT * FROM stock ORDER BY item",
    "SELECT * FROM kinds ORDER BY id",
    "SELECT * FROM dear ORDER BY item",
    "SELECT * FROM names ORDER BY name",
    "SELECT count(*), sum(n), count(DISTINCT at) FROM log",
    "SELECT * FROM stock FOR SYSTEM_TIME AS OF '2020-01-02 12:00Z' ORDER BY item",
    "SELECT * FROM stock FOR SYSTEM_TIME AS OF '2020-01-04 12:00Z' ORDER BY item",
    "SELECT * FROM changes('stock') ORDER BY _time, _diff, item",
    "SELECT * FROM history('stock') ORDER BY item, valid_from",
    "SELECT _time, _diff, count(*), sum(n) FROM changes('log') GROUP BY _time, _diff ORDER BY 1, 2",
    "SELECT * FROM dear FOR SYSTEM_TIME AS OF '2020-01-03 12:00Z' ORDER BY item",
    "SELECT * FROM dear VERSION AS OF 1 ORDER BY item",
    "SELECT obj_description('stock'::regclass)",
];

fn config(data: &Path) -> Config {
    Config { segment_size: 4 << 10, ..Config::for_test(data) }
}

async fn start(data: &Path) -> (Running, Client) {
    let running = Server::start(config(data)).await.expect("a server starts");
    let client = connect(running.addr).await.expect("a connection");
    (running, client)
}

async fn tell(client: &Client, files: &Path) {
    let (stock, more) = (files.join("stock.csv"), files.join("more.csv"));
    fs::write(&stock, STOCK).expect("a file");
    fs::write(&more, MORE).expect("a file");
    for statement in STORY {
        let statement = statement.replace("{stock}", &stock.display().to_string());
        let statement = statement.replace("{more}", &more.display().to_string());
        client.batch_execute(&statement).await.expect(&statement);
    }
}

async fn ask(client: &Client) -> String {
    let mut text = String::new();
    for question in QUESTIONS {
        text.push_str(&format!(
            "{question}\n----\n{}\n\n",
            rows(client, question).await.join("\n")
        ));
    }
    text
}

/// Waits until everything but the newest segment is sealed.
async fn wait_until_sealed(data: &Path) {
    let started = Instant::now();
    while fs::read_dir(data.join("log")).expect("a log").count() > 1 {
        assert!(started.elapsed() < Duration::from_secs(20), "nothing is sealed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_as_it_was() {
    let (data, files) = (folder(), folder());
    let (running, client) = start(data.path()).await;
    tell(&client, files.path()).await;
    let before = ask(&client).await;
    wait_until_sealed(data.path()).await;
    running.shutdown().await;
    fs::remove_dir_all(data.path().join("catalog")).expect("the catalog's copy");
    for _ in 0..2 {
        let (running, client) = start(data.path()).await;
        assert_eq!(ask(&client).await, before);
        let twice = failure(&client, "INSERT INTO stock VALUES (4, 'again', 1, '')").await;
        assert_eq!(twice.0, "23505");
        running.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_limit_refuses_commits() {
    let data = folder();
    let config = Config { unsealed_max: 20 << 10, ..config(data.path()) };
    let running = Server::start(config).await.expect("a server starts");
    let client = connect(running.addr).await.expect("a connection");
    client.batch_execute("CREATE TABLE t (a text)").await.expect("a table");
    let long = "INSERT INTO t VALUES (repeat('x', 30000))";
    let error = client.batch_execute(long).await.expect_err("it does not fit");
    let error = error.as_db_error().expect("the server says so");
    assert_eq!(error.code().code(), "53100");
    assert_eq!(error.message(), "could not commit: the log has no room");
    client.batch_execute("INSERT INTO t VALUES ('short')").await.expect("a small one fits");
    assert_eq!(rows(&client, "SELECT a FROM t").await, ["short"]);
    running.shutdown().await;
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// A folder for each version of what is on disk: `data`, and `expected.txt` with questions and
/// their answers.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("a file");
        let to = to.join(entry.file_name());
        match entry.file_type().expect("a file").is_dir() {
            true => copy_folder(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).expect("a file")),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_earlier_versions_wrote_opens() {
    let mut seen = 0;
    for version in fs::read_dir(fixtures()).expect("fixtures") {
        let version = version.expect("a fixture").path();
        let data = folder();
        copy_folder(&version.join("data"), data.path());
        let (running, client) = start(data.path()).await;
        let expected = fs::read_to_string(version.join("expected.txt")).expect("the answers");
        for asked in expected.split_terminator("\n\n") {
            let (question, answer) = asked.split_once("\n----\n").expect("an answer");
            assert_eq!(rows(&client, question).await.join("\n"), answer, "{question}");
        }
        client
            .batch_execute("INSERT INTO stock VALUES (9, 'hat', 9, '')")
            .await
            .expect("it goes on");
        running.shutdown().await;
        seen += 1;
    }
    assert!(seen > 0);
}

/// Run once for a new version of a file's format: `-- --ignored write_a_fixture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes into tests/fixtures"]
async fn write_a_fixture() {
    let version = fixtures().join(env!("CARGO_PKG_VERSION"));
    let (data, files) = (folder(), folder());
    let (running, client) = start(data.path()).await;
    tell(&client, files.path()).await;
    let answers = ask(&client).await;
    wait_until_sealed(data.path()).await;
    running.shutdown().await;
    for part in ["log", "sealed"] {
        copy_folder(&data.path().join(part), &version.join("data").join(part));
    }
    fs::write(version.join("expected.txt"), answers).expect("the answers");
}
