//! COPY: rows of a client into a table, rows of a table, view or query out to a client.
//!
//! Law      A COPY into a table is one statement: all rows or none. By itself it holds no lock
//!          while the client sends; in a transaction it locks the table as any write does.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use datafusion::sql::sqlparser::ast::{self, Ident, ObjectName};
use tidemark_catalog::{Object, ObjectKind};
use tidemark_engine::{Change, CollectionId, TableWrite};
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::parse::{Copy, CopyDirection, CopySource};
use tidemark_sql::{PlanContext, ReadView, Statement, ddl};

use super::{Outcome, dml, quarantine, query};
use crate::copy::{Column, Options};
use crate::lock::{LockSet, Mode, Target};
use crate::rows::Rows;
use crate::session::Session;
use crate::transaction::acquire;

/// A COPY that wants the client's rows.
pub struct CopyIn {
    pub table: Object,
    /// Indexes of the table's columns, in the order of the client's.
    pub columns: Vec<usize>,
    pub options: Options,
    ctx: PlanContext,
    /// What `now()` is in defaults.
    read: ReadView,
    rows: Vec<RecordBatch>,
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
    let options = Options::new(&copy.format, copy.direction)?;
    match (&copy.source, copy.direction) {
        (CopySource::Table { name, columns }, CopyDirection::FromStdin) => {
            let copy_in = start_in(session, name, columns, options).await?;
            Ok(Outcome::CopyIn(Box::new(copy_in)))
        }
        (CopySource::Table { name, columns }, CopyDirection::ToStdout) => {
            let ctx = session.plan_context();
            check_readable(&ctx, name)?;
            let names = columns.iter().map(ToString::to_string).collect::<Vec<_>>();
            let names = if names.is_empty() { "*".to_owned() } else { names.join(", ") };
            let mut statements = tidemark_sql::parse(&format!("SELECT {names} FROM {name}"))?;
            let Some(Statement::Query(query)) = statements.pop().map(|parsed| parsed.statement)
            else {
                return Err(SqlError::internal("COPY of something that is no query"));
            };
            start_out(session, &query, options).await
        }
        (CopySource::Query(query), CopyDirection::ToStdout) => {
            start_out(session, query, options).await
        }
        (CopySource::Query(_), CopyDirection::FromStdin) => {
            Err(SqlError::syntax("COPY FROM needs a table"))
        }
    }
}

async fn start_in(
    session: &mut Session,
    name: &ObjectName,
    columns: &[Ident],
    options: Options,
) -> Result<CopyIn, SqlError> {
    let ctx = session.plan_context();
    let table = ddl::resolve(&ctx, name)?.ok_or_else(|| SqlError::undefined_table(name))?.clone();
    if table.table().is_none() {
        let message = format!("cannot copy to {} \"{}\"", table.kind.noun(), table.name);
        return Err(SqlError::new(state::WRONG_OBJECT_TYPE, message));
    }
    let columns = column_indexes(&table, columns)?;
    if session.in_block() {
        dml::lock_for_write(session, &[table.id]).await?;
    }
    let ctx = session.plan_context();
    let (read, _guard) = query::read_view(session, &[table.id]);
    Ok(CopyIn { table, columns, options, ctx, read, rows: Vec::new() })
}

fn column_indexes(table: &Object, columns: &[Ident]) -> Result<Vec<usize>, SqlError> {
    if columns.is_empty() {
        return Ok((0..table.columns().len()).collect());
    }
    let mut indexes = Vec::with_capacity(columns.len());
    for column in columns {
        let name = match column.quote_style {
            Some(_) => column.value.clone(),
            None => column.value.to_lowercase(),
        };
        let index = table.column(&name).ok_or_else(|| {
            let relation = &table.name;
            let message = format!("column \"{name}\" of relation \"{relation}\" does not exist");
            SqlError::new(state::UNDEFINED_COLUMN, message)
        })?;
        if indexes.contains(&index) {
            let message = format!("column \"{name}\" specified more than once");
            return Err(SqlError::new(state::DUPLICATE_COLUMN, message));
        }
        indexes.push(index);
    }
    Ok(indexes)
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

async fn start_out(
    session: &mut Session,
    query: &ast::Query,
    options: Options,
) -> Result<Outcome, SqlError> {
    let ctx = session.plan_context();
    let plan = query::plan(&ctx, query, Vec::new())?;
    let rows = query::rows(session, &ctx, &plan, Vec::new()).await?;
    Ok(Outcome::CopyOut(Box::new(CopyOut { rows, options })))
}

impl CopyIn {
    /// The columns that the client sends.
    pub fn column_types(&self) -> Vec<Column> {
        let columns = self.columns.iter().map(|index| &self.table.columns()[*index]);
        columns
            .map(|column| Column {
                name: column.name.clone(),
                ty: column.ty,
                typmod: column.typmod,
            })
            .collect()
    }

    /// Takes rows that were read. An error says which of them is at fault.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<(), Box<RowError>> {
        let complete = |batch: &RecordBatch| {
            tidemark_sql::insert_rows(&self.ctx, &self.table, &self.columns, batch, &self.read)
        };
        match complete(batch) {
            Ok(rows) => {
                self.rows.push(rows);
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
        let coordinator = Arc::clone(&session.coordinator);
        let locks = LockSet::new(&coordinator.locks);
        acquire(&locks, Target::Table(self.table.id), Mode::Shared, &session.cancel).await?;
        if coordinator.catalog().get(self.table.id) != Some(&self.table) {
            let message = format!("relation \"{}\" was changed during the COPY", self.table.name);
            return Err(SqlError::new(state::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
        }
        let change = Change { writes: vec![write.clone()], ..Change::default() };
        let committed = coordinator.submit(move |_| Ok(change)).await;
        let at =
            committed.map_err(|error| tidemark_sql::commit_error(&self.ctx, error, &[write]))?;
        drop(locks);
        quarantine::tell(session, at, &[table]).await;
        Ok(count)
    }
}
