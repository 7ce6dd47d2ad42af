//! Sealed files read back.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{Int64Type, SchemaRef, TimestampMicrosecondType, UInt64Type};
use bytes::Bytes;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::columns::restored;
use super::{Depot, SealedError, SealedSegment};
use crate::log::{LogError, Replay, segment};

/// Changes read at once.
const PIECE_ROWS: usize = 64 * 1024;

/// Rows of a table that came and went, in order of time.
#[derive(Clone, Debug)]
pub struct Changes {
    /// When each came or went.
    pub times: ScalarBuffer<u64>,
    /// 1: it came, -1: it went.
    pub diffs: ScalarBuffer<i64>,
    pub ids: ScalarBuffer<u64>,
    pub rows: RecordBatch,
}

/// Gives what a table's file says to `each`, piece by piece. `schema`: the table's columns then.
pub fn read_changes(
    bytes: Bytes,
    schema: &SchemaRef,
    each: &mut dyn FnMut(Changes) -> Result<(), String>,
) -> Result<(), String> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| e.to_string())?;
    let reader = builder.with_batch_size(PIECE_ROWS).build().map_err(|e| e.to_string())?;
    for batch in reader {
        each(changes_of(&batch.map_err(|error| error.to_string())?, schema)?)?;
    }
    Ok(())
}

fn changes_of(batch: &RecordBatch, schema: &SchemaRef) -> Result<Changes, String> {
    let columns = batch.columns();
    if columns.len() != schema.fields().len() + 3 {
        return Err("it has other columns than the table".to_owned());
    }
    let times = columns[0].as_primitive_opt::<TimestampMicrosecondType>();
    let diffs = columns[1].as_primitive_opt::<Int64Type>();
    let ids = columns[2].as_primitive_opt::<UInt64Type>();
    let (Some(times), Some(diffs), Some(ids)) = (times, diffs, ids) else {
        return Err("its first columns are no times, diffs and ids".to_owned());
    };
    let rows = columns[3..].iter().zip(schema.fields());
    let rows = rows.map(|(column, field)| restored(column, field.data_type()));
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let rows = RecordBatch::try_new_with_options(Arc::clone(schema), rows, &options);
    Ok(Changes {
        times: ScalarBuffer::from(times.values().inner().clone()),
        diffs: diffs.values().clone(),
        ids: ids.values().clone(),
        rows: rows.map_err(|error| error.to_string())?,
    })
}

/// Gives the records of a segment, without rows, to `each`.
pub fn read_ddl(
    depot: &Depot,
    segment: &SealedSegment,
    bytes: &[u8],
    each: &mut dyn FnMut(Replay<'_>) -> Result<(), String>,
) -> Result<(), SealedError> {
    let file = &segment.ddl.path;
    let mut read = || {
        let salt = segment::read_header(bytes, segment.number, 0, file)?;
        segment::replay(bytes, salt, file, each)
    };
    read().map_err(|error: LogError| match error {
        LogError::Version { found, known, .. } => {
            let place = depot.place().to_owned();
            SealedError::Version { place, file: file.clone(), found, known }
        }
        LogError::Damaged { reason, .. } => depot.damaged(&segment.ddl, reason),
        error => SealedError::Log(error),
    })
}
