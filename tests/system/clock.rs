//! The server's clock: a step forward stops commits until it is confirmed (S2), and what may be a
//! little old is read without waiting for the newest (S5).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tidemark_engine::Timestamp;
use tidemark_engine::time::{SystemClock, WallClock};
use tidemark_server::{Config, Server};

use crate::support::{connect, failure, server, value};

/// The machine's clocks, with a wall clock that can be set.
#[derive(Default)]
struct Stepping {
    machine: SystemClock,
    ahead_us: AtomicI64,
}

impl WallClock for Stepping {
    fn wall(&self) -> Timestamp {
        let ahead = self.ahead_us.load(Ordering::SeqCst);
        Timestamp(self.machine.wall().0.saturating_add_signed(ahead))
    }

    fn monotonic(&self) -> Duration {
        self.machine.monotonic()
    }

    fn sleep(&self, duration: Duration) {
        self.machine.sleep(duration);
    }
}

#[tokio::test]
async fn a_clock_that_steps_forward_stops_commits_until_it_is_confirmed() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let clock = Arc::new(Stepping::default());
    let config = Config::for_test(data.path());
    let running = Server::start_by(config, clock.clone()).await.expect("a server starts");
    let client = connect(running.addr).await.expect("a connection");
    client.batch_execute("CREATE TABLE t (id integer)").await.expect("a table");
    client.batch_execute("INSERT INTO t VALUES (1)").await.expect("a row");
    let before = clock.wall();

    clock.ahead_us.store(3_600_000_000, Ordering::SeqCst);
    let error = client.batch_execute("INSERT INTO t VALUES (2)").await.expect_err("a step");
    let error = error.as_db_error().expect("the server's");
    assert_eq!(error.code().code(), "55000");
    assert!(error.message().contains("the wall clock stepped forward from"), "{error:?}");
    assert!(error.hint().is_some_and(|hint| hint.contains("ALTER SYSTEM CONFIRM CLOCK")));
    // Reads go on, by the monotonic clock.
    let now = "SELECT (extract(epoch FROM now()) * 1000000)::bigint FROM t";
    let read: u64 = value(&client, now).await.parse().expect("a number");
    assert!(read < before.0 + 600_000_000, "{read} after {before}");

    client.batch_execute("ALTER SYSTEM CONFIRM CLOCK").await.expect("no objection");
    client.batch_execute("INSERT INTO t VALUES (2)").await.expect("a row");
    let read: u64 = value(&client, "SELECT (extract(epoch FROM now()) * 1000000)::bigint")
        .await
        .parse()
        .expect("a number");
    assert!(read >= before.0 + 3_600_000_000, "{read} after {before}");
    assert_eq!(value(&client, "SELECT count(*) FROM t").await, "2");
    let (code, _) = failure(&client, "ALTER SYSTEM SET fsync = off").await;
    assert_eq!(code, "0A000");
    running.shutdown().await;
}

#[tokio::test]
async fn what_may_be_old_is_read_at_a_time_that_is_over() {
    let server = server().await;
    let (client, other) = (server.client().await, server.client().await);
    let made = "CREATE TABLE t (id integer PRIMARY KEY, v integer); \
                CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n, sum(v) AS v FROM t";
    client.batch_execute(made).await.expect("a view");
    other.batch_execute("SET max_staleness = '10 s'").await.expect("a setting");
    assert_eq!(value(&other, "SHOW max_staleness").await, "10s");
    client.batch_execute("INSERT INTO t VALUES (1, 10)").await.expect("a row");
    // Whoever reads the newest waits until the view is there.
    assert_eq!(value(&client, "SELECT n FROM m").await, "1");

    // The time of the state is now(), for tables and views alike, and no newer one is closed.
    let seen = "SELECT now()::text, n, v, (SELECT count(*) FROM t) FROM m";
    let first = value(&other, seen).await;
    assert!(first.ends_with("|1|10|1"), "{first}");
    assert_eq!(value(&other, seen).await, first, "the same state answers again");
    let now = value(&client, "SELECT now()::text").await;
    assert!(now > first, "{now}: a session without the setting reads the newest");

    // Never older than the session's own last commit.
    other.batch_execute("INSERT INTO t VALUES (2, 5)").await.expect("a row");
    assert!(value(&other, seen).await.ends_with("|2|15|2"));
    // A block has a snapshot of its own.
    other.batch_execute("BEGIN").await.expect("a block");
    let in_block = value(&other, "SELECT now()::text FROM m").await;
    assert!(in_block > now, "{in_block} after {now}");
    other.batch_execute("COMMIT").await.expect("nothing to refuse");

    // What is too old is not taken.
    other.batch_execute("SET max_staleness = '50 ms'").await.expect("a setting");
    let old = value(&other, "SELECT now()::text FROM m").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_ne!(value(&other, "SELECT now()::text FROM m").await, old);

    // What was made since is read as of a time when it is there.
    other.batch_execute("SET max_staleness = '1 h'").await.expect("a setting");
    assert_eq!(value(&other, "SELECT n FROM m").await, "2");
    let made = "CREATE TABLE u (id integer); INSERT INTO u VALUES (7)";
    client.batch_execute(made).await.expect("a table");
    assert_eq!(value(&other, "SELECT id FROM u").await, "7");
    let (code, _) = failure(&other, "SET max_staleness = 'a bit'").await;
    assert_eq!(code, "22023");
}
