//! `--memory`: a server with more state than it may hold in memory is right, says so, and lets a
//! query that asks for too much fail alone.

use tokio_postgres::Client;

use crate::crash::Process;
use crate::support::{connect, failure, rows, value};

/// Rows of a table; with the view over it they take some 300 MB.
const ROWS: u64 = 600_000;

async fn filled(client: &Client) {
    client
        .batch_execute(
            "CREATE TABLE t (id bigint PRIMARY KEY, k bigint, v text);
             CREATE MATERIALIZED VIEW m AS
                 SELECT k, count(*) AS n, sum(id) AS s, max(v) AS last FROM t GROUP BY k",
        )
        .await
        .expect("a table and a view");
    let part = ROWS / 6;
    for from in (0..ROWS).step_by(part as usize) {
        let insert = format!(
            "INSERT INTO t SELECT g, g % 200000, repeat('x', 100) || g
             FROM generate_series({}, {}) AS g",
            from + 1,
            from + part
        );
        client.batch_execute(&insert).await.expect("rows");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_state_than_memory() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let mut process = Process::spawn_with(data.path(), &["--memory", "256MiB"], &[]);
    process.wait_until_it_listens().await;
    let client = connect(process.addr).await.expect("a connection");
    filled(&client).await;

    let changed = "UPDATE t SET k = k + 1 WHERE id % 1000 = 0";
    client.batch_execute(changed).await.expect("an update");
    client.batch_execute("DELETE FROM t WHERE id % 1000 = 7").await.expect("a delete");
    let differ = "SELECT count(*) FROM (
                      SELECT k, count(*) AS n, sum(id) AS s, max(v) AS last FROM t GROUP BY k
                  ) f FULL JOIN m USING (k, n, s, last) WHERE f.k IS NULL OR m.k IS NULL";
    assert_eq!(value(&client, "SELECT sum(n) FROM m").await, (ROWS - 600).to_string());
    assert_eq!(value(&client, "SELECT count(*) FROM m").await, "199600");
    // Groups one by one, as an oracle over all of them would not fit.
    for k in [1, 77_777, 100_001, 199_999] {
        let of_k = differ.replace("FROM t GROUP", &format!("FROM t WHERE k = {k} GROUP"));
        let of_k =
            of_k.replace("JOIN m USING", &format!("JOIN (SELECT * FROM m WHERE k = {k}) m USING"));
        assert_eq!(value(&client, &of_k).await, "0", "of key {k}");
    }

    let paged = "SELECT bytes > 50000000 FROM tidemark.memory WHERE part = 'file'";
    assert_eq!(value(&client, paged).await, "t");
    let reported = "SELECT rows, page_faults > 0, hit_rate BETWEEN 0 AND 1 FROM tidemark.memory
                    WHERE relation_name = 'm' AND part LIKE 'Aggregate%'";
    assert_eq!(rows(&client, reported).await, ["199600|t|t"]);

    let too_much = "SELECT count(*) FROM t a JOIN t b ON a.v = b.v";
    assert_eq!(failure(&client, too_much).await.0, "53200");
    assert_eq!(value(&client, "SELECT count(*) FROM t WHERE k = 5").await, "3");
}

#[test]
fn less_than_the_program_takes_is_refused() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_tidemark"))
        .args(["--memory", "10MiB", "--data"])
        .arg(data.path())
        .output()
        .expect("the binary starts");
    assert!(!ran.status.success());
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(said.contains("--memory is to be 256 MiB at least"), "{said}");
}
