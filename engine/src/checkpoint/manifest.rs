//! The manifest of checkpoints: which views are kept, as of when, and in which files.
//!
//! ```text
//! tidemark checkpoint VERSION crc32c CHECKSUM    the checksum of the version and what follows, hex
//! { "workers": …, "views": [ … ] }               JSON, see [`Manifest`]
//! ```
//!
//! It is replaced as a whole (written beside, synced, renamed), after the files that it names.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::CheckpointStatus;
use super::part::{PartFile, VERSION};
use crate::time::CollectionId;

const NAME: &str = "manifest";
const NEXT: &str = "manifest.next";
const HEAD: &str = "tidemark checkpoint ";

/// See the head of this file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// How many workers the states are spread over.
    pub(super) workers: u32,
    /// The number of the next checkpoint.
    pub(super) next: u64,
    /// The time of the last commit that any of the states has seen: a log that ends before it is
    /// another one.
    pub(super) last_commit: u64,
    pub(super) views: Vec<KeptView>,
    /// The last checkpoints, the newest at the end.
    pub(super) history: Vec<CheckpointStatus>,
}

/// A view's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptView {
    pub id: CollectionId,
    /// Of its plan and key, and of the program that wrote it.
    pub fingerprint: u64,
    /// It has seen everything before it.
    pub upper: u64,
    /// The first one has all of the state, each other one what changed since the one before.
    pub parts: Vec<PartFile>,
}

impl KeptView {
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }
}

impl Manifest {
    /// The manifest in the folder; `None` if there is none.
    pub fn read(folder: &Path) -> Result<Option<Manifest>, String> {
        match fs::read_to_string(folder.join(NAME)) {
            Ok(text) => Manifest::decode(&text).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Puts it in the place of the one before.
    pub fn replace(&self, folder: &Path, sync: bool) -> io::Result<()> {
        let next = folder.join(NEXT);
        let mut file = File::create(&next)?;
        file.write_all(self.encode().as_bytes())?;
        if sync {
            file.sync_all()?;
        }
        fs::rename(next, folder.join(NAME))?;
        if sync {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }

    /// Removes every file that it does not name.
    pub fn remove_others(&self, folder: &Path) -> io::Result<()> {
        let parts = self.views.iter().flat_map(|view| &view.parts);
        let named: Vec<&str> = parts.map(|part| part.file.as_str()).chain([NAME]).collect();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if !named.iter().any(|name| entry.file_name() == *name) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn encode(&self) -> String {
        let body = serde_json::to_string_pretty(self).expect("plain data");
        format!("{HEAD}{VERSION} crc32c {:08x}\n{body}\n", checksum(VERSION, &body))
    }

    fn decode(text: &str) -> Result<Manifest, String> {
        let (head, body) = text.split_once('\n').ok_or("it has no first line")?;
        let head = head.strip_prefix(HEAD).ok_or("it is not a manifest of checkpoints")?;
        let (version, rest) = head.split_once(' ').ok_or("it has no version")?;
        let version = version.parse().map_err(|_| "it has no version")?;
        if version != VERSION {
            return Err(format!("it has the format version {version}, this is {VERSION}"));
        }
        let body = body.strip_suffix('\n').ok_or("its end is missing")?;
        if rest != format!("crc32c {:08x}", checksum(version, body)) {
            return Err("the checksum is wrong".into());
        }
        serde_json::from_str(body).map_err(|error| error.to_string())
    }
}

fn checksum(version: u32, body: &str) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&version.to_le_bytes()), body.as_bytes())
}
