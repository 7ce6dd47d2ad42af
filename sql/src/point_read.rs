//! Reading rows by their key without planning: the online read of a feature.
//!
//! `SELECT columns FROM relation WHERE key = … AND …`, with an equality for each column of the
//! relation's index and nothing else, is a lookup. DataFusion's optimizer and physical planner
//! would take longer than everything else.
//!
//! Law: the rows are those that running the plan gives; whatever does not fit exactly is left to
//! it.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, Scalar};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::{and, filter_record_batch};
use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan, Operator};
use datafusion::scalar::ScalarValue;
use tidemark_catalog::ObjectId;

use crate::context::{PlanContext, ReadView};
use crate::error::SqlError;
use crate::provider::RelationProvider;
use crate::resolve::{RelationSource, ScannedRelation};
use crate::rewrite::parameters::index_of;
use crate::run::is_overwritten;

/// A query that is a lookup.
#[derive(Debug, Clone)]
pub struct PointRead {
    id: ObjectId,
    materialized: bool,
    schema: SchemaRef,
    /// Columns of the index.
    key: Vec<usize>,
    /// The value each of them has to have.
    values: Vec<KeyValue>,
    /// Columns of the result.
    columns: Vec<usize>,
}

#[derive(Debug, Clone)]
enum KeyValue {
    Literal(ScalarValue),
    /// `$n`, from 0.
    Parameter(usize),
}

impl PointRead {
    /// The lookup that a plan is, if it is one.
    pub fn of(ctx: &PlanContext, plan: &LogicalPlan) -> Option<PointRead> {
        let LogicalPlan::Projection(projection) = plan else { return None };
        let LogicalPlan::Filter(filter) = projection.input.as_ref() else { return None };
        let mut input = filter.input.as_ref();
        while let LogicalPlan::SubqueryAlias(alias) = input {
            input = alias.input.as_ref();
        }
        let LogicalPlan::TableScan(scan) = input else { return None };
        let source = scan.source.downcast_ref::<RelationSource>()?;
        let (id, materialized) = match source.relation {
            ScannedRelation::Table(id) => (id, false),
            ScannedRelation::MaterializedView(id) => (id, true),
            _ => return None,
        };
        if source.with_arrivals
            || source.with_row_ids
            || scan.projection.is_some()
            || !scan.filters.is_empty()
        {
            return None;
        }
        let at = |expr: &Expr| match expr {
            Expr::Column(column) => filter.input.schema().index_of_column(column).ok(),
            _ => None,
        };
        let columns = projection
            .expr
            .iter()
            .map(|expr| match expr {
                Expr::Alias(alias) => at(&alias.expr),
                expr => at(expr),
            })
            .collect::<Option<Vec<usize>>>()?;
        let mut equal = Vec::new();
        for conjunct in split_conjunction(&filter.predicate) {
            let Expr::BinaryExpr(binary) = conjunct else { return None };
            if binary.op != Operator::Eq {
                return None;
            }
            let (column, value) = match (at(&binary.left), at(&binary.right)) {
                (Some(column), None) => (column, &binary.right),
                (None, Some(column)) => (column, &binary.left),
                _ => return None,
            };
            equal.push((column, key_value(value, &source.schema, column)?));
        }
        let indexed = ctx.engine.relation(ctx.collection(id))?.indexed();
        let key = indexed.into_iter().find(|key| {
            key.len() == equal.len()
                && key.iter().all(|column| equal.iter().any(|(equal, _)| equal == column))
        })?;
        let values = key
            .iter()
            .map(|column| equal.iter().find(|(c, _)| c == column).map(|(_, v)| v.clone()))
            .collect::<Option<Vec<KeyValue>>>()?;
        let schema = Arc::clone(&source.schema);
        Some(PointRead { id, materialized, schema, key, values, columns })
    }

    /// The rows, with `schema` as their schema; None if the plan has to be run after all.
    pub fn read(
        &self,
        ctx: &PlanContext,
        read: &ReadView,
        params: &[ScalarValue],
        schema: &SchemaRef,
    ) -> Result<Option<Vec<RecordBatch>>, SqlError> {
        if self.materialized && is_overwritten(ctx, read, self.id) {
            return Ok(None);
        }
        let Some(keys) = self.keys(params)? else { return Ok(None) };
        if keys.iter().any(|key| key.null_count() > 0) {
            return Ok(Some(Vec::new())); // nothing equals NULL
        }
        let id = ctx.collection(self.id);
        let provider = RelationProvider::new(ctx, id, Arc::clone(&self.schema), read);
        let Some(found) = provider.lookup(&self.key, &keys) else { return Ok(None) };
        let written = read.overlay.as_deref().is_some_and(|overlay| overlay.table(id).is_some());
        let mut rows = Vec::new();
        for found in found {
            let batch = if written { self.only(&found.batch, &keys)? } else { found.batch };
            if batch.num_rows() > 0 {
                let columns = self.columns.iter().map(|c| Arc::clone(batch.column(*c))).collect();
                rows.push(RecordBatch::try_new(Arc::clone(schema), columns)?);
            }
        }
        Ok(Some(rows))
    }

    /// One value for each column of the key.
    fn keys(&self, params: &[ScalarValue]) -> Result<Option<Vec<ArrayRef>>, SqlError> {
        let mut keys = Vec::with_capacity(self.key.len());
        for (column, value) in self.key.iter().zip(&self.values) {
            let value = match value {
                KeyValue::Literal(value) => Some(value),
                KeyValue::Parameter(index) => params.get(*index),
            };
            let ty = self.schema.field(*column).data_type();
            match value {
                Some(value) if value.data_type() == *ty => keys.push(value.to_array_of_size(1)?),
                // The plan widens it.
                Some(value) if value.data_type().is_integer() && ty.is_integer() => {
                    keys.push(value.cast_to(ty)?.to_array_of_size(1)?);
                }
                _ => return Ok(None),
            }
        }
        Ok(Some(keys))
    }

    /// The rows that have the key: the transaction's own inserts come with every lookup.
    fn only(&self, batch: &RecordBatch, keys: &[ArrayRef]) -> Result<RecordBatch, SqlError> {
        let mut fits = BooleanArray::from(vec![true; batch.num_rows()]);
        for (column, key) in self.key.iter().zip(keys) {
            fits = and(&fits, &eq(batch.column(*column), &Scalar::new(Arc::clone(key)))?)?;
        }
        Ok(filter_record_batch(batch, &fits)?)
    }
}

/// A literal or parameter of exactly the column's type. Floats have values that are equal and not
/// the same.
fn key_value(expr: &Expr, schema: &SchemaRef, column: usize) -> Option<KeyValue> {
    let ty = schema.field(column).data_type();
    if ty.is_floating() {
        return None;
    }
    match expr {
        Expr::Literal(value, _) if value.data_type() == *ty => {
            Some(KeyValue::Literal(value.clone()))
        }
        Expr::Cast(cast) if ty.is_integer() && cast.field.data_type() == ty => {
            let Expr::Placeholder(placeholder) = cast.expr.as_ref() else { return None };
            let field = placeholder.field.as_ref()?;
            let index = index_of(&placeholder.id)?;
            field.data_type().is_integer().then_some(KeyValue::Parameter(index))
        }
        Expr::Placeholder(placeholder) => {
            let typed = placeholder.field.as_ref().is_some_and(|field| field.data_type() == ty);
            let index = index_of(&placeholder.id)?;
            typed.then_some(KeyValue::Parameter(index))
        }
        _ => None,
    }
}
