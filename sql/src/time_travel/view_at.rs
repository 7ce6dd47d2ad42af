//! [`ViewAt`]: a view's rows at one time, by the engine's operators over its tables at that time.
//!
//! Law: a row that an operator cannot compute is not in the view (S10).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::TableReference;
use datafusion::datasource::source_as_provider;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, TableType};
use datafusion::physical_plan::ExecutionPlan;
use tidemark_engine::batch::evaluate;
use tidemark_engine::{Plan, Timestamp};

use super::bind::shown;
use crate::by_operators::{planned, with_types};
use crate::time_join::{Whole, WholeExec};

/// See the module.
#[derive(Debug)]
pub struct ViewAt {
    plan: Arc<Plan>,
    /// What the plan's inputs are, from number 1 on.
    sources: Vec<Arc<dyn TableProvider>>,
    at: Timestamp,
    label: String,
    schema: SchemaRef,
}

impl ViewAt {
    /// Of a view's plan that is bound to `at`; `None` where a view would be refused.
    pub fn of(
        session: &SessionState,
        body: &LogicalPlan,
        at: Timestamp,
        name: &TableReference,
        schema: SchemaRef,
    ) -> Option<ViewAt> {
        let (plan, sources) = planned(session, body)?;
        let sources = sources.iter().map(source_as_provider).collect::<Result<_>>().ok()?;
        let label = format!("ViewAtExec: {name} as of {}", shown(at));
        Some(ViewAt { plan: Arc::new(plan), sources, at, label, schema })
    }
}

#[async_trait]
impl TableProvider for ViewAt {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut inputs = Vec::with_capacity(self.sources.len());
        for source in &self.sources {
            inputs.push(source.scan(session, None, &[], None).await?);
        }
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => Arc::clone(&self.schema),
        };
        let step = Step {
            plan: Arc::clone(&self.plan),
            at: self.at,
            label: self.label.clone(),
            columns: projection.cloned(),
            schema,
        };
        Ok(Arc::new(WholeExec::new(Arc::new(step), inputs)))
    }
}

#[derive(Debug)]
struct Step {
    plan: Arc<Plan>,
    at: Timestamp,
    label: String,
    /// Of the view's columns.
    columns: Option<Vec<usize>>,
    schema: SchemaRef,
}

impl Whole for Step {
    fn label(&self) -> String {
        self.label.clone()
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn run(&self, inputs: Vec<RecordBatch>, _: &AtomicBool) -> Result<RecordBatch> {
        let evaluated = evaluate(&self.plan, self.at, &|id| {
            let number = usize::try_from(id.0).expect("inputs are numbered from 1 on");
            inputs[number - 1].clone()
        });
        let rows = match &self.columns {
            Some(columns) => evaluated.rows.project(columns)?,
            None => evaluated.rows,
        };
        with_types(&rows, &self.schema)
    }
}
