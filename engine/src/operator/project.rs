//! Project: one row of expressions for each row of its input.
//!
//! Law      out(t) = { (e1(r), …, en(r)) : r in in(t), every ei(r) defined }
//! Delta    linear: each update by itself, at its own time
//! State    none
//! Errors   a row for which an expression fails leaves the output and is reported

use std::any::Any;
use std::fmt;

use arrow::datatypes::SchemaRef;
use datafusion::physical_expr::expressions::Column;

use super::{Operator, StepContext};
use crate::checkpoint::record::Kept;
use crate::expression::{Expr, evaluate};
use crate::plan::Plan;
use crate::updates::{Updates, batch_of};

/// What was decided: the expressions, over the input's columns, and the columns they make.
#[derive(Clone, Debug)]
pub struct ProjectPlan {
    pub input: Plan,
    pub exprs: Vec<Expr>,
    pub schema: SchemaRef,
}

impl ProjectPlan {
    /// Which column of the input is column `at` as it is, if one is.
    pub(crate) fn column_at(&self, at: usize) -> Option<usize> {
        let expr: &dyn Any = self.exprs[at].as_ref();
        expr.downcast_ref::<Column>().map(Column::index)
    }
}

impl fmt::Display for ProjectPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exprs: Vec<String> = self.exprs.iter().map(|expr| expr.to_string()).collect();
        write!(f, "Project [{}]", exprs.join(", "))
    }
}

pub(crate) struct Project {
    exprs: Vec<Expr>,
    schema: SchemaRef,
}

impl Project {
    pub fn new(plan: &ProjectPlan) -> Self {
        Project { exprs: plan.exprs.clone(), schema: plan.schema.clone() }
    }
}

/// It keeps nothing.
impl Kept for Project {}

impl Operator for Project {
    fn step(&mut self, context: &StepContext<'_>, inputs: Vec<Updates>) -> Updates {
        let [input] = <[Updates; 1]>::try_from(inputs).expect("one input");
        let evaluated = evaluate(&self.exprs, &input.data);
        context.report_rows("Project", &input, &evaluated.errors);
        match evaluated.rows {
            None => {
                let rows = input.len();
                input.with_data(batch_of(self.schema.clone(), evaluated.columns, rows))
            }
            Some(rows) => {
                let data = batch_of(self.schema.clone(), evaluated.columns, rows.len());
                input.take(&rows).with_data(data)
            }
        }
    }

    fn takes_parts(&self, _input: usize) -> bool {
        true
    }

    fn kept(&mut self) -> Option<&mut dyn Kept> {
        Some(self)
    }
}
