//! Event time: tables as if each row had arrived when it happened (S13).
//!
//! Law      of what is known at one time. Without a key: the rows present then, each from its event
//!          time on. With one: the key's row images and deletions in order of time, each until the
//!          next, of equal times the later arrival; an image counts at its event time, a deletion
//!          at its arrival, but not before the event time of the image that it takes away
//!          A row without an event time counts by arrival; a table without such a column is left
//!          as it was
//! State    the images of a table, and a few words for each
//! Errors   none; an event time before the epoch is the epoch

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

/// A history, timed by what happened, as known at one time.
pub struct EventTimeHistory<'a> {
    pub history: &'a dyn History,
    pub known: Timestamp,
    pub tables: &'a dyn Fn(CollectionId) -> EventTime,
}

impl History for EventTimeHistory<'_> {
    fn spans(&self, table: CollectionId, from: Timestamp, to: Timestamp) -> Vec<Spans> {
        let mut spans = self.history.spans(table, Timestamp::MIN, self.known);
        // What comes later is not known.
        for spans in &mut spans {
            let late = |end: &&mut u64| **end > self.known.0;
            spans.ends.iter_mut().filter(late).for_each(|end| *end = u64::MAX);
        }
        let timed = match (self.tables)(table) {
            EventTime { column: None, .. } => spans,
            EventTime { column: Some(column), key: None } => {
                spans.into_iter().map(|spans| from_event_on(spans, column)).collect()
            }
            EventTime { column: Some(column), key: Some(key) } => by_image(spans, column, &key),
        };
        let there = |spans: Spans| {
            let row = |&row: &u32| {
                let (begin, end) = (spans.begins[row as usize], spans.ends[row as usize]);
                begin < end && begin <= to.0 && end > from.0
            };
            let rows: Vec<u32> = (0..spans.begins.len() as u32).filter(row).collect();
            take_spans(&spans, &rows)
        };
        timed.into_iter().map(there).filter(|spans| !spans.begins.is_empty()).collect()
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
fn from_event_on(spans: Spans, column: usize) -> Spans {
    let rows: Vec<u32> =
        (0..spans.ends.len() as u32).filter(|&row| spans.ends[row as usize] == u64::MAX).collect();
    let mut spans = take_spans(&spans, &rows);
    let events = events(&spans.batch, &spans.begins, column);
    spans.arrivals = Some(std::mem::replace(&mut spans.begins, events));
    spans
}

/// An image of a key's row, or its deletion.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    key: u32,
    time: u64,
    arrival: u64,
    /// Part and row; none where it is a deletion.
    image: Option<(u32, u32)>,
}

fn by_image(mut spans: Vec<Spans>, column: usize, key: &[usize]) -> Vec<Spans> {
    let mut items = items(&spans, column, key);
    items.sort_unstable();
    // What is not met below is replaced at once, or was there twice.
    for spans in &mut spans {
        spans.ends.fill(0);
        spans.arrivals = Some(spans.begins.clone());
    }
    for (place, item) in items.iter().enumerate() {
        let next = items.get(place + 1).filter(|next| next.key == item.key);
        if let Some((part, row)) = item.image {
            let spans = &mut spans[part as usize];
            spans.begins[row as usize] = item.time;
            spans.ends[row as usize] = next.map_or(u64::MAX, |next| next.time);
        }
    }
    spans
}

/// All images and deletions of all keys.
fn items(spans: &[Spans], column: usize, key: &[usize]) -> Vec<Item> {
    let Some(first) = spans.first() else { return vec![] };
    let codec = KeyCodec::for_keys(types_of(&first.batch.schema(), key));
    let mut index = KeyIndex::default();
    let mut items = Vec::new();
    // (key, arrival, end, event time)
    let mut arrived: Vec<(u32, u64, u64, u64)> = Vec::new();
    for (part, spans) in spans.iter().enumerate() {
        let columns: Vec<ArrayRef> = columns_at(&spans.batch, key);
        let keys = codec.encode(&columns, spans.begins.len());
        let events = events(&spans.batch, &spans.begins, column);
        for (row, &time) in events.iter().enumerate() {
            let (key, _) = index.get_or_insert(keys.key(row));
            let arrival = spans.begins[row];
            let image = Some((part as u32, row as u32));
            items.push(Item { key, time, arrival, image });
            arrived.push((key, arrival, spans.ends[row], time));
        }
    }
    arrived.sort_unstable();
    for (place, &(key, _, end, event)) in arrived.iter().enumerate() {
        let next = arrived.get(place + 1);
        let updated = next.is_some_and(|&(other, arrival, ..)| (other, arrival) == (key, end));
        if end != u64::MAX && !updated {
            items.push(Item { key, time: end.max(event), arrival: end, image: None });
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

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
        let mut last: HashMap<i64, (u64, u64, Option<i64>)> = HashMap::new();
        let mut see = |key: i64, time: u64, arrival: u64, number: Option<i64>| {
            let newer = last.get(&key).is_none_or(|&(t, a, _)| (t, a) <= (time, arrival));
            if time <= at && newer {
                last.insert(key, (time, arrival, number));
            }
        };
        for image in known {
            see(image.key, event_of(image), image.begin, Some(image.number));
        }
        for image in known {
            let updated = known.iter().any(|i| i.key == image.key && i.begin == image.end);
            if image.end != u64::MAX && !updated {
                see(image.key, event_of(image).max(image.end), image.end, None);
            }
        }
        last.into_values().filter_map(|(_, _, number)| number).collect()
    }

    #[test]
    fn rows_count_from_when_they_happened() {
        seeds(300, |random| {
            let keyed = random.random_bool(0.6);
            let images = random_images(random, keyed);
            let known = random.random_range(0..TIMES + 5);
            // What is known then.
            let mut seen: Vec<Image> =
                images.iter().filter(|image| image.begin <= known).cloned().collect();
            seen.iter_mut().filter(|i| i.end > known).for_each(|image| image.end = u64::MAX);
            if !keyed {
                seen.retain(|image| image.end == u64::MAX);
            }
            let timing = EventTime { column: Some(1), key: keyed.then(|| vec![0]) };
            let table = Images(images);
            let history = EventTimeHistory {
                history: &table,
                known: Timestamp(known),
                tables: &|_| timing.clone(),
            };
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
