//! DDL at random: views come, change and go, tables too, and columns of a table that is written.

use std::sync::{Arc, Mutex};

use rand::Rng;
use rand::rngs::StdRng;
use tokio_postgres::Client;

use super::fate::{Answer, Fates, run};
use crate::support::{rows, value};

/// What a view can be: all with the columns `grp` and `n`, so that one can replace another.
const DEFINITIONS: &[&str] = &[
    "SELECT grp, count(*) AS n FROM events GROUP BY grp",
    "SELECT grp, sum(v)::bigint AS n FROM stock GROUP BY grp",
    "SELECT e.grp, count(*) AS n FROM events e JOIN moves m ON e.conn = m.conn AND e.seq = m.seq \
     GROUP BY e.grp",
    "SELECT grp, max(v)::bigint AS n FROM moves GROUP BY grp",
    "SELECT grp, count(DISTINCT v) AS n FROM events GROUP BY grp",
    "SELECT grp, v::bigint AS n FROM (SELECT grp, v, row_number() OVER \
     (PARTITION BY grp ORDER BY v DESC, id) AS r FROM moves) ranked WHERE r <= 3",
    "SELECT s.grp, s.v::bigint AS n FROM stock s LEFT JOIN moves m ON m.seq = s.id \
     WHERE m.id IS NULL",
    "SELECT grp, v::bigint AS n FROM events EXCEPT ALL SELECT grp, v::bigint FROM moves",
    "SELECT grp, sum(v) OVER (PARTITION BY grp ORDER BY v, id ROWS BETWEEN 2 PRECEDING AND \
     CURRENT ROW)::bigint AS n FROM moves",
    "SELECT DISTINCT grp, seq AS n FROM events",
    "SELECT grp, (SELECT count(*) FROM moves m WHERE m.v = s.v) AS n FROM stock s \
     WHERE id IN (SELECT seq FROM journal WHERE parts > 2)",
    "SELECT conn AS grp, sum(parts)::bigint AS n FROM journal GROUP BY conn \
     HAVING count(*) > 2",
];

/// Names of views that there were, for those who read.
pub type Names = Arc<Mutex<Vec<String>>>;

/// A relation's definition; none where there is no such relation.
type Definition = Option<String>;

pub struct Definer {
    conn: i32,
    next: u32,
    random: StdRng,
    names: Names,
    views: Fates<String, Definition>,
    tables: Fates<String, bool>,
    columns: Fates<String, bool>,
}

impl Definer {
    pub fn new(conn: i32, random: StdRng, names: Names) -> Definer {
        let (views, tables) = (Fates::default(), Fates::default());
        Definer { conn, next: 0, random, names, views, tables, columns: Fates::default() }
    }

    /// Defines until the server is gone.
    pub async fn define(mut self, client: Client) -> Definer {
        loop {
            let goes_on = match self.random.random_range(0..10) {
                0..4 => self.create_view(&client).await,
                4 => self.replace_view(&client).await,
                5..8 => self.drop_view(&client).await,
                8 => self.table(&client).await,
                _ => self.column(&client).await,
            };
            if !goes_on {
                return self;
            }
        }
    }

    fn name(&mut self, kind: &str) -> String {
        self.next += 1;
        format!("{kind}_{}_{}", self.conn, self.next)
    }

    /// Views that are known to be there, with their definitions.
    fn known(&self) -> Vec<(String, String)> {
        let views = self.views.0.iter().filter(|(_, fate)| fate.perhaps.is_none());
        views.filter_map(|(name, fate)| Some((name.clone(), fate.known.clone()?))).collect()
    }

    fn definition(&mut self) -> String {
        let known = self.known();
        if !known.is_empty() && self.random.random_bool(0.2) {
            let (name, _) = &known[self.random.random_range(0..known.len())];
            return format!("SELECT grp, max(n) AS n FROM {name} GROUP BY grp");
        }
        DEFINITIONS[self.random.random_range(0..DEFINITIONS.len())].to_owned()
    }

    async fn create_view(&mut self, client: &Client) -> bool {
        if self.known().len() > 5 {
            return self.drop_view(client).await;
        }
        let (name, definition) = (self.name("view"), self.definition());
        let sql = format!("CREATE MATERIALIZED VIEW {name} AS {definition}");
        let answer = run(client, &sql).await;
        answer.must_not_be_refused(&sql);
        self.names.lock().expect("no reader panics").push(name.clone());
        self.views.note(name, None, Some(definition), &answer)
    }

    async fn replace_view(&mut self, client: &Client) -> bool {
        let known = self.known();
        if known.is_empty() {
            return true;
        }
        let (name, before) = known[self.random.random_range(0..known.len())].clone();
        // never over another view, which might stand upon this one
        let after = DEFINITIONS[self.random.random_range(0..DEFINITIONS.len())].to_owned();
        let sql = format!("CREATE OR REPLACE MATERIALIZED VIEW {name} AS {after}");
        let answer = run(client, &sql).await;
        answer.must_not_be_refused(&sql);
        self.views.note(name, Some(before), Some(after), &answer)
    }

    async fn drop_view(&mut self, client: &Client) -> bool {
        let known = self.known();
        if known.is_empty() {
            return true;
        }
        let (name, before) = known[self.random.random_range(0..known.len())].clone();
        let answer = run(client, &format!("DROP MATERIALIZED VIEW {name}")).await;
        if let Answer::Refused(code) = &answer {
            assert_eq!(code, "2BP01", "{name} is not dropped");
        }
        self.views.note(name, Some(before), None, &answer)
    }

    /// A table of one transaction with its rows and a view over it, or the end of one.
    async fn table(&mut self, client: &Client) -> bool {
        let there = self.tables.0.iter().find(|(_, fate)| fate.known && fate.perhaps.is_none());
        if let Some((name, _)) = there {
            let name = name.clone();
            let sql = format!("DROP TABLE {name} CASCADE");
            let answer = run(client, &sql).await;
            answer.must_not_be_refused(&sql);
            return self.tables.note(name, true, false, &answer);
        }
        let name = self.name("table");
        let sql = format!(
            "BEGIN; CREATE TABLE {name} (a int PRIMARY KEY, b text); \
             INSERT INTO {name} VALUES (1, 'one'), (2, 'two'); \
             CREATE MATERIALIZED VIEW {name}_view AS SELECT max(a) AS a FROM {name}; COMMIT"
        );
        let answer = run(client, &sql).await;
        answer.must_not_be_refused(&sql);
        self.tables.note(name, false, true, &answer)
    }

    async fn column(&mut self, client: &Client) -> bool {
        let there = self.columns.0.iter().find(|(_, fate)| fate.known && fate.perhaps.is_none());
        if let Some((name, _)) = there {
            let name = name.clone();
            let sql = format!("ALTER TABLE stock DROP COLUMN {name}");
            let answer = run(client, &sql).await;
            answer.must_not_be_refused(&sql);
            return self.columns.note(name, true, false, &answer);
        }
        let name = self.name("column");
        let sql = format!("ALTER TABLE stock ADD COLUMN {name} int DEFAULT {}", self.next);
        let answer = run(client, &sql).await;
        answer.must_not_be_refused(&sql);
        self.columns.note(name, false, true, &answer)
    }

    /// What was acknowledged is defined so, and every view says what its definition says.
    pub async fn check(&mut self, client: &Client) {
        for name in self.views.0.keys().cloned().collect::<Vec<_>>() {
            let definition =
                format!("SELECT definition FROM pg_matviews WHERE matviewname = '{name}'");
            let found = rows(client, &definition).await.pop();
            let fate = self.views.0[&name].clone();
            let possible = [Some(&fate.known), fate.perhaps.as_ref()].into_iter().flatten();
            let said = |definition: &&String| {
                found.as_ref().is_some_and(|found| found.contains(definition.as_str()))
            };
            let is = possible.flatten().find(said).cloned();
            assert!(is.is_some() || found.is_none(), "{name} is {found:?}, may be {fate:?}");
            self.views.settle(&name, is.clone());
            if let Some(definition) = is {
                let differing = format!(
                    "SELECT count(*) FROM ((SELECT * FROM {name} EXCEPT ALL {definition}) \
                     UNION ALL (({definition}) EXCEPT ALL SELECT * FROM {name})) d",
                    definition = format_args!("SELECT * FROM ({definition}) q")
                );
                assert_eq!(value(client, &differing).await, "0", "{name}: {definition}");
            }
        }
        self.views.0.retain(|_, fate| fate.known.is_some());
        for name in self.tables.0.keys().cloned().collect::<Vec<_>>() {
            let found = format!("SELECT count(*) FROM pg_tables WHERE tablename = '{name}'");
            let found = value(client, &found).await == "1";
            self.tables.settle(&name, found);
            if found {
                let sum = format!("SELECT (SELECT sum(a) FROM {name}) * 10 + a FROM {name}_view");
                assert_eq!(value(client, &sum).await, "32", "{name}");
            }
        }
        for name in self.columns.0.keys().cloned().collect::<Vec<_>>() {
            let found = format!(
                "SELECT count(*) FROM information_schema.columns \
                 WHERE table_name = 'stock' AND column_name = '{name}'"
            );
            self.columns.settle(&name, value(client, &found).await == "1");
        }
    }

    pub fn defined(&self) -> u32 {
        self.next
    }
}
