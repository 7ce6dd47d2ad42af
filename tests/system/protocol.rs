//! The protocol, message by message, against what PostgreSQL 15 answers.

use std::time::Duration;

use tokio::io::AsyncReadExt;

use crate::raw::{Raw, shorts};
use crate::support::server;

/// One row, after 10^13 steps.
const ENDLESS: &str = "SELECT count(*) FROM generate_series(1, 100000) a, \
     generate_series(1, 100000) b, generate_series(1, 1000) c";

#[tokio::test(flavor = "multi_thread")]
async fn startup_tells_who_the_server_is() {
    let server = server().await;
    let mut raw = Raw::greeting(server.addr(), &80_877_103u32.to_be_bytes()).await;
    assert_eq!(raw.socket.read_u8().await.unwrap(), b'N', "no TLS");
    let raw = Raw::connect(server.addr()).await;
    let parameter = |name: &str| {
        let found = raw.parameters.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).unwrap_or("missing")
    };
    assert!(parameter("server_version").starts_with("15."));
    for (name, value) in [
        ("server_encoding", "UTF8"),
        ("client_encoding", "UTF8"),
        ("DateStyle", "ISO, MDY"),
        ("TimeZone", "UTC"),
        ("integer_datetimes", "on"),
        ("standard_conforming_strings", "on"),
        ("application_name", "raw"),
        ("IntervalStyle", "postgres"),
        ("is_superuser", "on"),
        ("session_authorization", "tester"),
    ] {
        assert_eq!(parameter(name), value, "{name}");
    }
    assert!(raw.process_id > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn command_tags_are_those_of_postgres() {
    let server = server().await;
    let mut raw = Raw::connect(server.addr()).await;
    for (statement, tag) in [
        ("CREATE TABLE t (k int PRIMARY KEY, v text)", "CREATE TABLE"),
        ("INSERT INTO t VALUES (1, 'a'), (2, 'b')", "INSERT 0 2"),
        ("UPDATE t SET v = 'c'", "UPDATE 2"),
        ("DELETE FROM t WHERE k = 2", "DELETE 1"),
        ("CREATE TABLE u AS SELECT k FROM t", "SELECT 1"),
        ("CREATE VIEW v AS SELECT k FROM t", "CREATE VIEW"),
        ("CREATE OR REPLACE VIEW v AS SELECT k, v FROM t", "CREATE VIEW"),
        ("CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM t", "CREATE MATERIALIZED VIEW"),
        ("COMMENT ON VIEW v IS 'x'", "COMMENT"),
        ("DROP MATERIALIZED VIEW m", "DROP MATERIALIZED VIEW"),
        ("DROP VIEW v", "DROP VIEW"),
        ("TRUNCATE t", "TRUNCATE TABLE"),
        ("TRUNCATE TABLE t, u", "TRUNCATE TABLE"),
        ("CREATE SCHEMA s", "CREATE SCHEMA"),
        ("DROP SCHEMA s", "DROP SCHEMA"),
        ("DROP TABLE t, u", "DROP TABLE"),
        ("SET work_mem = '1MB'", "SET"),
        ("RESET work_mem", "RESET"),
        ("BEGIN", "BEGIN"),
        ("COMMIT", "COMMIT"),
        ("START TRANSACTION", "START TRANSACTION"),
        ("ROLLBACK", "ROLLBACK"),
        ("DISCARD ALL", "DISCARD ALL"),
        ("DEALLOCATE ALL", "DEALLOCATE ALL"),
    ] {
        let answers = raw.ask(statement).await;
        assert!(answers.contains(&format!("C {tag}")), "{statement}: {answers:?}");
    }
    assert_eq!(raw.ask("SHOW work_mem").await, ["D 64MB", "C SHOW", "Z I"]);
    assert_eq!(raw.ask("SELECT 1, NULL").await, ["D 1|NULL", "C SELECT 1", "Z I"]);
    assert_eq!(raw.ask("").await, ["I", "Z I"]);
    assert_eq!(raw.ask(" ; -- nothing\n ;").await, ["I", "Z I"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_statements_are_one_implicit_transaction() {
    let server = server().await;
    let mut raw = Raw::connect(server.addr()).await;
    raw.ask("CREATE TABLE t (k int PRIMARY KEY)").await;
    assert_eq!(
        raw.ask("INSERT INTO t VALUES (1); SELECT 1; INSERT INTO t VALUES (1); SELECT 2").await,
        ["C INSERT 0 1", "D 1", "C SELECT 1", "E 23505", "Z I"]
    );
    assert_eq!(raw.ask("SELECT k FROM t").await, ["C SELECT 0", "Z I"]);
    // COMMIT keeps what came before it, the error undoes what came after.
    assert_eq!(
        raw.ask("INSERT INTO t VALUES (1); COMMIT; INSERT INTO t VALUES (2); SELECT 1/0").await,
        ["C INSERT 0 1", "N 25P01", "C COMMIT", "C INSERT 0 1", "E 22012", "Z I"]
    );
    assert_eq!(raw.ask("SELECT k FROM t").await, ["D 1", "C SELECT 1", "Z I"]);
    // BEGIN takes what came before it along.
    assert_eq!(
        raw.ask("INSERT INTO t VALUES (3); BEGIN; INSERT INTO t VALUES (4)").await,
        ["C INSERT 0 1", "C BEGIN", "C INSERT 0 1", "Z T"]
    );
    assert_eq!(raw.ask("ROLLBACK").await, ["C ROLLBACK", "Z I"]);
    assert_eq!(raw.ask("SELECT count(*) FROM t").await, ["D 1", "C SELECT 1", "Z I"]);
    // A syntax error anywhere, and nothing runs.
    assert_eq!(raw.ask("INSERT INTO t VALUES (5); SELEC 1").await, ["E 42601", "Z I"]);
    assert_eq!(raw.ask("SELECT count(*) FROM t").await, ["D 1", "C SELECT 1", "Z I"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_warn_fail_and_end_as_in_postgres() {
    let server = server().await;
    let mut raw = Raw::connect(server.addr()).await;
    assert_eq!(raw.ask("COMMIT").await, ["N 25P01", "C COMMIT", "Z I"]);
    assert_eq!(raw.ask("ROLLBACK").await, ["N 25P01", "C ROLLBACK", "Z I"]);
    assert_eq!(raw.ask("BEGIN").await, ["C BEGIN", "Z T"]);
    assert_eq!(raw.ask("BEGIN").await, ["N 25001", "C BEGIN", "Z T"]);
    assert_eq!(raw.ask("SELECT 1/0").await, ["E 22012", "Z E"]);
    assert_eq!(raw.ask("SELECT 1").await, ["E 25P02", "Z E"]);
    assert_eq!(raw.ask("COMMIT").await, ["C ROLLBACK", "Z I"]);
    assert_eq!(raw.ask("SAVEPOINT a").await, ["E 25P01", "Z I"]);
    assert_eq!(raw.ask("DECLARE c CURSOR FOR SELECT 1").await, ["E 25P01", "Z I"]);
    assert_eq!(raw.ask("BEGIN READ ONLY").await, ["C BEGIN", "Z T"]);
    assert_eq!(raw.ask("CREATE TABLE t (k int)").await, ["E 25006", "Z E"]);
    assert_eq!(raw.ask("ROLLBACK").await, ["C ROLLBACK", "Z I"]);
    // Settings go back with the transaction.
    raw.ask("BEGIN; SET application_name = 'inside'").await;
    assert_eq!(raw.ask("SHOW application_name").await, ["D inside", "C SHOW", "Z T"]);
    raw.ask("ROLLBACK").await;
    assert_eq!(raw.ask("SHOW application_name").await, ["D raw", "C SHOW", "Z I"]);
    raw.ask("BEGIN; SET LOCAL application_name = 'inside'; COMMIT").await;
    assert_eq!(raw.ask("SHOW application_name").await, ["D raw", "C SHOW", "Z I"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_code_position_detail_and_hint() {
    let server = server().await;
    let mut raw = Raw::connect(server.addr()).await;
    let error = raw.query("SELECT 1; SELECT nope").await;
    let error = error.iter().find(|message| message.kind == 'E').unwrap();
    assert_eq!(error.field('S').as_deref(), Some("ERROR"));
    assert_eq!(error.field('V').as_deref(), Some("ERROR"));
    assert_eq!(error.field('C').as_deref(), Some("42703"));
    assert_eq!(error.field('M').as_deref(), Some("column \"nope\" does not exist"));
    assert_eq!(error.field('P').as_deref(), Some("18"));
    raw.ask("CREATE TABLE t (k int); CREATE VIEW v AS SELECT k FROM t").await;
    let error = raw.query("DROP TABLE t").await;
    assert_eq!(error[0].field('C').as_deref(), Some("2BP01"));
    let message = "cannot drop table t because other objects depend on it";
    assert_eq!(error[0].field('M').as_deref(), Some(message));
    assert_eq!(error[0].field('D').as_deref(), Some("view v depends on table t"));
    let hint = "Use DROP ... CASCADE to drop the dependent objects too.";
    assert_eq!(error[0].field('H').as_deref(), Some(hint));
    let dropped = raw.query("DROP TABLE t CASCADE").await;
    assert_eq!(dropped[0].field('M').as_deref(), Some("drop cascades to view v"));
    assert_eq!(shorts(&dropped), ["N 00000", "C DROP TABLE", "Z I"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_extended_protocol_describes_before_it_runs() {
    let server = server().await;
    let mut raw = Raw::connect(server.addr()).await;
    raw.ask("CREATE TABLE t (k int, v text)").await;
    raw.parse("", "INSERT INTO t VALUES ($1, $2)", &[]).await;
    raw.describe('S', "").await;
    raw.send('S', &[]).await;
    let answers = raw.until_ready().await;
    assert_eq!(shorts(&answers), ["1", "t", "n", "Z I"]);
    assert_eq!(answers[1].body, [0, 2, 0, 0, 0, 23, 0, 0, 0, 25], "int4 and text");
    raw.parse("", "INSERT INTO t VALUES ($1, $2)", &[]).await;
    raw.bind("", "", &[Some("1"), Some("a")]).await;
    raw.execute("", 0).await;
    assert_eq!(raw.sync().await, ["1", "2", "C INSERT 0 1", "Z I"]);
    raw.parse("q", "SELECT v, k + $1 FROM t WHERE k = $2", &[0, 20]).await;
    raw.describe('S', "q").await;
    raw.bind("", "q", &[Some("2"), Some("1")]).await;
    raw.describe('P', "").await;
    raw.execute("", 0).await;
    raw.send('S', &[]).await;
    let answers = raw.until_ready().await;
    assert_eq!(shorts(&answers), ["1", "t", "2", "D a|3", "C SELECT 1", "Z I"]);
    assert_eq!(answers[1].body, [0, 2, 0, 0, 0, 23, 0, 0, 0, 20]);
    raw.close('S', "q").await;
    raw.bind("", "q", &[]).await;
    assert_eq!(raw.sync().await, ["3", "E 26000", "Z I"]);
    raw.parse("", "SELECT 1; SELECT 2", &[]).await;
    assert_eq!(raw.sync().await, ["E 42601", "Z I"]);
    raw.parse("", "", &[]).await;
    raw.bind("", "", &[]).await;
    raw.describe('P', "").await;
    raw.execute("", 0).await;
    assert_eq!(raw.sync().await, ["1", "2", "n", "I", "Z I"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_is_one_transaction_up_to_sync() {
    let server = server().await;
    let mut raw = Raw::connect(server.addr()).await;
    raw.ask("CREATE TABLE t (k int PRIMARY KEY)").await;
    raw.parse("i", "INSERT INTO t VALUES ($1)", &[]).await;
    assert_eq!(raw.sync().await, ["1", "Z I"]);
    for value in ["1", "2", "1", "3"] {
        raw.bind("", "i", &[Some(value)]).await;
        raw.execute("", 0).await;
    }
    let answers = raw.sync().await;
    assert_eq!(answers, ["2", "C INSERT 0 1", "2", "C INSERT 0 1", "2", "E 23505", "Z I"]);
    assert_eq!(raw.ask("SELECT count(*) FROM t").await, ["D 0", "C SELECT 1", "Z I"]);
    for value in ["1", "2"] {
        raw.bind("", "i", &[Some(value)]).await;
        raw.execute("", 0).await;
    }
    assert_eq!(raw.sync().await, ["2", "C INSERT 0 1", "2", "C INSERT 0 1", "Z I"]);
    assert_eq!(raw.ask("SELECT count(*) FROM t").await, ["D 2", "C SELECT 1", "Z I"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn portals_stop_at_the_row_limit_and_go_on() {
    let server = server().await;
    let mut raw = Raw::connect(server.addr()).await;
    raw.ask("BEGIN").await;
    raw.parse("", "SELECT g FROM generate_series(1, 5) AS s(g) ORDER BY g", &[]).await;
    raw.bind("p", "", &[]).await;
    raw.execute("p", 2).await;
    assert_eq!(raw.sync().await, ["1", "2", "D 1", "D 2", "s", "Z T"]);
    raw.execute("p", 2).await;
    assert_eq!(raw.sync().await, ["D 3", "D 4", "s", "Z T"]);
    raw.execute("p", 2).await;
    assert_eq!(raw.sync().await, ["D 5", "C SELECT 1", "Z T"]);
    raw.ask("COMMIT").await;
    raw.execute("p", 2).await;
    assert_eq!(raw.sync().await, ["E 34000", "Z I"]);
    // Outside a block a portal ends with its Sync.
    raw.parse("", "SELECT 1 UNION ALL SELECT 2", &[]).await;
    raw.bind("p", "", &[]).await;
    raw.execute("p", 1).await;
    raw.sync().await;
    raw.execute("p", 1).await;
    assert_eq!(raw.sync().await, ["E 34000", "Z I"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_wrong_length_and_function_calls_leave_the_session() {
    let server = server().await;
    let mut raw = Raw::connect(server.addr()).await;
    raw.parse("s", "SELECT $1::text", &[]).await;
    assert_eq!(raw.sync().await, ["1", "Z I"]);
    let bind: &[u8] = b"\0s\0\0\0\0\x01\0\0\0\x01x\0\0";
    let long = [bind, b"y"].concat();
    let negative = b"\0s\0\0\0\0\x01\xff\xff\xff\xfe\0\0".as_slice();
    for (body, message) in [
        (&bind[..bind.len() - 1], "insufficient data left in message"),
        (&bind[..9], "insufficient data left in message"),
        (negative, "insufficient data left in message"),
        (&bind[..2], "invalid string in message"),
        (&long, "invalid message format"),
    ] {
        raw.send('B', body).await;
        raw.execute("", 0).await;
        raw.send('S', &[]).await;
        let answers = raw.until_ready().await;
        assert_eq!(shorts(&answers), ["E 08P01", "Z I"], "{body:?}");
        assert_eq!(answers[0].field('M').as_deref(), Some(message), "{body:?}");
    }
    raw.send('B', bind).await;
    raw.execute("", 0).await;
    assert_eq!(raw.sync().await, ["2", "D x", "C SELECT 1", "Z I"]);
    // No Sync ends a function call.
    raw.send('F', b"\0\0\x03\xe7\0\0\0\0\0\0").await;
    assert_eq!(shorts(&raw.until_ready().await), ["E 0A000", "Z I"]);
    raw.ask("BEGIN").await;
    raw.send('F', b"").await;
    assert_eq!(shorts(&raw.until_ready().await), ["E 0A000", "Z E"]);
    assert_eq!(raw.ask("ROLLBACK").await, ["C ROLLBACK", "Z I"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_and_prepared_statements_in_sql() {
    let server = server().await;
    let mut raw = Raw::connect(server.addr()).await;
    raw.ask("BEGIN; DECLARE c CURSOR FOR SELECT g FROM generate_series(1, 3) AS s(g)").await;
    assert_eq!(raw.ask("FETCH 2 FROM c").await, ["D 1", "D 2", "C FETCH 2", "Z T"]);
    assert_eq!(raw.ask("FETCH ALL FROM c").await, ["D 3", "C FETCH 1", "Z T"]);
    assert_eq!(raw.ask("FETCH c").await, ["C FETCH 0", "Z T"]);
    assert_eq!(raw.ask("CLOSE c").await, ["C CLOSE CURSOR", "Z T"]);
    assert_eq!(raw.ask("FETCH c").await, ["E 34000", "Z E"]);
    raw.ask("ROLLBACK").await;
    assert_eq!(raw.ask("PREPARE p (int, text) AS SELECT $1 + 1, $2").await, ["C PREPARE", "Z I"]);
    assert_eq!(raw.ask("EXECUTE p (41, 'x')").await, ["D 42|x", "C SELECT 1", "Z I"]);
    assert_eq!(raw.ask("EXECUTE p (41)").await, ["E 42601", "Z I"]);
    assert_eq!(raw.ask("DEALLOCATE p").await, ["C DEALLOCATE", "Z I"]);
    assert_eq!(raw.ask("EXECUTE p (1, 'x')").await, ["E 26000", "Z I"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_a_running_query_and_a_waiting_one() {
    let server = server().await;
    let mut raw = Raw::connect(server.addr()).await;
    raw.send('Q', &[ENDLESS.as_bytes(), &[0]].concat()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    raw.cancel(server.addr()).await;
    assert_eq!(shorts(&raw.until_ready().await), ["E 57014", "Z I"]);
    assert_eq!(raw.ask("SELECT 1").await, ["D 1", "C SELECT 1", "Z I"]);

    let mut other = Raw::connect(server.addr()).await;
    other.ask("CREATE TABLE t (k int)").await;
    other.ask("BEGIN; INSERT INTO t VALUES (1)").await;
    raw.send('Q', b"INSERT INTO t VALUES (2)\0").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    raw.cancel(server.addr()).await;
    assert_eq!(shorts(&raw.until_ready().await), ["E 57014", "Z I"]);
    other.ask("COMMIT").await;
    assert_eq!(raw.ask("SELECT k FROM t").await, ["D 1", "C SELECT 1", "Z I"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn statement_timeout_is_kept() {
    let server = server().await;
    let mut raw = Raw::connect(server.addr()).await;
    raw.ask("CREATE TABLE t (a numeric(12, 2)); INSERT INTO t SELECT generate_series(1, 60000)")
        .await;
    raw.ask("SET statement_timeout = '100ms'").await;
    let pairs = "SELECT count(*) FROM t a, t b WHERE a.a + b.a > 5";
    for endless in [ENDLESS, pairs, "SELECT pg_sleep(1000)", "SELECT * FROM pg_sleep(1000)"] {
        assert_eq!(raw.ask(endless).await, ["E 57014", "Z I"], "{endless}");
    }
}
