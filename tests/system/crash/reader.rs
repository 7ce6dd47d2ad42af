//! Answers noted with their time, which must be given again later.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tokio_postgres::Client;

use super::definer::Names;
use super::fate::code;
use crate::support::value;

/// How many noted answers are asked for again after a restart.
const ASKED_AGAIN: usize = 12;

struct Noted {
    relation: String,
    at: String,
    digest: String,
}

pub struct Reader {
    random: StdRng,
    names: Names,
    noted: Vec<Noted>,
    /// The greatest time that a read was given, in microseconds since the epoch.
    last: i64,
}

impl Reader {
    pub fn new(random: StdRng, names: Names) -> Reader {
        Reader { random, names, noted: Vec::new(), last: 0 }
    }

    /// Reads until the server is gone.
    pub async fn read(mut self, client: Client) -> Reader {
        loop {
            let relation = self.relation();
            let sql = format!(
                "SELECT now()::text, (extract(epoch FROM now()) * 1000000)::bigint, {} \
                 FROM {relation}",
                digest(&relation)
            );
            match client.query_one(&sql, &[]).await {
                Ok(row) => {
                    self.last = self.last.max(row.get(1));
                    self.noted.push(Noted { relation, at: row.get(0), digest: row.get(2) });
                }
                // a view that is not there, or not any more
                Err(error) => match code(&error) {
                    Some(code) => assert_eq!(code, "42P01", "{sql}: {error:?}"),
                    None => return self,
                },
            }
        }
    }

    fn relation(&mut self) -> String {
        let names = self.names.lock().expect("no definer panics");
        let views = names.len().saturating_sub(8);
        match self.random.random_range(0..4) {
            0 => "events".to_owned(),
            1 => "stock".to_owned(),
            _ => names[views..].choose(&mut self.random).map_or("moves".to_owned(), String::clone),
        }
    }

    /// The past is what it was, and the next commit comes after everything that was read.
    pub async fn check(&mut self, client: &Client) {
        for _ in 0..ASKED_AGAIN.min(self.noted.len()) {
            let Noted { relation, at, digest: noted } =
                &self.noted[self.random.random_range(0..self.noted.len())];
            let digest = digest(relation);
            let sql = format!("SELECT {digest} FROM {relation} FOR SYSTEM_TIME AS OF '{at}'");
            match client.query_one(&sql, &[]).await {
                Ok(row) => assert_eq!(row.get::<_, String>(0), *noted, "{sql}"),
                Err(error) => {
                    assert_eq!(code(&error).as_deref(), Some("42P01"), "{sql}: {error:?}")
                }
            }
        }
        let commit = "INSERT INTO events SELECT -1, 0, -1, 0 RETURNING \
                      (extract(epoch FROM now()) * 1000000)::bigint";
        let committed: i64 = value(client, commit).await.parse().expect("a number");
        assert!(committed > self.last, "{committed} is not after {}", self.last);
        client.batch_execute("DELETE FROM events WHERE conn = -1").await.expect("a delete");
    }

    pub fn noted(&self) -> usize {
        self.noted.len()
    }
}

/// An expression that stands for all rows of a relation.
fn digest(relation: &str) -> String {
    let row = match relation {
        "events" | "moves" => "grp || ':' || v || ':' || conn || ':' || seq",
        "stock" => "id || ':' || v",
        _ => "coalesce(grp, -1) || ':' || coalesce(n, -1)",
    };
    format!("count(*) || ' ' || md5(coalesce(string_agg({row}, ',' ORDER BY {row}), ''))")
}
