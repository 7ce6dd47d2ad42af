//! pager: which pages of the file the process holds, by a clock.
//!
//! While the process holds too much, a hand goes round over the file and takes pages out of the
//! process. The kernel writes them to disk and, as long as the machine has room, keeps them beside:
//! who needs one gets it back within a microsecond, or else from disk, and holds it until the hand
//! has gone round again.
//!
//! Law  the hand allocates nothing and waits for nobody: what it would touch could lie on disk

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use super::arenas::Arenas;
use super::faults::page_size;

/// Regions, of 4 MiB, that the hand takes out before it asks again what the process holds.
const STEP: usize = 4;

/// From one look to the next.
const PAUSE: Duration = Duration::from_millis(2);

/// Starts the hand. It goes on until the process ends.
pub fn start(arenas: &'static Arenas) {
    let thread = std::thread::Builder::new().name("pager".to_owned());
    if let Err(error) = thread.spawn(move || go_round(arenas)) {
        tracing::error!("memory is not limited: no thread can be started: {error}");
    }
}

fn go_round(arenas: &Arenas) {
    let Ok(statm) = File::open("/proc/self/statm") else {
        tracing::error!("memory is not limited: there is no /proc");
        return;
    };
    let target = arenas.limit / 8 * 7;
    let (mut at, mut was_full) = (0, false);
    loop {
        std::thread::sleep(PAUSE);
        // Once round at most: if it is still too much then, it is not in the file.
        let (from, mut is_round) = (at, false);
        while resident(&statm) > target && !(is_round && at >= from) {
            at = arenas.take_out(at, STEP);
            if at == arenas.regions() {
                (at, is_round) = (0, true);
            }
        }
        if arenas.is_disk_full() != was_full {
            was_full = !was_full;
            match was_full {
                true => tracing::warn!("the disk is full: memory may grow over its limit"),
                false => tracing::warn!("there is room on the disk again"),
            }
        }
    }
}

/// The bytes of the process's pages that are in memory, by `/proc/self/statm`.
pub fn resident(statm: &File) -> u64 {
    let mut text = [0; 128];
    let length = statm.read_at(&mut text, 0).unwrap_or(0);
    let text = std::str::from_utf8(&text[..length]).unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * page_size()
}
