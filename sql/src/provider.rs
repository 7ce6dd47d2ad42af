//! A relation bound to a snapshot, as DataFusion reads it.
//!
//! Law: a scan gives the rows of [`ReadView`], the transaction's own writes included. Batches are
//! shared with the store and handed out in slices, never copied. An equality on exactly an indexed
//! set of columns is a lookup.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use tidemark_engine::{ARRIVED_AT, CollectionId, Relation, RowId, Rows};

use crate::context::{PlanContext, ReadView};
use crate::overlay::TableOverlay;
use crate::resolve::RelationSource;

/// Rows handed to DataFusion at a time.
const SLICE_ROWS: usize = 8192;
/// Most keys of one lookup; beyond it a scan is as good.
const LOOKUP_KEYS_MAX: usize = 1024;

/// The rows of one table or materialized view as of one snapshot.
#[derive(Debug)]
pub struct RelationProvider {
    pub relation: Option<Arc<Relation>>,
    pub read: ReadView,
    pub id: CollectionId,
    /// As the plan scans it: the relation's columns, the times of arrival if `with_arrivals`, the
    /// row ids if `with_row_ids`.
    pub schema: SchemaRef,
    pub with_arrivals: bool,
    pub with_row_ids: bool,
}

/// Rows made on the spot, such as a system table's.
#[derive(Debug)]
pub struct GivenRows {
    pub batch: RecordBatch,
}

impl RelationProvider {
    pub fn new(ctx: &PlanContext, id: CollectionId, schema: SchemaRef, read: &ReadView) -> Self {
        let (relation, read) = (ctx.engine.relation(id), read.clone());
        RelationProvider { relation, read, id, schema, with_arrivals: false, with_row_ids: false }
    }

    /// With the columns that a plan's source has.
    pub fn of_source(
        ctx: &PlanContext,
        id: CollectionId,
        source: &RelationSource,
        read: &ReadView,
    ) -> Self {
        RelationProvider {
            with_arrivals: source.with_arrivals,
            with_row_ids: source.with_row_ids,
            ..Self::new(ctx, id, Arc::clone(&source.schema), read)
        }
    }

    fn overlay(&self) -> Option<&TableOverlay> {
        self.read.overlay.as_deref().and_then(|overlay| overlay.table(self.id))
    }

    /// How many rows a scan with these filters reads, about.
    pub fn rows(&self, filters: &[Expr]) -> usize {
        if let Some((_, keys)) = self.indexed_keys(filters) {
            return keys.first().map_or(1, |keys| keys.len());
        }
        self.relation.as_ref().map_or(0, |relation| relation.count(self.read.at))
    }

    /// Every row.
    pub fn scan_all(&self) -> Vec<Rows> {
        let stored = self.relation.as_ref().map(|relation| match self.with_arrivals {
            true => relation.scan_arrived(self.read.at),
            false => relation.scan(self.read.at),
        });
        self.with_overlay(stored.unwrap_or_default())
    }

    /// The rows whose `columns` equal one of `keys`, and perhaps others that the overlay inserted.
    /// None: no index.
    pub fn lookup(&self, columns: &[usize], keys: &[ArrayRef]) -> Option<Vec<Rows>> {
        let relation = self.relation.as_ref()?;
        let found = relation.lookup(columns, keys, self.read.at)?;
        let rows = match self.with_arrivals {
            true => relation.gather_arrived(&found),
            false => relation.gather(&found),
        };
        Some(self.with_overlay(vec![rows]))
    }

    fn with_overlay(&self, rows: Vec<Rows>) -> Vec<Rows> {
        match self.overlay() {
            Some(overlay) => overlay.over(rows),
            None => rows,
        }
    }

    /// Columns and keys of a lookup that these filters allow.
    fn indexed_keys(&self, filters: &[Expr]) -> Option<(Vec<usize>, Vec<ArrayRef>)> {
        let indexed = self.relation.as_ref()?.indexed();
        let equalities: Vec<(usize, Vec<ScalarValue>)> = filters
            .iter()
            .flat_map(|filter| split_conjunction(filter))
            .filter_map(|filter| self.equality(filter))
            .collect();
        indexed.into_iter().find_map(|columns| keys_for(columns, &equalities))
    }

    /// `column = literal` and `column IN (literals)`, the literals of the column's type.
    fn equality(&self, filter: &Expr) -> Option<(usize, Vec<ScalarValue>)> {
        let (column, values) = match filter {
            Expr::BinaryExpr(binary) if binary.op == Operator::Eq => {
                match (binary.left.as_ref(), binary.right.as_ref()) {
                    (Expr::Column(column), Expr::Literal(value, _))
                    | (Expr::Literal(value, _), Expr::Column(column)) => {
                        (column, vec![value.clone()])
                    }
                    _ => return None,
                }
            }
            Expr::InList(list) if !list.negated => {
                let Expr::Column(column) = list.expr.as_ref() else { return None };
                let literal = |expr: &Expr| match expr {
                    Expr::Literal(value, _) => Some(value.clone()),
                    _ => None,
                };
                (column, list.list.iter().map(literal).collect::<Option<Vec<_>>>()?)
            }
            _ => return None,
        };
        let index = self.schema.index_of(column.name()).ok()?;
        let data_type = self.schema.field(index).data_type();
        let values: Vec<_> = values.into_iter().filter(|value| !value.is_null()).collect();
        let typed = values.iter().all(|value| value.data_type() == *data_type);
        (typed && values.len() <= LOOKUP_KEYS_MAX).then_some((index, values))
    }
}

/// One value for each indexed column; several for at most one of them.
fn keys_for(
    columns: Vec<usize>,
    equalities: &[(usize, Vec<ScalarValue>)],
) -> Option<(Vec<usize>, Vec<ArrayRef>)> {
    let values: Vec<&Vec<ScalarValue>> = columns
        .iter()
        .map(|column| equalities.iter().find(|(c, _)| c == column).map(|(_, values)| values))
        .collect::<Option<_>>()?;
    let keys = values.iter().map(|values| values.len()).max().unwrap_or(1);
    if values.iter().any(|values| values.is_empty()) {
        return None;
    }
    if values.iter().filter(|values| values.len() > 1).count() > 1 {
        return None;
    }
    let arrays = values
        .iter()
        .map(|values| match values.as_slice() {
            [one] => one.to_array_of_size(keys).ok(),
            many => ScalarValue::iter_to_array(many.iter().cloned()).ok(),
        })
        .collect::<Option<_>>()?;
    Some((columns, arrays))
}

#[async_trait]
impl TableProvider for RelationProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        // The filter stays above the scan: a lookup may bring rows of the overlay that it does not
        // select.
        let pushed = |filter: &&Expr| match self.equality(filter) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(pushed).collect())
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let found =
            self.indexed_keys(filters).and_then(|(columns, keys)| self.lookup(&columns, &keys));
        let rows = found.unwrap_or_else(|| self.scan_all());
        let mut slices = Vec::new();
        for rows in rows {
            slice(&self.batch(rows)?, &mut slices);
        }
        memory(slices, &self.schema, projection)
    }
}

impl RelationProvider {
    /// Rows in the plan's schema.
    pub fn batch(&self, rows: Rows) -> Result<RecordBatch> {
        // The table may have got columns since the statement was planned.
        let beside = usize::from(self.with_arrivals) + usize::from(self.with_row_ids);
        let own = self.schema.fields().len() - beside;
        let mut columns: Vec<ArrayRef> = rows.batch.columns().iter().take(own).cloned().collect();
        if self.with_arrivals {
            // What the transaction wrote itself has not arrived.
            let arrivals = rows.batch.column_by_name(ARRIVED_AT).cloned();
            let ty = self.schema.field(own).data_type();
            columns.push(arrivals.unwrap_or_else(|| new_null_array(ty, rows.batch.num_rows())));
        }
        if self.with_row_ids {
            columns.push(Arc::new(rows.ids));
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

/// The ids in a batch whose last column they are.
pub fn row_ids(batch: &RecordBatch, column: usize) -> Vec<RowId> {
    use arrow::array::AsArray;
    use arrow::datatypes::UInt64Type;
    batch.column(column).as_primitive::<UInt64Type>().values().iter().map(|id| RowId(*id)).collect()
}

fn slice(batch: &RecordBatch, slices: &mut Vec<RecordBatch>) {
    let rows = batch.num_rows();
    for start in (0..rows).step_by(SLICE_ROWS) {
        slices.push(batch.slice(start, SLICE_ROWS.min(rows - start)));
    }
}

fn memory(
    slices: Vec<RecordBatch>,
    schema: &SchemaRef,
    projection: Option<&Vec<usize>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let exec =
        MemorySourceConfig::try_new_exec(&[slices], Arc::clone(schema), projection.cloned())?;
    Ok(exec)
}

#[async_trait]
impl TableProvider for GivenRows {
    fn schema(&self) -> SchemaRef {
        self.batch.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut slices = Vec::new();
        slice(&self.batch, &mut slices);
        memory(slices, &self.batch.schema(), projection)
    }
}
