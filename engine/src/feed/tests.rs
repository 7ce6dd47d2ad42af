//! Sources through a whole engine: each entry once, whatever happens in between.

use std::path::Path;

use super::*;
use crate::commit::{SourceDef, TableDef, ViewDef};
use crate::connector;
use crate::engine::{Engine, EngineConfig, LogConfig};
use crate::plan::{InputPlan, Plan};

const SOURCE: CollectionId = CollectionId(1);
const BID: CollectionId = CollectionId(4);
const KEPT: CollectionId = CollectionId(6);

fn options(list: &[(&str, &str)]) -> connector::Options {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn open(data: &Path) -> Arc<Engine> {
    let log = LogConfig::default();
    let config = EngineConfig { data: data.to_owned(), workers: 2, fsync: false, log };
    let (engine, _) = Engine::open(config).expect("an engine");
    engine
}

fn commit(engine: &Engine, change: Change) -> Timestamp {
    let (told, done) = bounded(1);
    let tell = move |result| told.send(result).expect("somebody waits");
    engine.submit(vec![], Box::new(move |_| Ok(change)), Box::new(tell));
    done.recv().expect("an answer").expect("a commit")
}

/// The source with its three relations, and a view that is the bids.
fn source(list: &[(&str, &str)]) -> Change {
    let options = options(list);
    let log = connector::open("nexmark", &options).expect("a log");
    let relations: Vec<_> = (0..3).map(|place| (CollectionId(2 + place as u64), place)).collect();
    let table = |(id, place): &(CollectionId, usize)| {
        TableDef::new(*id, log.relations()[*place].schema.clone(), vec![])
    };
    Change {
        create_tables: relations.iter().map(table).collect(),
        create_sources: vec![SourceDef {
            id: SOURCE,
            connector: "nexmark".to_owned(),
            options,
            relations,
            keeps_rows: false,
        }],
        ..Change::default()
    }
}

fn all_of(id: CollectionId, of: CollectionId, engine: &Engine) -> Change {
    let schema = engine.relation(of).expect("the relation").schema();
    let plan = Plan::Input(InputPlan {
        id: of,
        schema,
        arrived_at: false,
        append_only: true,
        versions: false,
    });
    Change { create_views: vec![ViewDef::new(id, plan, None)], ..Change::default() }
}

fn wait_for_end(engine: &Engine) {
    for _ in 0..6000 {
        let sources = engine.sources();
        if sources.iter().all(|source| source.behind == Some(0)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("a source does not come to its end");
}

/// A relation's rows as text, sorted.
fn rows(engine: &Engine, id: CollectionId, at: Timestamp) -> Vec<String> {
    let relation = engine.relation(id).expect("a relation");
    let mut rows: Vec<String> = vec![];
    for batch in relation.batches(at) {
        let columns = batch.columns().iter();
        let formatted: Vec<_> = columns
            .map(|column| {
                let options = arrow::util::display::FormatOptions::default();
                let text = arrow::util::display::ArrayFormatter::try_new(column, &options);
                let text = text.expect("printable");
                (0..column.len()).map(|row| text.value(row).to_string()).collect::<Vec<_>>()
            })
            .collect();
        let row = |row: usize| formatted.iter().map(|c| c[row].as_str()).collect::<Vec<_>>();
        rows.extend((0..batch.num_rows()).map(|number| row(number).join("|")));
    }
    rows.sort();
    rows
}

#[test]
fn a_view_has_each_entry_once_across_restarts() {
    let data = tempfile::tempdir().expect("a directory");
    let engine = open(data.path());
    commit(&engine, source(&[("events", "30000"), ("rate", "100000")]));
    commit(&engine, all_of(CollectionId(5), BID, &engine));
    // Half-way.
    while engine.sources()[0].offset < 5_000 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let read = engine.begin_read();
    let then = rows(&engine, BID, read.at);
    let at = read.at;
    drop(read);
    assert!(!then.is_empty() && then.len() < 27_600);
    engine.shutdown();
    drop(engine);

    let engine = open(data.path());
    assert_eq!(rows(&engine, BID, at), then, "the past is what it was");
    assert!(engine.sources().is_empty(), "nothing goes on before it is told to");
    commit(&engine, all_of(CollectionId(5), BID, &engine));
    engine.resume();
    assert!(engine.sources()[0].offset >= 5_000, "it goes on from where it was");
    wait_for_end(&engine);
    let read = engine.begin_read();
    block_on(engine.wait_for(&[CollectionId(5)], read.at)).expect("the view");
    let log = connector::open("nexmark", &options(&[])).expect("a log");
    let whole = log.read(2, 0, 30_000).num_rows();
    assert_eq!(engine.relation(BID).map(|bids| bids.count(read.at)), Some(whole));
    let all = rows(&engine, BID, read.at);
    assert_eq!(all.len(), whole);
    assert_eq!(rows(&engine, CollectionId(5), read.at), all);
    assert_eq!(rows(&engine, BID, at), then, "and stays so");
}

#[test]
fn a_table_keeps_the_rows_itself() {
    let data = tempfile::tempdir().expect("a directory");
    let engine = open(data.path());
    let options = options(&[("events", "5000")]);
    let log = connector::open("nexmark", &options).expect("a log");
    commit(
        &engine,
        Change {
            create_tables: vec![TableDef::new(KEPT, log.relations()[1].schema.clone(), vec![])],
            create_sources: vec![SourceDef {
                id: KEPT,
                connector: "nexmark".to_owned(),
                options,
                relations: vec![(KEPT, 1)],
                keeps_rows: true,
            }],
            ..Change::default()
        },
    );
    wait_for_end(&engine);
    let read = engine.begin_read();
    let all = rows(&engine, KEPT, read.at);
    assert_eq!(all.len(), 300);
    let at = read.at;
    drop(read);
    engine.shutdown();
    drop(engine);
    let engine = open(data.path());
    engine.resume();
    wait_for_end(&engine);
    assert_eq!(rows(&engine, KEPT, at), all);
}

#[test]
fn dropping_a_relation_ends_the_source() {
    let data = tempfile::tempdir().expect("a directory");
    let engine = open(data.path());
    commit(&engine, source(&[]));
    assert_eq!(engine.sources().len(), 1);
    let drop_tables = vec![CollectionId(2), CollectionId(3), BID];
    commit(&engine, Change { drop_tables, ..Change::default() });
    assert!(engine.sources().is_empty());
    engine.shutdown();
    drop(engine);
    let engine = open(data.path());
    engine.resume();
    assert!(engine.sources().is_empty());
}

#[test]
fn a_pace_is_kept() {
    let pace = Pace { from: 100, rate: Some(1_000), end: Some(400) };
    let ms = Duration::from_millis;
    assert_eq!(pace.there(ms(100)), Some(200));
    assert_eq!(pace.next(200, 1_000, ms(100)), 200, "nothing is there");
    assert_eq!(pace.next(198, 1_000, ms(100)), 198, "a little is gathered first");
    assert_eq!(pace.next(150, 1_000, ms(100)), 200);
    assert_eq!(pace.next(150, 10, ms(100)), 160);
    assert_eq!(pace.next(399, 1_000, ms(900)), 400, "the last one is not waited with");
    let all = Pace { from: 0, rate: None, end: Some(50) };
    assert_eq!(all.next(0, 40, ms(0)), 40);
    assert_eq!(all.next(40, 40, ms(0)), 50);
}
