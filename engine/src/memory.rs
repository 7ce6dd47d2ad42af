//! Memory: holds the process within so many bytes (`--memory`).
//!
//! Everything that is allocated comes from mimalloc, and mimalloc is given here what it allocates
//! from. The first half of the limit is memory of the process's own, and what fits into it is never
//! touched by anything here. The rest comes from a file that is mapped: a page of it that has not
//! been used for a while is put out of the process by us, out of the machine's memory by the
//! kernel, and comes back when it is touched. Whatever holds rows, a table, the state of an
//! operator, a statement, is thereby paged without knowing of it.
//!
//! - [`arenas`]: the memory that mimalloc allocates from, and the file
//! - [`pager`]: which pages stay
//! - [`faults`]: what is counted of it
//!
//! Law      a page that is let go holds what it held when it is touched again; nothing here reads
//!          or writes what others hold
//! Missing  the limit is one for the process: no view has a share of its own

mod arenas;
mod faults;
mod pager;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use self::arenas::Arenas;

/// The least that `--memory` may be: the program alone takes nearly a half of it.
pub const MEMORY_MIN: u64 = 256 << 20;

/// Why memory cannot be limited.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    #[error("--memory is to be {} MiB at least", MEMORY_MIN >> 20)]
    TooLittle,
    #[error("memory is limited already")]
    Twice,
    #[error("no file for what does not fit into memory can be made in {folder:?}: {error}")]
    File { folder: PathBuf, error: std::io::Error },
    #[error("no addresses can be reserved: {0}")]
    Addresses(std::io::Error),
    #[error("the allocator does not take memory that it is given")]
    Refused,
}

/// What the process holds, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    pub limit: Option<u64>,
    /// Of its pages, those in memory.
    pub resident: u64,
    /// What lies in the file, in memory or not: next to nothing while all fits into a half.
    pub in_file: u64,
}

/// The limit that holds, once there is one.
static ARENAS: OnceLock<Arenas> = OnceLock::new();

/// Holds the process within `bytes` from now on, with a file without a name in `folder` for what
/// does not fit. It has to be the first thing a process does, or what it did before is not bounded;
/// mimalloc has to be its allocator.
pub fn limit(bytes: u64, folder: &Path) -> Result<(), MemoryError> {
    if bytes < MEMORY_MIN {
        return Err(MemoryError::TooLittle);
    }
    let arenas = Arenas::new(bytes, folder)?;
    ARENAS.set(arenas).map_err(|_| MemoryError::Twice)?;
    let arenas = ARENAS.get().expect("it was set");
    arenas.begin()?;
    pager::start(arenas);
    Ok(())
}

/// What the process holds now.
pub fn usage() -> MemoryUse {
    let resident = File::open("/proc/self/statm").map_or(0, |statm| pager::resident(&statm));
    let arenas = ARENAS.get();
    let in_file = arenas.map_or(0, Arenas::in_file);
    MemoryUse { limit: arenas.map(|arenas| arenas.limit), resident, in_file }
}

/// How often this thread waited for a page: one that was put out of the process, in the machine's
/// memory or on disk, or one that is new. Always zero where nothing is limited.
pub(crate) fn page_faults() -> u64 {
    ARENAS.get().map_or(0, |_| faults::of_thread())
}
