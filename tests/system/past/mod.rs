//! The past, exactly (S12–S17): whatever road leads to V(t), it is what the oracle has at t.
//!
//! A case is a random history of three tables (loaded pasts, inserts, updates, deletes, ties, rows
//! that come and go with time), and a random query over them as a view and as a materialized view
//! made at a random moment. At the times of commits, just before and after, and between:
//!
//! - `FOR SYSTEM_TIME AS OF t`, and `SET as_of`, give V(t);
//! - `changes` summed up to t, and the rows of `history` that cover t, are V(t);
//! - a row dated t meets V(t) in the point-in-time join;
//! - what SUBSCRIBE AS OF some time sends up to t adds up to V(t), before and after it caught up;
//! - `FOR EVENT_TIME AS OF t` gives the oracle's rows over the tables of S13, worked out row by
//!   row.
//!
//! A failing case prints its seed; `TIDEMARK_SEED=n` runs that one, `TIDEMARK_CASES=n` so many.

mod event_time;
// The queries of the tests that hold plans against their texts.
#[path = "../../../sql/src/maintain/tests/generator/mod.rs"]
mod generator;
mod history;
mod reference;
mod subscription;

use std::collections::BTreeMap;

use rand::Rng;
use rand::seq::IndexedRandom;
use tidemark_engine::Plan;

use crate::support::rows;
use history::{History, now, time_of, time_text};
use reference::{Collection, TOTALS};
use subscription::Subscription;

/// How many times of a history are looked at.
const INSTANTS: usize = 24;
/// At how many of them by a statement of its own.
const ASKED: usize = 5;

/// A relation and what it is.
struct Relation {
    name: &'static str,
    sql: String,
    plan: Plan,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_road_back_leads_to_the_same_rows() {
    run_all(0..24).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "nightly size"]
async fn every_road_back_leads_to_the_same_rows_at_length() {
    run_all(10_000..14_000).await;
}

async fn run_all(seeds: std::ops::Range<u64>) {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse().ok());
    let seeds: Vec<u64> = match (number("TIDEMARK_SEED"), number("TIDEMARK_CASES")) {
        (Some(seed), _) => vec![seed],
        (None, Some(cases)) => (seeds.start..seeds.start + cases).collect(),
        (None, None) => seeds.collect(),
    };
    let half = |odd: u64| seeds.iter().copied().filter(move |seed| seed % 2 == odd);
    let run = |seeds: Vec<u64>| {
        tokio::spawn(async move {
            let mut failing = Vec::new();
            for seed in seeds {
                if tokio::spawn(case(seed)).await.is_err() {
                    failing.push(seed);
                }
            }
            failing
        })
    };
    let (even, odd) = (run(half(0).collect()), run(half(1).collect()));
    let mut failing = even.await.expect("cases fail by themselves");
    failing.extend(odd.await.expect("cases fail by themselves"));
    assert!(failing.is_empty(), "failing seeds: {failing:?}");
}

async fn case(seed: u64) {
    let mut history = History::begin(seed).await;
    let (query, plan) = loop {
        let query = history.query();
        if let Some(plan) = history.reference.plan(&query) {
            break (query, plan);
        }
    };
    if std::env::var_os("TIDEMARK_SEED").is_some() {
        println!("{query}\n{plan}");
    }
    let made = history.random.random_range(0..4);
    let view = format!("CREATE VIEW p AS {query}");
    let materialized = format!("CREATE MATERIALIZED VIEW m AS {query}");
    history.run(&view).await;
    if made == 0 {
        history.run(&materialized).await;
    }
    if !history.live {
        history.load().await;
    }
    if made == 1 {
        history.run(&materialized).await;
    }
    for _ in 0..history.random.random_range(1..6) {
        history.commit().await;
    }
    if made > 1 {
        history.run(&materialized).await;
    }
    // There is no subscription from before a table was made.
    let made = now(&history.client).await;
    for _ in 0..history.random.random_range(1..3) {
        history.commit().await;
    }
    let relations = [
        ("m", query.clone(), plan.clone()),
        ("p", query, plan),
        ("totals", TOTALS.to_owned(), history.reference.plan(TOTALS).expect("maintained")),
        ("t", "t".to_owned(), history.reference.plan("SELECT * FROM t").expect("a table")),
        ("d", "d".to_owned(), history.reference.plan("SELECT * FROM d").expect("a table")),
    ];
    let relations = relations.map(|(name, sql, plan)| Relation { name, sql, plan });
    let mut subscriptions = Vec::new();
    let early = history.last;
    for relation in [&relations[0], &relations[1], &relations[2 + seed as usize % 3]] {
        let mut times = history.instants(INSTANTS);
        times.retain(|at| *at >= made || relation.name == "p" || relation.name == "m");
        let from = *times.choose(&mut history.random).expect("the last is later");
        subscriptions.push((relation, Subscription::begin(&history, relation.name, from).await));
    }
    for _ in 0..history.random.random_range(2..7) {
        history.commit().await;
    }
    let instants = history.instants(INSTANTS);
    let moments: Vec<String> =
        instants.iter().map(|at| format!("('{}')", time_text(*at))).collect();
    history.run(&format!("INSERT INTO moments VALUES {}", moments.join(", "))).await;
    let check = Check { history: &history, instants };
    for relation in &relations {
        check.logs(relation).await;
        check.joined(relation).await;
    }
    let mut asked = check.instants.clone();
    asked.retain(|at| *at <= early || seed.is_multiple_of(2));
    let random = &mut rand::rngs::StdRng::clone(&history.random);
    let asked: Vec<u64> = asked.choose_multiple(random, ASKED).copied().collect();
    for (n, at) in asked.into_iter().enumerate() {
        for relation in &relations[..3 + n % 3] {
            check.as_of(relation, at).await;
        }
        check.set_as_of(&relations, at).await;
    }
    check.by_event_time(&relations).await;
    for (relation, subscription) in subscriptions {
        check.subscribed(relation, subscription).await;
    }
}

impl History {
    async fn run(&mut self, statement: &str) {
        let done = self.client.batch_execute(statement).await;
        done.unwrap_or_else(|error| panic!("seed {}: {error:?}: {statement}", self.seed));
        self.log.push(statement.to_owned());
    }
}

/// What is known of a history, to hold answers against.
struct Check<'a> {
    history: &'a History,
    instants: Vec<u64>,
}

impl Check<'_> {
    /// V(t).
    fn expected(&self, relation: &Relation, at: u64) -> Collection {
        let tables = self.history.tables_at(at);
        self.history.reference.rows(&relation.plan, &tables, at)
    }

    fn same(&self, road: &str, relation: &Relation, at: u64, found: Collection) {
        self.equal(road, relation, at, found, self.expected(relation, at));
    }

    fn equal(
        &self,
        road: &str,
        relation: &Relation,
        at: u64,
        mut found: Collection,
        expected: Collection,
    ) {
        found.retain(|_, count| *count != 0);
        assert_eq!(
            found,
            expected,
            "(left: {road}, right: oracle) of {} at {} µs {}, seed {}\n{}\n{}\n{}",
            relation.name,
            at,
            time_text(at),
            self.history.seed,
            relation.sql,
            relation.plan,
            self.history.log.join(";\n")
        );
    }

    async fn as_of(&self, relation: &Relation, at: u64) {
        let sql =
            format!("SELECT * FROM {} FOR SYSTEM_TIME AS OF '{}'", relation.name, time_text(at));
        let found = collected(self.rows(&sql).await);
        self.same("AS OF", relation, at, found);
    }

    async fn set_as_of(&self, relations: &[Relation], at: u64) {
        self.run(&format!("SET as_of = '{}'", time_text(at))).await;
        for relation in relations {
            let found = self.rows(&format!("SELECT * FROM {}", relation.name)).await;
            self.same("SET as_of", relation, at, collected(found));
        }
        self.run("RESET as_of").await;
    }

    /// `changes` and `history`.
    async fn logs(&self, relation: &Relation) {
        let columns = columns(&relation.plan);
        let sql = format!("SELECT _time, _diff{columns} FROM changes('{}')", relation.name);
        let mut changes: BTreeMap<u64, Collection> = BTreeMap::new();
        for row in self.rows(&sql).await {
            let (time, row) = first(&row);
            let (diff, row) = first(row);
            let at = changes.entry(time_of(time)).or_default();
            *at.entry(row.to_owned()).or_default() += diff.parse::<i64>().expect("a number");
        }
        for (time, changes) in &changes {
            let none = changes.iter().find(|(_, diff)| **diff == 0);
            assert!(none.is_none(), "{none:?} at {time}, seed {}", self.history.seed);
        }
        let sql = format!("SELECT valid_from, valid_to{columns} FROM history('{}')", relation.name);
        let history: Vec<(u64, u64, String)> =
            self.rows(&sql).await.iter().map(|row| span(row)).collect();
        let oldest = self.history.oldest(&self.history.reference.tables(&relation.plan));
        for &at in self.instants.iter().filter(|at| **at >= oldest) {
            let mut sum = Collection::new();
            for (row, diff) in changes.range(..=at).flat_map(|(_, rows)| rows) {
                *sum.entry(row.clone()).or_default() += diff;
            }
            self.same("changes", relation, at, sum);
            let covers = |(from, to, _): &&(u64, u64, String)| *from <= at && at < *to;
            let rows = history.iter().filter(covers).map(|(.., row)| row.clone());
            self.same("history", relation, at, collected(rows));
        }
    }

    /// Rows dated at all times, each with the relation of its own.
    async fn joined(&self, relation: &Relation) {
        let found = self.by_moment("SYSTEM_TIME", relation).await;
        for &at in &self.instants {
            let found = found.get(&at).cloned().unwrap_or_default();
            self.same("point-in-time join", relation, at, found);
        }
    }

    async fn by_moment(&self, clock: &str, relation: &Relation) -> BTreeMap<u64, Collection> {
        let sql = format!(
            "SELECT r.at{} FROM moments r JOIN {} FOR {clock} AS OF r.at AS x ON true",
            columns(&relation.plan),
            relation.name
        );
        let mut found: BTreeMap<u64, Collection> = BTreeMap::new();
        for row in self.rows(&sql).await {
            let (at, row) = first(&row);
            let found = found.entry(time_of(at)).or_default();
            *found.entry(row.to_owned()).or_default() += 1;
        }
        found
    }

    async fn by_event_time(&self, relations: &[Relation]) {
        for relation in relations {
            let found = self.by_moment("EVENT_TIME", relation).await;
            for &at in &self.instants {
                let tables = event_time::tables_at(self.history, at);
                let expected = self.history.reference.rows(&relation.plan, &tables, at);
                let found = found.get(&at).cloned().unwrap_or_default();
                self.equal("FOR EVENT_TIME", relation, at, found, expected);
            }
        }
    }

    async fn subscribed(&self, relation: &Relation, subscription: Subscription) {
        let (from, changes) = subscription.until(self.history.last).await;
        for &at in self.instants.iter().filter(|at| **at >= from) {
            let mut sum = Collection::new();
            for (row, diff) in changes.iter().filter(|(time, ..)| *time <= at).map(|(_, c)| c) {
                *sum.entry(row.clone()).or_default() += diff;
            }
            let road = format!("SUBSCRIBE AS OF {}", time_text(from));
            self.same(&road, relation, at, sum);
        }
    }

    async fn rows(&self, sql: &str) -> Vec<String> {
        let done = self.history.client.simple_query(sql).await;
        let (seed, log) = (self.history.seed, &self.history.log);
        done.unwrap_or_else(|error| panic!("seed {seed}: {error:?}: {sql}\n{}", log.join(";\n")));
        rows(&self.history.client, sql).await
    }

    async fn run(&self, statement: &str) {
        self.history.client.batch_execute(statement).await.expect(statement);
    }
}

fn collected(rows: impl IntoIterator<Item = String>) -> Collection {
    let mut collection = Collection::new();
    rows.into_iter().for_each(|row| *collection.entry(row).or_default() += 1);
    collection
}

/// The plan's columns, behind others of a list.
fn columns(plan: &Plan) -> String {
    plan.schema().fields().iter().map(|field| format!(", \"{}\"", field.name())).collect()
}

/// The first value of a row, and the rest.
fn first(row: &str) -> (&str, &str) {
    row.split_once('|').unwrap_or((row, ""))
}

/// When a row of `history` was there, and the row.
fn span(row: &str) -> (u64, u64, String) {
    let (from, rest) = first(row);
    let (to, row) = first(rest);
    let to = if to == "NULL" { u64::MAX } else { time_of(to) };
    (time_of(from), to, row.to_owned())
}
