//! Event time: tables as if each row had arrived when it happened (S13).
//!
//! Law      of what is known at one time. Without a key: the rows present then, each from its event
//!          time on. With one: the images that a key's row has had, in order of event time, each
//!          until the next; of equal times the one that arrived later. A deletion ends the images
//!          that had arrived by then when it arrives, but none before its event time
//!          A row without an event time counts by arrival, and so do those of a table that has no
//!          such column
//! State    the images of a table, and a few words for each
//! Errors   none; an event time before the epoch is the epoch

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};

use super::History;
use super::restrict::take_spans;
use crate::aggregate::columns_at;
use crate::state::key_index::{KeyCodec, KeyIndex, types_of};
use crate::store::Spans;
use crate::time::{CollectionId, Timestamp};

/// How a table's rows are timed.
#[derive(Clone, Debug, Default)]
pub struct EventTime {
    /// When they happened: a timestamp in µs, with or without time zone.
    pub column: Option<usize>,
    /// Its primary key.
    pub key: Option<Vec<usize>>,
}

/// A history, timed by what happened, as known at one time. Each table is timed once.
pub struct EventTimeHistory {
    history: Box<dyn History + Send + Sync>,
    known: Timestamp,
    tables: Box<dyn Fn(CollectionId) -> EventTime + Send + Sync>,
    timed: Mutex<BTreeMap<CollectionId, Arc<Vec<Spans>>>>,
}

impl EventTimeHistory {
    /// `tables` says how each is timed.
    pub fn new(
        history: impl History + Send + Sync + 'static,
        known: Timestamp,
        tables: impl Fn(CollectionId) -> EventTime + Send + Sync + 'static,
    ) -> Self {
        let (history, tables) = (Box::new(history), Box::new(tables));
        EventTimeHistory { history, known, tables, timed: Mutex::default() }
    }

    fn timed(&self, table: CollectionId) -> Arc<Vec<Spans>> {
        let mut timed = self.timed.lock().unwrap_or_else(PoisonError::into_inner);
        let timed = timed.entry(table).or_insert_with(|| Arc::new(self.time(table)));
        Arc::clone(timed)
    }

    fn time(&self, table: CollectionId) -> Vec<Spans> {
        let mut spans = self.history.spans(table, Timestamp::MIN, self.known);
        // What comes later is not known.
        for spans in &mut spans {
            let late = |end: &&mut u64| **end > self.known.0;
            spans.ends.iter_mut().filter(late).for_each(|end| *end = u64::MAX);
        }
        match (self.tables)(table) {
            // Images in order of arrival are those of the table as it was.
            EventTime { column: None, key: Some(_) } => spans,
            EventTime { column, key: None } => {
                spans.into_iter().map(|spans| from_event_on(spans, column)).collect()
            }
            EventTime { column: Some(column), key: Some(key) } => by_image(spans, column, &key),
        }
    }
}

impl History for EventTimeHistory {
    fn spans(&self, table: CollectionId, from: Timestamp, to: Timestamp) -> Vec<Spans> {
        let there = |spans: &Spans| {
            let row = |&row: &u32| {
                let (begin, end) = (spans.begins[row as usize], spans.ends[row as usize]);
                begin < end && begin <= to.0 && end > from.0
            };
            let rows: Vec<u32> = (0..spans.begins.len() as u32).filter(row).collect();
            take_spans(spans, &rows)
        };
        let spans = self.timed(table);
        spans.iter().map(there).filter(|spans| !spans.begins.is_empty()).collect()
    }
}

/// When each row happened, or arrived.
fn events(batch: &RecordBatch, begins: &[u64], column: usize) -> Vec<u64> {
    let plain = DataType::Timestamp(TimeUnit::Microsecond, None);
    let times = cast(batch.column(column), &plain).expect("an event time is a timestamp");
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let event = |(row, &begin): (usize, &u64)| match times.is_valid(row) {
        true => u64::try_from(times.value(row)).unwrap_or(0),
        false => begin,
    };
    begins.iter().enumerate().map(event).collect()
}

/// The rows still there, each from its event time on.
fn from_event_on(spans: Spans, column: Option<usize>) -> Spans {
    let rows: Vec<u32> =
        (0..spans.ends.len() as u32).filter(|&row| spans.ends[row as usize] == u64::MAX).collect();
    let mut spans = take_spans(&spans, &rows);
    if let Some(column) = column {
        let events = events(&spans.batch, &spans.begins, column);
        spans.arrivals = Some(std::mem::replace(&mut spans.begins, events));
    }
    spans
}

/// An image of a key's row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Image {
    key: u32,
    time: u64,
    arrival: u64,
    /// When it was replaced or deleted; `u64::MAX`: not yet.
    end: u64,
    /// Part, and row in it.
    place: (u32, u32),
}

fn by_image(mut spans: Vec<Spans>, column: usize, key: &[usize]) -> Vec<Spans> {
    let mut images = images(&spans, column, key);
    images.sort_unstable();
    for spans in &mut spans {
        spans.arrivals = Some(spans.begins.clone());
    }
    for of_key in images.chunk_by(|a, b| a.key == b.key) {
        let deletions = deletions(of_key);
        for (place, image) in of_key.iter().enumerate() {
            let next = of_key.get(place + 1).map_or(u64::MAX, |next| next.time);
            // The first deletion since it was the key's row.
            let deletion = deletions.get(deletions.partition_point(|time| *time < image.end));
            let deleted = deletion.map_or(u64::MAX, |deletion| (*deletion).max(image.time));
            let (part, row) = (image.place.0 as usize, image.place.1 as usize);
            spans[part].begins[row] = image.time;
            spans[part].ends[row] = next.min(deleted);
        }
    }
    spans
}

/// When a key's row was deleted, in order. An update begins an image at the very time at which it
/// ends another.
fn deletions(of_key: &[Image]) -> Vec<u64> {
    let begins: HashSet<u64> = of_key.iter().map(|image| image.arrival).collect();
    let ends = of_key.iter().map(|image| image.end);
    let mut deletions: Vec<u64> =
        ends.filter(|end| *end != u64::MAX && !begins.contains(end)).collect();
    deletions.sort_unstable();
    deletions
}

/// All images of all keys.
fn images(spans: &[Spans], column: usize, key: &[usize]) -> Vec<Image> {
    let Some(first) = spans.first() else { return vec![] };
    let codec = KeyCodec::for_keys(types_of(&first.batch.schema(), key));
    let mut index = KeyIndex::default();
    let mut images = Vec::new();
    for (part, spans) in spans.iter().enumerate() {
        let columns: Vec<ArrayRef> = columns_at(&spans.batch, key);
        let keys = codec.encode(&columns, spans.begins.len());
        let events = events(&spans.batch, &spans.begins, column);
        for (row, &time) in events.iter().enumerate() {
            let (key, _) = index.get_or_insert(keys.key(row));
            let (arrival, end) = (spans.begins[row], spans.ends[row]);
            images.push(Image { key, time, arrival, end, place: (part as u32, row as u32) });
        }
    }
    images
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow::array::{Int64Array, TimestampMicrosecondArray};
    use datafusion::common::ScalarValue;
    use rand::Rng;
    use rand::rngs::StdRng;

    use super::super::tests::seeds;
    use super::*;
    use crate::oracle::{Row, multiset, rows_of};
    use crate::plan::schema_of;
    use crate::updates::batch_of;

    const TIMES: u64 = 30;

    /// An image: key, event time, a number of its own, when it came and when it went.
    #[derive(Clone, Debug)]
    struct Image {
        key: i64,
        event: Option<i64>,
        number: i64,
        begin: u64,
        end: u64,
    }

    struct Images(Vec<Image>);

    impl History for Images {
        fn spans(&self, _table: CollectionId, from: Timestamp, to: Timestamp) -> Vec<Spans> {
            let there = |image: &&Image| image.begin <= to.0 && image.end > from.0;
            let images: Vec<&Image> = self.0.iter().filter(there).collect();
            let timestamp = DataType::Timestamp(TimeUnit::Microsecond, None);
            let schema =
                schema_of([("k", DataType::Int64), ("ts", timestamp), ("n", DataType::Int64)]);
            let part = |images: &[&Image]| {
                let keys: Int64Array = images.iter().map(|image| image.key).collect();
                let events: TimestampMicrosecondArray =
                    images.iter().map(|image| image.event).collect();
                let numbers: Int64Array = images.iter().map(|image| image.number).collect();
                let columns: Vec<ArrayRef> =
                    vec![Arc::new(keys), Arc::new(events), Arc::new(numbers)];
                Spans {
                    batch: batch_of(schema.clone(), columns, images.len()),
                    begins: images.iter().map(|image| image.begin).collect(),
                    ends: images.iter().map(|image| image.end).collect(),
                    arrivals: None,
                }
            };
            images.chunks(3).map(part).collect()
        }
    }

    /// Inserts, updates and deletes of a few keys, some at one time.
    fn random_images(random: &mut StdRng, keyed: bool) -> Vec<Image> {
        let mut images: Vec<Image> = Vec::new();
        for begin in 0..TIMES {
            for key in 0..3 {
                if random.random_bool(0.7) {
                    continue;
                }
                let open = images.iter_mut().rev().find(|i| i.key == key && i.end == u64::MAX);
                let ended = open.map(|image| image.end = begin).is_some();
                if ended && random.random_bool(0.4) {
                    continue;
                }
                for _ in 0..if keyed { 1 } else { random.random_range(1..3) } {
                    let event = random.random_bool(0.85);
                    let event = event.then(|| random.random_range(-3..TIMES as i64 + 5));
                    let number = images.len() as i64;
                    images.push(Image { key, event, number, begin, end: u64::MAX });
                }
            }
        }
        images
    }

    fn event_of(image: &Image) -> u64 {
        image.event.map_or(image.begin, |event| event.max(0) as u64)
    }

    /// The numbers of the images that are there at `at`, of those known.
    fn expected(known: &[Image], keyed: bool, at: u64) -> Vec<i64> {
        if !keyed {
            let there = |image: &&Image| event_of(image) <= at;
            return known.iter().filter(there).map(|image| image.number).collect();
        }
        let mut last: HashMap<i64, &Image> = HashMap::new();
        for image in known.iter().filter(|image| event_of(image) <= at) {
            let order = |image: &Image| (event_of(image), image.begin);
            let of_key = last.entry(image.key).or_insert(image);
            if order(of_key) <= order(image) {
                *of_key = image;
            }
        }
        let is_deleted = |image: &Image| {
            let of_key = || known.iter().filter(|other| other.key == image.key);
            let is_deletion =
                |end: u64| end != u64::MAX && of_key().all(|other| other.begin != end);
            of_key().any(|i| is_deletion(i.end) && image.end <= i.end && i.end <= at)
        };
        last.into_values().filter(|image| !is_deleted(image)).map(|image| image.number).collect()
    }

    #[test]
    fn rows_count_from_when_they_happened() {
        seeds(300, |random| {
            let keyed = random.random_bool(0.6);
            let mut images = random_images(random, keyed);
            let timed = random.random_bool(0.8);
            if !timed {
                images.iter_mut().for_each(|image| image.event = None);
            }
            let known = random.random_range(0..TIMES + 5);
            // What is known then.
            let mut seen: Vec<Image> =
                images.iter().filter(|image| image.begin <= known).cloned().collect();
            seen.iter_mut().filter(|i| i.end > known).for_each(|image| image.end = u64::MAX);
            if !keyed {
                seen.retain(|image| image.end == u64::MAX);
            }
            let column = timed.then_some(1);
            let timing = EventTime { column, key: keyed.then(|| vec![0]) };
            let timed = move |_| timing.clone();
            let history = EventTimeHistory::new(Images(images), Timestamp(known), timed);
            let from = random.random_range(0..TIMES);
            let to = from + random.random_range(0..TIMES);
            let spans = history.spans(CollectionId(1), Timestamp(from), Timestamp(to));
            for at in from..=to {
                let mut there: Vec<Row> = Vec::new();
                for spans in &spans {
                    let rows = rows_of(&spans.batch).into_iter().enumerate();
                    let rows = rows.filter(|(i, _)| spans.begins[*i] <= at && at < spans.ends[*i]);
                    there.extend(rows.map(|(_, row)| vec![row[2].clone()]));
                }
                let wanted = expected(&seen, keyed, at);
                let wanted = wanted.into_iter().map(|n| vec![ScalarValue::Int64(Some(n))]);
                assert_eq!(multiset(there), multiset(wanted), "at {at}, known {known}: {seen:?}");
            }
        });
    }
}
