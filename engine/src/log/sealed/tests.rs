//! Sealed files: what a segment of the log says is what its files say, whatever the types.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use object_store::memory::InMemory;

use super::manifest::ManifestError;
use super::*;
use crate::log::tests::{every_type, group, table};
use crate::log::{
    Group, GroupLoad, GroupWrite, Log, LogLimits, LogStart, MemoryStorage, Record, Replay,
    segment_name,
};
use crate::time::{CollectionId, RowId, Timestamp};

const TABLE: CollectionId = CollectionId(7);

fn depot() -> Depot {
    Depot::over(Arc::new(InMemory::new()), Default::default(), "memory".to_owned())
}

/// Writes records into one segment and seals it.
fn sealed(records: &[Record]) -> Sealed {
    let storage = MemoryStorage::new();
    let limits = LogLimits::default();
    let log =
        Log::open(Box::new(storage.clone()), true, limits, LogStart::default(), &mut |_| Ok(()));
    let mut log = log.expect("nothing is there");
    records.iter().for_each(|record| log.append(record).expect("no fault"));
    let bytes = &storage.files()[&segment_name(1)];
    seal(1, 0, bytes, Schemas::new()).expect("undamaged")
}

/// What the file of a part says, all in one.
fn changes(sealed: &Sealed, part: u32, schema: &SchemaRef) -> Changes {
    let mut parts = sealed.segment.tables.iter();
    let named = parts.find(|table| (table.table, table.part) == (TABLE, part)).expect("a file");
    let mut files = sealed.files.iter();
    let (_, bytes) = files.find(|(file, _)| *file == named.file).expect("a file");
    let mut all: Vec<Changes> = vec![];
    let each = &mut |changes| {
        all.push(changes);
        Ok(())
    };
    read_changes(bytes.clone(), schema, each).expect("undamaged");
    let rows = concat_batches(schema, all.iter().map(|changes| &changes.rows)).expect("one schema");
    assert_eq!(rows.num_rows() as u64, named.rows);
    Changes {
        times: all.iter().flat_map(|changes| changes.times.iter().copied()).collect(),
        diffs: all.iter().flat_map(|changes| changes.diffs.iter().copied()).collect(),
        ids: all.iter().flat_map(|changes| changes.ids.iter().copied()).collect(),
        rows,
    }
}

fn ddl(sealed: &Sealed) -> Vec<String> {
    let mut records = vec![];
    let bytes = &sealed.files[0].1;
    read_ddl(&depot(), &sealed.segment, bytes, &mut |record| {
        records.push(match record {
            Replay::Group(group) => format!("{} ddl {}", group.time.0, group.ddl.len()),
            Replay::Reserve(time) => format!("reserve {}", time.0),
        });
        Ok(())
    })
    .expect("undamaged");
    records
}

#[test]
fn every_type_comes_back_from_a_sealed_file() {
    let rows = every_type();
    let mut create = group(10, &rows, 0);
    create.creates = vec![table(TABLE.0, rows.schema())];
    create.writes[0].deleted = vec![];
    let mut write = group(50, &rows.slice(0, 2), 4);
    write.writes[0].deleted_ids = vec![RowId(1), RowId(3)];
    let records = [
        Record::Group(create),
        Record::Reserve(Timestamp(40)),
        Record::Group(write),
        Record::Reserve(Timestamp(60)),
        Record::Reserve(Timestamp(70)),
    ];
    let sealed = sealed(&records);
    let got = changes(&sealed, 0, &rows.schema());
    assert_eq!(got.times[..], [10, 10, 10, 10, 50, 50, 50, 50, 50]);
    assert_eq!(got.diffs[..], [1, 1, 1, 1, 1, 1, 1, -1, -1]);
    assert_eq!(got.ids[..], [0, 1, 2, 3, 4, 5, 6, 1, 3]);
    let parts = [&rows, &rows.slice(1, 1), &rows.slice(0, 2), &rows.slice(1, 1), &rows.slice(0, 2)];
    // by text, as NaN equals nothing
    let want = concat_batches(&rows.schema(), parts).expect("one schema");
    assert_eq!(format!("{:?}", got.rows), format!("{want:?}"));
    assert_eq!(ddl(&sealed), ["10 ddl 2", "50 ddl 2", "reserve 70"]);
}

#[test]
fn of_groups_without_ddl_the_last_is_told() {
    let plain = |time| Record::Group(Group { time: Timestamp(time), ..Group::default() });
    let ddl_at = |time| {
        let ddl = vec![vec![1]];
        Record::Group(Group { time: Timestamp(time), ddl, ..Group::default() })
    };
    let reserve = |time| Record::Reserve(Timestamp(time));
    let records = [plain(1), reserve(2), ddl_at(3), plain(4), reserve(9), plain(5), reserve(10)];
    assert_eq!(ddl(&sealed(&records)), ["3 ddl 1", "5 ddl 0", "reserve 10"]);
    assert_eq!(ddl(&sealed(&records[..6])), ["3 ddl 1", "5 ddl 0"]);
    assert_eq!(ddl(&sealed(&records[..2])), ["1 ddl 0", "reserve 2"]);
}

/// Loads are in the order of their times, with the images of what they replaced.
#[test]
fn loads_are_sorted_and_say_what_went() {
    let rows = every_type();
    let create = Group {
        time: Timestamp(100),
        creates: vec![table(TABLE.0, rows.schema())],
        loads: vec![GroupLoad {
            table: TABLE,
            until: 30,
            first: RowId(0),
            rows: vec![rows.clone()],
            begins: vec![10, 20, 30],
            ended: vec![0],
            ends: vec![20],
            gone: vec![],
        }],
        ..Group::default()
    };
    let second = Group {
        time: Timestamp(110),
        loads: vec![GroupLoad {
            table: TABLE,
            until: 40,
            first: RowId(3),
            rows: vec![rows.slice(0, 1)],
            begins: vec![35],
            ended: vec![2, 1],
            ends: vec![35, 33],
            gone: vec![rows.slice(1, 1), rows.slice(2, 1)],
        }],
        ..Group::default()
    };
    let third = Group {
        time: Timestamp(120),
        writes: vec![GroupWrite {
            table: TABLE,
            first: RowId(4),
            inserted: vec![rows.slice(2, 1)],
            ..GroupWrite::default()
        }],
        ..Group::default()
    };
    let sealed = sealed(&[Record::Group(create), Record::Group(second), Record::Group(third)]);
    let got = changes(&sealed, 0, &rows.schema());
    assert_eq!(got.times[..], [10, 20, 20, 30, 33, 35, 35, 120]);
    assert_eq!(got.diffs[..], [1, 1, -1, 1, -1, 1, -1, 1]);
    assert_eq!(got.ids[..], [0, 1, 0, 2, 1, 3, 2, 4]);
    let order = [0, 1, 0, 2, 1, 0, 2, 2].map(|row| rows.slice(row, 1));
    let want = concat_batches(&rows.schema(), &order).expect("one schema");
    assert_eq!(format!("{:?}", got.rows), format!("{want:?}"));
}

/// Every type that a column can have reaches the file as it is or as a struct that says it.
#[test]
fn a_file_has_the_tables_columns_after_ours() {
    let rows = every_type();
    let mut create = group(10, &rows, 0);
    create.creates = vec![table(TABLE.0, rows.schema())];
    create.writes[0].deleted = vec![];
    let sealed = sealed(&[Record::Group(create)]);
    let (_, bytes) = &sealed.files[1];
    let reader = datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(
        bytes.clone(),
    );
    let reader = reader.expect("a file of Parquet");
    let names: Vec<&str> = reader.schema().fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names[..5], ["_time", "_diff", "_row", "c0", "c1"]);
    let metadata = reader.metadata();
    let group = metadata.row_group(0);
    assert!(group.sorting_columns().is_some());
    assert!(group.column(0).statistics().is_some());
    let codec = format!("{:?}", group.column(0).compression());
    assert!(codec.starts_with("ZSTD"), "{codec}");
    let says = metadata.file_metadata().key_value_metadata().expect("some");
    assert!(says.iter().any(|pair| pair.key == "tidemark.format"));
}

#[test]
fn a_manifest_says_what_it_said_or_is_refused() {
    let plain = Group { time: Timestamp(10), ..Group::default() };
    let sealed = sealed(&[Record::Group(plain)]);
    let manifest = Manifest { segments: vec![sealed.segment] };
    let bytes = manifest.encode();
    assert_eq!(Manifest::decode(&bytes), Ok(manifest.clone()));
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1 << bit;
            assert!(Manifest::decode(&flipped).is_err(), "bit {bit} of {place}");
        }
        assert!(Manifest::decode(&bytes[..place]).is_err(), "cut at {place}");
    }
    let newer = String::from_utf8(bytes).expect("text").replacen("manifest 1", "manifest 7", 1);
    assert_eq!(Manifest::decode(newer.as_bytes()), Err(ManifestError::Version(7)));
    let mut gap = manifest;
    gap.segments[0].number = 2;
    assert!(Manifest::decode(&gap.encode()).is_err());
}

/// In memory and in a folder: conditional puts, whole files, what is missing.
#[test]
fn a_depot_replaces_only_what_it_read() {
    let directory = tempfile::tempdir().expect("a place for temporary files");
    let url = format!("file://{}/a/b", directory.path().display());
    let objects: Arc<InMemory> = Arc::default();
    let in_memory = || Depot::over(objects.clone(), Default::default(), "memory".to_owned());
    let in_folder = || Depot::open(Some(&url), directory.path()).expect("a folder");
    let default = || Depot::open(None, directory.path()).expect("a folder");
    let pairs = [(in_memory(), in_memory()), (in_folder(), in_folder()), (default(), default())];
    for (one, other) in pairs {
        let (held, stale) = (one.manifest().expect("empty"), other.manifest().expect("empty"));
        assert_eq!(held.manifest, Manifest::default());
        let file = SealedFile::of("tables/1/a.parquet".to_owned(), b"some bytes");
        for bytes in [&b"some"[..], b"some bytes"] {
            let whole = bytes.len() == 10;
            assert_eq!(one.put(&file, bytes.to_vec().into()).is_ok(), whole);
            assert_eq!(other.get(&file).is_ok(), whole, "{}", one.place());
        }
        let missing = SealedFile { path: "tables/2/a.parquet".to_owned(), ..file.clone() };
        assert!(matches!(one.get(&missing), Err(SealedError::Missing { .. })));
        let segment = |log_bytes| SealedSegment {
            number: 1,
            log_bytes,
            salt: 5,
            ddl: file.clone(),
            tables: vec![],
        };
        let first = Manifest { segments: vec![segment(1)] };
        let held = one.replace(&held, first.clone()).expect("as it was read");
        // what is there already may be put again
        other.replace(&stale, first.clone()).expect("an earlier attempt's");
        let another = Manifest { segments: vec![segment(2)] };
        let refused = other.replace(&stale, another.clone());
        assert!(matches!(refused, Err(SealedError::Fenced { .. })), "{}", one.place());
        let held = one.replace(&held, another.clone()).expect("as it was written");
        one.replace(&held, first.clone()).expect("as it was written");
        assert_eq!(other.manifest().expect("it is there").manifest, first);
    }
}

#[test]
fn places_that_are_none_are_refused() {
    let data = tempfile::tempdir().expect("a place for temporary files");
    for url in ["nonsense", "http://example.com/x", "file://host/x", "memory:///"] {
        let refused = Depot::open(Some(url), data.path()).expect_err(url).to_string();
        assert!(refused.starts_with(&format!("--storage {url}: ")), "{refused}");
    }
}

#[test]
fn damage_in_the_log_is_not_sealed() {
    let storage = MemoryStorage::new();
    let limits = LogLimits::default();
    let log =
        Log::open(Box::new(storage.clone()), true, limits, LogStart::default(), &mut |_| Ok(()));
    let mut log = log.expect("nothing is there");
    for time in 1..4 {
        let group = Group { time: Timestamp(time), ..Group::default() };
        log.append(&Record::Group(group)).expect("no fault");
    }
    let bytes = storage.files()[&segment_name(1)].clone();
    for place in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[place] ^= 4;
        let refused = seal(1, 0, &flipped, HashMap::new()).expect_err("it is damaged");
        assert!(!refused.may_pass(), "{refused}");
    }
}
