//! CREATE TABLE [IF NOT EXISTS], with columns or AS a query.
//!
//! The table is staged: this transaction's later statements see it through the overlay, everyone
//! else when the transaction commits. What a definition may contain is checked by `sql::ddl`.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast;
use tidemark_catalog::{Column, Object, ObjectId, ObjectKind, Op, PgType, Table};
use tidemark_engine::{CollectionId, TableDef, TableWrite};
use tidemark_sql::ddl::{self, TableDefinition};
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::maintain::pseudo_type;
use tidemark_sql::rewrite::bpchar::declared;
use tidemark_sql::{PlanContext, QueryPlan, WorkKind};

use super::create_source::stage_source;
use super::{Outcome, lock_catalog, query};
use crate::session::{Notice, Session};

pub async fn run(session: &mut Session, create: &ast::CreateTable) -> Result<Outcome, SqlError> {
    let ctx = lock_catalog(session).await?;
    let mut definition = ddl::define_table(&ctx, create)?;
    let tag = if definition.query.is_some() { "CREATE TABLE AS" } else { "CREATE TABLE" };
    if exists(session, &ctx, &definition.schema, &definition.name, definition.if_not_exists)? {
        return Outcome::done(tag);
    }
    for notice in std::mem::take(&mut definition.notices) {
        session.notice(notice);
    }
    let plan = match &definition.query {
        Some(query) => Some(query::plan(&ctx, query, Vec::new())?),
        None => None,
    };
    if let Some(plan) = &plan {
        definition.columns = columns_of(plan, &definition.columns)?;
        let mut names = definition.columns.iter().map(|column| column.name.as_str());
        names.try_for_each(ddl::check_no_system_column)?;
    }
    let (id, schema) = stage(session, &definition)?;
    let Some(plan) = plan else {
        return Outcome::done(tag);
    };
    let count = fill(session, &ctx, &plan, (&definition.name, id, schema)).await?;
    Ok(Outcome::Done(format!("SELECT {count}")))
}

/// True, with a NOTICE, if the name is taken and IF NOT EXISTS lets that pass; else 42P07.
pub fn exists(
    session: &mut Session,
    ctx: &PlanContext,
    schema: &str,
    name: &str,
    if_not_exists: bool,
) -> Result<bool, SqlError> {
    if ctx.catalog.lookup(Some(schema), name, &[]).is_none() {
        return Ok(false);
    }
    let message = format!("relation \"{name}\" already exists");
    if !if_not_exists {
        return Err(SqlError::new(state::DUPLICATE_TABLE, message));
    }
    session.notice(Notice::note(state::DUPLICATE_TABLE, format!("{message}, skipping")));
    Ok(true)
}

fn stage(
    session: &mut Session,
    definition: &TableDefinition,
) -> Result<(CollectionId, SchemaRef), SqlError> {
    let table = definition.table()?;
    let (id, schema) = stage_object(session, &definition.schema, &definition.name, table)?;
    if let Some(outside) = &definition.options.outside {
        let relations = outside.relations.iter().map(|(place, _)| (id, *place)).collect();
        stage_source(session, ObjectId(id.0), &outside.connector, relations, true)?;
    }
    Ok((id, schema))
}

/// Adds a table, which this transaction has the right to do.
pub fn stage_object(
    session: &mut Session,
    schema: &str,
    name: &str,
    table: Table,
) -> Result<(CollectionId, SchemaRef), SqlError> {
    let (retention, ttl) = (table.retention.map(Into::into), table.ttl.map(Into::into));
    // NOT NULL holds for what statements write; once the column is dropped nothing is written
    // there. A source's rows have the columns that it says.
    let nullable = table.source.is_none();
    let field = |column: &Column| match nullable {
        true => column.field().with_nullable(true),
        false => column.field(),
    };
    let fields: Vec<Field> = table.columns.iter().map(field).collect();
    let transaction = session.open_transaction()?;
    let id = transaction.staged.catalog.next_id();
    let (arrow, key) = (Arc::new(Schema::new(fields)), table.primary_key.clone());
    let object = Object::new(id, schema, name, ObjectKind::Table(table));
    transaction.stage(Op::CreateObject(object))?;
    let collection = CollectionId(id.0);
    let def = TableDef { retention, ttl, ..TableDef::new(collection, Arc::clone(&arrow), key) };
    transaction.staged.create_tables.push(def);
    Arc::make_mut(&mut transaction.staged.overlay).create_table(collection, Arc::clone(&arrow));
    Ok((collection, arrow))
}

/// The columns of a query's result, under the names given for the first of them.
pub fn columns_of(plan: &QueryPlan, named: &[Column]) -> Result<Vec<Column>, SqlError> {
    let fields = plan.schema.fields();
    if named.len() > fields.len() {
        return Err(SqlError::syntax("too many column names were specified"));
    }
    let columns = fields.iter().enumerate().map(|(index, field)| {
        let name = named.get(index).map_or(field.name(), |column| &column.name);
        let (ty, typmod) = declared(field)
            .or_else(|| PgType::from_arrow(field.data_type()))
            .filter(|(ty, _)| !matches!(ty, PgType::Record | PgType::Array(PgType::Record)))
            .ok_or_else(|| pseudo_type(name, field.data_type()))?;
        // A bare NULL or string has no type; as a column it is text.
        let (ty, typmod) = if ty == PgType::Unknown { (PgType::Text, -1) } else { (ty, typmod) };
        Ok(Column { typmod, ..Column::new(name, ty) })
    });
    columns.collect()
}

async fn fill(
    session: &mut Session,
    ctx: &PlanContext,
    plan: &QueryPlan,
    (name, table, schema): (&str, CollectionId, SchemaRef),
) -> Result<usize, SqlError> {
    let mut rows = query::rows(session, ctx, plan, Vec::new()).await?;
    let cancel = session.cancel.clone();
    let work = ctx.tell.begin(WorkKind::CreateTableAs, name);
    let mut count = 0;
    while let Some(batch) = rows.next(usize::MAX, &cancel).await? {
        count += batch.num_rows();
        work.set_progress(count as u64, count as u64);
        let insert = batch_as(&batch, &schema)?;
        let write = TableWrite { table, delete: Vec::new(), insert };
        session.open_transaction()?.stage_writes(&[write]);
    }
    Ok(count)
}

/// The same rows under the table's schema; only untyped NULLs need a cast.
fn batch_as(
    batch: &arrow::array::RecordBatch,
    schema: &SchemaRef,
) -> Result<arrow::array::RecordBatch, SqlError> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| arrow::compute::cast(column, field.data_type()));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let rows = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let batch =
        arrow::array::RecordBatch::try_new_with_options(Arc::clone(schema), columns, &rows)?;
    Ok(batch)
}
