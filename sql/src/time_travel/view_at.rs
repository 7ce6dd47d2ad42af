//! [`ViewAt`]: a view's rows at one time, by the engine's operators over its tables at that time.
//!
//! Law: a row that an operator cannot compute is not in the view (S10).

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::datasource::source_as_provider;
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use tidemark_engine::batch::evaluate_unless;
use tidemark_engine::replay::Stopped;
use tidemark_engine::{Plan, Timestamp};

use super::bind::{Place, shown};
use crate::by_operators::{planned, with_types};
use crate::tell::Tell;
use crate::time_join::Whole;
use crate::work::{Work, WorkKind};

/// See the module. Its inputs are those of the plan, from number 1 on.
#[derive(Debug)]
pub struct ViewAt {
    plan: Plan,
    at: Timestamp,
    name: String,
    schema: SchemaRef,
    tell: Tell,
}

impl ViewAt {
    /// Of a view's plan that is bound to the place's time, and what it reads; `None` where a view
    /// would be refused.
    pub fn of(
        place: &Place<'_>,
        body: &LogicalPlan,
        schema: SchemaRef,
    ) -> Option<(ViewAt, Vec<Arc<dyn TableProvider>>)> {
        let (plan, sources) = planned(place.session, body)?;
        let sources = sources.iter().map(source_as_provider).collect::<Result<_>>().ok()?;
        let (name, tell) = (place.node.name.to_string(), place.ctx.tell.clone());
        Some((ViewAt { plan, at: place.at, name, schema, tell }, sources))
    }
}

impl Whole for ViewAt {
    fn label(&self) -> String {
        format!("ViewAtExec: {} as of {}", self.name, shown(self.at))
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn begin(&self) -> Arc<Work> {
        let work = self.tell.begin(WorkKind::AsOf, &self.name);
        work.set_times(self.at, self.at);
        work
    }

    fn run(&self, inputs: Vec<RecordBatch>, work: &Work) -> Result<RecordBatch> {
        let input = |number: u64| {
            let number = usize::try_from(number).expect("inputs are numbered from 1 on");
            inputs[number - 1].clone()
        };
        let evaluated = evaluate_unless(&self.plan, self.at, &|id| input(id.0), work);
        let evaluated = evaluated.ok_or_else(|| work.stopped(Stopped::Cancelled))?;
        with_types(&evaluated.rows, &self.schema)
    }
}
