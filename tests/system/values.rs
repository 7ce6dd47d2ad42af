//! Values of every type through a whole server: in and out by COPY in its three formats, and as
//! parameters and results in binary, the way a driver sends them.

use std::pin::pin;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::{SinkExt, TryStreamExt};
use tokio_postgres::Client;

use crate::support::{failure, rows, server, value};

const COLUMNS: &str = "a boolean, b smallint, c integer, d bigint, e real, f double precision, \
    g numeric(12,3), h numeric, i text, j varchar(5), k bytea, l date, m time, n timestamp, \
    o timestamptz, p interval, q uuid, r jsonb, s integer[], t text[]";

/// As PostgreSQL 15 prints them.
const LINES: &str = concat!(
    "t\t-1\t2\t-9223372036854775808\t1.5\t1e-10\t-12.340\t0.001\ta\\tb\\\\c\\nd\tabcde\t\\\\x00ff\t",
    "2026-11-23\t12:34:56.789\t1999-12-31 23:59:59.999999\t2026-11-23 10:00:00+00\t",
    "1 year 2 mons 3 days 04:05:06\ta0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\t",
    "{\"a\": 1.50, \"b\": [null, \"é\"]}\t{1,NULL,3}\t{a,\"b c\",NULL}\n",
    "f\t0\t0\t0\t0\tNaN\t0.000\t0\t\té\t\\\\x\t0001-01-01\t00:00:00\t2000-01-01 00:00:00\t",
    "1970-01-01 00:00:00+00\t00:00:00\t00000000-0000-0000-0000-000000000000\tnull\t{}\t{}\n",
    "\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\n",
);

async fn copy_in(client: &Client, statement: &str, data: &[u8]) -> u64 {
    let mut sink = pin!(client.copy_in(statement).await.expect(statement));
    for piece in data.chunks(7) {
        let sent = sink.send(Bytes::copy_from_slice(piece)).await;
        sent.expect("the server takes it");
    }
    sink.finish().await.expect(statement)
}

async fn copy_out(client: &Client, statement: &str) -> Vec<u8> {
    let stream = client.copy_out(statement).await.expect(statement);
    let pieces: Vec<Bytes> = stream.try_collect().await.expect(statement);
    pieces.concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_travels_in_every_format() {
    let server = server().await;
    let client = server.client().await;
    let create = format!("CREATE TABLE source ({COLUMNS})");
    client.batch_execute(&create).await.expect("known types");
    assert_eq!(copy_in(&client, "COPY source FROM STDIN", LINES.as_bytes()).await, 3);
    let text = copy_out(&client, "COPY source TO STDOUT").await;
    assert_eq!(String::from_utf8_lossy(&text), LINES);
    for format in ["text", "csv", "csv, HEADER, FORCE_QUOTE *", "csv, DELIMITER ';'", "binary"] {
        let options = format!("(FORMAT {format})");
        let data = copy_out(&client, &format!("COPY source TO STDOUT {options}")).await;
        let create = format!("CREATE TABLE target ({COLUMNS})");
        client.batch_execute(&create).await.expect("dropped before");
        let options = options.replace(", FORCE_QUOTE *", "");
        let into = format!("COPY target FROM STDIN {options}");
        assert_eq!(copy_in(&client, &into, &data).await, 3, "{format}");
        let back = copy_out(&client, "COPY target TO STDOUT").await;
        assert_eq!(String::from_utf8_lossy(&back), LINES, "{format}");
        client.batch_execute("DROP TABLE target").await.expect("it is there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_and_results_in_binary() {
    let server = server().await;
    let client = server.client().await;
    let create = "CREATE TABLE t (a boolean, b smallint, c integer, d bigint, e real, \
        f double precision, i text, k bytea, o timestamptz, s integer[], t text[])";
    client.batch_execute(create).await.expect("known types");
    let insert = "INSERT INTO t VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    let ts = SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_428_000_123_456);
    let (list, words) = (vec![Some(1), None], vec!["x", "y z"]);
    let inserted = client
        .execute(
            insert,
            &[
                &true,
                &-1i16,
                &2i32,
                &i64::MAX,
                &1.5f32,
                &-0.1f64,
                &"é",
                &b"\x00\xff".as_slice(),
                &ts,
                &list,
                &words,
            ],
        )
        .await;
    assert_eq!(inserted.expect("all of their types"), 1);
    let row = client.query_one("SELECT * FROM t WHERE d = $1", &[&i64::MAX]).await;
    let row = row.expect("the one inserted");
    assert!(row.get::<_, bool>("a"));
    assert_eq!((row.get::<_, i16>("b"), row.get::<_, i32>("c")), (-1, 2));
    assert_eq!((row.get::<_, f32>("e"), row.get::<_, f64>("f")), (1.5, -0.1));
    assert_eq!((row.get::<_, &str>("i"), row.get::<_, &[u8]>("k")), ("é", &b"\x00\xff"[..]));
    assert_eq!(row.get::<_, SystemTime>("o"), ts);
    assert_eq!(row.get::<_, Vec<Option<i32>>>("s"), list);
    assert_eq!(row.get::<_, Vec<String>>("t"), words);
    let shown = "SELECT a, b, c, d, e, f, i, k, o, s, t FROM t";
    let expected = "t|-1|2|9223372036854775807|1.5|-0.1|é|\\x00ff|\
        2026-11-23 10:00:00.123456+00|{1,NULL}|{x,\"y z\"}";
    assert_eq!(rows(&client, shown).await, [expected]);
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_refuses_what_postgres_refuses() {
    let server = server().await;
    let client = server.client().await;
    client.batch_execute("CREATE TABLE t (a integer, b varchar(3))").await.expect("new");
    for (statement, code) in [
        ("COPY t TO STDOUT (FORMAT xml)", "22023"),
        ("COPY t TO STDOUT (DELIMITER 'a')", "22023"),
        ("COPY t TO STDOUT (QUOTE '''')", "0A000"),
        ("COPY t TO STDOUT (FORMAT csv, DELIMITER '\"')", "22023"),
        ("COPY t TO STDOUT (FORMAT csv, HEADER match)", "0A000"),
        ("COPY t TO STDOUT (FORMAT csv, FORCE_NULL (a))", "0A000"),
        ("COPY t FROM STDIN (FORMAT csv, FORCE_QUOTE *)", "0A000"),
        ("COPY t FROM STDIN (NULL 'a\tb')", "0A000"),
        ("COPY t FROM STDIN (ENCODING 'latin1')", "0A000"),
        ("COPY nowhere FROM STDIN", "42P01"),
        ("COPY t (x) FROM STDIN", "42703"),
    ] {
        assert_eq!(failure(&client, statement).await.0, code, "{statement}");
    }
    let sink = client.copy_in("COPY t (b, a) FROM STDIN (FORMAT csv, HEADER match)").await;
    let mut sink = pin!(sink.expect("columns in any order"));
    let sent = sink.send(Bytes::from_static(b"b,a\nabc,1\nabcd,2\n")).await;
    sent.expect("the server reads to the end");
    let error = sink.finish().await.expect_err("four characters");
    let error = error.as_db_error().expect("the server's");
    assert_eq!(error.code().code(), "22001");
    assert_eq!(error.where_(), Some("COPY t, line 3, column b: \"abcd\""));
    assert_eq!(value(&client, "SELECT count(*) FROM t").await, "0");
}
