//! Log files in memory that fail on demand, for tests: short writes, failing syncs, lost power.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::Storage;

/// Files in memory. Clones share them, so that a test can look at and damage what a log wrote.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage {
    state: Arc<Mutex<State>>,
}

/// What goes wrong, once, with the next call of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An append writes only so many bytes and fails.
    ShortWrite(usize),
    /// A sync fails; whether the bytes are there afterwards is not known.
    Sync,
    /// No file can be made.
    Create,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, File>,
    fault: Option<Fault>,
    syncs: usize,
    /// How many bytes there is room for; `None`: for any.
    capacity: Option<usize>,
}

#[derive(Clone, Debug, Default)]
struct File {
    bytes: Vec<u8>,
    synced: usize,
    allocated: usize,
}

impl MemoryStorage {
    /// Empty and without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the next call of the fault's kind fail.
    pub fn inject(&self, fault: Fault) {
        self.lock().fault = Some(fault);
    }

    /// How many bytes all files may take together; `None`: any number.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.lock().capacity = bytes;
    }

    /// How many bytes they take.
    pub fn used(&self) -> usize {
        self.lock().used()
    }

    /// How many times anything was synced.
    pub fn syncs(&self) -> usize {
        self.lock().syncs
    }

    /// All files, by name.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.lock().files.iter().map(|(name, file)| (name.clone(), file.bytes.clone())).collect()
    }

    /// Replaces or makes a file.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let synced = bytes.len();
        let allocated = 0;
        self.lock().files.insert(name.to_owned(), File { bytes, synced, allocated });
    }

    /// Loses a file.
    pub fn lose(&self, name: &str) {
        self.lock().files.remove(name);
    }

    /// The power fails: what was not synced is gone. Returns what a restart would find.
    pub fn crash(&self) -> MemoryStorage {
        let after = MemoryStorage::new();
        for (name, file) in &self.lock().files {
            after.put(name, file.bytes[..file.synced].to_vec());
        }
        after
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while holding it")
    }
}

impl State {
    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        self.files.get_mut(name).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn used(&self) -> usize {
        self.files.values().map(|file| file.bytes.len().max(file.allocated)).sum()
    }

    /// How many more bytes fit into the files together.
    fn room(&self) -> usize {
        self.capacity.map_or(usize::MAX, |capacity| capacity.saturating_sub(self.used()))
    }

    fn take(&mut self, is_it: impl Fn(Fault) -> bool) -> Option<Fault> {
        self.fault.take_if(|fault| is_it(*fault))
    }
}

impl Storage for MemoryStorage {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().files.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        Ok(self.lock().file(name)?.bytes.clone())
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        if state.take(|fault| fault == Fault::Create).is_some() {
            return Err(io::Error::other("no file can be made"));
        }
        state.files.insert(name.to_owned(), File::default());
        Ok(())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        let fault = state.take(|fault| matches!(fault, Fault::ShortWrite(_)));
        let room = state.room();
        let file = state.file(name)?;
        let room = room.saturating_add(file.allocated.saturating_sub(file.bytes.len()));
        match fault {
            Some(Fault::ShortWrite(length)) => {
                file.bytes.extend(&bytes[..length.min(bytes.len())]);
                Err(io::ErrorKind::StorageFull.into())
            }
            None if room < bytes.len() => {
                file.bytes.extend(&bytes[..room]);
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => {
                file.bytes.extend(bytes);
                Ok(())
            }
        }
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        if state.take(|fault| fault == Fault::Sync).is_some() {
            return Err(io::Error::other("the disk does not answer"));
        }
        state.syncs += 1;
        let file = state.file(name)?;
        file.synced = file.bytes.len();
        Ok(())
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        let mut state = self.lock();
        let file = state.file(name)?;
        file.bytes.truncate(length as usize);
        file.synced = file.bytes.len();
        Ok(())
    }

    fn allocate(&mut self, name: &str, length: u64) -> io::Result<()> {
        let mut state = self.lock();
        let room = state.room();
        let file = state.file(name)?;
        let more = (length as usize).saturating_sub(file.bytes.len().max(file.allocated));
        if more > room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.allocated = file.allocated.max(length as usize);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let removed = self.lock().files.remove(name);
        removed.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn another(&self) -> Box<dyn Storage> {
        Box::new(self.clone())
    }
}
