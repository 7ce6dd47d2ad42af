//! One checkpoint being taken: the parts are written as the workers tell their blocks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};

use super::part::{Block, OUTPUT, PartFile, PartWriter, Section};
use super::{CheckpointError, Run, RunView, Told};
use crate::maintenance::{CutView, Maintenance};
use crate::time::CollectionId;

/// How often it is looked whether to give up.
const STOP_INTERVAL: Duration = Duration::from_millis(50);

/// A view to be kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub id: CollectionId,
    /// Only what has changed since; `None`: all.
    pub since: Option<u64>,
}

/// See the module.
pub(super) struct Taking<'a> {
    folder: &'a Path,
    sync: bool,
    number: u64,
    maintenance: &'a Maintenance,
    run: Arc<Run>,
    told: Receiver<Told>,
    /// Of the views that can be kept so far.
    parts: BTreeMap<CollectionId, Part>,
    not: Vec<CollectionId>,
}

struct Part {
    since: Option<u64>,
    writer: Option<PartWriter>,
    records: u64,
}

/// What was written, of all views that are kept.
pub(super) struct Taken {
    pub views: BTreeMap<CollectionId, TakenView>,
    /// The views whose states cannot be copied.
    pub not: Vec<CollectionId>,
    pub last_commit: u64,
    /// How many views there were.
    pub views_there: usize,
}

pub(super) struct TakenView {
    pub upper: u64,
    /// None if nothing has changed.
    pub part: Option<PartFile>,
    pub records: u64,
    pub records_total: u64,
}

impl<'a> Taking<'a> {
    /// Has the workers begin.
    pub fn begin(
        (folder, sync): (&'a Path, bool),
        number: u64,
        maintenance: &'a Maintenance,
        wanted: &[Wanted],
    ) -> Taking<'a> {
        let (sender, told) = unbounded();
        let views = wanted.iter().map(|view| RunView { id: view.id, all: view.since.is_none() });
        let run = Run { views: views.collect(), told: sender, waiting: AtomicUsize::new(0) };
        let run = Arc::new(run);
        let part = |view: &Wanted| Part { since: view.since, writer: None, records: 0 };
        let parts = wanted.iter().map(|view| (view.id, part(view))).collect();
        maintenance.begin_checkpoint(&run);
        Taking { folder, sync, number, maintenance, run, told, parts, not: vec![] }
    }

    /// Sees it through, unless `is_over`.
    pub fn take(mut self, is_over: impl Fn() -> bool) -> Result<Taken, CheckpointError> {
        self.follow(|told| matches!(told, Told::Ready), &is_over)?;
        let wanted = self.parts.iter().map(|(id, part)| (*id, part.since)).collect();
        let (cut, last_commit, views_there) = self.maintenance.cut_checkpoint(&wanted);
        self.follow(|told| matches!(told, Told::Cut), &is_over)?;
        self.parts.retain(|id, _| cut.contains_key(id));
        let mut views = BTreeMap::new();
        for (id, mut part) in std::mem::take(&mut self.parts) {
            let cut = &cut[&id];
            if is_over() {
                return Err(CheckpointError::Stopped);
            }
            if self.maintenance.was_ever_in_quarantine(id) {
                continue;
            }
            self.write_output(id, &mut part, cut)?;
            let file = part.writer.map(PartWriter::finish).transpose()?;
            let records_total = cut.state_rows + cut.relation.count(cut.at.at) as u64;
            let (upper, records) = (cut.at.at.0 + 1, part.records);
            views.insert(id, TakenView { upper, part: file, records, records_total });
        }
        Ok(Taken { views, not: self.not, last_commit, views_there })
    }

    /// Writes what the workers tell, until each of them has told what is `awaited`.
    fn follow(
        &mut self,
        awaited: impl Fn(&Told) -> bool,
        is_over: impl Fn() -> bool,
    ) -> Result<(), CheckpointError> {
        let mut left = self.maintenance.worker_count();
        while left > 0 {
            match self.told.recv_timeout(STOP_INTERVAL) {
                Ok(told) if awaited(&told) => left -= 1,
                Ok(Told::Block(block)) => self.write(block)?,
                Ok(Told::Not(view, reason)) => {
                    if self.parts.remove(&view).is_some() {
                        self.not.push(view);
                        let view = view.0;
                        tracing::debug!(view, reason, "checkpoints do not keep a view");
                    }
                }
                Ok(Told::Ready | Told::Cut) => {}
                Err(RecvTimeoutError::Timeout) if !is_over() => {}
                Err(_) => return Err(CheckpointError::Stopped),
            }
        }
        Ok(())
    }

    fn write(&mut self, block: Block) -> Result<(), CheckpointError> {
        self.run.waiting.fetch_sub(block.bytes.len(), Ordering::Relaxed);
        if let Some(part) = self.parts.get_mut(&block.view)
            && !block.bytes.is_empty()
        {
            let place = ((self.folder, self.sync), self.number, block.view);
            part.write(place, block.section, &block.bytes, block.records)?;
        }
        Ok(())
    }

    /// Writes the view's rows, or what has come and gone among them.
    fn write_output(
        &self,
        view: CollectionId,
        part: &mut Part,
        cut: &CutView,
    ) -> Result<(), CheckpointError> {
        let place = ((self.folder, self.sync), self.number, view);
        let known = cut.since.as_ref().map(|since| since.at);
        // What went since is not known any more if the past was given up.
        let since = known.filter(|since| cut.relation.check_readable(*since).is_ok());
        let unchanged = known == Some(cut.at.at) && part.writer.is_none();
        if unchanged {
            return Ok(());
        }
        for worker in 0..cut.relation.shard_count() {
            cut.relation.keep(worker, since, cut.at.at, |family, bytes, records| {
                let section = Section { worker: worker as u32, place: OUTPUT, family };
                part.write(place, section, &bytes, records)
            })?;
        }
        if since.is_none()
            && let Some(writer) = &mut part.writer
        {
            writer.part.all_output = true;
        }
        Ok(())
    }
}

impl Part {
    fn write(
        &mut self,
        (folder, number, view): ((&Path, bool), u64, CollectionId),
        section: Section,
        bytes: &[u8],
        records: u64,
    ) -> Result<(), CheckpointError> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(PartWriter::create(folder, number, view)?),
        };
        self.records += records;
        Ok(writer.write(section, bytes)?)
    }
}

/// For [`Maintenance::cut_checkpoint`]: since when changes are wanted, by view.
pub(crate) type Since = BTreeMap<CollectionId, Option<u64>>;
