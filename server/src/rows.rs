//! Rows: a result on its way to the client, pulled a piece at a time.
//!
//! Law      No more than a few batches of a result are in memory at once, however slowly the client
//!          reads; the snapshot it reads stays registered until the last row is out or it is
//!          dropped.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use futures::stream::BoxStream;
use tidemark_engine::ReadGuard;
use tidemark_sql::error::SqlError;

use crate::cancel::Cancel;
use crate::panic;

/// A result: columns, rows still to come, and how the command is called when it is over.
pub struct Rows {
    pub schema: SchemaRef,
    /// Behind a lock that is never contended, as a session is shared between threads while it waits
    /// and streams can't be.
    batches: Mutex<BoxStream<'static, Result<RecordBatch, SqlError>>>,
    current: Option<RecordBatch>,
    /// Each batch is to be sent at once: it may be long until the next.
    pub is_live: bool,
    pub tag: RowsTag,
}

/// The command tag of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowsTag {
    /// The word and the number of rows: `SELECT 3`.
    Counted(&'static str),
    /// Known beforehand: `INSERT 0 2`, `SHOW`.
    Fixed(String),
}

impl Rows {
    /// The rows of a query, with the column names the client sees; `guard` keeps its snapshot.
    pub fn stream(
        schema: SchemaRef,
        stream: SendableRecordBatchStream,
        guard: Arc<ReadGuard>,
    ) -> Rows {
        let batches = stream.map(move |batch| {
            let _keeps = &guard;
            batch.map_err(SqlError::from)
        });
        Rows::new(schema, batches.boxed(), RowsTag::Counted("SELECT"))
    }

    /// Rows that come as something happens.
    pub fn live(
        schema: SchemaRef,
        batches: BoxStream<'static, Result<RecordBatch, SqlError>>,
    ) -> Rows {
        Rows { is_live: true, ..Rows::new(schema, batches, RowsTag::Counted("SUBSCRIBE")) }
    }

    /// Rows that are already there.
    pub fn ready(schema: SchemaRef, batches: Vec<RecordBatch>, tag: RowsTag) -> Rows {
        Rows::new(schema, futures::stream::iter(batches.into_iter().map(Ok)).boxed(), tag)
    }

    fn new(
        schema: SchemaRef,
        batches: BoxStream<'static, Result<RecordBatch, SqlError>>,
        tag: RowsTag,
    ) -> Rows {
        Rows { schema, batches: Mutex::new(batches), current: None, is_live: false, tag }
    }

    /// The next rows, at least one and at most `rows_max`; `None` at the end.
    pub async fn next(
        &mut self,
        rows_max: usize,
        cancel: &Cancel,
    ) -> Result<Option<RecordBatch>, SqlError> {
        let Some(batch) = self.fill(cancel).await? else {
            return Ok(None);
        };
        let taken = batch.num_rows().min(rows_max);
        if taken < batch.num_rows() {
            self.current = Some(batch.slice(taken, batch.num_rows() - taken));
        }
        Ok(Some(batch.slice(0, taken)))
    }

    /// Whether there is another row; looks ahead as far as it must.
    pub async fn has_more(&mut self, cancel: &Cancel) -> Result<bool, SqlError> {
        self.current = self.fill(cancel).await?;
        Ok(self.current.is_some())
    }

    async fn fill(&mut self, cancel: &Cancel) -> Result<Option<RecordBatch>, SqlError> {
        // A stream that never has to wait would never look.
        cancel.check()?;
        if let Some(batch) = self.current.take() {
            return Ok(Some(batch));
        }
        loop {
            let batches = self.batches.get_mut().unwrap_or_else(PoisonError::into_inner);
            let next = panic::contain_future(batches.next());
            let next = cancel.guard(next).await?.map_err(SqlError::internal)?;
            match next.transpose()? {
                Some(batch) if batch.num_rows() == 0 => continue,
                batch => return Ok(batch),
            }
        }
    }

    /// What CommandComplete says when the last `sent` rows are out.
    pub fn complete_tag(&self, sent: usize) -> String {
        match &self.tag {
            RowsTag::Counted(word) => format!("{word} {sent}"),
            RowsTag::Fixed(tag) => tag.clone(),
        }
    }
}
