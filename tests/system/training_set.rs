//! The training set at size: 100,000 requests meet five features, each as it was served at the
//! request's own time, while somebody inserts and reads next to it. Timed, and held against reads
//! as of single requests' times.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tidemark_server::{Config, Server};
use tokio_postgres::Client;

use crate::support::{connect, rows, value};

const FEATURES: &str = "
    CREATE MATERIALIZED VIEW spending AS
      SELECT l.user_id, avg(i.price)::numeric(10,2) AS avg_price
      FROM looks l JOIN items FOR SYSTEM_TIME AS OF l.ts AS i ON i.item_id = l.item_id
      WHERE l.ts > now() - INTERVAL '30 minutes' AND l.ts <= now() GROUP BY l.user_id;
    CREATE VIEW counts AS
      SELECT user_id,
             count(*) FILTER (WHERE ts > now() - INTERVAL '10 minutes') AS in_10m,
             count(*) FILTER (WHERE ts > now() - INTERVAL '1 hour') AS in_1h,
             count(*) AS in_1d
      FROM looks WHERE ts > now() - INTERVAL '1 day' AND ts <= now() GROUP BY user_id;
    CREATE VIEW variety AS
      SELECT user_id, count(DISTINCT item_id) AS items FROM looks
      WHERE ts > now() - INTERVAL '1 day' AND ts <= now() GROUP BY user_id;
    CREATE VIEW newest AS
      SELECT user_id, array_agg(item_id ORDER BY ts DESC, id DESC) AS items FROM (
        SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY ts DESC, id DESC) AS place
        FROM looks WHERE ts <= now()) AS l
      WHERE place <= 10 GROUP BY user_id;
    CREATE VIEW idle AS
      SELECT user_id, now() - max(ts) AS since_login FROM logins WHERE ts <= now()
      GROUP BY user_id";

const JOINS: [(&str, &str); 5] = [
    ("spending", "f.avg_price"),
    ("counts", "f.in_10m, f.in_1h, f.in_1d"),
    ("variety", "f.items"),
    ("newest", "f.items"),
    ("idle", "f.since_login"),
];

/// Two days of looks and logins, and requests on the second of them; all known as it happened.
async fn load(client: &Client, folder: &str, looks: u64, requests: u64) {
    let spread = |from: &str, seconds: u64, number: u64| {
        let step = seconds as f64 * 1e6 / number as f64;
        format!("'{from}'::timestamptz + (g * {step})::bigint * INTERVAL '1 microsecond'")
    };
    let day = 24 * 3600;
    let tables = [
        (
            "items (item_id integer PRIMARY KEY, price numeric(10,2) NOT NULL)",
            "(g % 5000)::integer AS item_id, (g * 7919 % 10000)::numeric(10,2) / 100 AS price",
            20_000,
            spread("2026-06-07 00:00Z", 4 * day, 20_000),
        ),
        (
            "looks (id bigint, user_id integer, item_id integer, ts timestamptz)",
            "g AS id, (g * 7919 % 20011)::integer AS user_id,
             (g * 104729 % 5000)::integer AS item_id, AT AS ts",
            looks,
            spread("2026-06-09 00:00Z", 2 * day, looks),
        ),
        (
            "logins (user_id integer, ts timestamptz)",
            "(g * 31 % 20011)::integer AS user_id, AT AS ts",
            looks / 10,
            spread("2026-06-09 00:00Z", 2 * day, looks / 10),
        ),
        (
            "requests (id bigint, user_id integer, ts timestamptz)",
            "g AS id, (g * 97 % 20011)::integer AS user_id, AT AS ts",
            requests,
            spread("2026-06-10 00:00Z", day, requests),
        ),
    ];
    for (table, columns, number, at) in tables {
        let name = table.split(' ').next().expect("a name");
        let file = format!("{folder}/{name}.parquet");
        let columns = columns.replace("AT", &at);
        let begun = Instant::now();
        for statement in [
            format!("CREATE TABLE {table}"),
            format!(
                "COPY (SELECT {columns}, {at} AS arrived FROM generate_series(1, {number}) AS s(g))
                 TO '{file}'"
            ),
            format!("COPY {name} FROM '{file}' (ARRIVAL_TIME arrived)"),
            format!("ALTER TABLE {name} CLOSE HISTORY"),
        ] {
            client.batch_execute(&statement).await.expect(&statement);
        }
        println!("{name}: {number} rows in {:.1} s", begun.elapsed().as_secs_f64());
    }
}

/// Inserts a row and reads the view that counts it, until it is told to stop; the times it took in
/// order.
async fn serve(client: Client, stop: Arc<AtomicBool>) -> Vec<Duration> {
    let mut times = Vec::new();
    let mut expected = 0;
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        client.batch_execute("INSERT INTO live VALUES (1)").await.expect("an insert");
        expected += 1;
        let seen = value(&client, "SELECT n FROM lives").await;
        assert!(seen.parse::<u64>().expect("a count") >= expected);
        times.push(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    times.sort();
    times
}

fn shown(times: &[Duration]) -> String {
    let ms = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let (half, most, all) = (ms(0.5), ms(0.99), ms(1.0));
    format!("{} turns, median {half:.1} ms, p99 {most:.1} ms, max {all:.1} ms", times.len())
}

/// `TRAIN_LOOKS=1000000 cargo test --release --test system -- --ignored --nocapture training_set`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn training_set_of_five_features() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let (looks, requests) = (number("TRAIN_LOOKS", 1_000_000), number("TRAIN_REQUESTS", 100_000));
    let data = tempfile::tempdir().expect("a folder");
    let files = tempfile::tempdir().expect("a folder");
    let memory = Some(number("TRAIN_MEMORY", 512 << 20));
    let config = Config { memory, ..Config::for_test(data.path()) };
    let server = Server::start(config).await.expect("a server starts");
    let client = connect(server.addr).await.expect("a connection");
    load(&client, files.path().to_str().expect("a path"), looks, requests).await;
    client.batch_execute(FEATURES).await.expect("features");
    let live = "CREATE TABLE live (x integer);
                CREATE MATERIALIZED VIEW lives AS SELECT count(*) AS n FROM live";
    client.batch_execute(live).await.expect("a live view");

    let beside = |stop: &Arc<AtomicBool>| {
        let (addr, stop) = (server.addr, Arc::clone(stop));
        tokio::spawn(async move { serve(connect(addr).await.expect("a connection"), stop).await })
    };
    let stop = Arc::new(AtomicBool::new(false));
    let alone = beside(&stop);
    tokio::time::sleep(Duration::from_secs(3)).await;
    stop.store(true, Ordering::Relaxed);
    println!("insert and read, alone: {}", shown(&alone.await.expect("it serves")));

    let stop = Arc::new(AtomicBool::new(false));
    let serving = beside(&stop);
    for (view, columns) in JOINS {
        let begun = Instant::now();
        let count = format!(
            "SELECT count(*) FROM (SELECT r.id, {columns} FROM requests r
             LEFT JOIN {view} FOR SYSTEM_TIME AS OF r.ts AS f ON f.user_id = r.user_id) AS x"
        );
        assert_eq!(value(&client, &count).await, requests.to_string());
        println!("{view}: {:.2} s", begun.elapsed().as_secs_f64());
    }
    let begun = Instant::now();
    let train = "CREATE TABLE train AS
        SELECT r.id, r.user_id, r.ts, s.avg_price, c.in_10m, c.in_1h, c.in_1d, v.items,
               n.items AS newest, i.since_login
        FROM requests r
        LEFT JOIN spending FOR SYSTEM_TIME AS OF r.ts AS s ON s.user_id = r.user_id
        LEFT JOIN counts FOR SYSTEM_TIME AS OF r.ts AS c ON c.user_id = r.user_id
        LEFT JOIN variety FOR SYSTEM_TIME AS OF r.ts AS v ON v.user_id = r.user_id
        LEFT JOIN newest FOR SYSTEM_TIME AS OF r.ts AS n ON n.user_id = r.user_id
        LEFT JOIN idle FOR SYSTEM_TIME AS OF r.ts AS i ON i.user_id = r.user_id";
    client.batch_execute(train).await.expect(train);
    println!("all five, {requests} requests: {:.2} s", begun.elapsed().as_secs_f64());
    stop.store(true, Ordering::Relaxed);
    println!("insert and read, beside them: {}", shown(&serving.await.expect("it serves")));

    for id in (1..=requests).step_by((requests / 20) as usize) {
        let row = format!("SELECT * FROM train WHERE id = {id}");
        let trained = rows(&client, &row).await.pop().expect("every request has its row");
        let mut fields = trained.splitn(4, '|').skip(1);
        let (user, ts) = (fields.next().expect("a user"), fields.next().expect("a time"));
        let mut expected = Vec::new();
        for (view, columns) in JOINS {
            let columns_at = columns.replace("f.", "");
            let at = format!(
                "SELECT {columns_at} FROM {view} FOR SYSTEM_TIME AS OF '{ts}' WHERE user_id = {user}"
            );
            let none = vec!["NULL"; columns.split(',').count()].join("|");
            expected.push(rows(&client, &at).await.pop().unwrap_or(none));
        }
        assert_eq!(fields.next(), Some(expected.join("|").as_str()), "request {id}");
    }
    server.shutdown().await;
}
