//! Bad input and bad clients: each gets an error, or nothing, and everyone else goes on.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;

use crate::raw::{Raw, shorts};
use crate::support::{TestServer, server, value};

/// Ten thousand million rows.
const ENDLESS: &[u8] =
    b"SELECT * FROM generate_series(1, 100000) a, generate_series(1, 100000) b\0";

/// The server still takes connections and answers.
async fn is_alive(server: &TestServer) {
    let client = server.client().await;
    assert_eq!(value(&client, "SELECT 1").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_at_the_door() {
    let server = server().await;
    for body in [&b""[..], b"\0", b"\0\x03\0\0", b"\0\x02\0\0user\0", b"GET / HTTP/1.1\r\n\r\n"] {
        drop(Raw::greeting(server.addr(), body).await);
    }
    let mut half = Raw::greeting(server.addr(), b"\0\x03\0\0user").await;
    half.socket.shutdown().await.unwrap();
    is_alive(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_message_keeps_nobody_up() {
    let server = server().await;
    let mut half = Raw::connect(server.addr()).await;
    half.socket.write_all(b"Q\0\0\0\x50SELECT").await.unwrap();
    is_alive(&server).await;
    half.socket.write_all(&[b' '; 70]).await.unwrap();
    drop(half);
    let mut whole = Raw::connect(server.addr()).await;
    whole.socket.write_all(b"Q\0\0\0\x0dSEL").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    whole.socket.write_all(b"ECT 1\0").await.unwrap();
    assert_eq!(shorts(&whole.until_ready().await), ["D 1", "C SELECT 1", "Z I"]);
    is_alive(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_messages_are_answered() {
    let server = server().await;
    let mut raw = Raw::connect(server.addr()).await;
    raw.send('B', b"\0").await;
    assert_eq!(raw.sync().await, ["E 08P01", "Z I"]);
    raw.send('Q', b"SELECT '\xff'\0").await;
    assert_eq!(shorts(&raw.until_ready().await), ["E 22021", "Z I"]);
    assert_eq!(raw.ask("SELECT 1").await, ["D 1", "C SELECT 1", "Z I"]);
    // Left over from a COPY that isn't there.
    raw.send('d', b"1\n").await;
    raw.send('f', b"no\0").await;
    assert_eq!(raw.ask("SELECT 1").await, ["D 1", "C SELECT 1", "Z I"]);
    raw.send('?', b"").await;
    assert_eq!(raw.read().await.short(), "E 08P01");
    is_alive(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_string_of_100_mb_is_refused_and_forgotten() {
    let server = server().await;
    let mut raw = Raw::connect(server.addr()).await;
    let mut text = b"SELECT 1".to_vec();
    text.extend(b"+1".repeat(50_000_000));
    text.push(0);
    raw.send('Q', &text).await;
    assert_eq!(shorts(&raw.until_ready().await), ["E 54000", "Z I"]);
    assert_eq!(raw.ask("SELECT 1").await, ["D 1", "C SELECT 1", "Z I"]);
    raw.send('P', &[&[0], &text[..], &[0, 0]].concat()).await;
    assert_eq!(raw.sync().await, ["E 54000", "Z I"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_as_long_as_they_may_be_do_not_end_the_server() {
    let server = server().await;
    let mut raw = Raw::connect(server.addr()).await;
    let deep = [
        format!("SELECT {}1{}", "(".repeat(2_000_000), ")".repeat(2_000_000)),
        format!("SELECT 1{}", "+1".repeat(2_000_000)),
        format!("SELECT {}1", "- ".repeat(2_000_000)),
        format!("SELECT {}true", "NOT ".repeat(1_000_000)),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(100_000)),
        format!("SELECT '{}'", "x".repeat(10_000_000)),
    ];
    for text in &deep {
        let answers = raw.ask(text).await;
        let code = answers[0].get(..20).unwrap_or(&answers[0]);
        assert_eq!(answers.last().map(String::as_str), Some("Z I"), "{code}");
    }
    is_alive(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_statements_get_their_sqlstate() {
    let server = server().await;
    let mut raw = Raw::connect(server.addr()).await;
    raw.ask("CREATE TABLE t (k int PRIMARY KEY, v text NOT NULL, c varchar(3))").await;
    raw.ask("INSERT INTO t VALUES (1, 'a')").await;
    for (statement, code) in [
        ("SELECT * FROM nope", "42P01"),
        ("SELECT nope FROM t", "42703"),
        ("SELECT nope(1)", "42883"),
        ("SELECT k = 'x' FROM t", "22P02"),
        ("SELECT 'x'::int", "22P02"),
        ("SELECT k FROM t WHERE v", "42804"),
        ("INSERT INTO t VALUES (2, NULL)", "23502"),
        ("INSERT INTO t VALUES (1, 'b')", "23505"),
        ("INSERT INTO t VALUES (2, 'b', 'long')", "22001"),
        ("INSERT INTO t VALUES ('x', 'b')", "22P02"),
        ("INSERT INTO t (nope) VALUES (1)", "42703"),
        ("UPDATE t SET k = NULL", "23502"),
        ("CREATE TABLE t (k int)", "42P07"),
        ("DROP TABLE nope", "42P01"),
        ("DROP VIEW t", "42809"),
        ("SELECT 1 +", "42601"),
        ("LISTEN x", "0A000"),
        ("SET nope = 1", "42704"),
    ] {
        let answers = raw.ask(statement).await;
        assert_eq!(answers, [format!("E {code}"), "Z I".to_owned()], "{statement}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_copy_line_is_named_and_undoes_the_copy() {
    let server = server().await;
    let mut raw = Raw::connect(server.addr()).await;
    raw.ask("CREATE TABLE t (k int PRIMARY KEY, v text NOT NULL)").await;
    for (lines, code, line) in [
        ("1\ta\n2\tb\nx\tc\n4\td\n", "22P02", "line 3"),
        ("1\ta\n2\n", "22P04", "line 2"),
        ("1\ta\tb\n", "22P04", "line 1"),
        ("1\ta\n2\t\\N\n", "23502", "line 2"),
    ] {
        raw.send('Q', b"COPY t FROM STDIN\0").await;
        assert_eq!(raw.read().await.kind, 'G');
        raw.send('d', lines.as_bytes()).await;
        raw.send('c', b"").await;
        let answers = raw.until_ready().await;
        assert_eq!(shorts(&answers), [format!("E {code}"), "Z I".to_owned()], "{lines}");
        let context = answers[0].field('W').unwrap_or_default();
        assert!(context.contains(line), "{context}");
    }
    raw.send('Q', b"COPY t FROM STDIN\0").await;
    assert_eq!(raw.read().await.kind, 'G');
    raw.send('d', b"1\ta\n").await;
    raw.send('f', b"changed my mind\0").await;
    assert_eq!(shorts(&raw.until_ready().await), ["E 57014", "Z I"]);
    assert_eq!(raw.ask("SELECT count(*) FROM t").await, ["D 0", "C SELECT 1", "Z I"]);
    // Cut anywhere, and the last line without its end.
    raw.send('Q', b"COPY t FROM STDIN; SELECT count(*) FROM t\0").await;
    assert_eq!(raw.read().await.kind, 'G');
    for piece in [&b"1\t"[..], b"a\n2", b"\tb"] {
        raw.send('d', piece).await;
    }
    raw.send('c', b"").await;
    let answers = shorts(&raw.until_ready().await);
    assert_eq!(answers, ["C COPY 2", "D 2", "C SELECT 1", "Z I"]);
    assert_eq!(
        raw.ask("COPY (SELECT k, v FROM t ORDER BY k) TO STDOUT WITH (FORMAT csv, HEADER)").await,
        ["H", "d", "d", "d", "c", "C COPY 2", "Z I"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_in_a_copy_leaves_nothing() {
    let server = server().await;
    let client = server.client().await;
    client.batch_execute("CREATE TABLE t (k int)").await.unwrap();
    let mut raw = Raw::connect(server.addr()).await;
    // In a block: it holds the table's lock.
    raw.ask("BEGIN").await;
    raw.send('Q', b"COPY t FROM STDIN\0").await;
    assert_eq!(raw.read().await.kind, 'G');
    raw.send('d', b"1\n2\n3\n").await;
    drop(raw);
    let insert = client.batch_execute("INSERT INTO t VALUES (9)");
    tokio::time::timeout(Duration::from_secs(10), insert).await.expect("the lock is free").unwrap();
    assert_eq!(value(&client, "SELECT count(*) FROM t").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_in_a_result_stops_its_query() {
    let server = server().await;
    let client = server.client().await;
    let sessions = "SELECT count(*) FROM pg_stat_activity";
    let before = value(&client, sessions).await;
    for _ in 0..3 {
        let mut raw = Raw::connect(server.addr()).await;
        raw.send('Q', ENDLESS).await;
        raw.read().await;
        drop(raw);
    }
    let started = Instant::now();
    while value(&client, sessions).await != before {
        assert!(started.elapsed() < Duration::from_secs(20), "sessions outlive their clients");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_result_nobody_reads_blocks_nobody() {
    let server = server().await;
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut raw = Raw::connect(server.addr()).await;
        raw.send('Q', ENDLESS).await;
        slow.push(raw);
    }
    let client = server.client().await;
    let started = Instant::now();
    for _ in 0..20 {
        assert_eq!(value(&client, "SELECT 1").await, "1");
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    // A cancel reaches one that waits for its client to read.
    slow[0].cancel(server.addr()).await;
    let last = shorts(&slow[0].until_ready().await);
    assert_eq!(last[last.len() - 2..], ["E 57014", "Z I"]);
}
