//! The catalog's copy in sled: the list of ops, each with its commit time.
//!
//! Law      the log is the truth. After `open`, store and log hold the same list: what is missing
//!          at the end is appended, and a store that is missing, damaged, of another format or
//!          different is thrown away and written anew, with a message
//! Missing  no fsync of its own: a crash may lose the newest ops, and the next `open` puts them
//!          back. A store that another process has open is an error, not damage
//!
//! Layout   tree `meta`: `format` → u32 · tree `ops`: u64 position from 0 → u64 commit time, then
//!          the op's bytes. Numbers are big-endian, so that sled's order is the list's

use std::cell::Cell;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::object::CommitTime;
use crate::op::Op;

const STORE_FORMAT: u32 = 1;
/// The list is read once, at start.
const CACHE_BYTES: u64 = 1 << 20;
/// How long a lock is waited for: a store just closed gives it back a moment later.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_POLL: Duration = Duration::from_millis(20);

/// One line of the list: when an op was committed, and its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub at: CommitTime,
    /// [`Op::to_bytes`].
    pub record: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub enum DurableError {
    /// The log itself holds an op that can't be read or applied.
    #[error("op {position} of the log's catalog: {error}")]
    Log { position: usize, error: CatalogError },
    #[error("catalog store {} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// Not even an empty store can be made.
    #[error("catalog store {}: {error}", path.display())]
    Store { path: PathBuf, error: String },
}

/// The open store.
pub struct Durable {
    path: PathBuf,
    ops: Option<Ops>,
    length: u64,
}

struct Ops {
    // Dropping the database closes it: the tree alone would not keep it usable.
    _database: sled::Db,
    tree: sled::Tree,
}

/// What is wrong with a store that is about to be written anew.
enum Damage {
    Missing,
    Unreadable(String),
    Different(u64),
    Locked,
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic on this thread is expected and caught here: sled panics on some damaged stores.
/// A panic hook that aborts the process must let these pass.
pub fn expects_panic() -> bool {
    GUARDED.get()
}

/// Opens the store in the folder `path` and makes it agree with the log, then gives the catalog
/// that the list comes to.
pub fn open(path: &Path, log: &[Entry]) -> Result<(Durable, Catalog), DurableError> {
    let catalog = replay(log)?;
    let mut durable = match open_agreeing(path, log) {
        Ok(durable) => durable,
        Err(Damage::Locked) => return Err(DurableError::Locked(path.to_owned())),
        Err(damage) => {
            tell(path, &damage, log.len());
            recreate(path)?
        }
    };
    let stored = usize::try_from(durable.length).unwrap_or(usize::MAX).min(log.len());
    for entry in &log[stored..] {
        durable.append(entry);
    }
    Ok((durable, catalog))
}

/// The catalog that a list of ops comes to.
pub fn replay(log: &[Entry]) -> Result<Catalog, DurableError> {
    let mut catalog = Catalog::new();
    for (position, entry) in log.iter().enumerate() {
        let applied = Op::from_bytes(&entry.record).and_then(|op| catalog.apply_at(&op, entry.at));
        applied.map_err(|error| DurableError::Log { position, error })?;
    }
    Ok(catalog)
}

impl Durable {
    /// Adds a committed op. It can't fail: a store that refuses is given up until the next start,
    /// which writes it anew from the log.
    pub fn append(&mut self, entry: &Entry) {
        let Some(ops) = &self.ops else { return };
        let mut value = entry.at.0.to_be_bytes().to_vec();
        value.extend_from_slice(&entry.record);
        let key = self.length.to_be_bytes();
        match guarded(|| ops.tree.insert(key, value).map(|_| ())) {
            Ok(()) => self.length += 1,
            Err(error) => {
                let path = self.path.display();
                tracing::warn!(%path, error, "catalog store failed: the next start writes it anew");
                self.ops = None;
            }
        }
    }

    /// Ops in the store.
    pub fn len(&self) -> u64 {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

/// The store as it is, if it holds the beginning of the log's list and nothing else.
fn open_agreeing(path: &Path, log: &[Entry]) -> Result<Durable, Damage> {
    if !path.exists() {
        return Err(Damage::Missing);
    }
    let ops = open_store(path)?;
    let stored = guarded(|| read_all(&ops)).map_err(Damage::Unreadable)?;
    let agreeing = stored.iter().zip(log).take_while(|(stored, logged)| stored == logged).count();
    if agreeing < stored.len() {
        return Err(Damage::Different(u64::try_from(agreeing).unwrap_or(u64::MAX)));
    }
    let length = u64::try_from(stored.len()).expect("it fits memory");
    Ok(Durable { path: path.to_owned(), ops: Some(ops), length })
}

fn open_store(path: &Path) -> Result<Ops, Damage> {
    let started = Instant::now();
    loop {
        let opened = catch(|| {
            let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES);
            config.mode(sled::Mode::LowSpace).open()
        });
        match opened {
            Ok(Ok(database)) => return trees(database),
            Ok(Err(error)) if is_lock(&error) => {
                if started.elapsed() > LOCK_WAIT {
                    return Err(Damage::Locked);
                }
                std::thread::sleep(LOCK_POLL);
            }
            Ok(Err(error)) => return Err(Damage::Unreadable(error.to_string())),
            Err(panic) => return Err(Damage::Unreadable(panic)),
        }
    }
}

fn trees(database: sled::Db) -> Result<Ops, Damage> {
    let opened = guarded(|| {
        let meta = database.open_tree("meta")?;
        let found = meta.get("format")?;
        if found.is_none() && !database.was_recovered() {
            meta.insert("format", &STORE_FORMAT.to_be_bytes())?;
        } else if found.as_deref() != Some(&STORE_FORMAT.to_be_bytes()) {
            return Ok(None);
        }
        Ok(Some(database.open_tree("ops")?))
    });
    match opened.map_err(Damage::Unreadable)? {
        Some(tree) => Ok(Ops { _database: database, tree }),
        None => Err(Damage::Unreadable("it has another format".to_owned())),
    }
}

fn read_all(ops: &Ops) -> sled::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for (position, pair) in (0u64..).zip(ops.tree.iter()) {
        let (key, value) = pair?;
        let time = value.first_chunk().map(|bytes| CommitTime(u64::from_be_bytes(*bytes)));
        let (true, Some(at)) = (key.as_ref() == position.to_be_bytes(), time) else {
            return Err(sled::Error::Corruption { at: None, bt: () });
        };
        entries.push(Entry { at, record: value[8..].to_vec() });
    }
    Ok(entries)
}

fn recreate(path: &Path) -> Result<Durable, DurableError> {
    let failed = |error: String| DurableError::Store { path: path.to_owned(), error };
    let removed = match fs::metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    removed.map_err(|error| failed(error.to_string()))?;
    match open_store(path) {
        Ok(ops) => Ok(Durable { path: path.to_owned(), ops: Some(ops), length: 0 }),
        Err(Damage::Locked) => Err(DurableError::Locked(path.to_owned())),
        Err(Damage::Unreadable(error)) => Err(failed(error)),
        Err(Damage::Missing | Damage::Different(_)) => {
            unreachable!("only the comparison with the log says so")
        }
    }
}

fn tell(path: &Path, damage: &Damage, ops: usize) {
    let path = path.display();
    match damage {
        Damage::Missing if ops == 0 => {}
        Damage::Missing => {
            tracing::info!(%path, ops, "catalog store is missing: writing it anew from the log");
        }
        Damage::Unreadable(error) => {
            let error = error.as_str();
            tracing::warn!(%path, ops, error, "catalog store is damaged: writing it anew");
        }
        Damage::Different(at) => {
            tracing::warn!(%path, ops, at, "catalog store differs from the log: writing it anew");
        }
        Damage::Locked => {}
    }
}

/// sled has no error of its own for a lock held elsewhere: it is an I/O error that says so.
fn is_lock(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(_)) && error.to_string().contains("could not acquire lock")
}

/// Runs sled, its panics turned into errors.
fn guarded<T>(run: impl FnOnce() -> sled::Result<T>) -> Result<T, String> {
    catch(run)?.map_err(|error| error.to_string())
}

fn catch<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    let before = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    GUARDED.set(before);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        text.unwrap_or_else(|| "it panicked".to_owned())
    })
}

#[cfg(test)]
mod tests;
