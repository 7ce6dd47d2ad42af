//! A subscription from a time of the past that goes on while commits are made.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::history::{History, time_of, time_text};

const PATIENCE: Duration = Duration::from_secs(30);

/// A change: when, what, and how often.
type Change = (u64, (String, i64));

pub struct Subscription {
    from: u64,
    /// The time up to which all is wanted, once that is known.
    end: Arc<AtomicU64>,
    changes: JoinHandle<Vec<Change>>,
}

impl Subscription {
    pub async fn begin(history: &History, relation: &str, from: u64) -> Self {
        let client = history.server.client().await;
        let copy = format!(
            "COPY (SUBSCRIBE {relation} WITH (progress) AS OF '{}') TO STDOUT",
            time_text(from)
        );
        let seed = history.seed;
        let end = Arc::new(AtomicU64::new(u64::MAX));
        let enough = Arc::clone(&end);
        let changes = tokio::spawn(async move {
            let stream = client.copy_out(&copy).await.expect(&copy);
            let mut stream = pin!(stream);
            let (mut changes, mut complete) = (Vec::new(), from);
            while complete < enough.load(Ordering::Relaxed) {
                let message = stream.next().await.expect("it goes on");
                let message =
                    message.unwrap_or_else(|error| panic!("seed {seed}: {error:?}: {copy}"));
                let line = String::from_utf8(message.to_vec()).expect("text");
                let mut fields = line.trim_end_matches('\n').splitn(4, '\t');
                let mut field = || fields.next().expect("four fields");
                let (time, diff, progress, row) = (time_of(field()), field(), field(), field());
                if progress == "t" {
                    complete = time;
                    continue;
                }
                assert!(time > complete || time == from, "seed {seed}: {line} after {complete}");
                let row = row.replace("\\N", "NULL").replace('\t', "|");
                changes.push((time, (row, diff.parse().expect("a number"))));
            }
            changes
        });
        Subscription { from, end, changes }
    }

    /// From when on it has been sent what, everything up to `end`.
    pub async fn until(self, end: u64) -> (u64, Vec<Change>) {
        self.end.store(end, Ordering::Relaxed);
        let changes = timeout(PATIENCE, self.changes).await.expect("it gets there");
        (self.from, changes.expect("a subscription goes on"))
    }
}
