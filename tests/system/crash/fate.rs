//! What a client knows of what it did, when the server may die before it answers.

use std::collections::BTreeMap;

use tokio_postgres::{Client, Error};

/// What the server said to a statement or transaction.
pub enum Answer {
    /// Acknowledged: it must be there for ever.
    Done,
    /// Refused with this SQLSTATE: it must have left nothing.
    Refused(String),
    /// The server died first: it is there as a whole or not at all.
    Unknown,
}

impl Answer {
    /// Panics where the server said no to `sql`, which it has no reason to.
    pub fn must_not_be_refused(&self, sql: &str) {
        if let Answer::Refused(code) = self {
            panic!("{sql}: {code}");
        }
    }
}

/// Runs `sql` as one simple query; after a refusal no transaction is open.
pub async fn run(client: &Client, sql: &str) -> Answer {
    match client.batch_execute(sql).await {
        Ok(()) => Answer::Done,
        Err(error) => match code(&error) {
            None => Answer::Unknown,
            Some(code) => match client.batch_execute("ROLLBACK").await {
                Ok(()) => Answer::Refused(code),
                Err(_) => Answer::Unknown,
            },
        },
    }
}

/// SQLSTATE of what the server said; none where it said nothing.
pub fn code(error: &Error) -> Option<String> {
    error.code().map(|code| code.code().to_owned())
}

/// The states that a thing can be in: one, or after an unanswered change one of two.
#[derive(Clone, Debug, PartialEq)]
pub struct Fate<T> {
    pub known: T,
    pub perhaps: Option<T>,
}

/// Things by name, each with what is known of it.
#[derive(Debug)]
pub struct Fates<K, T>(pub BTreeMap<K, Fate<T>>);

impl<K, T> Default for Fates<K, T> {
    fn default() -> Self {
        Fates(BTreeMap::new())
    }
}

impl<K: Ord, T: Clone + PartialEq + std::fmt::Debug> Fates<K, T> {
    /// Notes that `key`, which was `before`, was told to become `after`. True while the server
    /// lives.
    pub fn note(&mut self, key: K, before: T, after: T, answer: &Answer) -> bool {
        let fate = match answer {
            Answer::Done => Fate { known: after, perhaps: None },
            Answer::Refused(_) => Fate { known: before, perhaps: None },
            Answer::Unknown => Fate { known: before, perhaps: Some(after) },
        };
        self.0.insert(key, fate);
        !matches!(answer, Answer::Unknown)
    }

    /// After a restart, `key` was found to be `found`: allowed only if it can be, and from now on
    /// known.
    pub fn settle(&mut self, key: &K, found: T)
    where
        K: std::fmt::Debug,
    {
        let fate = self.0.get_mut(key).expect("only what was noted is settled");
        let allowed = fate.known == found || fate.perhaps.as_ref() == Some(&found);
        assert!(allowed, "{key:?} is {found:?}, and may be {fate:?}");
        *fate = Fate { known: found, perhaps: None };
    }
}
