//! Restoring: a view's kept state, back into operators that were just made.
//!
//! Law: of each record the last copy counts, so the parts are read from the last block to the
//! first, and what was seen is passed over.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::copying::Operators;
use super::manifest::KeptView;
use super::part::{OUTPUT, Part, PartError, Section, read_records};
use super::record::Cursor;
use crate::store::KeptRows;
use crate::time::{CollectionId, Timestamp};

/// The state of a view as a checkpoint has it, found whole.
#[derive(Debug)]
pub(crate) struct Restorable {
    pub id: CollectionId,
    pub fingerprint: u64,
    /// Everything before it was seen.
    pub upper: u64,
    parts: Vec<Part>,
    /// The part that has all of the output.
    output_from: usize,
}

const BAD_RECORD: PartError = PartError::Damaged("a record is none of its operator's");

impl Restorable {
    /// Opens and checks the parts of a view.
    pub(super) fn open(folder: &Path, view: &KeptView) -> Result<Restorable, String> {
        let open = |part| {
            let opened = Part::open(folder, part, view.id);
            opened.map_err(|error| format!("{}: {error}", part.file))
        };
        let parts = view.parts.iter().map(open).collect::<Result<_, _>>()?;
        let output_from = view.parts.iter().rposition(|part| part.all_output).unwrap_or(0);
        let KeptView { id, fingerprint, upper, .. } = *view;
        Ok(Restorable { id, fingerprint, upper, parts, output_from })
    }

    /// The last time that it has seen.
    pub fn at(&self) -> Timestamp {
        Timestamp(self.upper - 1)
    }

    /// Gives a worker's operators their records.
    pub fn restore(&self, worker: usize, operators: &Operators) -> Result<(), PartError> {
        let mut seen: HashMap<Section, Vec<u64>> = HashMap::new();
        let places: HashMap<u32, usize> = (0..)
            .zip(operators)
            .filter_map(|(number, operator)| Some((operator.borrow().place()? as u32, number)))
            .collect();
        let mine = |section: &Section| section.worker as usize == worker && section.place != OUTPUT;
        for part in self.parts.iter().rev() {
            part.read(mine, true, |section, bytes| {
                let number = places.get(&section.place).ok_or(BAD_RECORD)?;
                let mut operator = operators[*number].borrow_mut();
                let kept = operator.kept().ok_or(BAD_RECORD)?;
                let family = section.family as usize;
                if family >= kept.families() {
                    return Err(BAD_RECORD);
                }
                let seen = seen.entry(section).or_default();
                let read = read_records(bytes, |id, record| match (is_new(seen, id), record) {
                    (true, Some(record)) => kept.restore(family, id, &mut Cursor(record)),
                    _ => Some(()),
                });
                read.ok_or(BAD_RECORD)
            })?;
        }
        for operator in operators {
            let mut operator = operator.borrow_mut();
            operator.kept().ok_or(BAD_RECORD)?.restored().ok_or(BAD_RECORD)?;
        }
        Ok(())
    }

    /// Gives `each` a worker's rows of the output, those that came before others first, and says
    /// which id comes next.
    pub fn rows(
        &self,
        worker: usize,
        mut each: impl FnMut(KeptRows) -> Option<()>,
    ) -> Result<u64, PartError> {
        let family = |family: u32| {
            move |section: &Section| {
                *section == Section { worker: worker as u32, place: OUTPUT, family }
            }
        };
        let (mut gone, mut next) = (HashSet::new(), 0);
        let parts = &self.parts[self.output_from..];
        for part in parts {
            part.read(family(KeptRows::GONE), false, |_, bytes| {
                gone.extend(KeptRows::gone(bytes).ok_or(BAD_RECORD)?);
                Ok(())
            })?;
            part.read(family(KeptRows::NEXT), false, |_, bytes| {
                let bytes = bytes.try_into().map_err(|_| BAD_RECORD)?;
                next = next.max(u64::from_le_bytes(bytes));
                Ok(())
            })?;
        }
        for part in parts {
            part.read(family(KeptRows::CAME), false, |_, bytes| {
                let rows = KeptRows::came(bytes, &gone).ok_or(BAD_RECORD)?;
                each(rows).ok_or(BAD_RECORD)
            })?;
        }
        Ok(next)
    }
}

/// Whether an id was not there before.
fn is_new(seen: &mut Vec<u64>, id: u32) -> bool {
    let (word, bit) = (id as usize / 64, 1 << (id % 64));
    if word >= seen.len() {
        seen.resize(word + 1, 0);
    }
    let before = seen[word];
    seen[word] |= bit;
    before & bit == 0
}
