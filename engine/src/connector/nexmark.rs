//! Nexmark: the persons, auctions and bids of an online auction, made up as they are read.
//!
//! Law      entry n is the same whenever it is read: everything in it follows from n and the seed
//! Order    of every 50 entries the first is a person, three are auctions, 46 are bids
//! Time     entry n happened n × 100 µs after [`BEGIN_MS`]: 10,000 of them in a second
//! Source   P. Tucker et al., NEXMark, a benchmark for queries over data streams (2002), as the
//!          crate `nexmark` writes it after Apache Beam
//!
//! Making an entry costs more than many a query over it. With `prepared` a relation's rows are made
//! once, all of them, when the first is read, and then lie in memory: what is measured after that
//! is not the making.
//!
//! With seed 0 the entries are those of Nexmark itself. Another seed begins elsewhere in the same
//! endless stream, at other ids: there the first bids are for auctions that are not in the log.

use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringBuilder, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use nexmark::EventGenerator;
use nexmark::config::NexmarkConfig;
use nexmark::event::{Auction, Bid, Event, EventType, Person};

use super::{Connector, OptionError, Options, OutsideLog, OutsideRelation, flag, number};

pub const CONNECTOR: Connector = Connector {
    name: "nexmark",
    options: &[
        ("events", "how many there are in all; without it there is no end"),
        ("prepared", "true: all are made before the first is read, and kept in memory"),
        ("rate", "how many come in a second; without it, all at once or 10,000 of an endless log"),
        ("seed", "which of the logs; 0 without it"),
    ],
    open,
};

/// When the first event happens, in ms since the Unix epoch: 2015-07-15 00:00:00, as in Beam.
const BEGIN_MS: u64 = 1_436_918_400_000;
/// Events in a second of event time, and of an endless log in a second of the clock.
const EVENTS_PER_SECOND: u64 = 10_000;
/// Events between the beginnings of two seeds; a multiple of [`CYCLE`].
const SEED_STRIDE: u64 = 50_000_000_000;
/// Seeds above it would lead to ids beyond a bigint.
const SEED_MAX: u64 = 100_000_000;

/// After so many entries their kinds repeat.
const CYCLE: u64 = 50;
/// Prepared rows lie in pieces of so many entries, as a column of text holds 2 GiB.
const PIECE: u64 = if cfg!(test) { 1 << 10 } else { 1 << 21 };
/// Of each cycle: the kind, where its rows begin, and where they end.
const KINDS: [(EventType, u64, u64); 3] =
    [(EventType::Person, 0, 1), (EventType::Auction, 1, 4), (EventType::Bid, 4, CYCLE)];

#[derive(Debug)]
struct Nexmark {
    relations: [OutsideRelation; 3],
    /// Of each kind, at its first row.
    generators: [EventGenerator; 3],
    events: Option<u64>,
    rate: Option<u64>,
    /// Of each kind, in pieces of [`PIECE`] entries; unless rows are made as they are read.
    prepared: Option<[OnceLock<Vec<RecordBatch>>; 3]>,
}

fn open(options: &Options) -> Result<Arc<dyn OutsideLog>, OptionError> {
    let events = number(options, "events")?;
    let rate = number(options, "rate")?;
    let seed = number(options, "seed")?.unwrap_or(0);
    let refuse = |option: &'static str, refused: bool, takes| match refused {
        true => Err(OptionError::Value { option, value: options[option].clone(), takes }),
        false => Ok(()),
    };
    refuse("rate", rate == Some(0), "a whole number from 1 on")?;
    refuse("seed", seed > SEED_MAX, "a whole number up to 100000000")?;
    let prepared = flag(options, "prepared")?;
    refuse("prepared", prepared && events.is_none(), "true only beside a number of events")?;
    let config = NexmarkConfig {
        base_time: BEGIN_MS,
        first_event_id: usize::try_from(seed * SEED_STRIDE).expect("64 bits"),
        ..NexmarkConfig::default()
    };
    let generator = EventGenerator::new(config);
    let generators = KINDS.map(|(kind, _, _)| generator.clone().with_type_filter(kind));
    let rate = rate.or_else(|| events.is_none().then_some(EVENTS_PER_SECOND));
    let relations = [person(), auction(), bid()];
    let prepared = prepared.then(Default::default);
    Ok(Arc::new(Nexmark { relations, generators, events, rate, prepared }))
}

impl OutsideLog for Nexmark {
    fn relations(&self) -> &[OutsideRelation] {
        &self.relations
    }

    fn end(&self) -> Option<u64> {
        self.events
    }

    fn rate(&self) -> Option<u64> {
        self.rate
    }

    fn rows_before(&self, relation: usize, offset: u64) -> u64 {
        let (_, begin, end) = KINDS[relation];
        let within = (offset % CYCLE).clamp(begin, end) - begin;
        offset / CYCLE * (end - begin) + within
    }

    fn read(&self, relation: usize, from: u64, to: u64) -> RecordBatch {
        match &self.prepared {
            Some(prepared) => {
                let pieces = prepared[relation].get_or_init(|| self.prepare(relation));
                self.slice(relation, pieces, from, to)
            }
            None => self.make(relation, from, to),
        }
    }
}

impl Nexmark {
    /// All rows of a relation.
    fn prepare(&self, relation: usize) -> Vec<RecordBatch> {
        let end = self.events.expect("what is prepared has an end");
        let starts = (0..end).step_by(PIECE as usize);
        starts.map(|from| self.make(relation, from, end.min(from + PIECE))).collect()
    }

    /// Rows out of those that are prepared, without a copy where they lie in one piece.
    fn slice(&self, relation: usize, pieces: &[RecordBatch], from: u64, to: u64) -> RecordBatch {
        let parts = (from / PIECE..to.div_ceil(PIECE)).map(|piece| {
            let begin = piece * PIECE;
            let row = |offset: u64| {
                (self.rows_before(relation, offset) - self.rows_before(relation, begin)) as usize
            };
            let (first, end) = (row(from.max(begin)), row(to.min(begin + PIECE)));
            pieces[piece as usize].slice(first, end - first)
        });
        match &parts.collect::<Vec<_>>()[..] {
            [one] => one.clone(),
            many => concat_batches(&self.relations[relation].schema, many).expect("of one schema"),
        }
    }

    fn make(&self, relation: usize, from: u64, to: u64) -> RecordBatch {
        let first = self.rows_before(relation, from);
        let rows = (self.rows_before(relation, to) - first) as usize;
        let events = self.generators[relation].clone().with_offset(first).take(rows);
        let columns = match KINDS[relation].0 {
            EventType::Person => persons(events, rows),
            EventType::Auction => auctions(events, rows),
            EventType::Bid => bids(events, rows),
        };
        let schema = Arc::clone(&self.relations[relation].schema);
        RecordBatch::try_new(schema, columns).expect("columns are made by the schema")
    }
}

fn person() -> OutsideRelation {
    let text = ["name", "email_address", "credit_card", "city", "state"];
    let fields = [integer("id")].into_iter().chain(text.map(string));
    relation("person", fields.chain([instant("date_time"), string("extra")]).collect())
}

fn auction() -> OutsideRelation {
    let fields = vec![
        integer("id"),
        string("item_name"),
        string("description"),
        integer("initial_bid"),
        integer("reserve"),
        instant("date_time"),
        instant("expires"),
        integer("seller"),
        integer("category"),
        string("extra"),
    ];
    relation("auction", fields)
}

fn bid() -> OutsideRelation {
    let fields = vec![
        integer("auction"),
        integer("bidder"),
        integer("price"),
        string("channel"),
        string("url"),
        instant("date_time"),
        string("extra"),
    ];
    relation("bid", fields)
}

fn relation(name: &'static str, fields: Vec<Field>) -> OutsideRelation {
    let event_time = fields.iter().position(|field| field.name() == "date_time");
    OutsideRelation { name, schema: Arc::new(Schema::new(fields)), event_time }
}

fn integer(name: &str) -> Field {
    Field::new(name, DataType::Int64, false)
}

fn string(name: &str) -> Field {
    Field::new(name, DataType::Utf8, false)
}

fn instant(name: &str) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, None), false)
}

fn persons(events: impl Iterator<Item = Event>, rows: usize) -> Vec<ArrayRef> {
    let (mut id, mut time) = (Integers::of(rows), Integers::of(rows));
    let mut text: [StringBuilder; 6] =
        [14, 18, 20, 10, 2, 140].map(|bytes| StringBuilder::with_capacity(rows, rows * bytes));
    for event in events {
        let Event::Person(person) = event else { unreachable!("the generator makes persons") };
        let Person { id: number, name, email_address, credit_card, city, state, .. } = &person;
        id.push(*number);
        time.push_time(person.date_time);
        let values = [name, email_address, credit_card, city, state, &person.extra];
        text.iter_mut().zip(values).for_each(|(column, value)| column.append_value(value));
    }
    let [name, email, card, city, state, extra] = text.map(strings);
    vec![id.numbers(), name, email, card, city, state, time.times(), extra]
}

fn auctions(events: impl Iterator<Item = Event>, rows: usize) -> Vec<ArrayRef> {
    let mut integers: [Integers; 7] = std::array::from_fn(|_| Integers::of(rows));
    let mut text: [StringBuilder; 3] =
        [20, 100, 360].map(|bytes| StringBuilder::with_capacity(rows, rows * bytes));
    for event in events {
        let Event::Auction(auction) = event else { unreachable!("the generator makes auctions") };
        let Auction { id, initial_bid, reserve, date_time, expires, seller, category, .. } =
            auction;
        let numbers = [id, initial_bid, reserve, seller, category];
        integers.iter_mut().zip(numbers).for_each(|(column, value)| column.push(value));
        integers[5].push_time(date_time);
        integers[6].push_time(expires);
        let values = [&auction.item_name, &auction.description, &auction.extra];
        text.iter_mut().zip(values).for_each(|(column, value)| column.append_value(value));
    }
    let [id, initial_bid, reserve, seller, category, time, expires] = integers;
    let [item, description, extra] = text.map(strings);
    let (initial_bid, reserve) = (initial_bid.numbers(), reserve.numbers());
    let (time, expires) = (time.times(), expires.times());
    let (seller, category) = (seller.numbers(), category.numbers());
    vec![
        id.numbers(),
        item,
        description,
        initial_bid,
        reserve,
        time,
        expires,
        seller,
        category,
        extra,
    ]
}

fn bids(events: impl Iterator<Item = Event>, rows: usize) -> Vec<ArrayRef> {
    let mut integers: [Integers; 4] = std::array::from_fn(|_| Integers::of(rows));
    let mut text: [StringBuilder; 3] =
        [12, 70, 80].map(|bytes| StringBuilder::with_capacity(rows, rows * bytes));
    for event in events {
        let Event::Bid(bid) = event else { unreachable!("the generator makes bids") };
        let Bid { auction, bidder, price, date_time, .. } = bid;
        let numbers = [auction, bidder, price];
        integers.iter_mut().zip(numbers).for_each(|(column, value)| column.push(value));
        integers[3].push_time(date_time);
        let values = [&bid.channel, &bid.url, &bid.extra];
        text.iter_mut().zip(values).for_each(|(column, value)| column.append_value(value));
    }
    let [auction, bidder, price, time] = integers;
    let [channel, url, extra] = text.map(strings);
    let (auction, bidder, price) = (auction.numbers(), bidder.numbers(), price.numbers());
    vec![auction, bidder, price, channel, url, time.times(), extra]
}

fn strings(mut column: StringBuilder) -> ArrayRef {
    Arc::new(column.finish())
}

/// A column of numbers, or of times as numbers.
struct Integers(Vec<i64>);

impl Integers {
    fn of(rows: usize) -> Integers {
        Integers(Vec::with_capacity(rows))
    }

    fn push(&mut self, value: usize) {
        self.0.push(value as i64);
    }

    fn push_time(&mut self, ms: u64) {
        self.0.push(ms as i64 * 1000);
    }

    fn numbers(self) -> ArrayRef {
        Arc::new(Int64Array::from(self.0))
    }

    fn times(self) -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(self.0))
    }
}
