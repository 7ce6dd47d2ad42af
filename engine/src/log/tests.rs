//! The log: what is written is read; what is damaged is found; what failed is not acknowledged.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use arrow::compute::concat_batches;
use arrow::datatypes::*;

use super::*;
use crate::commit::SourceDef;
use crate::store::TableDef;
use crate::time::{CollectionId, RowId};

fn time_zone() -> Option<Arc<str>> {
    Some("+00:00".into())
}

/// A column of every type, three rows, with NULLs; sliced out of the middle so that offsets count.
pub fn every_type() -> RecordBatch {
    let interval = IntervalMonthDayNano { months: 1, days: -2, nanoseconds: 3 };
    let timestamps = TimestampMicrosecondArray::from(vec![None, Some(1), Some(2), None, Some(4)]);
    let decimals = Decimal128Array::from(vec![Some(1), None, Some(-3), Some(4), None]);
    let items = Arc::new(StringArray::from(vec![Some("a"), None, Some("ccc"), Some("d"), None]));
    let item = Arc::new(Field::new("item", DataType::Utf8, true));
    let offsets = OffsetBuffer::new(vec![0, 1, 1, 4, 5, 5].into());
    let lists =
        ListArray::new(item, offsets, items, Some(vec![true, false, true, true, true].into()));
    let uuids = [[1u8; 16], [2; 16], [3; 16], [4; 16], [5; 16]];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(true), Some(false), None])),
        Arc::new(Int16Array::from(vec![1, 2, 3, 4, 5])),
        Arc::new(Int32Array::from(vec![Some(1), None, Some(3), None, Some(5)])),
        Arc::new(Int64Array::from(vec![i64::MIN, -1, 0, 1, i64::MAX])),
        Arc::new(UInt32Array::from(vec![1, 2, 3, 4, 5])),
        Arc::new(Float32Array::from(vec![1.0, f32::NAN, -0.0, 4.0, 5.0])),
        Arc::new(Float64Array::from(vec![1.0, f64::NAN, -0.0, 4.0, 5.0])),
        Arc::new(decimals.with_precision_and_scale(20, 3).expect("they fit")),
        Arc::new(StringArray::from(vec![Some("one"), Some(""), None, Some("vier"), Some("5")])),
        Arc::new(LargeStringArray::from(vec![Some("{}"), Some("[]"), None, Some("1"), None])),
        Arc::new(BinaryArray::from(vec![&b"a"[..], b"", b"\0\xff", b"d", b"e"])),
        Arc::new(Date32Array::from(vec![1, 2, 3, 4, 5])),
        Arc::new(Time64MicrosecondArray::from(vec![1, 2, 3, 4, 5])),
        Arc::new(timestamps.clone()),
        Arc::new(timestamps.with_timezone_opt(time_zone())),
        Arc::new(IntervalMonthDayNanoArray::from(vec![interval; 5])),
        Arc::new(FixedSizeBinaryArray::try_from_iter(uuids.iter()).expect("of one width")),
        Arc::new(lists),
        Arc::new(NullArray::new(5)),
    ];
    let name = |i: usize| format!("c{i}");
    let columns = columns.into_iter().enumerate().map(|(i, column)| (name(i), column, true));
    RecordBatch::try_from_iter_with_nullable(columns).expect("of one length").slice(1, 3)
}

pub fn table(id: u64, schema: SchemaRef) -> TableDef {
    TableDef::new(CollectionId(id), schema, vec![1, 3])
}

/// A group that makes a source and brings what it has.
fn fed() -> Group {
    let source = SourceDef {
        id: CollectionId(9),
        connector: "nexmark".to_owned(),
        options: [("seed".to_owned(), "1".to_owned())].into(),
        relations: vec![(CollectionId(10), 2), (CollectionId(11), 0)],
        keeps_rows: true,
    };
    let advances = vec![(CollectionId(9), 77), (CollectionId(12), u64::MAX)];
    let (time, reserved) = (Timestamp(57), Timestamp(58));
    Group { time, reserved, sources: vec![source], advances, ..Group::default() }
}

pub fn group(time: u64, rows: &RecordBatch, first: u64) -> Group {
    let write = GroupWrite {
        table: CollectionId(7),
        deleted_ids: (1..first).map(RowId).collect(),
        deleted: vec![rows.clone()],
        first: RowId(first),
        inserted: vec![rows.clone(), rows.slice(1, 1)],
    };
    Group {
        time: Timestamp(time),
        reserved: Timestamp(time + 5),
        ddl: vec![vec![], vec![time as u8; 20]],
        writes: vec![write],
        ..Group::default()
    }
}

fn with_segment_bytes(mut log: Log, bytes: u64) -> Log {
    log.limits.segment_bytes = bytes;
    log
}

/// Opens a log and prints its records.
fn read(storage: &MemoryStorage) -> Result<(Vec<String>, Log), LogError> {
    let mut records = vec![];
    let mut schemas = HashMap::new();
    let log = Log::open(
        Box::new(storage.clone()),
        true,
        LogLimits::default(),
        LogStart::default(),
        &mut |record| {
            records.push(match record {
                Replay::Group(group) => {
                    format!("{:?}", Record::Group(decoded(*group, &mut schemas)?))
                }
                Replay::Reserve(time) => format!("{:?}", Record::Reserve(time)),
            });
            Ok(())
        },
    )?;
    Ok((records, log))
}

/// The group as it was written.
fn decoded(
    group: ReplayGroup<'_>,
    schemas: &mut HashMap<CollectionId, SchemaRef>,
) -> Result<Group, String> {
    schemas.extend(group.creates.iter().map(|table| (table.id, Arc::clone(&table.schema))));
    let rows = |table: CollectionId, mut rows: EncodedRows<'_>| {
        let mut builder = RowsBuilder::new(&schemas[&table])?;
        while rows.read_next(&mut builder)?.is_some() {}
        Ok::<_, String>(vec![builder.finish()?])
    };
    let mut writes = vec![];
    for write in group.writes {
        writes.push(GroupWrite {
            table: write.table,
            deleted: rows(write.table, write.deleted)?,
            deleted_ids: write.deleted_ids,
            first: write.first,
            inserted: rows(write.table, write.inserted)?,
        });
    }
    let ddl = group.ddl.into_iter().map(<[u8]>::to_vec).collect();
    let ReplayGroup { time, reserved, mut creates, drops, extension, .. } = group;
    for (id, retention) in extension.retentions {
        creates.iter_mut().filter(|table| table.id == id).for_each(|t| t.retention = retention);
    }
    for (id, ttl) in extension.ttls {
        creates.iter_mut().filter(|table| table.id == id).for_each(|t| t.ttl = ttl);
    }
    let mut loads = vec![];
    for load in extension.loads {
        loads.push(GroupLoad {
            table: load.table,
            until: load.until,
            first: load.first,
            rows: rows(load.table, load.rows)?,
            begins: load.begins.iter().collect(),
            ended: load.ended.iter().collect(),
            ends: load.ends.iter().collect(),
            gone: rows(load.table, load.gone)?,
        });
    }
    let closes = extension.closes;
    let retentions = vec![];
    let (added, keys, ttls) = (extension.added, extension.keys, vec![]);
    let (sources, advances) = (extension.sources, extension.advances);
    let fed = Group { sources, advances, ..Group::default() };
    let loaded = Group { loads, closes, added, keys, retentions, ttls, ..fed };
    Ok(Group { time, reserved, ddl, creates, writes, drops, ..loaded })
}

/// A few records in segments of some size.
fn written(segment_bytes: u64) -> (MemoryStorage, Vec<String>) {
    let storage = MemoryStorage::new();
    let (_, log) = read(&storage).expect("an empty directory");
    let mut log = with_segment_bytes(log, segment_bytes);
    let rows = every_type();
    let mut create = group(10, &rows, 0);
    create.creates = vec![table(7, rows.schema()), table(8, Arc::new(Schema::empty()))];
    create.drops = vec![CollectionId(8)];
    let records = [
        Record::Group(create),
        Record::Reserve(Timestamp(40)),
        Record::Group(group(50, &rows.slice(0, 2), 6)),
        Record::Group(fed()),
        Record::Reserve(Timestamp(60)),
    ];
    let mut printed = vec![];
    for mut record in records {
        log.append(&record).expect("no fault");
        if let Record::Group(group) = &mut record {
            for write in &mut group.writes {
                let inserted = concat_batches(&rows.schema(), &write.inserted);
                write.inserted = vec![inserted.expect("of one schema")];
            }
        }
        printed.push(format!("{record:?}"));
    }
    (storage, printed)
}

#[test]
fn every_type_comes_back() {
    let (storage, printed) = written(u64::MAX);
    let (records, _) = read(&storage).expect("undamaged");
    assert_eq!(records, printed);
}

#[test]
fn each_record_is_synced_once() {
    let (storage, printed) = written(u64::MAX);
    assert_eq!(storage.syncs(), printed.len() + 1, "one for the new segment");
    let (records, _) = read(&storage.crash()).expect("undamaged");
    assert_eq!(records, printed);
}

#[test]
fn segments_follow_one_another() {
    let (storage, printed) = written(1);
    assert_eq!(storage.files().len(), printed.len());
    let (records, mut log) = read(&storage).expect("undamaged");
    assert_eq!(records, printed);
    log.append(&Record::Reserve(Timestamp(70))).expect("no fault");
    assert_eq!(read(&storage).expect("undamaged").0.len(), printed.len() + 1);
    storage.lose(&segment::name(2));
    let missing = read(&storage).err().expect("refused").to_string();
    assert_eq!(
        missing,
        "log/0000000000000002.log is missing, and it is not sealed where --storage says"
    );
}

#[test]
fn a_torn_tail_is_cut_at_every_byte() {
    let (storage, printed) = written(u64::MAX);
    let (name, bytes) = storage.files().pop_first().expect("one segment");
    let mut whole = 0; // records in what is left
    for length in (0..=bytes.len()).rev() {
        let torn = MemoryStorage::new();
        torn.put(&name, bytes[..length].to_vec());
        let (records, mut log) = read(&torn).expect("a torn tail is no damage");
        assert_eq!(records, printed[..records.len()], "cut at {length}");
        assert!(length == bytes.len() || whole >= records.len());
        whole = records.len();
        // what is written from there on is read
        if length % 7 == 0 {
            log.append(&Record::Reserve(Timestamp(99))).expect("no fault");
            assert_eq!(read(&torn).expect("no damage").0.len(), records.len() + 1);
        }
    }
    assert_eq!(whole, 0);
}

#[test]
fn garbage_and_zeros_after_the_last_record_are_cut() {
    let (storage, printed) = written(u64::MAX);
    let (name, bytes) = storage.files().pop_first().expect("one segment");
    for tail in [vec![0; 100], vec![0xf7; 5], bytes[segment::HEADER_BYTES..].to_vec()] {
        let torn = MemoryStorage::new();
        torn.put(&name, [&bytes[..], &tail[..]].concat());
        assert_eq!(read(&torn).expect("a torn tail is no damage").0, printed);
        assert_eq!(torn.files()[&name], bytes);
    }
}

#[test]
fn a_flipped_bit_is_damage_and_named_unless_in_the_last_record() {
    let (storage, printed) = written(u64::MAX);
    let (name, bytes) = storage.files().pop_first().expect("one segment");
    let last = bytes.len() - segment::FRAME_BYTES - 8;
    for place in 0..bytes.len() {
        for bit in [0, 3, 7] {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1 << bit;
            let damaged = MemoryStorage::new();
            damaged.put(&name, flipped);
            match read(&damaged) {
                Ok((records, _)) => {
                    assert!(place >= last, "not found at {place}");
                    assert_eq!(records, printed[..printed.len() - 1]);
                }
                Err(LogError::Damaged { file, offset, .. }) => {
                    assert!(place < last, "a torn tail at {place}");
                    assert_eq!(file, name);
                    assert!(offset as usize <= place, "{offset} is named for {place}");
                }
                Err(other) => panic!("{other} at {place}"),
            }
        }
    }
}

#[test]
fn every_segment_but_the_last_must_be_whole() {
    let (storage, _) = written(1);
    let (name, bytes) = storage.files().pop_first().expect("some segments");
    for length in 0..bytes.len() {
        let damaged = storage.crash();
        damaged.put(&name, bytes[..length].to_vec());
        // cut between records too: the next segment knows the length
        assert!(matches!(read(&damaged), Err(LogError::Damaged { .. })), "cut at {length}");
    }
}

#[test]
fn a_newer_version_is_refused() {
    let (storage, _) = written(u64::MAX);
    let (name, mut bytes) = storage.files().pop_first().expect("one segment");
    bytes[8] = 2;
    let sum = crc32c::crc32c(&bytes[..36]);
    bytes[36..40].copy_from_slice(&sum.to_le_bytes());
    storage.put(&name, bytes);
    let refused = read(&storage).err().expect("refused").to_string();
    assert!(refused.contains("format version 2"), "{refused}");
}

#[test]
fn after_a_failed_write_or_sync_nothing_is_written_until_a_restart() {
    let mut faults: Vec<Fault> = (0..40).map(Fault::ShortWrite).collect();
    faults.push(Fault::Sync);
    for fault in faults {
        let (storage, printed) = written(u64::MAX);
        let (_, mut log) = read(&storage).expect("undamaged");
        storage.inject(fault);
        let record = Record::Reserve(Timestamp(100));
        assert!(matches!(log.append(&record), Err(LogError::Io { .. })));
        assert!(matches!(log.append(&record), Err(LogError::Failed { .. })));
        let after_crash = storage.crash();
        assert_eq!(read(&after_crash).expect("no damage").0, printed, "{fault:?}");
        // without a crash the record may be there or not, but nothing else
        let (records, mut log) = read(&storage).expect("no damage");
        assert!(records.len() <= printed.len() + 1);
        assert_eq!(records[..printed.len()], printed);
        log.append(&record).expect("works again");
    }
}

#[test]
fn a_segment_that_could_not_be_made_fails_the_log() {
    let (storage, printed) = written(1);
    let (_, log) = read(&storage).expect("undamaged");
    let mut log = with_segment_bytes(log, 1);
    storage.inject(Fault::Create);
    assert!(log.append(&Record::Reserve(Timestamp(100))).is_err());
    assert!(log.append(&Record::Reserve(Timestamp(100))).is_err());
    // made, but its header never written
    storage.put(&segment::name(printed.len() as u64 + 1), vec![]);
    assert_eq!(read(&storage).expect("no damage").0, printed);
}

#[test]
fn the_file_system_holds_a_log() {
    let directory = tempfile::tempdir().expect("a place for temporary files");
    let path = directory.path().join("data").join("log");
    let open = || -> Box<dyn Storage> { Box::new(Directory::open(&path).expect("can be made")) };
    let mut records = 0;
    for round in 0..3 {
        let mut seen = 0;
        let log = Log::open(open(), true, LogLimits::default(), LogStart::default(), &mut |_| {
            seen += 1;
            Ok(())
        });
        let mut log = with_segment_bytes(log.expect("undamaged"), 200);
        assert_eq!(seen, records, "round {round}");
        for time in 0..10 {
            log.append(&Record::Reserve(Timestamp(time))).expect("no fault");
            records += 1;
        }
        // half a record at the end
        let name = segment::name(log.number);
        open().append(&name, &[0xf7, b'T', b'M']).expect("no fault");
    }
}

/// Opens a log after `start` and counts its records.
fn count(storage: &MemoryStorage, limits: LogLimits, start: LogStart) -> (usize, Log) {
    let mut records = 0;
    let log = Log::open(Box::new(storage.clone()), true, limits, start, &mut |_| {
        records += 1;
        Ok(())
    });
    (records, log.expect("undamaged"))
}

#[test]
fn what_is_sealed_is_not_read_and_goes() {
    let (storage, printed) = written(1);
    let salt = |number| segment::salt(&storage.files()[&segment::name(number)]);
    let salts: Vec<u64> = (1..=2).filter_map(salt).collect();
    let before = storage.files()[&segment::name(2)].len() as u64;
    let start = LogStart { before, salts };
    // another log's segments are not taken for what is sealed, nor its end for the end of that
    for other in [
        LogStart { salts: vec![start.salts[0], 7], ..start.clone() },
        LogStart { before: before + 1, ..start.clone() },
    ] {
        let storage = Box::new(storage.crash());
        let refused = Log::open(storage, true, LogLimits::default(), other, &mut |_| Ok(()));
        let refused = refused.err().expect("refused");
        assert!(matches!(refused, LogError::Foreign { .. } | LogError::Damaged { .. }));
    }
    let (records, mut log) = count(&storage, LogLimits::default(), start.clone());
    assert_eq!(records, printed.len() - 2);
    let names: Vec<String> = storage.files().into_keys().collect();
    assert_eq!(names, [segment::name(3), segment::name(4), segment::name(5)]);
    for closed in [3, 4] {
        assert_eq!(log.first_closed(), Some(closed));
        log.forget(closed);
    }
    assert_eq!(log.first_closed(), None);
    // with nothing beside it the log begins where it should
    let empty = MemoryStorage::new();
    drop(count(&empty, LogLimits::default(), start.clone()));
    assert!(empty.files().contains_key(&segment::name(3)));
    count(&empty, LogLimits::default(), start);
}

#[test]
fn an_old_segment_is_closed_if_it_has_commits() {
    let storage = MemoryStorage::new();
    let limits = LogLimits { segment_age: Duration::ZERO, ..LogLimits::default() };
    let (_, mut log) = count(&storage, limits.clone(), LogStart::default());
    log.append(&Record::Reserve(Timestamp(1))).expect("no fault");
    log.close_old().expect("no fault");
    assert_eq!(log.first_closed(), None);
    log.append(&Record::Group(Group { time: Timestamp(1), ..Group::default() })).expect("no fault");
    log.close_old().expect("no fault");
    assert_eq!(log.first_closed(), Some(1));
    let (_, log) = count(&storage, limits, LogStart::default());
    assert_eq!(log.first_closed(), Some(1));
}

#[test]
fn without_room_nothing_has_happened_and_reservations_go_on() {
    let storage = MemoryStorage::new();
    let limits = LogLimits { segment_bytes: 4096, ..LogLimits::default() };
    let (_, mut log) = count(&storage, limits, LogStart::default());
    storage.set_capacity(Some(3 << 20));
    let mut reserved = 0;
    for round in 0..300 {
        let made = log.make_room(1 << 20);
        // segments are closed and sealed meanwhile, and keep what room they took
        match made {
            Ok(()) if round < 100 => {
                let ddl = vec![vec![7; 4096]];
                let group = Group { time: Timestamp(round + 1), ddl, ..Group::default() };
                log.append(&Record::Group(group)).expect("there is room");
            }
            Ok(()) => panic!("there is no room"),
            Err(LogError::Full { .. }) => {
                log.append(&Record::Reserve(Timestamp(1000 + round))).expect("there is room");
                reserved += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(reserved > 200);
    storage.set_capacity(None);
    log.make_room(1 << 20).expect("there is room again");
    log.append(&Record::Group(Group { time: Timestamp(5000), ..Group::default() }))
        .expect("goes on");
    let (records, _) = count(&storage.crash(), LogLimits::default(), LogStart::default());
    assert_eq!(records, 301);
}

#[test]
fn what_is_not_sealed_is_limited() {
    let storage = MemoryStorage::new();
    let limits = LogLimits { segment_bytes: 1, unsealed_bytes_max: 1000, ..LogLimits::default() };
    let (_, mut log) = count(&storage, limits, LogStart::default());
    let mut time = 0;
    while log.make_room(100).is_ok() {
        time += 1;
        log.append(&Record::Reserve(Timestamp(time))).expect("no fault");
    }
    let unsealed = log.make_room(100);
    assert!(matches!(unsealed, Err(LogError::Unsealed { max: 1000, .. })));
    let first = log.first_closed().expect("segments of one record");
    log.forget(first);
    log.forget(first + 1);
    log.make_room(100).expect("some is sealed");
}
