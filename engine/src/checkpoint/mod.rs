//! Checkpoints: the states of views on disk, so that a start need not fill them from their tables.
//!
//! Law
//! - The log is the truth. A checkpoint saves time and nothing else: one that is missing, damaged,
//!   of another plan, program or number of workers is passed over with a message, and the views are
//!   filled as they were before there were any.
//! - What is kept of a view is its state as of one time: that of each of its operators on each
//!   worker, and the rows of its output. A start puts them back and goes on with what its tables
//!   have changed by since.
//! - A view that reads another is kept as of a time from which on that one has not changed until it
//!   was kept; it is put back only if that one is.
//! - The files that a manifest names are on disk before it is in its place, and stay as long.
//! - No tick waits for the disk. A worker copies what has changed ahead, a millisecond's worth at a
//!   time, and at a time that all agree on the little that is left (`copying.rs`).
//!
//! The folder `checkpoints` of the data directory holds the manifest and the parts that it names.
//! What is written follows what has changed: whole states are written once, and again when the
//! parts after them have become as large.
//!
//! What it does not promise: a view is kept only if all of its operators can be ([`record::Kept`])
//! and none of its rows was ever in quarantine; the others are filled at a start as before.

mod copying;
mod keeper;
mod manifest;
mod part;
pub mod record;
mod restoring;
mod taking;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use self::copying::{Copying, Cut, Cuttable, Operators, Run, RunView, Told};
pub(crate) use self::keeper::Checkpointer;
pub(crate) use self::manifest::Manifest;
pub(crate) use self::restoring::Restorable;
pub(crate) use self::taking::Since;
use crate::time::{CollectionId, Timestamp};

/// When checkpoints are taken by themselves.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointLimits {
    /// When the log has grown by so many bytes since the last one.
    pub bytes: u64,
    /// When the last one is so long ago, and there was a commit since.
    pub interval: Duration,
}

impl Default for CheckpointLimits {
    fn default() -> Self {
        CheckpointLimits { bytes: 256 * 1024 * 1024, interval: Duration::from_secs(10 * 60) }
    }
}

/// What a checkpoint did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CheckpointStatus {
    /// The latest time that a state was kept as of.
    pub at: Timestamp,
    pub took: Duration,
    pub bytes_written: u64,
    /// What all parts take that are named since.
    pub bytes_total: u64,
    pub records_written: u64,
    /// Of all kept states, with the rows of their output.
    pub records_total: u64,
    pub views_kept: u64,
    /// Those that a start would have to fill.
    pub views_rebuilt: u64,
}

/// Why there is no checkpoint.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("the checkpoint cannot be written: {0}")]
    Io(String),
    #[error("the engine is being stopped")]
    Stopped,
}

impl From<std::io::Error> for CheckpointError {
    fn from(error: std::io::Error) -> Self {
        CheckpointError::Io(error.to_string())
    }
}

impl From<arrow::error::ArrowError> for CheckpointError {
    fn from(error: arrow::error::ArrowError) -> Self {
        CheckpointError::Io(error.to_string())
    }
}

/// Names the folder's file that says a start is restoring, with how many starts that did not get
/// through it are counted.
const RESTORING: &str = "restoring";
/// After so many of them what is kept is not tried again.
const RESTORING_MAX: usize = 3;

/// What was found at a start.
#[derive(Debug, Default)]
pub(crate) struct Found {
    folder: PathBuf,
    manifest: Manifest,
    views: BTreeMap<CollectionId, Restorable>,
}

impl Found {
    /// Reads all that is kept under a data directory, and checks it. What is damaged is named in a
    /// message and left out.
    pub fn read(data: &Path) -> Found {
        let folder = data.join("checkpoints");
        let nothing = Found { folder: folder.clone(), ..Found::default() };
        let manifest = match Manifest::read(&folder) {
            Ok(Some(manifest)) => manifest,
            Ok(None) => return nothing,
            Err(reason) => {
                let file = folder.join("manifest");
                tracing::warn!(?file, reason, "checkpoints are passed over: views are filled anew");
                return nothing;
            }
        };
        let views =
            manifest.views.iter().filter_map(|view| match Restorable::open(&folder, view) {
                Ok(found) => Some((view.id, found)),
                Err(reason) => {
                    let view = view.id.0;
                    tracing::warn!(
                        view,
                        reason,
                        "a checkpoint is damaged: the view is filled anew"
                    );
                    None
                }
            });
        Found { views: views.collect(), manifest, folder }
    }

    /// Passes over what does not fit: `last_commit` is the log's.
    pub fn fit(&mut self, last_commit: Timestamp, workers: usize) {
        let kept = self.views.len();
        let reason = if self.manifest.workers as usize != workers {
            "they are of another number of workers"
        } else if self.manifest.last_commit > last_commit.0 {
            "the log ends before them"
        } else if self.note_restoring() > RESTORING_MAX {
            "starts with them did not get through"
        } else {
            return;
        };
        if kept > 0 {
            tracing::warn!(kept, reason, "checkpoints are passed over: views are filled anew");
        }
        self.views.clear();
        self.manifest.workers = workers as u32;
        self.manifest.last_commit = 0;
    }

    /// Whether there were commits since the last checkpoint.
    pub fn is_behind(&self, last_commit: Timestamp) -> bool {
        last_commit.0 > self.manifest.last_commit
    }

    /// Counts this start among those that restore, until [`Found::forget_restoring`].
    fn note_restoring(&self) -> usize {
        if self.views.is_empty() {
            return 0;
        }
        let file = self.folder.join(RESTORING);
        let count = fs::read(&file).map_or(0, |bytes| bytes.len()) + 1;
        // Without it a start that fails would be tried again as it is.
        if let Err(error) = fs::write(&file, vec![b'.'; count]) {
            tracing::warn!(?file, %error, "a file cannot be written");
        }
        count
    }

    /// Where checkpoints are, and what those to come go on from.
    pub fn begin(&self) -> (PathBuf, Manifest) {
        let mut manifest = self.manifest.clone();
        // A view that was passed over is not added to.
        manifest.views.retain(|view| self.views.contains_key(&view.id));
        (self.folder.clone(), manifest)
    }

    /// Takes the kept state of a view out, if it is of this fingerprint.
    pub fn take(&mut self, view: CollectionId, fingerprint: u64) -> Option<Restorable> {
        self.views.remove(&view).filter(|found| found.fingerprint == fingerprint)
    }

    /// Every view there is has been made: what is left is of none. Whether there was anything to
    /// restore.
    pub fn all_restored(&mut self) -> bool {
        self.views.clear();
        if self.manifest.views.is_empty() {
            return false;
        }
        // Often it is not there.
        let _ = fs::remove_file(self.folder.join(RESTORING));
        true
    }
}
