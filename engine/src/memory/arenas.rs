//! arenas: the memory that mimalloc allocates from, and the file behind a part of it.
//!
//! mimalloc asks before it uses a piece and says when one is free (`commit`): the process's own
//! memory is given until its share is used up, and only then the file's. Room on disk is taken
//! with each piece, so that a disk that is full is an answer to that question, and not a signal
//! where the page is touched.

#![expect(unsafe_code, reason = "maps memory and gives it to mimalloc, which is written in C")]

use std::ffi::{c_int, c_long, c_void};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

// Whose C is called below.
use mimalloc as _;

use super::MemoryError;

/// mimalloc hands out memory in slices of this size.
const SLICE: usize = 64 << 10;

/// An arena is a multiple of this.
const ARENA: usize = 32 << 20;

/// What is taken out of the process at once: the slices of a word.
const REGION: usize = SLICE * u64::BITS as usize;

/// And no larger than this, as what mimalloc knows of it is to fit into 32 MiB: so large is the
/// largest allocation.
const ARENA_MAX: usize = 8 << 30;

/// What a process takes that has done nothing yet, about.
const PROGRAM: u64 = 128 << 20;

/// The file is so many times as large as the limit; it takes room on disk where it is used.
const FILE_FACTOR: u64 = 16;

/// Own addresses per byte of own memory: what is free is hardly ever in pieces that are too small.
const OWN_FACTOR: usize = 8;

/// Of mimalloc's options (`mi_option_e` of 3.3) those that are set here, by their numbers.
const ARENA_RESERVE: c_int = 23;
const DISALLOW_OS_ALLOC: c_int = 17;
const ARENA_MAX_OBJECT_SIZE: c_int = 45;

type Commit = extern "C" fn(bool, *mut c_void, usize, *mut bool, *mut c_void) -> bool;

// From mimalloc.h of the version that the crate `mimalloc` builds; a test below asks for it.
unsafe extern "C" {
    fn mi_manage_memory(
        start: *mut c_void,
        size: usize,
        is_committed: bool,
        is_pinned: bool,
        is_zero: bool,
        numa_node: c_int,
        exclusive: bool,
        commit: Commit,
        argument: *mut c_void,
        arena: *mut *mut c_void,
    ) -> bool;
    fn mi_option_set(option: c_int, value: c_long);
    #[cfg(test)]
    fn mi_version() -> c_int;
    #[cfg(test)]
    fn mi_option_get(option: c_int) -> c_long;
}

/// Before anything is allocated: or mimalloc reserves a GiB for that, which nobody bounds.
#[used]
#[unsafe(link_section = ".init_array")]
static RESERVE_LITTLE: extern "C" fn() = {
    extern "C" fn reserve_little() {
        // SAFETY: it stores a number, and may be called at any time.
        unsafe { mi_option_set(ARENA_RESERVE, (ARENA >> 10) as c_long) };
    }
    reserve_little
};

/// Addresses that were reserved for good, and which of their slices are in use.
#[derive(Debug)]
struct Range {
    start: usize,
    size: usize,
    used: Box<[AtomicU64]>,
}

/// What mimalloc allocates from.
#[derive(Debug)]
pub struct Arenas {
    pub limit: u64,
    own: Range,
    /// How many bytes of it may be used, and are.
    own_max: u64,
    own_used: AtomicU64,
    mapped: Range,
    mapped_used: AtomicU64,
    file: File,
    /// mimalloc has put what it knows of an arena at its beginning, and allocates.
    has_begun: AtomicBool,
    /// The disk gave no room: better more memory than is allowed than none.
    is_disk_full: AtomicBool,
}

impl Arenas {
    pub fn new(limit: u64, folder: &Path) -> Result<Arenas, MemoryError> {
        let whole = |bytes: u64| (bytes as usize).next_multiple_of(ARENA);
        let own_max = limit.saturating_sub(PROGRAM) / 2;
        let size = whole(limit * FILE_FACTOR);
        let in_folder = |error| MemoryError::File { folder: folder.to_owned(), error };
        std::fs::create_dir_all(folder).map_err(in_folder)?;
        let file = tempfile(folder).map_err(in_folder)?;
        file.set_len(size as u64).map_err(in_folder)?;
        let own = Range::reserve(whole(own_max) * OWN_FACTOR, None)?;
        let mapped = Range::reserve(size, Some(&file))?;
        Ok(Arenas {
            limit,
            own,
            own_max,
            own_used: AtomicU64::new(0),
            mapped,
            mapped_used: AtomicU64::new(0),
            file,
            has_begun: AtomicBool::new(false),
            is_disk_full: AtomicBool::new(false),
        })
    }

    /// From now on mimalloc allocates from here alone.
    pub fn begin(&'static self) -> Result<(), MemoryError> {
        let argument = std::ptr::from_ref(self).cast_mut().cast();
        let give = |range: &Range, commit: Commit| {
            (0..range.size).step_by(ARENA_MAX).all(|from| {
                let start = (range.start + from) as *mut c_void;
                let size = ARENA_MAX.min(range.size - from);
                // SAFETY: the range is reserved for good, belongs to nobody else and is zero;
                // `self` lives as long as the process.
                unsafe {
                    mi_manage_memory(
                        start,
                        size,
                        false,
                        false,
                        true,
                        -1,
                        false,
                        commit,
                        argument,
                        null_mut(),
                    )
                }
            })
        };
        if !give(&self.own, commit_own) || !give(&self.mapped, commit_mapped) {
            return Err(MemoryError::Refused);
        }
        self.has_begun.store(true, Ordering::Relaxed);
        // SAFETY: they store numbers.
        unsafe {
            // In KiB; what is larger than this would be asked of the system.
            mi_option_set(ARENA_MAX_OBJECT_SIZE, 16 << 20);
            mi_option_set(DISALLOW_OS_ALLOC, 1);
        }
        Ok(())
    }

    /// How many bytes of the file are in use.
    pub fn in_file(&self) -> u64 {
        self.mapped_used.load(Ordering::Relaxed)
    }

    pub fn is_disk_full(&self) -> bool {
        self.is_disk_full.load(Ordering::Relaxed)
    }

    /// The regions that the file has.
    pub fn regions(&self) -> usize {
        self.mapped.used.len()
    }

    /// Takes regions of the file out of the process that are in use, from one on, so many of them
    /// at most; the kernel has them written, and keeps them as long as the machine has room. Where
    /// it goes on.
    pub fn take_out(&self, region: usize, regions_max: usize) -> usize {
        let is_used = |region: &usize| self.mapped.used[*region].load(Ordering::Relaxed) != 0;
        let Some(from) = (region..self.regions()).find(is_used) else { return self.regions() };
        let to = self.regions().min(from + regions_max);
        let to = (from..to).find(|region| !is_used(region)).unwrap_or(to);
        let (start, bytes) = (self.mapped.start + from * REGION, (to - from) * REGION);
        // SAFETY: the pages of a shared mapping of a file lose nothing by it: who touches one next
        // finds what was there.
        let done = unsafe { libc::madvise(start as *mut c_void, bytes, libc::MADV_DONTNEED) };
        debug_assert_eq!(done, 0, "the range is mapped");
        to
    }

    /// Whether a piece of the process's own memory is to be had.
    fn has_own(&self, bytes: u64) -> bool {
        self.own_used.load(Ordering::Relaxed) + bytes <= self.own_max
    }

    /// Whether none of the piece was in use, if it is to be had.
    fn take_own(&self, start: usize, size: usize) -> Option<bool> {
        let unused = self.own.unused(start, size);
        if !self.has_own(unused) && !self.is_disk_full() {
            return None;
        }
        self.own.take(start, size);
        self.own_used.fetch_add(unused, Ordering::Relaxed);
        Some(unused >= size as u64)
    }

    fn take_mapped(&self, start: usize, size: usize) -> Option<bool> {
        let offset = (start - self.mapped.start) as i64;
        // SAFETY: touches no memory.
        let taken = unsafe { libc::fallocate(self.file.as_raw_fd(), 0, offset, size as i64) };
        let error = std::io::Error::last_os_error().raw_os_error();
        // Where a file system knows no such call, a full disk kills the process, by SIGBUS.
        let full = taken != 0 && error == Some(libc::ENOSPC);
        self.is_disk_full.store(full, Ordering::Relaxed);
        if full {
            return None;
        }
        let unused = self.mapped.unused(start, size);
        self.mapped.take(start, size);
        self.mapped_used.fetch_add(unused, Ordering::Relaxed);
        Some(unused >= size as u64)
    }
}

impl Range {
    /// Reserves addresses, of memory or of a file; they begin where an arena may begin.
    fn reserve(size: usize, file: Option<&File>) -> Result<Range, MemoryError> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let access = match file {
            Some(_) => libc::PROT_NONE,
            None => ACCESS,
        };
        // SAFETY: new addresses, which nobody knows.
        let held = unsafe { libc::mmap(null_mut(), size + ARENA, access, flags, -1, 0) };
        let start = (held as usize).next_multiple_of(ARENA);
        let is_mapped = || file.is_none_or(|file| map_file(start, size, file, 0));
        if held == libc::MAP_FAILED || !is_mapped() {
            return Err(MemoryError::Addresses(std::io::Error::last_os_error()));
        }
        let used = (0..size.div_ceil(REGION)).map(|_| AtomicU64::new(0)).collect();
        Ok(Range { start, size, used })
    }

    /// The slices between two addresses: words of them, and which bits. They are the caller's: no
    /// other thread takes or gives them meanwhile.
    fn words(&self, start: usize, size: usize) -> impl Iterator<Item = (&AtomicU64, u64)> {
        let from = (start - self.start) / SLICE;
        let to = (start + size - self.start).div_ceil(SLICE);
        (from / 64..to.div_ceil(64)).map(move |word| {
            let low = from.max(word * 64) - word * 64;
            let high = to.min(word * 64 + 64) - word * 64;
            (&self.used[word], (u64::MAX >> (64 - (high - low))) << low)
        })
    }

    /// How many bytes there are not in use.
    fn unused(&self, start: usize, size: usize) -> u64 {
        let unused = |(word, bits): (&AtomicU64, u64)| {
            u64::from((!word.load(Ordering::Relaxed) & bits).count_ones())
        };
        self.words(start, size).map(unused).sum::<u64>() * SLICE as u64
    }

    fn take(&self, start: usize, size: usize) {
        self.words(start, size).for_each(|(word, bits)| _ = word.fetch_or(bits, Ordering::Relaxed));
    }

    /// How many bytes are no longer in use.
    fn give_back(&self, start: usize, size: usize) -> u64 {
        let used = size as u64 - self.unused(start, size).min(size as u64);
        self.words(start, size)
            .for_each(|(word, bits)| _ = word.fetch_and(!bits, Ordering::Relaxed));
        used
    }
}

const ACCESS: c_int = libc::PROT_READ | libc::PROT_WRITE;

/// Maps a part of the file where it belongs, whether it was there before or not; whether that
/// went well. To who looks there it is the same.
fn map_file(start: usize, bytes: usize, file: &File, offset: usize) -> bool {
    let flags = libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_NORESERVE;
    let (at, file) = (start as *mut c_void, file.as_raw_fd());
    // SAFETY: the addresses were reserved for this part of this file alone.
    unsafe {
        libc::mmap(at, bytes, ACCESS, flags, file, offset as i64) != libc::MAP_FAILED
            // A page that is touched is to bring no others from disk, which would be in the way.
            && libc::madvise(at, bytes, libc::MADV_RANDOM) == 0
    }
}

/// A file that nobody else sees and that is gone with the process.
fn tempfile(folder: &Path) -> std::io::Result<File> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match openat(CWD, folder, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Ok(file.into()),
        // Not every file system has files without a name.
        Err(_) => {
            let path = folder.join(format!("paged-{}", std::process::id()));
            let mut options = File::options();
            let file = options.read(true).write(true).create(true).truncate(true).open(&path)?;
            std::fs::remove_file(path)?;
            Ok(file)
        }
    }
}

/// mimalloc is about to use a piece of the own memory, or needs it no more.
extern "C" fn commit_own(
    is_commit: bool,
    start: *mut c_void,
    size: usize,
    is_zero: *mut bool,
    arenas: *mut c_void,
) -> bool {
    // SAFETY: `begin` gave mimalloc the pointer, to what lives as long as the process.
    let arenas = unsafe { &*arenas.cast_const().cast::<Arenas>() };
    if is_commit {
        // SAFETY: mimalloc's variable, or null.
        return unsafe { answer(arenas.take_own(start as usize, size), is_zero) };
    }
    // SAFETY: mimalloc has no more use for what is there; the pages are zero from now on.
    let done = unsafe { libc::madvise(start, size, libc::MADV_DONTNEED) };
    debug_assert_eq!(done, 0, "the range is mapped");
    let used = arenas.own.give_back(start as usize, size);
    arenas.own_used.fetch_sub(used, Ordering::Relaxed);
    true
}

/// The same of a piece of the file.
extern "C" fn commit_mapped(
    is_commit: bool,
    start: *mut c_void,
    size: usize,
    is_zero: *mut bool,
    arenas: *mut c_void,
) -> bool {
    // SAFETY: as in `commit_own`.
    let arenas = unsafe { &*arenas.cast_const().cast::<Arenas>() };
    if is_commit {
        // What mimalloc knows of an arena lies at its beginning. Later a part of the own memory is
        // kept for what finds no room in one piece.
        let spare = (size as u64).saturating_add(arenas.own_max / 4);
        if arenas.has_begun.load(Ordering::Relaxed) && arenas.has_own(spare) {
            return false;
        }
        // SAFETY: mimalloc's variable, or null.
        return unsafe { answer(arenas.take_mapped(start as usize, size), is_zero) };
    }
    // SAFETY: mimalloc has no more use for what is there; it is zero from now on, or where that
    // fails it stays and is still taken.
    if unsafe { libc::madvise(start, size, libc::MADV_REMOVE) } != 0 {
        return false;
    }
    let used = arenas.mapped.give_back(start as usize, size);
    arenas.mapped_used.fetch_sub(used, Ordering::Relaxed);
    true
}

/// Whether a piece was to be had; if so it may be all zero.
///
/// # Safety
/// `is_zero` is null or points to a variable.
unsafe fn answer(taken: Option<bool>, is_zero: *mut bool) -> bool {
    if let (Some(zero), false) = (taken, is_zero.is_null()) {
        // SAFETY: by the caller.
        unsafe { *is_zero = zero };
    }
    taken.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where this fails after an update, compare the numbers and the signature with the new
    /// mimalloc.h.
    #[test]
    fn mimalloc_is_the_one_that_is_meant() {
        // SAFETY: they return numbers.
        let (version, reserve, largest) = unsafe {
            (mi_version(), mi_option_get(ARENA_RESERVE), mi_option_get(ARENA_MAX_OBJECT_SIZE))
        };
        assert_eq!(version / 100, 303);
        assert_eq!(reserve, 32 << 10);
        assert_eq!(largest, 2 << 20);
    }
}
