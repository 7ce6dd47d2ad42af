//! The manifest: which segments are sealed, and in which files.
//!
//! ```text
//! tidemark manifest VERSION crc32c CHECKSUM     the checksum of the version and what follows, hex
//! { "segments": [ … ] }                         JSON, see [`Manifest`]
//! ```

use serde::{Deserialize, Serialize};

use super::VERSION;
use crate::log::LogStart;
use crate::time::CollectionId;

const HEAD: &str = "tidemark manifest ";

/// See the head of this file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// From the first on, without gaps.
    pub segments: Vec<SealedSegment>,
}

/// A sealed segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSegment {
    pub number: u64,
    /// How long its file in the log was.
    pub log_bytes: u64,
    /// Of its file in the log.
    pub salt: u64,
    pub ddl: SealedFile,
    pub tables: Vec<SealedTable>,
}

/// What became of a table's rows in a segment, until a column was added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedTable {
    pub table: CollectionId,
    /// How many columns were added before, within the segment.
    pub part: u32,
    /// How many rows the file has.
    pub rows: u64,
    #[serde(flatten)]
    pub file: SealedFile,
}

/// A file as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedFile {
    pub path: String,
    pub bytes: u64,
    pub crc32c: u32,
}

/// What is wrong with a manifest.
#[derive(Debug, PartialEq, Eq)]
pub enum ManifestError {
    Damaged(String),
    Version(u32),
}

impl Manifest {
    /// Where the log goes on.
    pub fn log_start(&self) -> LogStart {
        let before = self.segments.last().map_or(0, |last| last.log_bytes);
        LogStart { before, salts: self.segments.iter().map(|segment| segment.salt).collect() }
    }

    /// Forgets what became of the rows of tables that were dropped; returns the files that are not
    /// named any more.
    pub fn forget_tables(&mut self, dropped: &[CollectionId]) -> Vec<SealedFile> {
        let segments = self.segments.iter_mut();
        let forgotten = segments.flat_map(|segment| {
            segment.tables.extract_if(.., |file| dropped.contains(&file.table))
        });
        forgotten.map(|table| table.file).collect()
    }

    pub fn encode(&self) -> Vec<u8> {
        let body = serde_json::to_string_pretty(self).expect("plain data");
        let sum = checksum(VERSION, body.as_bytes());
        format!("{HEAD}{VERSION} crc32c {sum:08x}\n{body}\n").into_bytes()
    }

    pub fn decode(bytes: &[u8]) -> Result<Manifest, ManifestError> {
        let damaged = |reason: &str| ManifestError::Damaged(reason.to_owned());
        let text = std::str::from_utf8(bytes).map_err(|_| damaged("it is not text"))?;
        let (head, body) = text.split_once('\n').ok_or_else(|| damaged("it has no first line"))?;
        let head = head.strip_prefix(HEAD).ok_or_else(|| damaged("it is not a manifest"))?;
        let (version, rest) = head.split_once(' ').unwrap_or((head, ""));
        let version = version.parse().map_err(|_| damaged("it has no version"))?;
        if version != VERSION {
            return Err(ManifestError::Version(version));
        }
        let body = body.strip_suffix('\n').ok_or_else(|| damaged("its end is missing"))?;
        if rest != format!("crc32c {:08x}", checksum(version, body.as_bytes())) {
            return Err(damaged("the checksum is wrong"));
        }
        let manifest: Manifest =
            serde_json::from_str(body).map_err(|error| damaged(&error.to_string()))?;
        let numbers = manifest.segments.iter().map(|segment| segment.number);
        match numbers.eq(1..=manifest.segments.len() as u64) {
            true => Ok(manifest),
            false => Err(damaged("a segment is missing")),
        }
    }
}

impl SealedFile {
    pub fn of(path: String, bytes: &[u8]) -> SealedFile {
        SealedFile { path, bytes: bytes.len() as u64, crc32c: crc32c::crc32c(bytes) }
    }

    /// What is wrong with the bytes that were read, if anything is.
    pub fn check(&self, bytes: &[u8]) -> Result<(), String> {
        if bytes.len() as u64 != self.bytes {
            return Err(format!("it has {} bytes, not {}", bytes.len(), self.bytes));
        }
        match crc32c::crc32c(bytes) == self.crc32c {
            true => Ok(()),
            false => Err("its checksum is wrong".to_owned()),
        }
    }
}

fn checksum(version: u32, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&version.to_le_bytes()), body)
}
