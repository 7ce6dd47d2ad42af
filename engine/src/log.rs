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
//! # Format, version 1
//!
//! The directory `log/` holds segments `0000000000000001.log` and so on, without gaps. All numbers
//! are little-endian.
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
mod segment;
#[cfg(test)]
mod tests;

use std::io;

pub use directory::Directory;
pub use extension::{Extension, GroupLoad, ReplayLoad, Times};
pub use group::{EncodedRows, Group, GroupWrite, ReplayGroup, ReplayWrite};
pub use lock::{DirectoryLock, LockError};
pub use memory::{Fault, MemoryStorage};
pub use rows::RowsBuilder;

use crate::time::Timestamp;

/// A segment of this size is followed by the next.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

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
}

/// What a record says, to be written.
#[derive(Clone, Debug)]
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
    #[error("log/{file} is missing")]
    Missing { file: String },
    #[error("log/{file}: {source}")]
    Io { file: String, source: io::Error },
    #[error("the log failed earlier ({reason}); nothing is written until a restart")]
    Failed { reason: String },
}

/// The log, open for appending.
pub struct Log {
    storage: Box<dyn Storage>,
    /// Whether records are synced; without, a crash of the machine may lose acknowledged ones.
    sync: bool,
    segment_bytes: u64,
    number: u64,
    salt: u64,
    length: u64,
    failed: Option<String>,
}

impl Log {
    /// Reads all there is, giving each record to `replay` in order, and goes on at the end. What
    /// `replay` refuses is damage at that record.
    pub fn open(
        storage: Box<dyn Storage>,
        sync: bool,
        replay: &mut dyn FnMut(Replay<'_>) -> Result<(), String>,
    ) -> Result<Log, LogError> {
        let mut log = Log {
            storage,
            sync,
            segment_bytes: SEGMENT_BYTES,
            number: 0,
            salt: 0,
            length: 0,
            failed: None,
        };
        let last = log.last_segment()?;
        for number in 1..=last {
            log.replay_segment(number, number == last, replay)?;
        }
        if log.number == 0 {
            log.begin_segment(1)?;
        }
        Ok(log)
    }

    /// The same with segments of another size.
    pub fn with_segment_bytes(mut self, bytes: u64) -> Log {
        self.segment_bytes = bytes;
        self
    }

    /// Writes one record and waits until it is durable.
    pub fn append(&mut self, record: &Record) -> Result<(), LogError> {
        if let Some(reason) = &self.failed {
            return Err(LogError::Failed { reason: reason.clone() });
        }
        let result = self.try_append(record);
        if let Err(error) = &result {
            self.failed = Some(error.to_string());
        }
        result
    }

    fn try_append(&mut self, record: &Record) -> Result<(), LogError> {
        let empty = self.length <= segment::HEADER_BYTES as u64;
        if !empty && self.length >= self.segment_bytes {
            self.begin_segment(self.number + 1)?;
        }
        let bytes = segment::encode(record, self.salt, self.length);
        let file = segment::name(self.number);
        self.storage.append(&file, &bytes).map_err(at(&file))?;
        if self.sync {
            self.storage.sync(&file).map_err(at(&file))?;
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// The number of the newest segment, 0 if there is none. All before it must be there too.
    fn last_segment(&self) -> Result<u64, LogError> {
        let names = self.storage.list().map_err(at(""))?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment::number(name)).collect();
        numbers.sort_unstable();
        for (place, &number) in numbers.iter().enumerate() {
            let expected = place as u64 + 1;
            if number != expected {
                return Err(LogError::Missing { file: segment::name(expected) });
            }
        }
        Ok(numbers.len() as u64)
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
        let damaged = |offset: usize, reason: String| LogError::Damaged {
            file: file.clone(),
            offset: offset as u64,
            reason,
        };
        let salt = segment::read_header(&bytes, number, self.length, &file)?;
        let mut offset = segment::HEADER_BYTES;
        while offset < bytes.len() {
            let (kind, payload) = match segment::frame(&bytes, offset, salt) {
                Ok(frame) => frame,
                Err(reason) if is_last && !segment::any_valid_after(&bytes, offset, salt) => {
                    self.cut(&file, offset, bytes.len(), &reason)?;
                    break;
                }
                Err(reason) => return Err(damaged(offset, reason)),
            };
            let record = segment::decode(kind, payload);
            record.and_then(&mut *replay).map_err(|reason| damaged(offset, reason))?;
            offset += segment::FRAME_BYTES + payload.len();
        }
        (self.number, self.salt, self.length) = (number, salt, offset as u64);
        Ok(())
    }

    /// Cuts off a torn record.
    fn cut(&mut self, file: &str, offset: usize, end: usize, why: &str) -> Result<(), LogError> {
        let bytes = end - offset;
        tracing::warn!(file, offset, bytes, why, "cut off an unfinished record at the log's end");
        self.storage.truncate(file, offset as u64).map_err(at(file))
    }

    fn begin_segment(&mut self, number: u64) -> Result<(), LogError> {
        let file = segment::name(number);
        let (header, salt) = segment::header(number, self.length);
        let storage = &mut self.storage;
        let made = storage.create(&file).and_then(|()| storage.append(&file, &header));
        made.and_then(|()| storage.sync(&file)).map_err(at(&file))?;
        (self.number, self.salt, self.length) = (number, salt, segment::HEADER_BYTES as u64);
        Ok(())
    }
}

fn at(file: &str) -> impl FnOnce(io::Error) -> LogError {
    let file = file.to_owned();
    move |source| LogError::Io { file, source }
}
