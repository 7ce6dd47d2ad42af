//! What every connector keeps to: the same rows for the same offsets, in whatever pieces.

use arrow::array::AsArray;
use arrow::compute::concat_batches;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};

use super::*;

fn options(list: &[(&str, &str)]) -> Options {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn connectors_are_listed_by_name() {
    assert!(CONNECTORS.is_sorted_by_key(|connector| connector.name));
}

#[test]
fn pieces_are_the_whole() {
    for connector in CONNECTORS {
        let log = open(connector.name, &options(&[])).expect("every option has a default");
        for (place, relation) in log.relations().iter().enumerate() {
            let whole = log.read(place, 7, 1234);
            assert_eq!(whole.schema(), relation.schema);
            let before = log.rows_before(place, 7);
            assert_eq!(whole.num_rows() as u64, log.rows_before(place, 1234) - before);
            let pieces = [(7, 50), (50, 51), (51, 51), (51, 104), (104, 1234)];
            let pieces = pieces.map(|(from, to)| log.read(place, from, to));
            let together = concat_batches(&relation.schema, &pieces).expect("of one schema");
            assert_eq!(whole, together, "{} of {}", relation.name, connector.name);
        }
    }
}

#[test]
fn prepared_events_are_the_same() {
    let made = open("nexmark", &options(&[("events", "5000")])).expect("a log");
    let prepared = options(&[("events", "5000"), ("prepared", "true")]);
    let prepared = open("nexmark", &prepared).expect("a log");
    for place in 0..made.relations().len() {
        for (from, to) in [(0, 5000), (7, 7), (7, 51), (51, 104), (104, 4999)] {
            assert_eq!(made.read(place, from, to), prepared.read(place, from, to));
        }
    }
    let endless = open("nexmark", &options(&[("prepared", "true")])).map(|_| ());
    assert!(endless.is_err(), "what has no end cannot be prepared");
}

#[test]
fn seeds_differ_and_repeat() {
    let read = |seed: &str| open("nexmark", &options(&[("seed", seed)])).map(|l| l.read(2, 0, 999));
    assert_eq!(read("1"), read("1"));
    assert_ne!(read("1"), read("2"));
}

#[test]
fn ten_thousand_happen_in_a_second() {
    let log = open("nexmark", &options(&[])).expect("a log");
    let bids = log.read(2, 0, 20_050);
    let times = bids["date_time"].as_primitive::<TimestampMicrosecondType>().values();
    let (first, last) = (times[0], times[times.len() - 1]);
    assert_eq!(first / 1_000_000, 1_436_918_400);
    assert_eq!((last - first) / 1_000_000, 2);
    // Bids are for auctions that have begun, or nearly.
    let auctions = log.read(1, 0, 20_050);
    let newest = auctions["id"].as_primitive::<Int64Type>().values().iter().max().copied();
    let asked = bids["auction"].as_primitive::<Int64Type>().values().iter().max().copied();
    assert!(asked <= newest.map(|id| id + 10));
}

#[test]
fn options_are_checked() {
    let error = |list: &[(&str, &str)]| open("nexmark", &options(list)).map(|_| ()).unwrap_err();
    assert_eq!(
        error(&[("tempo", "1")]).to_string(),
        r#"connector "nexmark" has no option "tempo""#
    );
    let message = r#"invalid value for option "events": "many""#;
    assert_eq!(error(&[("events", "many")]).to_string(), message);
    assert_eq!(error(&[("rate", "0")]).to_string(), r#"invalid value for option "rate": "0""#);
    let gone = open("kafka", &options(&[])).map(|_| ()).unwrap_err();
    assert_eq!(gone.to_string(), r#"there is no connector "kafka""#);
}
