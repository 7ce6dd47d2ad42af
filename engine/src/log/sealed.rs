//! Sealed segments: the log behind its unsealed end, as Parquet files in an object store.
//!
//! Law
//! - What the files say, read after one another, is what the records of the segment said: the same
//!   rows under the same ids at the same times, in the same groups with the same DDL.
//! - A segment is sealed once the manifest names it; the log's own file is kept until then. What
//!   the manifest does not name is not there, whatever lies beside it.
//! - The manifest is in the object store and nowhere else. It is replaced as a whole, and only if
//!   it still is what it was when it was read: of two processes one is refused.
//! - A file that is not as it was written is damage: it is named, and nothing of it is used.
//!
//! # Layout, version 1
//!
//! ```text
//! manifest                       see `manifest.rs`
//! ddl/SEGMENT-SALT.log           in the log's own format: its records without the rows
//! tables/ID/SEGMENT-SALT.parquet           what became of the rows of one table
//! tables/ID/SEGMENT-SALT-PART.parquet      the same after so many added columns
//! ```
//!
//! The salt is that of the segment's file: sealing anew what was sealed half writes the same
//! files, and another log's segment of that number others. A table's file holds its changes in
//! order of their times, zstd compressed, with statistics of every column:
//!
//! ```text
//! _time    timestamp(µs, UTC)    when the row came or went: the commit's time, a load's its own
//! _diff    int64                 1: it came, -1: it went
//! _row     uint64                its id
//! …        the table's columns; an interval is a struct of months, days and nanoseconds
//! ```
//!
//! DDL is small and never expires, so it has files of its own. A group's rows are found by its
//! time; those of loads are all that are not after the last load of their table. The files of a
//! table go when the segment in which it was dropped is sealed.

mod columns;
mod depot;
mod folder;
mod manifest;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use depot::{Depot, Held};
use folder::Folder;
pub use manifest::{Manifest, SealedFile, SealedSegment, SealedTable};
pub use read::{Changes, read_changes, read_ddl};
pub use write::{Schemas, Sealed, seal};

use super::LogError;

/// The version of everything below the manifest, too.
pub const VERSION: u32 = 1;

/// Why sealed segments cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    #[error("{file} in {place} is damaged: {reason}")]
    Damaged { place: String, file: String, reason: String },
    #[error("{file} in {place} has format version {found}, this version of Tidemark reads {known}")]
    Version { place: String, file: String, found: u32, known: u32 },
    #[error("{file} in {place} is missing, and the manifest names it")]
    Missing { place: String, file: String },
    #[error("{file} in {place}: {source}")]
    Store { place: String, file: String, source: Box<object_store::Error> },
    #[error("--storage {url}: {reason}")]
    Url { url: String, reason: String },
    /// Another process seals into the same place.
    #[error("the manifest in {place} was replaced by another process")]
    Fenced { place: String },
    #[error("{file} cannot be written: {reason}")]
    Unwritable { file: String, reason: String },
    #[error("{0}")]
    Log(#[from] LogError),
    #[error("stopped")]
    Stopped,
}

impl SealedError {
    /// Whether trying again later may help.
    pub fn may_pass(&self) -> bool {
        match self {
            SealedError::Store { .. } => true,
            SealedError::Log(error) => {
                matches!(error, LogError::Io { .. } | LogError::Full { .. })
            }
            _ => false,
        }
    }
}
