//! The sink: a view's changes into its output store, and to the views that read it.

use std::cell::RefCell;
use std::rc::Rc;

use super::source::Export;
use crate::checkpoint::record::Kept;
use crate::expression::RowError;
use crate::operator::{Operator, StepContext};
use crate::state::consolidate::cancelled;
use crate::store::Writer;
use crate::updates::Updates;

/// What runs at the end of a view's dataflow on one worker: it writes that worker's shard.
pub(crate) struct Sink {
    pub writer: Writer,
    pub export: Rc<RefCell<Export>>,
}

/// Its rows are kept as those of a relation are.
impl Kept for Sink {}

impl Operator for Sink {
    fn step(&mut self, context: &StepContext<'_>, inputs: Vec<Updates>) -> Updates {
        let [input] = <[Updates; 1]>::try_from(inputs).expect("one input");
        let updates = cancelled(input);
        if !updates.is_empty() {
            if let Some(extra) = self.writer.apply(&updates) {
                let message = "a row was retracted that was not there";
                let errors = (0..extra.len() as u32).map(|row| RowError::new(row, message));
                context.report_rows("Sink", &extra, &errors.collect::<Vec<_>>());
            }
            self.export.borrow().push(&updates);
        }
        Updates::empty(updates.schema())
    }

    fn takes_parts(&self, _input: usize) -> bool {
        true
    }

    fn kept(&mut self) -> Option<&mut dyn Kept> {
        Some(self)
    }
}
