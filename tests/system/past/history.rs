//! Random histories: tables with a loaded past and without, commits of every kind, and what the
//! tables held at each time.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::common::ScalarValue;
use futures::SinkExt;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use std::pin::pin;
use tidemark_engine::oracle::{Row, rows_of};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::generator::{Generator, MINUTE_US, START_US};
use super::reference::{Reference, TOTALS, Tables, row_of, value_text};
use crate::support::{TestServer, rows, server, value};

/// The tables, and whether they have a primary key: their first column.
pub const TABLES: [(&str, bool); 3] = [("t", true), ("u", true), ("d", false)];

const SETUP: [&str; 5] = [
    "CREATE TABLE t (id int PRIMARY KEY, k int, v bigint, f float8, s text, ts timestamptz)
        WITH (event_time = 'ts')",
    "CREATE TABLE u (id int PRIMARY KEY, k int, w numeric(10,2), s text, at timestamp)",
    "CREATE TABLE d (k int, day date, ok boolean)",
    "CREATE TABLE moments (at timestamptz)",
    "CREATE VIEW recent AS SELECT id, k, v, ts FROM t WHERE v > 0",
];

/// What a table held, from each time on; at the beginning nothing.
type States = Vec<(u64, Vec<Row>)>;

pub struct History {
    pub seed: u64,
    pub random: StdRng,
    pub generator: Generator,
    pub server: TestServer,
    pub client: Client,
    pub reference: Reference,
    /// Windows of milliseconds, which end while it runs, instead of a past with windows of minutes.
    pub live: bool,
    pub states: BTreeMap<&'static str, States>,
    /// A time after the last commit.
    pub last: u64,
    /// What was done, to be printed.
    pub log: Vec<String>,
}

impl History {
    /// Empty tables.
    pub async fn begin(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let server = server().await;
        let client = server.client().await;
        for statement in SETUP {
            client.batch_execute(statement).await.expect(statement);
        }
        let totals = format!("CREATE MATERIALIZED VIEW totals AS {TOTALS}");
        client.batch_execute(&totals).await.expect("a view");
        let reference = Reference::new(server.running.plan_context());
        let last = now(&client).await;
        History {
            seed,
            live: random.random_bool(0.4),
            random,
            generator: Generator::new(seed, false),
            server,
            client,
            reference,
            states: TABLES.map(|(table, _)| (table, vec![])).into(),
            last,
            log: vec![],
        }
    }

    pub fn tables_at(&self, at: u64) -> Tables {
        let held = |states: &States| {
            let past = states.partition_point(|(from, _)| *from <= at);
            past.checked_sub(1).map_or(vec![], |state| states[state].1.clone())
        };
        self.states.iter().map(|(table, states)| (*table, held(states))).collect()
    }

    /// A query of the generator's, with windows as long as this history's.
    pub fn query(&mut self) -> String {
        let query = match self.random.random_range(0..4) {
            0 => self.generator.ordered_query(),
            1 => self.generator.wider_query(),
            _ => self.generator.query(),
        };
        match self.live {
            true => query.replace("minutes'", "milliseconds'").replace(" min'", " milliseconds'"),
            false => query,
        }
    }

    /// Rows for a table, dated around the last commit if the windows are short.
    fn rows_for(&mut self, table: &str, with_id: bool, count: usize) -> Vec<Row> {
        let schema = self.reference.schema(table);
        let mut rows = rows_of(&self.generator.rows(&schema, with_id, count));
        if self.live {
            let base = self.last as i64;
            for value in rows.iter_mut().flatten() {
                if let ScalarValue::TimestampMicrosecond(Some(micros), _) = value {
                    *micros = base + (*micros - START_US as i64) / (MINUTE_US / 1000);
                }
            }
        }
        rows
    }

    /// Gives some of the tables a past around [`START_US`]; a primary key's later row replaces the
    /// earlier one, and some rows end their key.
    pub async fn load(&mut self) {
        for (table, keyed) in TABLES {
            if self.random.random_bool(0.2) {
                continue;
            }
            let mut loaded = Vec::new();
            for _ in 0..self.random.random_range(1..4) {
                let count = self.random.random_range(1..7);
                loaded.extend(self.rows_for(table, keyed, count));
            }
            loaded.shuffle(&mut self.random);
            let step = |_| self.random.random_range(-4..24) * MINUTE_US / 2;
            let mut times: Vec<i64> = loaded.iter().map(step).collect();
            times.sort_unstable();
            let gone = |_| keyed && self.random.random_bool(0.15);
            let gone: Vec<bool> = loaded.iter().map(gone).collect();
            self.send(table, &loaded, &times, &gone).await;
            let mut held: Vec<Row> = vec![];
            for ((row, step), gone) in loaded.into_iter().zip(times).zip(gone) {
                if keyed {
                    held.retain(|other| other[0] != row[0]);
                }
                held.extend((!gone).then_some(row));
                let at = (START_US as i64 + step) as u64;
                let states = self.states.get_mut(table).expect("a table");
                states.retain(|(from, _)| *from < at);
                states.push((at, held.clone()));
            }
        }
        self.last = now(&self.client).await;
    }

    async fn send(&mut self, table: &str, loaded: &[Row], times: &[i64], gone: &[bool]) {
        let schema = self.reference.schema(table);
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let mut text = String::new();
        for ((row, step), gone) in loaded.iter().zip(times).zip(gone) {
            let arrived = time_text((START_US as i64 + step) as u64);
            let values = row.iter().map(|value| match value_text(value) {
                Some(text) => format!("\"{text}\""),
                None => String::new(),
            });
            let line: Vec<String> = values.chain([arrived, gone.to_string()]).collect();
            text += &format!("{}\n", line.join(","));
        }
        let copy = format!(
            "COPY {table} ({}, arrived, gone) FROM STDIN (FORMAT csv, ARRIVAL_TIME arrived, \
             DELETED gone)",
            names.join(", ")
        );
        let sink = self.client.copy_in::<_, Bytes>(&copy).await.expect(&copy);
        let mut sink = pin!(sink);
        sink.send(Bytes::from(text.clone())).await.expect("it takes rows");
        sink.finish().await.unwrap_or_else(|error| panic!("{error}: {copy}\n{text}"));
        self.log.push(format!("{copy}\n{text}"));
    }

    /// One transaction, and what the tables hold after it.
    pub async fn commit(&mut self) {
        let count = [1, 1, 1, 2, 3].choose(&mut self.random).copied().expect("numbers");
        let mut statements: Vec<String> = (0..count).map(|_| self.statement()).collect();
        if count > 1 {
            statements.insert(0, "BEGIN".to_owned());
            statements.push("COMMIT".to_owned());
        }
        for statement in &statements {
            self.client.batch_execute(statement).await.expect(statement);
        }
        self.log.extend(statements);
        let (before, after) = (self.last, now(&self.client).await);
        let mut times = Vec::new();
        for (table, _) in TABLES {
            let held = self.held(table).await;
            let states = self.states.get_mut(table).expect("a table");
            let known = states.last().map_or(&[][..], |(_, rows)| rows);
            if is_same(known, &held) {
                continue;
            }
            let sql = format!(
                "SELECT DISTINCT _time FROM changes('{table}', '{}', '{}')",
                time_text(before),
                time_text(after)
            );
            let time = time_of(&value(&self.client, &sql).await);
            states.push((time, held));
            times.push(time);
        }
        times.dedup();
        assert!(times.len() < 2, "one commit at several times: {times:?}, seed {}", self.seed);
        self.last = after;
    }

    /// What a table holds now.
    async fn held(&self, table: &str) -> Vec<Row> {
        let schema = self.reference.schema(table);
        let select = format!("SELECT * FROM {table}");
        let messages = self.client.simple_query(&select).await.expect(&select);
        let row = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => {
                let texts: Vec<Option<&str>> = (0..row.len()).map(|n| row.get(n)).collect();
                Some(row_of(&schema, &texts))
            }
            _ => None,
        };
        messages.iter().filter_map(row).collect()
    }

    /// What changes something changes it to what it was not: an update that changes nothing is a
    /// new row image all the same.
    fn statement(&mut self) -> String {
        let (k, third) = (self.random.random_range(0..4), self.random.random_range(0..3));
        match self.random.random_range(0..9) {
            0 | 1 => self.upsert("t", "v"),
            2 => self.upsert("u", "w"),
            3 => {
                let count = self.random.random_range(1..4);
                let mut rows = self.rows_for("d", false, count);
                if self.random.random_bool(0.3) {
                    rows.push(rows[0].clone());
                }
                format!("INSERT INTO d VALUES {}", values(&rows))
            }
            4 => format!("DELETE FROM t WHERE k = {k}"),
            5 => format!(
                "UPDATE t SET k = {k}, v = coalesce(v, 0) + 1 WHERE id % 3 = {third} OR k IS NULL"
            ),
            6 => format!("DELETE FROM d WHERE k = {k} OR k IS NULL"),
            7 => format!("UPDATE u SET w = coalesce(w, 0) + 1, k = k + 1 WHERE k = {k}"),
            _ => format!("DELETE FROM u WHERE id % 3 = {third}"),
        }
    }

    fn upsert(&mut self, table: &str, counted: &str) -> String {
        let schema: SchemaRef = self.reference.schema(table);
        let count = self.random.random_range(1..4);
        let mut rows = self.rows_for(table, true, count);
        let first = self.random.random_range(0..10);
        for (n, row) in rows.iter_mut().enumerate() {
            row[0] = ScalarValue::Int32(Some(first + n as i32));
        }
        let set = schema.fields().iter().skip(1).map(|field| match field.name().as_str() {
            name if name == counted => format!("{name} = coalesce({table}.{name}, 0) + 1"),
            name => format!("{name} = excluded.{name}"),
        });
        let set: Vec<String> = set.collect();
        format!(
            "INSERT INTO {table} VALUES {} ON CONFLICT (id) DO UPDATE SET {}",
            values(&rows),
            set.join(", ")
        )
    }

    /// From when on there is anything in one of these tables.
    pub fn oldest(&self, tables: &[String]) -> u64 {
        let states = tables.iter().flat_map(|table| &self.states[table.as_str()]);
        let held = states.filter(|(_, rows)| !rows.is_empty()).map(|(from, _)| *from);
        held.min().unwrap_or(u64::MAX)
    }

    /// Times to look at, in order: at which something changes, just before, and between.
    pub fn instants(&mut self, count: usize) -> Vec<u64> {
        let mut times: Vec<u64> = Vec::new();
        let loaded = START_US + 30 * MINUTE_US as u64;
        let changes = self.states.values().flatten().map(|(from, _)| *from);
        let changes: Vec<u64> = changes.collect();
        times.extend(changes.iter().flat_map(|at| [at - 1, *at, at + 1]));
        times.push(self.last);
        let (first, last) = (changes.iter().filter(|at| **at > loaded).min(), self.last);
        if let Some(&first) = first {
            times.extend((0..count).map(|_| self.random.random_range(first..=last)));
        }
        if !self.live && changes.iter().any(|at| *at <= loaded) {
            times.extend((0..2 * count).map(|_| self.generator.instant()));
        }
        times.extend(self.expiries());
        times.retain(|at| *at <= self.last);
        times.shuffle(&mut self.random);
        times.truncate(count);
        times.push(self.last);
        times.sort_unstable();
        times.dedup();
        times
    }

    /// When rows leave windows of milliseconds, and just before.
    fn expiries(&mut self) -> Vec<u64> {
        if !self.live {
            return vec![];
        }
        let rows = self.states.values().flatten().flat_map(|(_, rows)| rows.iter().flatten());
        let dated = rows.filter_map(|value| match value {
            ScalarValue::TimestampMicrosecond(Some(micros), _) => Some(*micros as u64),
            _ => None,
        });
        let dated: Vec<u64> = dated.collect();
        let after = |at: u64| at + self.random.random_range(0..8) * 1000;
        let times: Vec<u64> = dated.into_iter().map(after).collect();
        times.into_iter().flat_map(|at| [at - 1, at]).collect()
    }
}

fn is_same(a: &[Row], b: &[Row]) -> bool {
    tidemark_engine::oracle::multiset(a.iter().cloned())
        == tidemark_engine::oracle::multiset(b.iter().cloned())
}

/// Rows of VALUES.
fn values(rows: &[Row]) -> String {
    let value = |value: &ScalarValue| match value_text(value) {
        Some(text) => format!("'{text}'"),
        None => "NULL".to_owned(),
    };
    let row = |row: &Row| format!("({})", row.iter().map(value).collect::<Vec<_>>().join(", "));
    rows.iter().map(row).collect::<Vec<_>>().join(", ")
}

pub async fn now(client: &Client) -> u64 {
    time_of(&rows(client, "SELECT now()").await[0])
}

/// A timestamptz as the server writes it.
pub fn time_text(micros: u64) -> String {
    let value = ScalarValue::TimestampMicrosecond(Some(micros as i64), Some("+00:00".into()));
    value_text(&value).expect("not NULL")
}

/// Microseconds since the Unix epoch.
pub fn time_of(text: &str) -> u64 {
    let ty = arrow::datatypes::DataType::Timestamp(
        arrow::datatypes::TimeUnit::Microsecond,
        Some("+00:00".into()),
    );
    match tidemark_sql::text_io::parse_text(&ty, text, &Default::default()) {
        Ok(ScalarValue::TimestampMicrosecond(Some(micros), _)) => micros as u64,
        other => panic!("no time: {text}: {other:?}"),
    }
}
