//! Transactions over several tables, each whole or absent.
//!
//! A writer's transaction `seq` puts one row into `journal` and `parts` rows, tagged with it, into
//! `events` and `moves`; some are taken back later, as whole as they came. Between them it moves
//! amounts within `stock`, whose sum never changes.

use std::fmt::Write;

use rand::Rng;
use rand::rngs::StdRng;
use tokio_postgres::Client;

use super::fate::{Answer, Fates, run};
use crate::support::{rows, value};

pub const STOCK: u32 = 400;
pub const SCHEMA: &[&str] = &[
    "CREATE TABLE journal (conn int, seq bigint, parts int, PRIMARY KEY (conn, seq))",
    "CREATE TABLE events (grp int, v int, conn int, seq bigint)",
    "CREATE TABLE moves (id bigint PRIMARY KEY, grp int, v int, conn int, seq bigint)",
    "CREATE TABLE stock (id int PRIMARY KEY, grp int, v int)",
    "INSERT INTO stock SELECT i, i % 7, 100 FROM generate_series(1, 400) AS g(i)",
];

/// Rows of a transaction that is there; none where it is absent.
type Parts = Option<i32>;

pub struct Writer {
    pub conn: i32,
    next: i64,
    random: StdRng,
    transactions: Fates<i64, Parts>,
}

impl Writer {
    pub fn new(conn: i32, random: StdRng) -> Writer {
        Writer { conn, next: 0, random, transactions: Fates::default() }
    }

    /// Writes until the server is gone.
    pub async fn write(mut self, client: Client) -> Writer {
        loop {
            let goes_on = match self.random.random_range(0..10) {
                0..5 => self.insert(&client).await,
                5..7 => self.take_back(&client).await,
                _ => self.transfer(&client).await,
            };
            if !goes_on {
                return self;
            }
        }
    }

    async fn insert(&mut self, client: &Client) -> bool {
        let (conn, seq, parts) = (self.conn, self.next, self.random.random_range(1..6));
        self.next += 1;
        let mut sql = format!("BEGIN; INSERT INTO journal VALUES ({conn}, {seq}, {parts});");
        for part in 0..parts {
            // few values, so that there are ties and duplicates
            let (group, v) = (self.random.random_range(0..7), self.random.random_range(0..20));
            let row = format!("{group}, {v}, {conn}, {seq}");
            let id = (i64::from(conn) << 40) | (seq << 4) | i64::from(part);
            let _ = match self.random.random_bool(0.5) {
                true => write!(sql, "INSERT INTO events VALUES ({row});"),
                false => write!(sql, "INSERT INTO moves VALUES ({id}, {row});"),
            };
        }
        sql.push_str("COMMIT");
        let answer = run(client, &sql).await;
        self.noted(seq, None, Some(parts), answer)
    }

    async fn take_back(&mut self, client: &Client) -> bool {
        let there = self.transactions.0.iter().filter(|(_, fate)| fate.perhaps.is_none());
        let there: Vec<_> = there.filter_map(|(seq, fate)| Some((*seq, fate.known?))).collect();
        if there.is_empty() {
            return true;
        }
        let (seq, parts) = there[self.random.random_range(0..there.len())];
        let which = format!("WHERE conn = {} AND seq = {seq}", self.conn);
        let sql = format!(
            "BEGIN; DELETE FROM events {which}; DELETE FROM journal {which}; \
             DELETE FROM moves {which}; COMMIT"
        );
        let answer = run(client, &sql).await;
        self.noted(seq, Some(parts), None, answer)
    }

    fn noted(&mut self, seq: i64, before: Parts, after: Parts, answer: Answer) -> bool {
        if let Answer::Refused(code) = &answer {
            assert!(["40001", "40P01"].contains(&code.as_str()), "refused with {code}");
        }
        self.transactions.note(seq, before, after, &answer)
    }

    /// Other writers move the same rows: deadlocks are broken, and one of them is told.
    async fn transfer(&mut self, client: &Client) -> bool {
        let amount = self.random.random_range(1..50);
        let (from, to) = (self.random.random_range(1..=STOCK), self.random.random_range(1..=STOCK));
        let sql = format!(
            "BEGIN; UPDATE stock SET v = v - {amount} WHERE id = {from}; \
             INSERT INTO stock VALUES ({to}, {to} % 7, 0) \
             ON CONFLICT (id) DO UPDATE SET v = stock.v + {amount}; COMMIT"
        );
        match run(client, &sql).await {
            Answer::Done => true,
            Answer::Refused(code) => {
                assert!(["40001", "40P01"].contains(&code.as_str()), "refused with {code}");
                true
            }
            Answer::Unknown => false,
        }
    }

    /// Every acknowledged transaction is there, none in part, none twice.
    pub async fn check(&mut self, client: &Client) {
        let found = format!(
            "SELECT seq, (SELECT parts FROM journal j WHERE j.conn = {conn} AND j.seq = t.seq), \
             count(*) FROM (SELECT conn, seq FROM events UNION ALL SELECT conn, seq FROM moves \
             UNION ALL SELECT conn, seq FROM journal) t WHERE conn = {conn} GROUP BY seq",
            conn = self.conn
        );
        let mut absent: Vec<i64> = self.transactions.0.keys().copied().collect();
        for row in rows(client, &found).await {
            let mut fields = row.split('|');
            let mut next = || fields.next().expect("three columns").parse::<i64>().ok();
            let (seq, parts, rows) = (next().expect("a number"), next(), next());
            let parts = parts.unwrap_or_else(|| panic!("{seq} of {} is half there", self.conn));
            assert_eq!(rows, Some(parts + 1), "rows of {seq} of {}", self.conn);
            self.transactions.settle(&seq, Some(parts as i32));
            absent.retain(|other| *other != seq);
        }
        for seq in absent {
            self.transactions.settle(&seq, None);
        }
    }

    pub fn written(&self) -> usize {
        self.transactions.0.len()
    }
}

/// Nothing of `stock` is lost or made, and a writer's commits rise in time.
pub async fn check_all(client: &Client) {
    let stock = "SELECT count(*), sum(v) FROM stock";
    assert_eq!(rows(client, stock).await, [format!("{STOCK}|{}", STOCK * 100)]);
    let back = "SELECT count(*) FROM (SELECT _time, lag(_time) OVER \
                (PARTITION BY conn ORDER BY seq) AS before FROM changes('journal') \
                WHERE _diff = 1) c WHERE _time <= before";
    assert_eq!(value(client, back).await, "0", "commits of one connection that do not rise");
}
