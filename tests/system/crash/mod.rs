//! Crashes: the real binary is killed (SIGKILL) while clients write, define and read, again and
//! again; sometimes while it recovers.
//!
//! After each restart: every acknowledged commit is there, once; every transaction is whole or
//! absent; what was defined is defined, the materialized views say what their definitions say; the
//! past answers as it did; and every later commit is later than any time a reader was ever given
//! (S1).

mod definer;
mod fate;
mod process;
mod reader;
mod writer;

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_postgres::Client;

use self::definer::{Definer, Names};
pub use self::process::Process;
use self::reader::Reader;
use self::writer::{SCHEMA, Writer, check_all};
use crate::support::connect;

const WRITERS: i32 = 3;
const DEFINERS: i32 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9() {
    torture(5).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "nightly size"]
async fn what_was_acknowledged_survives_a_hundred_kills() {
    torture(100).await;
}

async fn torture(kills: usize) {
    let data = tempfile::tempdir().expect("a temporary directory");
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let names = Names::default();
    let mut writers: Vec<Writer> =
        (0..WRITERS).map(|conn| Writer::new(conn, StdRng::from_rng(&mut random))).collect();
    let mut definers: Vec<Definer> = (0..DEFINERS)
        .map(|conn| Definer::new(conn, StdRng::from_rng(&mut random), names.clone()))
        .collect();
    let mut reader = Reader::new(StdRng::from_rng(&mut random), names);
    let mut process = Process::start(data.path()).await;
    let client = client(&process).await;
    for statement in SCHEMA {
        client.batch_execute(statement).await.expect(statement);
    }
    for _ in 0..kills {
        let mut writing = Vec::new();
        for writer in writers.drain(..) {
            writing.push(tokio::spawn(writer.write(self::client(&process).await)));
        }
        let mut defining = Vec::new();
        for definer in definers.drain(..) {
            defining.push(tokio::spawn(definer.define(self::client(&process).await)));
        }
        let reading = tokio::spawn(reader.read(self::client(&process).await));
        tokio::time::sleep(Duration::from_millis(random.random_range(200..1500))).await;
        process.kill();
        for task in writing {
            writers.push(task.await.expect("writers end when the server is gone"));
        }
        for task in defining {
            definers.push(task.await.expect("definers end when the server is gone"));
        }
        reader = reading.await.expect("readers end when the server is gone");

        let workers = random.random_range(1..4);
        if random.random_bool(0.3) {
            process = Process::spawn(data.path(), workers);
            tokio::time::sleep(Duration::from_millis(random.random_range(0..600))).await;
            process.kill();
        }
        process = Process::spawn(data.path(), workers);
        process.wait_until_it_listens().await;
        let client = self::client(&process).await;
        for writer in &mut writers {
            writer.check(&client).await;
        }
        check_all(&client).await;
        for definer in &mut definers {
            definer.check(&client).await;
        }
        reader.check(&client).await;
    }
    let written: usize = writers.iter().map(Writer::written).sum();
    let defined: u32 = definers.iter().map(Definer::defined).sum();
    println!("{written} transactions, {defined} definitions, {} answers noted", reader.noted());
    assert!(written > 20 && defined > 10 && reader.noted() > 10, "hardly anything was done");
}

async fn client(process: &Process) -> Client {
    connect(process.addr).await.expect("a connection")
}
