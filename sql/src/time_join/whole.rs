//! [`WholeExec`]: an operator that takes its inputs whole and works on a thread of its own.
//!
//! Law: nobody waits for it on a thread that runs sessions; when its stream is dropped, the work
//! is told to stop.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::ProjectionExpr;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::common::collect;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::{StreamExt, TryStreamExt};

use crate::work::{NOTICE_INTERVAL, Work};

/// Rows handed out at a time.
const SLICE_ROWS: usize = 8192;

/// What an operator makes of its inputs.
pub trait Whole: fmt::Debug + Send + Sync {
    /// For EXPLAIN.
    fn label(&self) -> String;

    fn schema(&self) -> SchemaRef;

    /// As what it is listed while it runs.
    fn begin(&self) -> Arc<Work>;

    /// `inputs`: one batch each. Gives up soon after `work` is cancelled.
    fn run(&self, inputs: Vec<RecordBatch>, work: &Work) -> Result<RecordBatch>;
}

/// What a step makes of whole tables, as a table.
#[derive(Debug)]
pub struct WholeTable {
    step: Arc<dyn Whole>,
    inputs: Vec<Arc<dyn TableProvider>>,
}

impl WholeTable {
    pub fn over(step: impl Whole + 'static, inputs: Vec<Arc<dyn TableProvider>>) -> Self {
        WholeTable { step: Arc::new(step), inputs }
    }
}

#[async_trait]
impl TableProvider for WholeTable {
    fn schema(&self) -> SchemaRef {
        self.step.schema()
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
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            inputs.push(input.scan(session, None, &[], None).await?);
        }
        let whole: Arc<dyn ExecutionPlan> =
            Arc::new(WholeExec::new(Arc::clone(&self.step), inputs));
        let Some(columns) = projection else { return Ok(whole) };
        let schema = whole.schema();
        let column = |&place: &usize| {
            let name = schema.field(place).name();
            ProjectionExpr { expr: Arc::new(Column::new(name, place)), alias: name.clone() }
        };
        let columns: Vec<ProjectionExpr> = columns.iter().map(column).collect();
        Ok(Arc::new(ProjectionExec::try_new(columns, whole)?))
    }
}

/// See the module.
#[derive(Debug)]
pub struct WholeExec {
    step: Arc<dyn Whole>,
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    properties: Arc<PlanProperties>,
}

impl WholeExec {
    pub fn new(step: Arc<dyn Whole>, inputs: Vec<Arc<dyn ExecutionPlan>>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(step.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        WholeExec { step, inputs, properties: Arc::new(properties) }
    }
}

impl DisplayAs for WholeExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.step.label())
    }
}

impl ExecutionPlan for WholeExec {
    fn name(&self) -> &str {
        "WholeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition; self.inputs.len()]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inputs.iter().collect()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        inputs: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(WholeExec::new(Arc::clone(&self.step), inputs)))
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let streams = self.inputs.iter().map(|input| input.execute(0, Arc::clone(&context)));
        let streams = streams.collect::<Result<Vec<_>>>()?;
        let (step, schema) = (Arc::clone(&self.step), self.step.schema());
        let rows = async move {
            let mut inputs = Vec::with_capacity(streams.len());
            for stream in streams {
                let schema = stream.schema();
                inputs.push(concat_batches(&schema, &collect(stream).await?)?);
            }
            let rows = aside(step, inputs).await?;
            let starts = (0..rows.num_rows()).step_by(SLICE_ROWS);
            let slices = starts
                .map(move |start| Ok(rows.slice(start, SLICE_ROWS.min(rows.num_rows() - start))));
            Ok::<_, DataFusionError>(futures::stream::iter(slices))
        };
        let rows = futures::stream::once(rows).try_flatten().boxed();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

/// Runs the step on a thread for long work, until its result is not wanted any more.
async fn aside(step: Arc<dyn Whole>, inputs: Vec<RecordBatch>) -> Result<RecordBatch> {
    let stop = StopOnDrop(step.begin());
    let work = Arc::clone(&stop.0);
    let run = move || step.run(inputs, &work);
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return run() };
    let mut running = runtime.spawn_blocking(run);
    loop {
        tokio::select! {
            rows = &mut running => {
                return rows.map_err(|error| DataFusionError::External(Box::new(error)))?;
            }
            () = tokio::time::sleep(NOTICE_INTERVAL) => stop.0.say(),
        }
    }
}

struct StopOnDrop(Arc<Work>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
