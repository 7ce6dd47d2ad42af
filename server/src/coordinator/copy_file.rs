//! COPY from and to files on the server.
//!
//! Law      a COPY FROM loads all rows or none; a COPY TO leaves a whole file or none, as it writes
//!          beside it and renames
//! Errors   58P01 and 58030 with the file's name; of its content with file and line, or row

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{Field, Schema};
use bytes::{Buf, BytesMut};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::errors::ParquetError;
use datafusion::sql::sqlparser::ast::Ident;
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::parse::{Copy, CopyDirection, CopyFormat, CopySource};
use tidemark_sql::text_io::OutputSettings;

use super::copy::{self, CopyIn};
use super::{Outcome, copy::rows_out};
use crate::cancel::Cancel;
use crate::copy::{Options, Reader, Writer};
use crate::rows::Rows;
use crate::session::Session;
use crate::wire;

/// Read at once.
const PIECE_BYTES: usize = 1 << 20;
const BATCH_ROWS: usize = 64 * 1024;

pub async fn run(
    session: &mut Session,
    copy: &Copy,
    file: &str,
    options: Options,
) -> Result<Outcome, SqlError> {
    let path = Path::new(file);
    let count = match (copy.direction, &copy.source) {
        (CopyDirection::FromStdin, _) => read(session, copy, path, options).await?,
        (CopyDirection::ToStdout, CopySource::Subscribe(_)) => {
            let message = "COPY of a SUBSCRIBE goes to STDOUT only";
            return Err(SqlError::unsupported(message)
                .with_detail("A file is there when it is whole, and a subscription never ends."));
        }
        (CopyDirection::ToStdout, _) => write(session, copy, path, &options).await?,
    };
    Ok(Outcome::Done(format!("COPY {count}")))
}

async fn read(
    session: &mut Session,
    copy: &Copy,
    path: &Path,
    options: Options,
) -> Result<u64, SqlError> {
    let CopySource::Table { name, columns } = &copy.source else {
        return Err(SqlError::syntax("COPY FROM needs a table"));
    };
    let file = File::open(path).map_err(|error| file_error("open", path, &error))?;
    let mut into;
    if copy.format == CopyFormat::Parquet {
        let opened = ParquetRecordBatchReaderBuilder::try_new(file);
        let builder = opened.map_err(|error| parquet_error(path, &error))?;
        let in_file = builder.schema().fields().iter();
        let names: Vec<Ident> = match &columns[..] {
            [] => in_file.map(|field| Ident::with_quote('"', field.name())).collect(),
            columns => columns.to_vec(),
        };
        into = copy::start_in(session, copy, name, &names, options).await?;
        let batches = builder.with_batch_size(BATCH_ROWS).build();
        let batches = batches.map_err(|error| parquet_error(path, &error))?;
        let mut rows = 0;
        for batch in batches {
            session.cancel.check()?;
            let batch = conform(&into, &batch?, path)?;
            let lines: Vec<u64> = (rows + 1..=rows + batch.num_rows() as u64).collect();
            rows += batch.num_rows() as u64;
            into.add(&batch, &lines).map_err(|bad| {
                let place = format!("{}, row {}", path.display(), lines[bad.row]);
                bad.error.with_context(place)
            })?;
            tokio::task::yield_now().await;
        }
    } else {
        into = copy::start_in(session, copy, name, columns, options).await?;
        read_text(&mut into, file, path, &session.cancel.clone()).await?;
    }
    into.finish(session).await
}

async fn read_text(
    into: &mut CopyIn,
    mut file: File,
    path: &Path,
    cancel: &Cancel,
) -> Result<(), SqlError> {
    let input = wire::input_settings();
    let columns = into.columns.all.clone();
    let mut reader = Reader::new(into.table_name(), columns, &into.options, &input)?;
    let mut piece = vec![0; PIECE_BYTES];
    let in_file = |error: SqlError| {
        let context = error.context.clone().unwrap_or_default();
        error.with_context(format!("{}: {context}", path.display()))
    };
    loop {
        cancel.check()?;
        let bytes = file.read(&mut piece).map_err(|error| file_error("read", path, &error))?;
        let read = if bytes == 0 { reader.finish() } else { reader.feed(&piece[..bytes]) };
        into.add_read(&reader, read.map_err(in_file)?).map_err(in_file)?;
        if bytes == 0 {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

/// A file's columns by name, in the order and of the types of the data.
fn conform(into: &CopyIn, batch: &RecordBatch, path: &Path) -> Result<RecordBatch, SqlError> {
    let checked = CastOptions { safe: false, ..CastOptions::default() };
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for column in &into.columns.all {
        let name = &column.name;
        let found = batch.column_by_name(name).ok_or_else(|| {
            let message = format!("file \"{}\" has no column \"{name}\"", path.display());
            SqlError::new(state::UNDEFINED_COLUMN, message)
        })?;
        let ty = column.ty.to_arrow(column.typmod);
        let cast = cast_with_options(found, &ty, &checked).map_err(|error| {
            let message = format!("column \"{name}\" of file \"{}\" does not fit", path.display());
            SqlError::new(state::DATATYPE_MISMATCH, message).with_detail(format!("{error}."))
        })?;
        fields.push(Field::new(name, ty, true));
        columns.push(cast);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
}

/// A file that is not there yet under its name; goes away unless it is kept.
struct Unfinished {
    path: PathBuf,
    is_kept: bool,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_kept {
            // It may not even be there.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

async fn write(
    session: &mut Session,
    copy: &Copy,
    path: &Path,
    options: &Options,
) -> Result<u64, SqlError> {
    let rows = rows_out(session, copy).await?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.unfinished", session.process_id));
    let mut unfinished = Unfinished { path: PathBuf::from(name), is_kept: false };
    let failed = |error: &std::io::Error| file_error("write", path, error);
    let mut file = File::create(&unfinished.path).map_err(|error| failed(&error))?;
    let cancel = session.cancel.clone();
    let count = match copy.format {
        CopyFormat::Parquet => write_parquet(rows, &mut file, path, &cancel).await?,
        _ => write_text(rows, options, &mut file, path, &cancel).await?,
    };
    file.sync_all().map_err(|error| failed(&error))?;
    std::fs::rename(&unfinished.path, path).map_err(|error| failed(&error))?;
    unfinished.is_kept = true;
    Ok(count)
}

async fn write_parquet(
    mut rows: Rows,
    file: &mut File,
    path: &Path,
    cancel: &Cancel,
) -> Result<u64, SqlError> {
    let schema = Arc::clone(&rows.schema);
    let failed = |error: ParquetError| parquet_error(path, &error);
    let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), None).map_err(failed)?;
    let mut count = 0;
    while let Some(batch) = rows.next(usize::MAX, cancel).await? {
        count += batch.num_rows() as u64;
        let batch = RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec())?;
        writer.write(&batch).map_err(failed)?;
    }
    writer.close().map_err(failed)?;
    Ok(count)
}

async fn write_text(
    mut rows: Rows,
    options: &Options,
    file: &mut File,
    path: &Path,
    cancel: &Cancel,
) -> Result<u64, SqlError> {
    let settings = OutputSettings::default();
    let mut writer = Writer::new(&rows.schema, options, &settings)?;
    let mut messages = BytesMut::new();
    let mut put = |messages: &mut BytesMut| {
        let result = file.write_all(&unframed(messages));
        result.map_err(|error| file_error("write", path, &error))
    };
    writer.begin(&mut messages);
    while let Some(batch) = rows.next(usize::MAX, cancel).await? {
        let mut batch = writer.batch(&batch)?;
        while batch.write(&mut messages) {
            if messages.len() >= PIECE_BYTES {
                put(&mut messages)?;
            }
        }
    }
    writer.end(&mut messages);
    put(&mut messages)?;
    Ok(writer.count)
}

/// What CopyData messages carry: each has its kind, its length in four bytes, and data.
fn unframed(messages: &mut BytesMut) -> Vec<u8> {
    let mut data = Vec::with_capacity(messages.len());
    while messages.has_remaining() {
        messages.advance(1);
        let length = messages.get_u32() as usize - 4;
        data.extend_from_slice(&messages.split_to(length));
    }
    data
}

fn file_error(what: &str, path: &Path, error: &std::io::Error) -> SqlError {
    let code = match error.kind() {
        std::io::ErrorKind::NotFound => "58P01",
        std::io::ErrorKind::PermissionDenied => state::INSUFFICIENT_PRIVILEGE,
        _ => "58030",
    };
    SqlError::new(code, format!("could not {what} file \"{}\": {error}", path.display()))
}

fn parquet_error(path: &Path, error: &ParquetError) -> SqlError {
    let message = format!("file \"{}\" is no Parquet that can be taken", path.display());
    SqlError::new(state::BAD_COPY_FILE_FORMAT, message).with_detail(format!("{error}."))
}
