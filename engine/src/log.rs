//! The write-ahead log: every commit group in order, durable before it is acknowledged.
//!
//! Law
//! - [`Log::append`] returns after its record is on disk (one write, one fdatasync). A record is
//!   there as a whole or not at all.
//! - After a failed write or sync nothing is appended any more until the log is opened again: what
//!   is on disk is not known.
//! - Opening reads every record in order. An incomplete or bad last record with nothing valid after
//!   it is a write that was never acknowledged: it is cut off, with a warning. Anything else that
//!   is not as it was written is an error that names file and offset; nothing is skipped.
//! - A bad last record that *was* acknowledged can't be told from a torn one. Every later record
//!   protects it; a clean stop writes one.
//!
//! A segment that is followed by another is *closed*. Closed segments are sealed, oldest first
//! (`sealed.rs`), and then removed, so the directory holds the unsealed end of the log.
//!
//! # Format, version 1
//!
//! The directory `log/` holds segments `0000000000000001.log` and so on, without gaps, from the
//! first one that is not sealed. All numbers are little-endian.
//!
//! ```text
//! segment                          record
//!   0  8  "TIDEMLOG"                 0  4  F7 "TMR"
//!   8  4  format version, 1          4  4  crc32c of: salt (8), place of the record in the
//!  12  8  number of the segment               file (8), bytes 8.. of the record
//!  20  8  salt, random               8  8  length of the payload
//!  28  8  length of the segment     16  1  kind: 1 group, 2 reservation, 3 group with an
//!         before, 0 for the first          extension
//!                                  17  …  payload
//!  36  4  crc32c of bytes 0..36
//!  40  …  records
//! ```
//!
//! The salt keeps user data that looks like a record from passing for one. The payload of a
//! reservation is a time (8): readers may have been given times up to it. Of all reservations,
//! those in groups included, the last one in the log holds; whoever opens it goes on above that.
//! Group payloads stand in `group.rs` and `extension.rs`, the rows in them in `rows.rs`.

mod directory;
mod extension;
mod group;
mod lock;
mod memory;
mod rows;
pub mod sealed;
mod segment;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

pub use directory::Directory;
pub use extension::{Extension, GroupLoad, ReplayLoad, Times};
pub use group::{EncodedRows, Group, GroupWrite, ReplayGroup, ReplayWrite};
pub use lock::{DirectoryLock, LockError};
pub use memory::{Fault, MemoryStorage};
pub use rows::RowsBuilder;
pub use segment::name as segment_name;

use crate::time::Timestamp;

/// Room in the newest segment that commits leave: reservations of times go on when the disk is
/// full.
const SPARE_BYTES: u64 = 1024 * 1024;

/// How much of the log is where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// A segment of this size is followed by the next.
    pub segment_bytes: u64,
    /// So is one with commits that was begun so long ago.
    pub segment_age: Duration,
    /// When so much is not sealed, nothing is committed until some is.
    pub unsealed_bytes_max: u64,
}

impl Default for LogLimits {
    fn default() -> LogLimits {
        LogLimits {
            segment_bytes: 64 << 20,
            segment_age: Duration::from_secs(60 * 60),
            unsealed_bytes_max: 16 << 30,
        }
    }
}

/// Where the log begins: what comes before is sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogStart {
    /// The length of the last segment that is sealed; 0 if none is.
    pub before: u64,
    /// The salts of all segments that are sealed, from the first on.
    pub salts: Vec<u64>,
}

impl LogStart {
    /// The number of the first segment that is not sealed.
    pub fn number(&self) -> u64 {
        self.salts.len() as u64 + 1
    }
}

/// Files by name, as the log needs them. One directory, one writer.
pub trait Storage: Send {
    /// The names of all files, in no order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// All bytes of a file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// Makes an empty file, replacing one of that name; durable with the next sync of it.
    fn create(&mut self, name: &str) -> io::Result<()>;
    /// Adds bytes to the end of a file; after an error some of them may be there.
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Returns when everything in the file, and the file in its directory, is on disk.
    fn sync(&mut self, name: &str) -> io::Result<()>;
    /// Cuts a file to a length, durably.
    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()>;
    /// Takes room for a file to grow to a length, which stays as it is; `Unsupported` where no
    /// room can be taken.
    fn allocate(&mut self, name: &str, length: u64) -> io::Result<()>;
    /// Removes a file, durably.
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// Another handle on the same files, to read closed ones while this one writes.
    fn another(&self) -> Box<dyn Storage>;
}

/// What a record says, to be written.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every record is a group")]
pub enum Record {
    /// A group of commits, all at one time.
    Group(Group),
    /// Times up to this one may have been given to readers.
    Reserve(Timestamp),
}

/// What a record says, read back.
#[derive(Clone, Debug)]
pub enum Replay<'a> {
    Group(Box<ReplayGroup<'a>>),
    Reserve(Timestamp),
}

/// What is wrong with the log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("log/{file} is damaged at byte {offset}: {reason}")]
    Damaged { file: String, offset: u64, reason: String },
    #[error("log/{file} has format version {found}, this version of Tidemark reads {known}")]
    Version { file: String, found: u32, known: u32 },
    #[error("log/{file} is missing, and it is not sealed where --storage says")]
    Missing { file: String },
    #[error("log/{file} is not the segment of that number that is sealed where --storage says")]
    Foreign { file: String },
    #[error("log/{file}: {source}")]
    Io { file: String, source: io::Error },
    #[error("the log failed earlier ({reason}); nothing is written until a restart")]
    Failed { reason: String },
    #[error("the disk is full: there is no room for {bytes} bytes in log/{file}")]
    Full { file: String, bytes: u64 },
    #[error("{bytes} bytes of the log wait to be sealed, the limit is {max}")]
    Unsealed { bytes: u64, max: u64 },
}

/// The log, open for appending.
pub struct Log {
    storage: Box<dyn Storage>,
    /// Whether records are synced; without, a crash of the machine may lose acknowledged ones.
    sync: bool,
    limits: LogLimits,
    number: u64,
    salt: u64,
    length: u64,
    /// How far room was taken for the newest segment.
    allocated: u64,
    /// When the newest segment was begun, and whether it has commits.
    begun: Instant,
    has_groups: bool,
    /// Segments that are followed by another and not sealed yet, and their lengths.
    closed: VecDeque<(u64, u64)>,
    /// Told when one is closed.
    on_closed: Option<Sender<()>>,
    failed: Option<String>,
    grown: Arc<AtomicU64>,
}

impl Log {
    /// Reads all there is from `start` on, giving each record to `replay` in order, and goes on at
    /// the end. What `replay` refuses is damage at that record.
    pub fn open(
        storage: Box<dyn Storage>,
        sync: bool,
        limits: LogLimits,
        start: LogStart,
        replay: &mut dyn FnMut(Replay<'_>) -> Result<(), String>,
    ) -> Result<Log, LogError> {
        let mut log = Log {
            storage,
            sync,
            limits,
            number: 0,
            salt: 0,
            length: start.before,
            allocated: 0,
            begun: Instant::now(),
            has_groups: false,
            closed: VecDeque::new(),
            on_closed: None,
            failed: None,
            grown: Arc::default(),
        };
        let end = log.find_segments(&start.salts)?;
        for number in start.number()..end {
            log.replay_segment(number, number + 1 == end, replay)?;
        }
        if log.number == 0 {
            log.begin_segment(start.number())?;
        }
        Ok(log)
    }

    /// Takes room for a record of so many bytes, in the next segment if it is time for it. When
    /// there is none nothing has changed, and the log goes on when there is.
    pub fn make_room(&mut self, bytes: u64) -> Result<(), LogError> {
        self.check_failed()?;
        let unsealed = self.unsealed_bytes() + bytes;
        if unsealed > self.limits.unsealed_bytes_max {
            let max = self.limits.unsealed_bytes_max;
            return Err(LogError::Unsealed { bytes: unsealed, max });
        }
        if self.length >= self.limits.segment_bytes && !self.is_empty() {
            self.follow()?;
        }
        self.allocate(self.length + bytes + SPARE_BYTES)
    }

    /// Writes one record and waits until it is durable.
    pub fn append(&mut self, record: &Record) -> Result<(), LogError> {
        self.check_failed()?;
        let result = self.try_append(record);
        if let Err(error) = &result {
            self.failed = Some(error.to_string());
        }
        result
    }

    /// Closes the newest segment if it has commits and is old enough.
    pub fn close_old(&mut self) -> Result<(), LogError> {
        let is_old = self.begun.elapsed() >= self.limits.segment_age;
        match is_old && self.has_groups && self.failed.is_none() {
            true => self.follow(),
            false => Ok(()),
        }
    }

    /// Whom to tell that a segment was closed.
    pub fn tell_closed(&mut self, told: Sender<()>) {
        self.on_closed = Some(told);
    }

    /// The oldest segment that can be sealed.
    pub fn first_closed(&self) -> Option<u64> {
        self.closed.front().map(|(number, _)| *number)
    }

    /// How much is not sealed.
    pub fn unsealed_bytes(&self) -> u64 {
        self.closed.iter().map(|(_, bytes)| bytes).sum::<u64>() + self.length
    }

    /// Another handle on the log's files.
    pub fn storage(&self) -> Box<dyn Storage> {
        self.storage.another()
    }

    /// The oldest closed segment is sealed: it is the log's no more, and may be removed.
    pub fn forget(&mut self, number: u64) {
        let first = self.closed.pop_front();
        assert_eq!(first.map(|(first, _)| first), Some(number), "segments are sealed in order");
    }

    fn check_failed(&self) -> Result<(), LogError> {
        match &self.failed {
            Some(reason) => Err(LogError::Failed { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    fn is_empty(&self) -> bool {
        self.length <= segment::HEADER_BYTES as u64
    }

    fn try_append(&mut self, record: &Record) -> Result<(), LogError> {
        if self.length >= self.limits.segment_bytes && !self.is_empty() {
            match self.follow() {
                // The segment becomes longer than it should be, in the room that it has.
                Err(LogError::Full { .. }) if matches!(record, Record::Reserve(_)) => {}
                followed => followed?,
            }
        }
        let bytes = segment::encode(record, self.salt, self.length);
        let file = segment::name(self.number);
        self.storage.append(&file, &bytes).map_err(at(&file))?;
        if self.sync {
            self.storage.sync(&file).map_err(at(&file))?;
        }
        self.length += bytes.len() as u64;
        if matches!(record, Record::Group(_)) {
            self.has_groups = true;
            self.grown.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Counts the bytes of commits that are written, from now on.
    pub fn grown(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.grown)
    }

    /// Finds the segments after those that are sealed, which follow one another; returns the
    /// number after the last one. Those that are sealed go.
    fn find_segments(&mut self, sealed: &[u64]) -> Result<u64, LogError> {
        let names = self.storage.list().map_err(at(""))?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment::number(name)).collect();
        numbers.sort_unstable();
        let first = sealed.len() as u64 + 1;
        let mut end = first;
        for number in numbers {
            let file = segment::name(number);
            if number < first {
                let bytes = self.storage.read(&file).map_err(at(&file))?;
                if segment::salt(&bytes) != Some(sealed[number as usize - 1]) {
                    return Err(LogError::Foreign { file });
                }
                tracing::info!(file, "removed a segment of the log that is sealed");
                self.storage.remove(&file).map_err(at(&file))?;
                continue;
            }
            if number != end {
                return Err(LogError::Missing { file: segment::name(end) });
            }
            end += 1;
        }
        if first > 1 && end == first {
            tracing::warn!("there is no log beside what is sealed: what was not sealed is lost");
        }
        Ok(end)
    }

    fn replay_segment(
        &mut self,
        number: u64,
        is_last: bool,
        replay: &mut dyn FnMut(Replay<'_>) -> Result<(), String>,
    ) -> Result<(), LogError> {
        let file = segment::name(number);
        let bytes = self.storage.read(&file).map_err(at(&file))?;
        if is_last && segment::is_unfinished(&bytes) {
            tracing::warn!(file, "the segment was being made when the process ended; made anew");
            return self.begin_segment(number);
        }
        let salt = segment::read_header(&bytes, number, self.length, &file)?;
        let mut has_groups = false;
        let mut each = |record: Replay<'_>| {
            has_groups |= matches!(record, Replay::Group(_));
            replay(record)
        };
        let end = match segment::replay(&bytes, salt, &file, &mut each) {
            Ok(()) => bytes.len(),
            Err(LogError::Damaged { offset, reason, .. })
                if is_last && segment::is_torn(&bytes, offset as usize, salt) =>
            {
                self.cut(&file, offset as usize, bytes.len(), &reason)?;
                offset as usize
            }
            Err(error) => return Err(error),
        };
        if self.number != 0 {
            self.closed.push_back((self.number, self.length));
        }
        (self.number, self.salt, self.length) = (number, salt, end as u64);
        self.has_groups = has_groups;
        Ok(())
    }

    /// Cuts off a torn record.
    fn cut(&mut self, file: &str, offset: usize, end: usize, why: &str) -> Result<(), LogError> {
        let bytes = end - offset;
        tracing::warn!(file, offset, bytes, why, "cut off an unfinished record at the log's end");
        self.storage.truncate(file, offset as u64).map_err(at(file))
    }

    /// Goes on in the next segment. Where there is no room for it nothing has changed.
    fn follow(&mut self) -> Result<(), LogError> {
        let made = self.begin_segment(self.number + 1);
        if let Err(LogError::Io { file, source }) = &made {
            let removed = match self.storage.remove(file) {
                Err(error) => error.kind() == io::ErrorKind::NotFound,
                Ok(()) => true,
            };
            if removed && is_full(source) {
                let bytes = segment::HEADER_BYTES as u64 + SPARE_BYTES;
                return Err(LogError::Full { file: file.clone(), bytes });
            }
            self.failed = Some(source.to_string());
        }
        made
    }

    fn begin_segment(&mut self, number: u64) -> Result<(), LogError> {
        let file = segment::name(number);
        let (header, salt) = segment::header(number, self.length);
        let room = header.len() as u64 + SPARE_BYTES;
        let storage = &mut self.storage;
        let made = storage.create(&file).and_then(|()| match storage.allocate(&file, room) {
            Err(error) if is_full(&error) => Err(error),
            _ => storage.append(&file, &header),
        });
        made.and_then(|()| storage.sync(&file)).map_err(at(&file))?;
        if self.number != 0 {
            self.closed.push_back((self.number, self.length));
            if let Some(told) = &self.on_closed {
                // Full: it is told already. Closed: nobody seals any more.
                let _ = told.try_send(());
            }
        }
        (self.number, self.salt, self.length) = (number, salt, segment::HEADER_BYTES as u64);
        (self.allocated, self.begun, self.has_groups) = (room, Instant::now(), false);
        Ok(())
    }

    /// Takes room for the newest segment to grow to a length.
    fn allocate(&mut self, length: u64) -> Result<(), LogError> {
        if length <= self.allocated {
            return Ok(());
        }
        let file = segment::name(self.number);
        match self.storage.allocate(&file, length.next_multiple_of(SPARE_BYTES)) {
            Err(error) if is_full(&error) => {
                Err(LogError::Full { file, bytes: length - self.length })
            }
            // A file system without this finds out when it writes.
            _ => {
                self.allocated = length.next_multiple_of(SPARE_BYTES);
                Ok(())
            }
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn at(file: &str) -> impl FnOnce(io::Error) -> LogError {
    let file = file.to_owned();
    move |source| LogError::Io { file, source }
}
