//! SUBSCRIBE (S17): the rows at the first time, then every change once. Proved by adding up what a
//! client receives and holding it against what is read at the same time.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::timeout;
use tokio_postgres::Client;

use crate::support::{TestServer, failure, rows, server};

/// Rows by their text, and how many there are of each.
type Collection = BTreeMap<String, i64>;

const SEED: u64 = 17;
const COMMITS: usize = 300;
const PATIENCE: Duration = Duration::from_secs(60);

async fn set_up(client: &Client) {
    for statement in [
        "CREATE TABLE t (k int PRIMARY KEY, v int NOT NULL)",
        "CREATE TABLE d (v int)",
        "CREATE MATERIALIZED VIEW m AS SELECT v % 5 AS g, count(*) AS n, sum(v) AS s FROM t
            GROUP BY v % 5",
        "CREATE VIEW p AS SELECT g, n, s, rank() OVER (ORDER BY s) AS place FROM m",
        "INSERT INTO t SELECT k, k FROM generate_series(1, 50) AS g(k)",
    ] {
        client.batch_execute(statement).await.expect(statement);
    }
}

async fn load(client: &Client, seed: u64, commits: usize) {
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..commits {
        let (k, v) = (random.random_range(1..100), random.random_range(0..1000));
        let statement = match random.random_range(0..5) {
            0 => format!("DELETE FROM t WHERE k = {k}"),
            1 => format!("UPDATE t SET v = v + 1 WHERE k % 7 = {}", k % 7),
            2 => format!("INSERT INTO d VALUES ({v}), ({v}), ({})", v % 3),
            3 => format!("DELETE FROM d WHERE v % 3 = {}", v % 3),
            _ => format!(
                "INSERT INTO t VALUES ({k}, {v}) ON CONFLICT (k) DO UPDATE SET v = excluded.v"
            ),
        };
        client.batch_execute(&statement).await.expect(&statement);
    }
}

/// Adds up what a subscription with progress sends, until it says that all is sent and `until`
/// finds the sum complete.
async fn receive(
    client: &Client,
    relation: &str,
    until: impl Fn(&Collection) -> bool,
) -> Collection {
    let copy = format!("COPY (SUBSCRIBE {relation} WITH (progress)) TO STDOUT");
    let stream = client.copy_out(&copy).await.expect(&copy);
    let mut stream = pin!(stream);
    let (mut sum, mut last) = (Collection::new(), String::new());
    let work = async {
        while let Some(message) = stream.next().await {
            let message = message.expect("a row");
            let line = String::from_utf8(message.to_vec()).expect("text");
            let mut fields = line.trim_end_matches('\n').splitn(4, '\t');
            let mut field = || fields.next().expect("four fields").to_owned();
            let (time, diff, progress, row) = (field(), field(), field(), field());
            assert!(time >= last, "{relation}: {time} comes after {last}");
            last = time;
            if progress == "t" {
                if until(&sum) {
                    return;
                }
                continue;
            }
            let count = sum.entry(row).or_default();
            *count += diff.parse::<i64>().expect("a diff");
        }
    };
    timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("{relation} never got there"));
    sum.retain(|_, count| *count != 0);
    sum
}

async fn read(client: &Client, relation: &str) -> Collection {
    let mut collection = Collection::new();
    for row in rows(client, &format!("SELECT * FROM {relation}")).await {
        *collection.entry(row.replace('|', "\t")).or_default() += 1;
    }
    collection
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_received_adds_up_to_what_is_read() {
    let server = server().await;
    let client = server.client().await;
    set_up(&client).await;
    let mut receivers = Vec::new();
    for relation in ["t", "d", "m", "p"] {
        let subscriber = server.client().await;
        // The last commits leave marks that are found nowhere else.
        let is_last = move |sum: &Collection| match relation {
            "t" => sum.get("1000\t-5").is_some_and(|count| *count == 1),
            "d" => sum.get("-5").is_some_and(|count| *count == 1),
            _ => sum.keys().any(|row| row.starts_with("-")),
        };
        receivers.push(tokio::spawn(async move {
            (relation, receive(&subscriber, relation, is_last).await)
        }));
    }
    let writers = [server.client().await, server.client().await];
    let (one, two) = (load(&writers[0], SEED, COMMITS), load(&writers[1], SEED + 1, COMMITS));
    tokio::join!(one, two);
    client.batch_execute("INSERT INTO d VALUES (-5)").await.expect("a mark");
    client.batch_execute("INSERT INTO t VALUES (1000, -5), (1001, -3)").await.expect("a mark");
    for receiver in receivers {
        let (relation, sum) = receiver.await.expect("a subscription goes on");
        assert_eq!(sum, read(&client, relation).await, "{relation}, seed {SEED}");
    }
}

/// Waits until no more than these views are kept up.
async fn gone(server: &TestServer, views: usize) {
    let gone = async {
        while server.running.maintained_views() > views {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("what followed a plain view goes with its subscription");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_view_is_kept_up_while_it_is_followed() {
    let server = server().await;
    let (client, other) = (server.client().await, server.client().await);
    set_up(&client).await;
    other.batch_execute("CREATE VIEW few AS SELECT g, n FROM m WHERE g < 2").await.expect("few");
    client.batch_execute("BEGIN; DECLARE c CURSOR FOR SUBSCRIBE few").await.expect("a cursor");
    let mut first = fetch(&client, "FETCH ALL c").await;
    first.sort();
    assert_eq!(first, ["1|0|10", "1|1|10"]);
    assert_eq!(server.running.maintained_views(), 2);
    other.batch_execute("INSERT INTO t VALUES (100, 6), (101, 7)").await.expect("rows");
    assert_eq!(fetch(&client, "FETCH ALL c").await, ["-1|1|10", "1|1|11"]);
    // What has nothing to do with it, and what leaves it as it is.
    other.batch_execute("CREATE TABLE aside (a int)").await.expect("a table");
    let same = "CREATE OR REPLACE VIEW few AS SELECT g, n FROM m WHERE 2 > g AND g < 2";
    other.batch_execute("INSERT INTO t VALUES (102, 5)").await.expect("rows");
    assert_eq!(fetch(&client, "FETCH ALL c").await, ["-1|0|10", "1|0|11"]);
    other.batch_execute(&same.replace("2 > g", "1 > g")).await.expect("another definition");
    assert_eq!(fetch(&client, "FETCH ALL c").await, ["-1|1|11"]);
    other.batch_execute("INSERT INTO t VALUES (104, 5), (105, 6)").await.expect("rows");
    assert_eq!(fetch(&client, "FETCH ALL c").await, ["-1|0|11", "1|0|12"]);
    client.batch_execute("ROLLBACK").await.expect("an end");
    gone(&server, 1).await;
    // What it stands on goes.
    client.batch_execute("BEGIN; DECLARE c CURSOR FOR SUBSCRIBE few").await.expect("a cursor");
    assert_eq!(fetch(&client, "FETCH ALL c").await, ["1|0|12"]);
    other.batch_execute("DROP MATERIALIZED VIEW m CASCADE").await.expect("a drop");
    assert_eq!(failure(&client, "FETCH ALL WITH (timeout = '10s') c").await.0, "55000");
    gone(&server, 0).await;
    other.batch_execute("INSERT INTO t VALUES (103, 5)").await.expect("all goes on");
}

/// The data of a cursor's rows with their diffs.
async fn fetch(client: &Client, fetch: &str) -> Vec<String> {
    let rows = rows(client, fetch).await;
    rows.iter().map(|row| row.split_once('|').expect("a time").1.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_gives_what_is_committed_and_waits_for_more() {
    let server = server().await;
    let (client, writer) = (server.client().await, server.client().await);
    set_up(&client).await;
    client.batch_execute("INSERT INTO d VALUES (1)").await.expect("a row");
    client.batch_execute("BEGIN; DECLARE c CURSOR FOR SUBSCRIBE d").await.expect("a cursor");
    assert_eq!(fetch(&client, "FETCH ALL c").await, ["1|1"]);
    assert_eq!(fetch(&client, "FETCH ALL WITH (timeout = '10ms') c").await, Vec::<String>::new());
    writer.batch_execute("INSERT INTO d VALUES (2), (3)").await.expect("rows");
    writer.batch_execute("UPDATE d SET v = 4 WHERE v = 2").await.expect("an update");
    assert_eq!(fetch(&client, "FETCH 3 c").await, ["1|2", "1|3", "-1|2"]);
    assert_eq!(fetch(&client, "FETCH ALL c").await, ["1|4"]);
    let late = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        writer.batch_execute("DELETE FROM d WHERE v = 1").await.expect("a delete");
    };
    let (waited, ()) = tokio::join!(fetch(&client, "FETCH 10 c"), late);
    assert_eq!(waited, ["-1|1"]);
    writer.batch_execute("DROP TABLE d").await.expect("a drop");
    let (code, message) = failure(&client, "FETCH ALL c").await;
    assert_eq!((&*code, &*message), ("55000", "the subscription has ended: \"d\" was dropped"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_definition_flows_as_changes() {
    let server = server().await;
    let (client, other) = (server.client().await, server.client().await);
    set_up(&client).await;
    let view = |as_of: &str| {
        format!(
            "CREATE OR REPLACE MATERIALIZED VIEW r AS SELECT k, {as_of} AS v FROM t WHERE k < 3"
        )
    };
    client.batch_execute(&view("v")).await.expect("a view");
    client.batch_execute("BEGIN; DECLARE c CURSOR FOR SUBSCRIBE TO r").await.expect("a cursor");
    let mut first = fetch(&client, "FETCH ALL c").await;
    first.sort();
    assert_eq!(first, ["1|1|1", "1|2|2"]);
    other.batch_execute(&view("CASE k WHEN 1 THEN 1 ELSE v * 10 END")).await.expect("a version");
    other.batch_execute("UPDATE t SET v = 3 WHERE k = 2").await.expect("an update");
    let changes = fetch(&client, "FETCH ALL c").await;
    assert_eq!(changes, ["-1|2|2", "1|2|20", "-1|2|20", "1|2|30"]);
    let more = "CREATE OR REPLACE MATERIALIZED VIEW r AS
        SELECT k, v, 0 AS more FROM t WHERE k < 3";
    other.batch_execute(more).await.expect("a column more");
    assert_eq!(failure(&client, "FETCH ALL c").await.0, "55000");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_begins_at_a_time_of_the_past() {
    let server = server().await;
    let client = server.client().await;
    set_up(&client).await;
    client.batch_execute("INSERT INTO d VALUES (1), (1), (2)").await.expect("rows");
    let then = rows(&client, "SELECT now()").await.pop().expect("a time");
    client.batch_execute("DELETE FROM d WHERE v = 1").await.expect("a delete");
    client.batch_execute("INSERT INTO d VALUES (3)").await.expect("a row");
    let declare = format!("BEGIN; DECLARE c CURSOR FOR SUBSCRIBE d AS OF '{then}'");
    client.batch_execute(&declare).await.expect(&declare);
    let mut all = fetch(&client, "FETCH ALL c").await;
    all.extend(fetch(&client, "FETCH ALL WITH (timeout = '0') c").await);
    all[..3].sort();
    assert_eq!(all, ["1|1", "1|1", "1|2", "-2|1", "1|3"]);
    client.batch_execute("COMMIT").await.expect("an end");
    for time in ["now() + INTERVAL '1 hour'", "'2001-01-01 00:00Z'", "NULL"] {
        let copy = format!("COPY (SUBSCRIBE d AS OF {time}) TO STDOUT");
        assert_eq!(failure(&client, &copy).await.0, "22023", "{time}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_view_it_begins_in_the_past_and_goes_on_through_its_versions() {
    let server = server().await;
    let (client, other) = (server.client().await, server.client().await);
    set_up(&client).await;
    let (table, by_ten) =
        ("SELECT k, v FROM t WHERE k < 3", "SELECT k, v * 10 AS v FROM t WHERE k < 2");
    for kind in ["VIEW", "MATERIALIZED VIEW"] {
        client.batch_execute("UPDATE t SET v = k").await.expect("an update");
        let create = |query: &str| format!("CREATE OR REPLACE {kind} r AS {query}");
        client.batch_execute(&create(table)).await.expect("a view");
        let then = rows(&client, "SELECT now()").await.pop().expect("a time");
        client.batch_execute("UPDATE t SET v = 5 WHERE k = 1").await.expect("an update");
        client.batch_execute(&create(by_ten)).await.expect("a version");
        client.batch_execute("UPDATE t SET v = 6 WHERE k = 1").await.expect("an update");
        let declare = format!("BEGIN; DECLARE c CURSOR FOR SUBSCRIBE r AS OF '{then}'");
        client.batch_execute(&declare).await.expect(&declare);
        let mut all = fetch(&client, "FETCH ALL c").await;
        all.extend(fetch(&client, "FETCH ALL WITH (timeout = '0') c").await);
        all[..2].sort();
        all[2..4].sort();
        all[4..7].sort();
        all[7..].sort();
        let (past, rest) = all.split_at(4);
        assert_eq!(past, ["1|1|1", "1|2|2", "-1|1|1", "1|1|5"], "{kind}");
        let switch_and_more = ["-1|1|5", "-1|2|2", "1|1|50", "-1|1|50", "1|1|60"];
        assert_eq!(rest, switch_and_more, "{kind}");
        other.batch_execute(&create(table)).await.expect("a version");
        other.batch_execute("UPDATE t SET v = 7 WHERE k = 2").await.expect("an update");
        let mut live = fetch(&client, "FETCH ALL c").await;
        live[..3].sort();
        live[3..].sort();
        assert_eq!(live, ["-1|1|60", "1|1|6", "1|2|2", "-1|2|2", "1|2|7"], "{kind}");
        client.batch_execute("COMMIT").await.expect("an end");
        client.batch_execute(&format!("DROP {kind} r")).await.expect("a drop");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_is_left_behind() {
    let server = server().await;
    let (client, writer) = (server.client().await, server.client().await);
    client.batch_execute("CREATE TABLE w (v text)").await.expect("a table");
    client.batch_execute("BEGIN; DECLARE c CURSOR FOR SUBSCRIBE w").await.expect("a cursor");
    let insert =
        "INSERT INTO w SELECT g || repeat('x', 10000) FROM generate_series(1, 1000) AS s(g)";
    let began = std::time::Instant::now();
    for _ in 0..6 {
        writer.batch_execute(insert).await.expect(insert);
    }
    assert!(began.elapsed() < Duration::from_secs(20), "a slow reader slows the writer");
    tokio::time::sleep(Duration::from_secs(6)).await;
    let (code, message) = failure(&client, "FETCH ALL c").await;
    assert_eq!((&*code, &*message), ("54000", "the subscription has fallen too far behind"));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_when_it_is_cancelled() {
    let server: TestServer = server().await;
    let client = server.client().await;
    set_up(&client).await;
    let stop = client.cancel_token();
    let copy = "COPY (SUBSCRIBE t WITH (snapshot = false)) TO STDOUT";
    let stream = client.copy_out(copy).await.expect(copy);
    let mut stream = pin!(stream);
    tokio::time::sleep(Duration::from_millis(50)).await;
    stop.cancel_query(tokio_postgres::NoTls).await.expect("a request");
    let end = timeout(PATIENCE, stream.next()).await.expect("it ends").expect("with an error");
    let error = end.expect_err("cancelled");
    assert_eq!(error.code().map(|code| code.code()), Some("57014"));
    assert_eq!(rows(&client, "SELECT count(*) FROM t").await, ["50"]);
}
