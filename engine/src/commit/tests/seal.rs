//! Sealing from outside: whatever the object store does, every commit is there, once, at its time;
//! what is not as it was written is named and not used.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use futures::executor::block_on;
use futures::stream::{BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult,
};

use super::*;

/// An object store in memory that fails on demand.
#[derive(Debug, Default)]
struct Faulty {
    inner: InMemory,
    fault: Mutex<Option<StoreFault>>,
    puts: AtomicUsize,
}

/// What every put does until the fault is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StoreFault {
    /// It fails.
    Down,
    /// Half of the object is written, and it fails.
    HalfAndFails,
    /// Half of the object is written, and nothing is said.
    Half,
    /// It is done, and the answer is lost.
    AnswerLost,
    /// The manifest fails, everything else is written.
    NoManifest,
}

impl Faulty {
    fn set(&self, fault: Option<StoreFault>) {
        *self.fault.lock().expect("no panic") = fault;
    }
}

impl std::fmt::Display for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("faulty")
    }
}

fn down() -> Error {
    Error::Generic { store: "faulty", source: "it does not answer".into() }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> StoreResult<PutResult> {
        self.puts.fetch_add(1, Ordering::SeqCst);
        let fault = *self.fault.lock().expect("no panic");
        let half = || -> PutPayload {
            let bytes: Vec<u8> = payload.iter().flatten().copied().collect();
            Bytes::from(bytes[..bytes.len() / 2].to_vec()).into()
        };
        let is_manifest = location.filename() == Some("manifest");
        match fault {
            None => self.inner.put_opts(location, payload, options).await,
            Some(StoreFault::Down) => Err(down()),
            // A put of the manifest is done or not: no store leaves half of it behind.
            Some(StoreFault::HalfAndFails | StoreFault::Half) if is_manifest => Err(down()),
            Some(StoreFault::HalfAndFails) => {
                self.inner.put_opts(location, half(), options).await?;
                Err(down())
            }
            Some(StoreFault::Half) => self.inner.put_opts(location, half(), options).await,
            Some(StoreFault::AnswerLost) => {
                self.inner.put_opts(location, payload, options).await?;
                Err(down())
            }
            Some(StoreFault::NoManifest) if is_manifest => Err(down()),
            Some(StoreFault::NoManifest) => self.inner.put_opts(location, payload, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> StoreResult<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> StoreResult<Vec<Bytes>> {
        self.inner.get_ranges(path, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, StoreResult<Path>>,
    ) -> BoxStream<'static, StoreResult<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// Segments of a commit or two.
fn tiny() -> LogLimits {
    LogLimits { segment_bytes: 100, ..LogLimits::default() }
}

fn fresh_on(objects: &Arc<Faulty>, limits: LogLimits) -> Running {
    let objects = Arc::clone(objects) as Arc<dyn ObjectStore>;
    let running = start_sealing(&MemoryStorage::new(), objects, limits);
    with_tables(running.expect("nothing is there"))
}

/// Waits until everything but the newest segment is sealed.
fn wait_until_sealed(running: &Running) {
    let started = Instant::now();
    while running.storage.files().len() > 1 {
        assert!(started.elapsed() < Duration::from_secs(20), "nothing is sealed");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn names(objects: &dyn ObjectStore) -> Vec<String> {
    let listed = block_on(objects.list(None).collect::<Vec<_>>());
    listed.into_iter().map(|meta| meta.expect("in memory").location.to_string()).collect()
}

fn copy(objects: &dyn ObjectStore) -> Arc<InMemory> {
    let copy = InMemory::new();
    for name in names(objects) {
        let path = Path::from(name);
        let bytes = block_on(async { objects.get(&path).await?.bytes().await });
        block_on(copy.put(&path, bytes.expect("it is listed").into())).expect("in memory");
    }
    Arc::new(copy)
}

/// Opens what a crash would leave behind and what the object store has.
fn reopen(running: &Running) -> Result<Running, OpenError> {
    start_sealing(&running.storage.crash(), copy(&*running.objects), tiny())
}

#[test]
fn what_is_sealed_is_read_and_its_log_goes() {
    let running = fresh_sealing();
    let mut want = BTreeMap::new();
    let mut times = vec![];
    for key in 0..50 {
        times.push(running.insert(&[(key, key)]).expect("a new key"));
        want.insert(key, key);
    }
    wait_until_sealed(&running);
    let names = names(&*running.objects);
    assert!(names.iter().filter(|name| name.ends_with(".parquet")).count() > 5, "{names:?}");
    assert!(names.iter().any(|name| name == "manifest"));
    let again = running.crash();
    for (place, time) in times.iter().enumerate() {
        assert_eq!(again.rows(*time).len(), place + 1);
        assert_eq!(again.rows(time.before()).len(), place);
    }
    assert_eq!(again.rows(times[49]), want);
    assert!(again.insert(&[(50, 0)]).expect("it goes on") > times[49]);
}

#[test]
fn a_dropped_table_is_not_read_and_an_id_is_used_once() {
    let running = fresh_sealing();
    running.insert(&[(1, 1)]).expect("a new key");
    let drop_other =
        Change { drop_tables: vec![OTHER], ddl: vec![b"drop".to_vec()], ..Change::default() };
    let write = insert(OTHER, &[(1, 1)]);
    running.commit(move |_| Ok(writes(vec![write]))).expect("a new key");
    running.commit(move |_| Ok(drop_other)).expect("it exists");
    // enough for the segment with the drop to be closed
    let inserts = (2..20).map(|key| running.insert(&[(key, key)]).expect("a new key"));
    let last = inserts.last().expect("some");
    wait_until_sealed(&running);
    running.committer.stop_sealing();
    let of_other = |name: &String| name.starts_with(&format!("tables/{OTHER}/"));
    assert!(!names(&*running.objects).iter().any(of_other), "its files are gone");
    let again = running.crash();
    assert!(again.tables.relation(OTHER).is_none());
    assert_eq!(again.rows(last), (1..20).map(|key| (key, key)).collect());
    let ddl: Vec<&[u8]> = again.ddl.iter().map(|(_, record)| &record[..]).collect();
    assert_eq!(ddl, [&b"create"[..], b"drop"]);
}

/// The store fails in every way, commits go on, and everything is sealed when it works again.
#[test]
fn a_failing_store_stops_sealing_and_not_commits() {
    use StoreFault::{AnswerLost, Down, Half, HalfAndFails, NoManifest};
    for fault in [Down, HalfAndFails, Half, AnswerLost, NoManifest] {
        let objects = Arc::new(Faulty::default());
        let running = fresh_on(&objects, tiny());
        running.insert(&[(0, 0)]).expect("a new key");
        wait_until_sealed(&running);
        objects.set(Some(fault));
        let puts = objects.puts.load(Ordering::SeqCst);
        for key in 1..10 {
            running.insert(&[(key, 0)]).expect("commits go on");
        }
        let started = Instant::now();
        while objects.puts.load(Ordering::SeqCst) == puts {
            assert!(started.elapsed() < Duration::from_secs(20), "nothing was tried");
            std::thread::sleep(Duration::from_millis(1));
        }
        let last = running.insert(&[(10, 0)]).expect("commits go on");
        assert!(running.storage.files().len() > 1, "{fault:?}: it is not sealed");
        // a crash now finds all of it
        let crashed = reopen(&running).expect("nothing is damaged");
        assert_eq!(crashed.rows(last).len(), 11, "{fault:?}");
        objects.set(None);
        wait_until_sealed(&running);
        let again = reopen(&running).expect("nothing is damaged");
        assert_eq!(again.rows(last), (0..11).map(|key| (key, 0)).collect(), "{fault:?}");
    }
}

#[test]
fn commits_wait_for_no_store_until_the_limit_and_go_on_after() {
    let objects = Arc::new(Faulty::default());
    let limits = LogLimits { unsealed_bytes_max: 20_000, ..tiny() };
    let running = fresh_on(&objects, limits);
    objects.set(Some(StoreFault::Down));
    let refused = (0..1000).find_map(|key| match running.insert(&[(key, 0)]) {
        Ok(_) => None,
        Err(error) => Some((key, error)),
    });
    let (refused, error) = refused.expect("the limit is reached");
    assert!(refused > 10);
    assert!(matches!(error, CommitError::NoRoom(_)), "{error}");
    let read = running.clock.read_time();
    assert_eq!(running.rows(read).len() as i64, refused, "reads go on");
    objects.set(None);
    wait_until_sealed(&running);
    let last = running.insert(&[(refused, 0)]).expect("commits go on");
    assert_eq!(running.crash().rows(last).len() as i64, refused + 1);
}

#[test]
fn a_full_disk_refuses_commits_and_nothing_else() {
    let objects = Arc::new(Faulty::default());
    objects.set(Some(StoreFault::Down));
    let running = fresh_on(&objects, LogLimits { segment_bytes: 200_000, ..LogLimits::default() });
    running.storage.set_capacity(Some(6 << 20));
    let long = |key: i64| {
        // rows by the thousand, so that the disk is full soon
        let rows: Vec<(i64, i64)> = (0..5000).map(|row| (key * 5000 + row, key)).collect();
        rows
    };
    let mut kept = 0;
    let error = loop {
        match running.insert(&long(kept)) {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(&error, CommitError::NoRoom(error) if matches!(**error, LogError::Full { .. }))
    );
    for _ in 0..50 {
        running.wall.advance(Duration::from_secs(1));
        let read = running.clock.read_time();
        assert_eq!(running.rows(read).len() as i64, kept * 5000, "reads go on");
    }
    assert!(!running.clock.is_failed());
    running.storage.set_capacity(None);
    let last = running.insert(&long(kept)).expect("commits go on");
    assert_eq!(running.crash().rows(last).len() as i64, (kept + 1) * 5000);
}

#[test]
fn two_processes_do_not_seal_into_one_place() {
    let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let begin = || {
        let storage = MemoryStorage::new();
        start_sealing(&storage, Arc::clone(&objects), tiny()).expect("nothing is there")
    };
    let (one, other) = (begin(), begin());
    let one = with_tables(one);
    one.insert(&[(1, 1)]).expect("a new key");
    wait_until_sealed(&one);
    let other = with_tables(other);
    let last = other.insert(&[(2, 2)]).expect("commits go on");
    std::thread::sleep(Duration::from_millis(100));
    assert!(other.storage.files().len() > 1, "nothing of it is sealed");
    one.insert(&[(3, 3)]).expect("a new key");
    wait_until_sealed(&one);
    assert_eq!(one.crash().rows(Timestamp(u64::MAX - 1)), [(1, 1), (3, 3)].into());
    // its log does not go on where what is sealed ends
    let refused = start_sealing(&other.storage.crash(), objects, tiny()).err();
    let refused = refused.expect("two logs are told apart").to_string();
    assert!(refused.contains("is not the segment of that number that is sealed"), "{refused}");
    assert_eq!(other.rows(last), [(2, 2)].into());
}

#[test]
fn every_flipped_bit_is_found_and_named() {
    let running = fresh_sealing();
    for key in 0..20 {
        running.insert(&[(key, key)]).expect("a new key");
    }
    wait_until_sealed(&running);
    running.committer.stop_sealing();
    let mut random = StdRng::seed_from_u64(3);
    let storage = running.storage.crash();
    for name in names(&*running.objects) {
        let path = Path::from(name.clone());
        let bytes = block_on(async { running.objects.get(&path).await?.bytes().await });
        let bytes = bytes.expect("it is listed");
        for _ in 0..40 {
            let mut flipped = bytes.to_vec();
            let place = random.random_range(0..flipped.len());
            flipped[place] ^= 1 << random.random_range(0..8);
            let damaged = copy(&*running.objects);
            block_on(damaged.put(&path, flipped.into())).expect("in memory");
            let refused = start_sealing(&storage.crash(), damaged, tiny()).err();
            let refused = refused.unwrap_or_else(|| panic!("{name} at {place}")).to_string();
            assert!(refused.contains(&name), "{refused}, not {name}");
        }
        let damaged = copy(&*running.objects);
        block_on(damaged.put(&path, bytes.slice(..bytes.len() - 1).into())).expect("in memory");
        assert!(start_sealing(&storage.crash(), damaged, tiny()).is_err(), "{name} cut");
        let damaged = copy(&*running.objects);
        block_on(damaged.delete(&path)).expect("in memory");
        let refused = start_sealing(&storage.crash(), damaged, tiny()).err();
        let refused = refused.unwrap_or_else(|| panic!("{name} missing")).to_string();
        let says = if name == "manifest" { "not sealed where --storage says" } else { &*name };
        assert!(refused.contains(says), "{refused}");
    }
}

#[test]
fn a_newer_manifest_is_refused() {
    let running = fresh_sealing();
    for key in 0..20 {
        running.insert(&[(key, key)]).expect("a new key");
    }
    wait_until_sealed(&running);
    let newer = copy(&*running.objects);
    let path = Path::from("manifest");
    let bytes = block_on(async { newer.get(&path).await?.bytes().await }).expect("it is there");
    let text = String::from_utf8(bytes.to_vec()).expect("text");
    let text = text.replacen("manifest 1 ", "manifest 2 ", 1);
    block_on(newer.put(&path, text.into_bytes().into())).expect("in memory");
    let refused = start_sealing(&running.storage.crash(), newer, tiny()).err();
    assert_eq!(
        refused.expect("it is newer").to_string(),
        "manifest in memory has format version 2, this version of Tidemark reads 1"
    );
}
