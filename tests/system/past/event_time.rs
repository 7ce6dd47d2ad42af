//! Tables by event time (S13), worked out row by row from what they held at each time.
//!
//! Only `t` declares an event time: its last column; the rows of the others count from arrival.

use std::collections::BTreeMap;

use datafusion::common::ScalarValue;
use tidemark_engine::oracle::Row;

use super::history::{History, TABLES};
use super::reference::Tables;

/// What a key's row was, or that it was no more.
struct Image {
    arrived: u64,
    /// `None`: a deletion.
    row: Option<Row>,
}

/// The tables as of `at`, by what is known at the end.
pub fn tables_at(history: &History, at: u64) -> Tables {
    let table = |(table, keyed): (&'static str, bool)| {
        let states = &history.states[table];
        let rows = match keyed {
            true => {
                images(states).values().filter_map(|images| image_at(table, images, at)).collect()
            }
            false => present(states, at),
        };
        (table, rows)
    };
    TABLES.map(table).into()
}

fn event_time(table: &str, row: &Row, arrived: u64) -> u64 {
    match row.last() {
        Some(ScalarValue::TimestampMicrosecond(Some(micros), _)) if table == "t" => *micros as u64,
        _ => arrived,
    }
}

/// The images of each key, in the order in which they arrived.
fn images(states: &[(u64, Vec<Row>)]) -> BTreeMap<String, Vec<Image>> {
    let mut images: BTreeMap<String, Vec<Image>> = BTreeMap::new();
    let mut held: &[Row] = &[];
    for (arrived, rows) in states {
        for row in rows.iter().filter(|row| !held.contains(row)) {
            let of_key = images.entry(row[0].to_string()).or_default();
            of_key.push(Image { arrived: *arrived, row: Some(row.clone()) });
        }
        for row in held.iter().filter(|row| rows.iter().all(|other| other[0] != row[0])) {
            let of_key = images.entry(row[0].to_string()).or_default();
            of_key.push(Image { arrived: *arrived, row: None });
        }
        held = rows;
    }
    images
}

/// The image with the latest event time that is not after `at`, of equal ones the one that arrived
/// last; unless it was deleted by then.
fn image_at(table: &str, images: &[Image], at: u64) -> Option<Row> {
    let events = images.iter().filter_map(|image| {
        let row = image.row.as_ref()?;
        Some((event_time(table, row, image.arrived), image.arrived, row))
    });
    let (_, arrived, row) = events
        .filter(|(event, ..)| *event <= at)
        .max_by_key(|(event, arrived, _)| (*event, *arrived))?;
    let deleted = images
        .iter()
        .any(|image| image.row.is_none() && image.arrived > arrived && image.arrived <= at);
    (!deleted).then(|| row.clone())
}

/// The rows of a table without a key that are there at the end and had arrived at `at`. Equal rows
/// go together, so those that are left came since there were fewest.
fn present(states: &[(u64, Vec<Row>)], at: u64) -> Vec<Row> {
    let Some((_, last)) = states.last() else { return vec![] };
    let mut rows: Vec<Row> = Vec::new();
    for row in last.iter().filter(|row| !rows.contains(row)).cloned().collect::<Vec<_>>() {
        if rows.contains(&row) {
            continue;
        }
        let count = |held: &[Row]| held.iter().filter(|other| **other == row).count();
        let since = states.iter().rposition(|(_, held)| count(held) == 0).map_or(0, |n| n + 1);
        let arrived = states[since..].iter().rfind(|(from, _)| *from <= at);
        let there = arrived.map_or(0, |(_, held)| count(held));
        rows.extend(std::iter::repeat_n(row, there));
    }
    rows
}
