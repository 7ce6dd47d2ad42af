//! The lock on a data directory: one process at a time.
//!
//! The file `lock` is locked with the operating system, which lets go of it when the process ends,
//! however it ends; it holds the process id for whoever finds it locked.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Held as long as the directory is in use.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

/// Why a directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("{path} is in use by process {pid}")]
    InUse { path: PathBuf, pid: String },
    #[error("{path} cannot be locked: {source}")]
    Io { path: PathBuf, source: io::Error },
}

impl DirectoryLock {
    /// Makes the directory if it is missing, and takes its lock.
    pub fn acquire(path: &Path) -> Result<DirectoryLock, LockError> {
        let io = |source| LockError::Io { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(io)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path.join("lock")).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {
                write_pid(&mut file).map_err(io)?;
                Ok(DirectoryLock { _file: file })
            }
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid).map_err(io)?;
                Err(LockError::InUse { path: path.to_owned(), pid: pid.trim().to_owned() })
            }
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_use_is_refused_with_the_first_ones_pid() {
        let directory = tempfile::tempdir().expect("a place for temporary files");
        let path = directory.path().join("data");
        let lock = DirectoryLock::acquire(&path).expect("no one else uses it");
        let refused = DirectoryLock::acquire(&path).expect_err("it is in use");
        assert!(refused.to_string().ends_with(&format!("by process {}", std::process::id())));
        drop(lock);
        DirectoryLock::acquire(&path).expect("free again");
    }
}
