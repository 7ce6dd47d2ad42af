//! Part files: the records of a view that one checkpoint copied.
//!
//! ```text
//! file    head, blocks
//! head    "TMCP" version:u32 view:u64 number:u64 crc32c:u32      the checksum of what is before it
//! block   length:u32 crc32c:u32 worker:u32 place:u32 family:u32  the checksum of what follows it
//!         and `length` bytes
//! ```
//!
//! All little-endian. The manifest says how long a file is and how many blocks it has. Within the
//! parts of a view, in their order, a later block counts for more than an earlier one: of a record
//! that stands in several, the last is it.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::record::{Copied, Cursor, Kept, put_number};
use crate::time::CollectionId;

const MAGIC: &[u8; 4] = b"TMCP";
pub(super) const VERSION: u32 = 1;
const HEAD_BYTES: usize = 28;
const BLOCK_HEAD_BYTES: usize = 20;
/// About how long a block is.
const BLOCK_BYTES: usize = 256 * 1024;
/// So many bytes go to the disk at once: a commit whose own bytes are behind them waits for it.
const UNSYNCED_MAX: usize = 4 * 1024 * 1024;
/// Longer than any block: a length beyond it is damage.
const BLOCK_BYTES_MAX: u32 = 1 << 30;

/// Whose records they are: an operator's, by its place in the plan, on a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Section {
    pub worker: u32,
    pub place: u32,
    pub family: u32,
}

/// The place of a view's output rows.
pub(crate) const OUTPUT: u32 = u32::MAX;

/// Some records, copied at one moment.
#[derive(Debug)]
pub(crate) struct Block {
    pub view: CollectionId,
    pub section: Section,
    pub bytes: Vec<u8>,
    pub records: u64,
}

/// A part as the manifest names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartFile {
    pub file: String,
    pub bytes: u64,
    pub blocks: u64,
    /// It has all of the view's output, so that those before it do not count for that.
    pub all_output: bool,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PartError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Damaged(&'static str),
    #[error("it has the format version {0}, this is {VERSION}")]
    Version(u32),
}

/// Copies changed records of one family into a block, until there are none, or it is full, or
/// `stop` says so. `Err` if a record is too large.
pub(crate) fn copy_records(
    kept: &mut dyn Kept,
    family: usize,
    scratch: &mut Vec<u8>,
    mut stop: impl FnMut() -> bool,
) -> Result<(Vec<u8>, u64), ()> {
    let (mut bytes, mut records, mut previous) = (Vec::new(), 0u64, 0u32);
    while bytes.len() < BLOCK_BYTES {
        let Some(id) = kept.changed(family).take() else { break };
        put_number(&mut bytes, u64::from(id.wrapping_sub(previous)));
        previous = id;
        scratch.clear();
        match kept.copy(family, id, scratch) {
            Copied::Gone => put_number(&mut bytes, 0),
            Copied::TooLarge => return Err(()),
            Copied::Record => {
                put_number(&mut bytes, scratch.len() as u64 + 1);
                bytes.extend_from_slice(scratch);
            }
        }
        records += 1;
        if records.is_multiple_of(32) && stop() {
            break;
        }
    }
    Ok((bytes, records))
}

/// Calls `each` for the records of a block: `None` for one that is gone.
pub(super) fn read_records(
    bytes: &[u8],
    mut each: impl FnMut(u32, Option<&[u8]>) -> Option<()>,
) -> Option<()> {
    let (mut cursor, mut id) = (Cursor(bytes), 0u32);
    while !cursor.is_empty() {
        id = id.wrapping_add(u32::try_from(cursor.number()?).ok()?);
        let record = match usize::try_from(cursor.number()?).ok()?.checked_sub(1) {
            None => None,
            Some(length) => Some(cursor.bytes(length)?),
        };
        each(id, record)?;
    }
    Some(())
}

/// Writes a file block by block.
pub(super) struct PartWriter {
    out: BufWriter<File>,
    sync: bool,
    unsynced: usize,
    pub part: PartFile,
}

impl PartWriter {
    pub fn create(
        (folder, sync): (&Path, bool),
        number: u64,
        view: CollectionId,
    ) -> io::Result<PartWriter> {
        let file = format!("{number:08}-{}.part", view.0);
        let mut out = BufWriter::with_capacity(1 << 20, File::create(folder.join(&file))?);
        let mut head = Vec::with_capacity(HEAD_BYTES);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&view.0.to_le_bytes());
        head.extend_from_slice(&number.to_le_bytes());
        head.extend_from_slice(&crc32c::crc32c(&head).to_le_bytes());
        out.write_all(&head)?;
        let part = PartFile { file, bytes: HEAD_BYTES as u64, blocks: 0, all_output: false };
        Ok(PartWriter { out, sync, unsynced: 0, part })
    }

    pub fn write(&mut self, section: Section, bytes: &[u8]) -> io::Result<()> {
        let mut head = Vec::with_capacity(BLOCK_HEAD_BYTES);
        let length = u32::try_from(bytes.len()).ok().filter(|length| *length < BLOCK_BYTES_MAX);
        let length = length.ok_or_else(|| io::Error::other("a block is too large"))?;
        head.extend_from_slice(&length.to_le_bytes());
        head.extend_from_slice(&[0; 4]);
        for number in [section.worker, section.place, section.family] {
            head.extend_from_slice(&number.to_le_bytes());
        }
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&head[8..]), bytes);
        head[4..8].copy_from_slice(&checksum.to_le_bytes());
        self.out.write_all(&head)?;
        self.out.write_all(bytes)?;
        self.part.bytes += (head.len() + bytes.len()) as u64;
        self.part.blocks += 1;
        self.unsynced += bytes.len();
        if self.sync && self.unsynced >= UNSYNCED_MAX {
            self.unsynced = 0;
            self.out.flush()?;
            self.out.get_ref().sync_data()?;
        }
        Ok(())
    }

    pub fn finish(self) -> io::Result<PartFile> {
        let file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        if self.sync {
            file.sync_all()?;
        }
        Ok(self.part)
    }
}

/// A file that was found whole.
#[derive(Debug)]
pub(super) struct Part {
    /// Opened when it is read: there may be thousands.
    path: PathBuf,
    /// Where the bytes of each block are, in order.
    blocks: Vec<(Section, u64, u32)>,
}

impl Part {
    /// Reads all of the file and holds it against its checksums.
    pub fn open(folder: &Path, part: &PartFile, view: CollectionId) -> Result<Part, PartError> {
        let path = folder.join(&part.file);
        let file = File::open(&path)?;
        if file.metadata()?.len() != part.bytes {
            return Err(PartError::Damaged("it has another length than was written"));
        }
        let mut from = BufReader::with_capacity(1 << 20, &file);
        let mut head = [0; HEAD_BYTES];
        from.read_exact(&mut head)?;
        let [magic, version, view_low, view_high, _, _, checksum] = words(&head);
        if magic != u32::from_le_bytes(*MAGIC) || crc32c::crc32c(&head[..24]) != checksum {
            return Err(PartError::Damaged("its head is damaged"));
        }
        if version != VERSION {
            return Err(PartError::Version(version));
        }
        if u64::from(view_low) | u64::from(view_high) << 32 != view.0 {
            return Err(PartError::Damaged("it is of another view"));
        }
        let (mut blocks, mut at, mut bytes) = (Vec::new(), HEAD_BYTES as u64, Vec::new());
        while at < part.bytes {
            let mut head = [0; BLOCK_HEAD_BYTES];
            from.read_exact(&mut head)?;
            let [length, checksum, worker, place, family] = words(&head);
            at += BLOCK_HEAD_BYTES as u64;
            if at + u64::from(length) > part.bytes {
                return Err(PartError::Damaged("a block is longer than the file"));
            }
            bytes.resize(length as usize, 0);
            from.read_exact(&mut bytes)?;
            if crc32c::crc32c_append(crc32c::crc32c(&head[8..]), &bytes) != checksum {
                return Err(PartError::Damaged("a block does not have its checksum"));
            }
            blocks.push((Section { worker, place, family }, at, length));
            at += u64::from(length);
        }
        if blocks.len() as u64 != part.blocks {
            return Err(PartError::Damaged("blocks are missing"));
        }
        Ok(Part { path, blocks })
    }

    /// The blocks that `wanted` picks, in their order or from the last to the first.
    pub fn read(
        &self,
        wanted: impl Fn(&Section) -> bool,
        backwards: bool,
        mut each: impl FnMut(Section, &[u8]) -> Result<(), PartError>,
    ) -> Result<(), PartError> {
        let mut blocks = self.blocks.iter().filter(|(section, ..)| wanted(section)).peekable();
        if blocks.peek().is_none() {
            return Ok(());
        }
        let (file, mut bytes) = (File::open(&self.path)?, Vec::new());
        let mut one = |&(section, at, length): &(Section, u64, u32)| {
            bytes.resize(length as usize, 0);
            file.read_exact_at(&mut bytes, at)?;
            each(section, &bytes)
        };
        match backwards {
            true => blocks.rev().try_for_each(&mut one),
            false => blocks.try_for_each(&mut one),
        }
    }
}

/// Little-endian words.
fn words<const BYTES: usize, const WORDS: usize>(bytes: &[u8; BYTES]) -> [u32; WORDS] {
    let (words, _) = bytes.as_chunks::<4>();
    std::array::from_fn(|word| u32::from_le_bytes(words[word]))
}
