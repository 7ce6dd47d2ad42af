//! DataFusion's push-down of filters, but for constants above an aggregate that gives a row over no
//! rows.
//!
//! It pushes below an aggregate whatever names only its groups, as a constant does. A row of
//! `SELECT count(*)`, or of a grouping set without columns, does not go because its input goes.

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Aggregate, Expr, Filter, LogicalPlan};
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// In the place of DataFusion's rule, under its name.
#[derive(Debug, Default)]
pub struct FilterPushdown(PushDownFilter);

impl OptimizerRule for FilterPushdown {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = plan else {
            return self.0.rewrite(plan, config);
        };
        match filter.input.as_ref() {
            // DataFusion would merge them and go on by itself.
            LogicalPlan::Filter(below) => {
                let conjuncts = split_conjunction_owned(below.predicate.clone()).into_iter();
                let conjuncts = conjuncts.chain(split_conjunction_owned(filter.predicate));
                let both = with_filter(conjuncts.collect(), below.input.as_ref().clone())?;
                Ok(Transformed::yes(self.rewrite(both, config)?.data))
            }
            LogicalPlan::Aggregate(aggregate) if has_row_over_nothing(aggregate) => {
                let conjuncts = split_conjunction_owned(filter.predicate.clone()).into_iter();
                let (constant, others): (Vec<Expr>, Vec<Expr>) =
                    conjuncts.partition(|conjunct| conjunct.column_refs().is_empty());
                if others.is_empty() {
                    return Ok(Transformed::no(LogicalPlan::Filter(filter)));
                }
                let pushed = with_filter(others, filter.input.as_ref().clone())?;
                let pushed = self.0.rewrite(pushed, config)?;
                pushed.map_data(|pushed| with_filter(constant, pushed))
            }
            _ => self.0.rewrite(LogicalPlan::Filter(filter), config),
        }
    }
}

fn with_filter(conjuncts: Vec<Expr>, input: LogicalPlan) -> Result<LogicalPlan> {
    match conjunction(conjuncts) {
        Some(predicate) => Ok(LogicalPlan::Filter(Filter::try_new(predicate, input.into())?)),
        None => Ok(input),
    }
}

fn has_row_over_nothing(aggregate: &Aggregate) -> bool {
    let groups = &aggregate.group_expr;
    groups.is_empty() || groups.iter().any(|group| matches!(group, Expr::GroupingSet(_)))
}
