//! COPY from and to files on the server, and rows that bring their arrival times (S20).

use std::fs;
use std::path::Path;
use std::time::Instant;

use tokio_postgres::Client;

use crate::support::{failure, rows, server, value};

const TYPES: &str = "a int, b text, c numeric(10,2), d timestamptz, e double precision, f boolean";

async fn run(client: &Client, statement: &str) {
    client.batch_execute(statement).await.expect(statement);
}

fn in_folder(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_read_again() {
    let server = server().await;
    let client = server.client().await;
    let folder = tempfile::tempdir().expect("a folder");
    run(&client, &format!("CREATE TABLE t ({TYPES})")).await;
    run(
        &client,
        "INSERT INTO t VALUES
            (1, 'eins', 1.25, '2026-06-10 12:00:00.000001Z', 0.1, true),
            (2, E'zwei,\\n\"2\"', -7, NULL, 'NaN', NULL), (NULL, '', NULL, NULL, NULL, false)",
    )
    .await;
    for (name, options) in [
        ("t.parquet", ""),
        ("t.csv", ""),
        ("t.jsonl", ""),
        ("t.ndjson", ""),
        ("v.dat", "WITH (FORMAT json)"),
        ("t.txt", ""),
        ("with_header.csv", "WITH (HEADER)"),
        ("u.dat", "WITH (FORMAT parquet)"),
    ] {
        let file = in_folder(folder.path(), name);
        run(&client, &format!("COPY t TO '{file}' {options}")).await;
        run(&client, &format!("DROP TABLE IF EXISTS u; CREATE TABLE u ({TYPES})")).await;
        run(&client, &format!("COPY u FROM '{file}' {options}")).await;
        let all = |table: &str| format!("SELECT * FROM {table} ORDER BY a");
        assert_eq!(rows(&client, &all("u")).await, rows(&client, &all("t")).await, "{name}");
    }
    let left = fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(left, 8, "unfinished files are left");
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_told_with_their_place_and_leave_nothing() {
    let server = server().await;
    let client = server.client().await;
    let folder = tempfile::tempdir().expect("a folder");
    run(&client, "CREATE TABLE t (a int, b int NOT NULL)").await;
    let file = in_folder(folder.path(), "t.csv");
    fs::write(&file, "1,2\n2,x\n").expect("a file");
    let error = client.simple_query(&format!("COPY t FROM '{file}'")).await.expect_err("a fault");
    let error = error.as_db_error().expect("of the server");
    assert_eq!(error.code().code(), "22P02");
    let place = error.where_().expect("a place");
    assert!(place.contains(&file) && place.contains("line 2"), "{place}");
    let lines = in_folder(folder.path(), "t.jsonl");
    fs::write(&lines, "{\"a\": 1, \"b\": 2}\n\n{\"a\": 2, \"b\": \"x\"}\n").expect("a file");
    let error = client.simple_query(&format!("COPY t FROM '{lines}'")).await.expect_err("a fault");
    let error = error.as_db_error().expect("of the server");
    let place = error.where_().expect("a place");
    assert!(place.contains(&lines) && place.contains("line 3, column b: \"x\""), "{place}");
    fs::remove_file(&lines).expect("a file");
    assert_eq!(failure(&client, "COPY t FROM '/nowhere/t.csv'").await.0, "58P01");
    assert_eq!(
        failure(&client, &format!("COPY t FROM '{file}' (FORMAT parquet)")).await.0,
        "22P04"
    );
    let other = in_folder(folder.path(), "other.parquet");
    run(&client, &format!("COPY (SELECT 'x' AS a, 1 AS b) TO '{other}'")).await;
    assert_eq!(failure(&client, &format!("COPY t FROM '{other}'")).await.0, "42804");
    run(&client, &format!("COPY (SELECT 1 AS a, NULL::int AS b) TO '{other}'")).await;
    assert_eq!(failure(&client, &format!("COPY t FROM '{other}'")).await.0, "23502");
    run(&client, &format!("COPY (SELECT 1 AS a, 2 AS z) TO '{other}'")).await;
    assert_eq!(failure(&client, &format!("COPY t FROM '{other}'")).await.0, "42703");
    let failing =
        format!("COPY (SELECT 1 / (a - 2) FROM generate_series(1, 3) AS g(a)) TO '{other}'");
    assert_eq!(failure(&client, &failing).await.0, "22012");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2);
    assert_eq!(value(&client, "SELECT count(*) FROM t").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_rows_are_loaded_as_old_rows() {
    let server = server().await;
    let client = server.client().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = in_folder(folder.path(), "items.parquet");
    run(
        &client,
        &format!(
            "COPY (SELECT * FROM (VALUES
                (1, 'blouse', 30, '2026-06-08 00:00Z'::timestamptz, false),
                (2, 'scarf', 12, '2026-06-09 00:00Z', false),
                (1, 'blouse', 35, '2026-06-19 00:00Z', NULL),
                (2, NULL, NULL, '2026-06-20 00:00Z', true)) AS v (id, name, price, since, gone))
             TO '{file}'"
        ),
    )
    .await;
    run(&client, "CREATE TABLE items (id int PRIMARY KEY, name text, price int)").await;
    run(&client, "CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n, sum(price) AS s FROM items")
        .await;
    run(&client, "BEGIN; DECLARE c CURSOR FOR SUBSCRIBE m; FETCH ALL c; COMMIT").await;
    run(&client, &format!("COPY items FROM '{file}' (ARRIVAL_TIME since, DELETED gone)")).await;
    assert_eq!(rows(&client, "SELECT * FROM items").await, ["1|blouse|35"]);
    assert_eq!(rows(&client, "SELECT * FROM m").await, ["1|35"]);
    let log = "BEGIN; DECLARE c CURSOR FOR SUBSCRIBE items AS OF '2026-06-09 12:00Z'";
    run(&client, log).await;
    let mut log = rows(&client, "FETCH ALL c").await;
    log[..2].sort();
    assert_eq!(
        log,
        [
            "2026-06-09 12:00:00+00|1|1|blouse|30",
            "2026-06-09 12:00:00+00|1|2|scarf|12",
            "2026-06-19 00:00:00+00|-1|1|blouse|30",
            "2026-06-19 00:00:00+00|1|1|blouse|35",
            "2026-06-20 00:00:00+00|-1|2|scarf|12",
        ]
    );
    run(&client, "COMMIT").await;
    run(&client, "ALTER TABLE items CLOSE HISTORY").await;
    let again = format!("COPY items FROM '{file}' (ARRIVAL_TIME since, DELETED gone)");
    assert_eq!(failure(&client, &again).await.0, "55000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_ends_subscriptions() {
    let server = server().await;
    let (client, loader) = (server.client().await, server.client().await);
    let folder = tempfile::tempdir().expect("a folder");
    let file = in_folder(folder.path(), "t.csv");
    fs::write(&file, "1,2026-06-08 00:00Z\n").expect("a file");
    run(&client, "CREATE TABLE t (a int)").await;
    run(&client, "BEGIN; DECLARE c CURSOR FOR SUBSCRIBE t").await;
    run(&loader, &format!("COPY t FROM '{file}' (ARRIVAL_TIME since)")).await;
    assert_eq!(failure(&client, "FETCH ALL c").await.0, "55000");
}

/// `LOAD_ROWS=10000000 cargo test --release --test system -- --ignored --nocapture load_speed`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn load_speed() {
    let rows = std::env::var("LOAD_ROWS").unwrap_or_else(|_| "10000000".to_owned());
    let server = server().await;
    let client = server.client().await;
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["views.parquet", "views.csv"] {
        let file = in_folder(folder.path(), name);
        let query = format!(
            "SELECT g % 100000 AS user_id, g % 5000 AS item_id,
                '2026-06-01 00:00Z'::timestamptz + g * INTERVAL '1 millisecond' AS since
             FROM generate_series(1, {rows}) AS s(g)"
        );
        run(&client, &format!("COPY ({query}) TO '{file}'")).await;
        run(&client, "DROP TABLE IF EXISTS views").await;
        run(&client, "CREATE TABLE views (user_id bigint, item_id bigint)").await;
        let began = Instant::now();
        run(&client, &format!("COPY views FROM '{file}' (ARRIVAL_TIME since)")).await;
        let rate = rows.parse::<f64>().expect("a number") / began.elapsed().as_secs_f64();
        println!("{name}: {rate:.0} rows/s");
    }
}
