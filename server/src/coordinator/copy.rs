//! COPY: rows of a client into a table, rows of a table, view or query out to a client.
//!
//! Law      A COPY into a table is one statement: all rows or none. By itself it holds no lock
//!          while the client sends; in a transaction it locks the table as any write does.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::error::ArrowError;
use datafusion::sql::sqlparser::ast::{self, Ident, ObjectName};
use tidemark_catalog::{Object, ObjectKind};
use tidemark_engine::{
    Change, CollectionId, CommitError, LoadError, LoadPart, TableLoad, TableWrite,
};
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::parse::{Copy, CopyDirection, CopySource};
use tidemark_sql::{PlanContext, ReadView, Statement, ddl};

use super::data_columns::DataColumns;
use super::{Outcome, copy_file, dml, quarantine, query, subscribe};
use crate::copy::{Options, Reader, Rows as Read};
use crate::lock::{LockSet, Mode, Target};
use crate::rows::Rows;
use crate::session::{Notice, Session};
use crate::transaction::acquire;

/// A COPY into a table on its way.
pub struct CopyIn {
    table: Object,
    pub columns: DataColumns,
    pub options: Options,
    ctx: PlanContext,
    /// What `now()` is in defaults.
    read: ReadView,
    rows: Vec<RecordBatch>,
    /// Instead of rows, where they have arrival times of their own.
    parts: Vec<LoadPart>,
    /// The line of each of their rows.
    lines: Vec<u64>,
}

/// What is wrong with one row of a batch.
pub struct RowError {
    /// Counted in the batch, from 0.
    pub row: usize,
    pub error: SqlError,
}

/// A COPY that gives rows.
pub struct CopyOut {
    pub rows: Rows,
    pub options: Options,
}

pub async fn run(session: &mut Session, copy: &Copy) -> Result<Outcome, SqlError> {
    let mut options = Options::new(&copy.format, copy.direction)?;
    options.names_columns =
        matches!(&copy.source, CopySource::Table { columns, .. } if !columns.is_empty());
    if let Some(file) = &copy.file {
        return copy_file::run(session, copy, file, options).await;
    }
    match (&copy.source, copy.direction) {
        (CopySource::Table { name, columns }, CopyDirection::FromStdin) => {
            let copy_in = start_in(session, copy, name, columns, options).await?;
            Ok(Outcome::CopyIn(Box::new(copy_in)))
        }
        (_, CopyDirection::ToStdout) => {
            let rows = rows_out(session, copy).await?;
            Ok(Outcome::CopyOut(Box::new(CopyOut { rows, options })))
        }
        (CopySource::Query(_) | CopySource::Subscribe(_), CopyDirection::FromStdin) => {
            Err(SqlError::syntax("COPY FROM needs a table"))
        }
    }
}

/// The rows that a COPY gives.
pub async fn rows_out(session: &mut Session, copy: &Copy) -> Result<Rows, SqlError> {
    match &copy.source {
        CopySource::Table { name, columns } => {
            let ctx = session.plan_context();
            check_readable(&ctx, name)?;
            let names = columns.iter().map(ToString::to_string).collect::<Vec<_>>();
            let names = if names.is_empty() { "*".to_owned() } else { names.join(", ") };
            let mut statements = tidemark_sql::parse(&format!("SELECT {names} FROM {name}"))?;
            let Some(Statement::Query(query)) = statements.pop().map(|parsed| parsed.statement)
            else {
                return Err(SqlError::internal("COPY of something that is no query"));
            };
            query_out(session, &query).await
        }
        CopySource::Query(query) => query_out(session, query).await,
        CopySource::Subscribe(subscribe) => {
            let subscription = subscribe::start(session, subscribe).await?;
            let schema = Arc::clone(&subscription.schema);
            Ok(Rows::live(schema, subscription.into_stream()))
        }
    }
}

/// Begins a COPY into a table; `names` are the columns of the data, none: all of the table's.
pub async fn start_in(
    session: &mut Session,
    copy: &Copy,
    name: &ObjectName,
    names: &[Ident],
    options: Options,
) -> Result<CopyIn, SqlError> {
    let ctx = session.plan_context();
    let table = ddl::resolve(&ctx, name)?.ok_or_else(|| SqlError::undefined_table(name))?.clone();
    if table.table().is_none() {
        let message = format!("cannot copy to {} \"{}\"", table.kind.noun(), table.name);
        return Err(SqlError::new(state::WRONG_OBJECT_TYPE, message));
    }
    if table.table().is_some_and(|table| table.source.is_some()) {
        // Says whose rows they are.
        ddl::resolve_table(&ctx, name)?;
    }
    let columns = DataColumns::new(&table, names, copy)?;
    if columns.past.is_some() {
        check_open(session, &table)?;
    }
    if session.in_block() {
        dml::lock_for_write(session, &[table.id]).await?;
    }
    let ctx = session.plan_context();
    let (read, _guard) = query::read_view(session, &[table.id]);
    let (rows, parts, lines) = (Vec::new(), Vec::new(), Vec::new());
    Ok(CopyIn { table, columns, options, ctx, read, rows, parts, lines })
}

/// S20: only a table whose past is open takes rows with arrival times of their own.
fn check_open(session: &mut Session, table: &Object) -> Result<(), SqlError> {
    if session.in_block() {
        let message = "COPY with ARRIVAL_TIME cannot run inside a transaction block";
        return Err(SqlError::new(state::ACTIVE_SQL_TRANSACTION, message));
    }
    let relation = session.coordinator.engine.relation(CollectionId(table.id.0));
    if !relation.is_some_and(|relation| relation.is_open()) {
        return Err(past_closed(&table.name));
    }
    let keepers = session.coordinator.engine.keepers_of_versions(CollectionId(table.id.0));
    let ctx = session.plan_context();
    if let Some(view) = keepers.into_iter().find_map(|view| ctx.of_collection(view)) {
        let (name, view) = (&table.name, &view.name);
        let message = format!("the past of table \"{name}\" cannot be loaded any more");
        return Err(SqlError::new(state::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
            .with_detail(format!("View \"{view}\" joins the table as of times of the past."))
            .with_hint("Load the table before the view is created."));
    }
    let name = &table.name;
    let message = format!("the past of table \"{name}\" is open: answers over it are provisional");
    let hint = "Its first ordinary commit closes it, or ALTER TABLE … CLOSE HISTORY.";
    let notice = Notice::note(state::SUCCESSFUL_COMPLETION, message);
    session.notice(Notice { hint: Some(hint.to_owned()), ..notice });
    Ok(())
}

fn past_closed(table: &str) -> SqlError {
    let message = format!("the past of table \"{table}\" is closed");
    SqlError::new(state::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
        .with_detail("ARRIVAL_TIME is for tables that nothing else was written to.")
        .with_hint("Load old rows before the first ordinary INSERT, or into a new table.")
}

fn check_readable(ctx: &PlanContext, name: &ObjectName) -> Result<(), SqlError> {
    match ddl::resolve(ctx, name)? {
        Some(Object { kind: ObjectKind::View(_), name, .. }) => {
            let message = format!("cannot copy from view \"{name}\"");
            Err(SqlError::new(state::WRONG_OBJECT_TYPE, message)
                .with_hint("Try the COPY (SELECT ...) TO variant."))
        }
        _ => Ok(()),
    }
}

async fn query_out(session: &mut Session, query: &ast::Query) -> Result<Rows, SqlError> {
    let ctx = session.plan_context();
    let plan = query::plan(&ctx, query, Vec::new())?;
    query::rows(session, &ctx, &plan, Vec::new()).await
}

impl CopyIn {
    pub fn table_name(&self) -> &str {
        &self.table.name
    }

    /// Takes rows that `reader` has read.
    pub fn add_read(&mut self, reader: &Reader, read: Vec<Read>) -> Result<(), SqlError> {
        for rows in read {
            self.add(&rows.batch, &rows.lines)
                .map_err(|bad| bad.error.with_context(reader.context(rows.lines[bad.row])))?;
        }
        Ok(())
    }

    /// Takes rows in the columns of the data. An error says which of them is at fault.
    pub fn add(&mut self, data: &RecordBatch, lines: &[u64]) -> Result<(), Box<RowError>> {
        let internal = |error: ArrowError| RowError { row: 0, error: error.into() };
        let batch = &data.project(&self.columns.places).map_err(internal)?;
        let complete = |batch: &RecordBatch| {
            let columns = &self.columns.indexes;
            tidemark_sql::insert_rows(&self.ctx, &self.table, columns, batch, &self.read)
        };
        match complete(batch) {
            Ok(rows) => {
                match self.columns.past {
                    Some(past) => {
                        self.parts.push(past.part(rows, data));
                        self.lines.extend_from_slice(lines);
                    }
                    None => self.rows.push(rows),
                }
                Ok(())
            }
            Err(error) => {
                // The longest faultless beginning, by halving.
                let (mut good, mut bad) = (0, batch.num_rows());
                while bad - good > 1 {
                    let middle = (good + bad) / 2;
                    match complete(&batch.slice(good, middle - good)) {
                        Ok(_) => good = middle,
                        Err(_) => bad = middle,
                    }
                }
                let error = complete(&batch.slice(good, 1)).err().unwrap_or(error);
                Err(Box::new(RowError { row: good, error }))
            }
        }
    }

    /// Writes all rows; the number of them. `session` is in the same transaction as at the start.
    pub async fn finish(self, session: &mut Session) -> Result<u64, SqlError> {
        if self.columns.past.is_some() {
            return self.load(session).await;
        }
        let Some(first) = self.rows.first() else {
            return Ok(0);
        };
        let insert = concat_batches(&first.schema(), &self.rows)?;
        let count = insert.num_rows() as u64;
        let table = CollectionId(self.table.id.0);
        let write = TableWrite { table, delete: Vec::new(), insert };
        if session.in_block() {
            let (read, _guard) = query::read_view(session, &[]);
            tidemark_sql::check_unique(&self.ctx, &self.table, &write.insert, &[], &read)?;
            session.open_transaction()?.stage_writes(&[write]);
            return Ok(count);
        }
        let locks = self.lock(session).await?;
        let change = Change { writes: vec![write.clone()], ..Change::default() };
        let committed = session.coordinator.submit(change).await;
        let at =
            committed.map_err(|error| tidemark_sql::commit_error(&self.ctx, error, &[write]))?;
        drop(locks);
        session.committed(at);
        quarantine::tell(session, at, &[table]).await;
        Ok(count)
    }

    /// Holds off other changes of the table's definition.
    async fn lock(&self, session: &Session) -> Result<LockSet, SqlError> {
        let coordinator = &session.coordinator;
        let locks = LockSet::new(&coordinator.locks);
        acquire(&locks, Target::Table(self.table.id), Mode::Shared, &session.cancel).await?;
        if coordinator.catalog().get(self.table.id) != Some(&self.table) {
            let message = format!("relation \"{}\" was changed during the COPY", self.table.name);
            return Err(SqlError::new(state::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
        }
        Ok(locks)
    }

    /// Loads rows with arrival times of their own, all in one commit.
    async fn load(mut self, session: &mut Session) -> Result<u64, SqlError> {
        let locks = self.lock(session).await?;
        let table = CollectionId(self.table.id.0);
        let parts = std::mem::take(&mut self.parts);
        let append_only = self.table.table().is_some_and(|table| table.append_only);
        let loads = vec![TableLoad { table, parts, append_only }];
        let change = Change { loads, ..Change::default() };
        let committed = session.coordinator.submit(change).await;
        let at = committed.map_err(|error| match error {
            CommitError::Load { error, .. } => self.load_error(error),
            error => tidemark_sql::commit_error(&self.ctx, error, &[]),
        })?;
        drop(locks);
        session.committed(at);
        quarantine::tell(session, at, &[table]).await;
        Ok(self.lines.len() as u64)
    }

    fn load_error(&self, error: LoadError) -> SqlError {
        let row = match error {
            LoadError::Closed => return past_closed(&self.table.name),
            LoadError::Columns(_) => return SqlError::internal(error.to_string()),
            LoadError::NullTime { row }
            | LoadError::Falling { row, .. }
            | LoadError::Future { row, .. }
            | LoadError::BeforeEpoch { row }
            | LoadError::NoKey { row }
            | LoadError::Ends { row } => row,
        };
        let message = match error {
            LoadError::NullTime { .. } => "a row has no arrival time",
            LoadError::Falling { .. } => "arrival times fall",
            LoadError::Future { .. } => "a row arrives in the future",
            LoadError::BeforeEpoch { .. } => "a row arrived before 1970",
            LoadError::NoKey { .. } => "a row deletes its key, and the table has no primary key",
            LoadError::Ends { .. } => "a row ends an earlier one, and the table is append-only",
            LoadError::Closed | LoadError::Columns(_) => "the rows cannot be loaded",
        };
        let detail = match error {
            LoadError::Falling { time, before, .. } => {
                Some(format!("It arrived at {time}, the row before it at {before}."))
            }
            LoadError::Future { time, now, .. } => {
                Some(format!("It arrives at {time}; it is {now} now."))
            }
            _ => None,
        };
        let line = self.lines.get(row).copied().unwrap_or_default();
        let context = format!("COPY {}, line {line}", self.table.name);
        let error = SqlError::new(state::INVALID_PARAMETER_VALUE, message).with_context(context);
        SqlError { detail, ..error }
    }
}
