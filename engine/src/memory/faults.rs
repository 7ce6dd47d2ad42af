//! faults: how often a thread waited for a page, as the kernel counts it.

#![expect(unsafe_code, reason = "asks the kernel for numbers that no crate here asks it for")]

use std::mem::MaybeUninit;

/// Of this thread, since it began.
pub fn of_thread() -> u64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the kernel fills in a struct of that type, for which zeros are a value too.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr());
        usage.assume_init()
    };
    u64::try_from(usage.ru_minflt + usage.ru_majflt).unwrap_or(0)
}

/// Bytes of a page.
pub fn page_size() -> u64 {
    // SAFETY: only asks.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).expect("pages have a size")
}
