//! Transactions: snapshots, conflicts, locks, savepoints, DDL inside them.

use std::time::Duration;

use tokio::time::timeout;

use crate::support::{failure, rows, server, value};

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_reads_its_snapshot_and_its_own_writes() {
    let server = server().await;
    let (a, b) = (server.client().await, server.client().await);
    a.batch_execute("CREATE TABLE t (k int PRIMARY KEY, v int)").await.unwrap();
    a.batch_execute("CREATE MATERIALIZED VIEW s AS SELECT sum(v) AS s FROM t").await.unwrap();
    a.batch_execute("INSERT INTO t VALUES (1, 10), (2, 20)").await.unwrap();
    a.batch_execute("BEGIN").await.unwrap();
    let now = value(&a, "SELECT now()").await;
    assert_eq!(value(&a, "SELECT s FROM s").await, "30");
    b.batch_execute("INSERT INTO t VALUES (3, 30)").await.unwrap();
    assert_eq!(value(&b, "SELECT s FROM s").await, "60");
    assert_eq!(value(&a, "SELECT s FROM s").await, "30");
    assert_eq!(value(&a, "SELECT now()").await, now);
    a.batch_execute("COMMIT").await.unwrap();
    a.batch_execute("BEGIN").await.unwrap();
    a.batch_execute("UPDATE t SET v = v + 1").await.unwrap();
    assert_eq!(rows(&a, "SELECT k, v FROM t ORDER BY k").await, ["1|11", "2|21", "3|31"]);
    assert_eq!(value(&a, "SELECT s FROM s").await, "63");
    assert_eq!(value(&b, "SELECT s FROM s").await, "60");
    a.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(value(&a, "SELECT s FROM s").await, "60");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_over_a_newer_commit_is_refused() {
    let server = server().await;
    let (a, b) = (server.client().await, server.client().await);
    a.batch_execute("CREATE TABLE t (k int); CREATE TABLE u (k int)").await.unwrap();
    a.batch_execute("BEGIN; SELECT * FROM t").await.unwrap();
    b.batch_execute("INSERT INTO t VALUES (1)").await.unwrap();
    assert_eq!(failure(&a, "INSERT INTO t VALUES (2)").await.0, "40001");
    a.batch_execute("ROLLBACK").await.unwrap();
    // Written elsewhere, but after reading what has changed since.
    a.batch_execute("BEGIN; SELECT * FROM t; INSERT INTO u VALUES (1)").await.unwrap();
    b.batch_execute("INSERT INTO t VALUES (3)").await.unwrap();
    assert_eq!(failure(&a, "COMMIT").await.0, "40001");
    assert_eq!(value(&a, "SELECT count(*) FROM u").await, "0");
    // Whoever only reads is never refused.
    a.batch_execute("BEGIN; SELECT * FROM t").await.unwrap();
    b.batch_execute("INSERT INTO t VALUES (4)").await.unwrap();
    a.batch_execute("COMMIT").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_one_table_wait_and_deadlocks_are_found() {
    let server = server().await;
    let (a, b) = (server.client().await, server.client().await);
    a.batch_execute("CREATE TABLE t (k int); CREATE TABLE u (k int)").await.unwrap();
    a.batch_execute("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    let waiting = b.batch_execute("INSERT INTO t VALUES (2)");
    assert!(timeout(Duration::from_millis(300), waiting).await.is_err());
    a.batch_execute("COMMIT").await.unwrap();
    // Its answer was not waited for, but the statement ran.
    assert_eq!(value(&b, "SELECT count(*) FROM t").await, "2");

    a.batch_execute("BEGIN; INSERT INTO t VALUES (3)").await.unwrap();
    b.batch_execute("BEGIN; INSERT INTO u VALUES (3)").await.unwrap();
    let first = a.batch_execute("INSERT INTO u VALUES (4)");
    let second = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let failed = failure(&b, "INSERT INTO t VALUES (4)").await;
        b.batch_execute("ROLLBACK").await.unwrap();
        failed.0
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(second, "40P01");
    first.unwrap();
    a.batch_execute("COMMIT").await.unwrap();
    assert_eq!(rows(&a, "SELECT k FROM u").await, ["4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn for_update_keeps_others_from_changing_a_table() {
    let server = server().await;
    let (a, b) = (server.client().await, server.client().await);
    a.batch_execute("CREATE TABLE t (k int PRIMARY KEY, n int)").await.unwrap();
    a.batch_execute("INSERT INTO t VALUES (1, 1)").await.unwrap();
    a.batch_execute("BEGIN").await.unwrap();
    assert_eq!(value(&a, "SELECT n FROM t WHERE k = 1 FOR UPDATE").await, "1");
    let waiting = b.batch_execute("UPDATE t SET n = n * 10");
    assert!(timeout(Duration::from_millis(300), waiting).await.is_err());
    a.batch_execute("UPDATE t SET n = 2; COMMIT").await.unwrap();
    // Its answer was not waited for, but the statement ran.
    assert_eq!(value(&b, "SELECT n FROM t").await, "20");
    assert_eq!(value(&a, "SELECT n FROM t FOR UPDATE").await, "20");
    assert_eq!(failure(&a, "SELECT n FROM t FOR UPDATE SKIP LOCKED").await.0, "0A000");
}

#[tokio::test(flavor = "multi_thread")]
async fn autocommit_never_loses_an_update() {
    let server = server().await;
    let setup = server.client().await;
    setup.batch_execute("CREATE TABLE c (k int PRIMARY KEY, n int)").await.unwrap();
    setup.batch_execute("INSERT INTO c VALUES (1, 0)").await.unwrap();
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let client = server.client().await;
        tasks.push(tokio::spawn(async move {
            for _ in 0..50 {
                client.batch_execute("UPDATE c SET n = n + 1 WHERE k = 1").await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(value(&setup, "SELECT n FROM c").await, "200");
}

#[tokio::test(flavor = "multi_thread")]
async fn savepoints_undo_rows_tables_and_failures() {
    let server = server().await;
    let client = server.client().await;
    client.batch_execute("CREATE TABLE t (k int PRIMARY KEY)").await.unwrap();
    client.batch_execute("BEGIN; INSERT INTO t VALUES (1); SAVEPOINT a").await.unwrap();
    client.batch_execute("INSERT INTO t VALUES (2); CREATE TABLE u (k int)").await.unwrap();
    client.batch_execute("INSERT INTO u VALUES (5)").await.unwrap();
    assert_eq!(rows(&client, "SELECT k FROM u").await, ["5"]);
    assert_eq!(failure(&client, "INSERT INTO t VALUES (1)").await.0, "23505");
    assert_eq!(failure(&client, "SELECT 1").await.0, "25P02");
    client.batch_execute("ROLLBACK TO a").await.unwrap();
    assert_eq!(rows(&client, "SELECT k FROM t").await, ["1"]);
    assert_eq!(failure(&client, "SELECT * FROM u").await.0, "42P01");
    client.batch_execute("ROLLBACK TO a; INSERT INTO t VALUES (3); RELEASE a").await.unwrap();
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(rows(&client, "SELECT k FROM t ORDER BY k").await, ["1", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_and_views_of_a_transaction_appear_with_it() {
    let server = server().await;
    let (a, b) = (server.client().await, server.client().await);
    a.batch_execute("BEGIN; CREATE TABLE t (k int); INSERT INTO t VALUES (1), (2)").await.unwrap();
    a.batch_execute("CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM t").await.unwrap();
    assert_eq!(value(&a, "SELECT n FROM n").await, "2");
    assert_eq!(failure(&b, "SELECT * FROM t").await.0, "42P01");
    a.batch_execute("COMMIT").await.unwrap();
    assert_eq!(value(&b, "SELECT n FROM n").await, "2");
    a.batch_execute("BEGIN; DROP TABLE t CASCADE").await.unwrap();
    assert_eq!(failure(&a, "SELECT * FROM t").await.0, "42P01");
    a.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(value(&a, "SELECT n FROM n").await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_gives_back_tables_views_and_rows() {
    let server = server().await;
    let client = server.client().await;
    client.batch_execute("CREATE TABLE t (k int PRIMARY KEY, v text DEFAULT 'x')").await.unwrap();
    client.batch_execute("CREATE VIEW plain AS SELECT k, v FROM t WHERE k > 1").await.unwrap();
    let view = "CREATE MATERIALIZED VIEW kept AS SELECT v, count(*) AS n FROM plain GROUP BY v";
    client.batch_execute(view).await.unwrap();
    let above = "CREATE MATERIALIZED VIEW above AS SELECT sum(n) AS n FROM kept";
    client.batch_execute(above).await.unwrap();
    client.batch_execute("COMMENT ON TABLE t IS 'kept too'").await.unwrap();
    client.batch_execute("INSERT INTO t (k) VALUES (1), (2), (3)").await.unwrap();
    client
        .batch_execute("UPDATE t SET v = 'y' WHERE k = 3; DELETE FROM t WHERE k = 1")
        .await
        .unwrap();
    let server = server.restart().await;
    let client = server.client().await;
    assert_eq!(rows(&client, "SELECT k, v FROM t ORDER BY k").await, ["2|x", "3|y"]);
    assert_eq!(rows(&client, "SELECT v, n FROM kept ORDER BY v").await, ["x|1", "y|1"]);
    client.batch_execute("INSERT INTO t VALUES (4, 'y')").await.unwrap();
    assert_eq!(rows(&client, "SELECT v, n FROM kept ORDER BY v").await, ["x|1", "y|2"]);
    assert_eq!(value(&client, "SELECT n FROM above").await, "3");
    assert_eq!(failure(&client, "INSERT INTO t VALUES (4)").await.0, "23505");
    let comment = "SELECT obj_description('t'::regclass, 'pg_class')";
    assert_eq!(value(&client, comment).await, "kept too");
    assert_eq!(failure(&client, "DROP TABLE t").await.0, "2BP01");
    client.batch_execute("DROP TABLE t CASCADE").await.unwrap();
    assert_eq!(failure(&client, "SELECT * FROM above").await.0, "42P01");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_waited_for_as_long_as_asked() {
    let server = server().await;
    let (a, b) = (server.client().await, server.client().await);
    a.batch_execute("CREATE TABLE t (k int)").await.unwrap();
    a.batch_execute("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    b.batch_execute("SET lock_timeout = '50ms'").await.unwrap();
    assert_eq!(failure(&b, "INSERT INTO t VALUES (2)").await.0, "55P03");
    a.batch_execute("COMMIT").await.unwrap();
    b.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_kept_by_id() {
    let server = server().await;
    let client = server.client().await;
    client.batch_execute("CREATE TABLE t (k int)").await.unwrap();
    client.batch_execute("CREATE VIEW plain AS SELECT k FROM t").await.unwrap();
    let view = "CREATE MATERIALIZED VIEW n (rows) AS SELECT count(*) FROM t";
    client.batch_execute(view).await.unwrap();
    client.batch_execute("ALTER TABLE t RENAME TO u").await.unwrap();
    client.batch_execute("CREATE TABLE t (other text)").await.unwrap();
    client.batch_execute("INSERT INTO u VALUES (1), (2)").await.unwrap();
    let server = server.restart().await;
    let client = server.client().await;
    assert_eq!(value(&client, "SELECT rows FROM n").await, "2");
    assert_eq!(rows(&client, "SELECT k FROM plain ORDER BY k").await, ["1", "2"]);
}
