//! The plan of a view: what its dataflow computes, decided down to columns and classes.
//!
//! A plan is plain data with a printer. Planning decides (join keys, aggregate classes, which input
//! only grows); rendering obeys; the oracle evaluates the same plan the slow way. Every operator
//! refers to columns of its input by index, so expressions stand in `Project`, `Filter` and
//! `Temporal` alone.

use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

pub use crate::operator::aggregate::{AggregateCall, AggregatePlan};
pub use crate::operator::filter::FilterPlan;
pub use crate::operator::join::JoinPlan;
pub use crate::operator::project::ProjectPlan;
pub use crate::operator::temporal::{Bound, Edge, NowSide, TemporalMode, TemporalPlan};
use crate::time::CollectionId;

/// A tree of operators; what one gives is a collection of rows with [`Plan::schema`].
#[derive(Clone, Debug)]
pub enum Plan {
    /// A table, or another materialized view.
    Input(InputPlan),
    /// Rows that never change.
    Constant(ConstantPlan),
    /// One row of expressions for each row.
    Project(Box<ProjectPlan>),
    /// The rows for which a predicate is true.
    Filter(Box<FilterPlan>),
    /// Comparisons of rows with now(), which change as time passes.
    Temporal(Box<TemporalPlan>),
    /// Pairs of rows with equal keys.
    Join(Box<JoinPlan>),
    /// One row for each group.
    Aggregate(Box<AggregatePlan>),
    /// The rows of all inputs, duplicates kept.
    Union(UnionPlan),
}

/// See [`Plan::Input`].
#[derive(Clone, Debug)]
pub struct InputPlan {
    pub id: CollectionId,
    pub schema: SchemaRef,
}

/// See [`Plan::Constant`].
#[derive(Clone, Debug)]
pub struct ConstantPlan {
    pub rows: RecordBatch,
}

/// See [`Plan::Union`]. All inputs have the types of `schema`.
#[derive(Clone, Debug)]
pub struct UnionPlan {
    pub inputs: Vec<Plan>,
    pub schema: SchemaRef,
}

impl Plan {
    /// The columns of the rows it gives.
    pub fn schema(&self) -> SchemaRef {
        match self {
            Plan::Input(plan) => Arc::clone(&plan.schema),
            Plan::Constant(plan) => plan.rows.schema(),
            Plan::Project(plan) => Arc::clone(&plan.schema),
            Plan::Filter(plan) => plan.input.schema(),
            Plan::Temporal(plan) => plan.schema(),
            Plan::Join(plan) => Arc::clone(&plan.schema),
            Plan::Aggregate(plan) => Arc::clone(&plan.schema),
            Plan::Union(plan) => Arc::clone(&plan.schema),
        }
    }

    /// The operators it reads from, left to right.
    pub fn inputs(&self) -> Vec<&Plan> {
        match self {
            Plan::Input(_) | Plan::Constant(_) => vec![],
            Plan::Project(plan) => vec![&plan.input],
            Plan::Filter(plan) => vec![&plan.input],
            Plan::Temporal(plan) => vec![&plan.input],
            Plan::Join(plan) => vec![&plan.left, &plan.right],
            Plan::Aggregate(plan) => vec![&plan.input],
            Plan::Union(plan) => plan.inputs.iter().collect(),
        }
    }

    /// The tables and views it reads, each once.
    pub fn reads(&self) -> BTreeSet<CollectionId> {
        let mut ids: BTreeSet<_> = self.inputs().into_iter().flat_map(Plan::reads).collect();
        if let Plan::Input(plan) = self {
            ids.insert(plan.id);
        }
        ids
    }

    /// Whether its rows change with time alone, by an operator of its own.
    pub fn is_temporal(&self) -> bool {
        matches!(self, Plan::Temporal(_)) || self.inputs().into_iter().any(Plan::is_temporal)
    }

    /// The printed plan, an operator a line, its inputs indented below it; `name` names inputs.
    pub fn explain(&self, name: &dyn Fn(CollectionId) -> String) -> String {
        let mut text = String::new();
        self.explain_at(0, name, &mut text).expect("writing to a string");
        text
    }

    fn explain_at(
        &self,
        depth: usize,
        name: &dyn Fn(CollectionId) -> String,
        text: &mut String,
    ) -> fmt::Result {
        write!(text, "{:indent$}", "", indent = depth * 2)?;
        match self {
            Plan::Input(plan) => write!(text, "Input {}", name(plan.id))?,
            Plan::Constant(plan) => write!(text, "Constant rows={}", plan.rows.num_rows())?,
            Plan::Project(plan) => write!(text, "{plan}")?,
            Plan::Filter(plan) => write!(text, "{plan}")?,
            Plan::Temporal(plan) => write!(text, "{plan}")?,
            Plan::Join(plan) => write!(text, "{plan}")?,
            Plan::Aggregate(plan) => write!(text, "{plan}")?,
            Plan::Union(_) => write!(text, "Union")?,
        }
        writeln!(text, " -> {}", columns_of(&self.schema()))?;
        for input in self.inputs() {
            input.explain_at(depth + 1, name, text)?;
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.explain(&|id| format!("#{}", id.0)))
    }
}

/// A schema of nullable columns, for operators and tests.
pub fn schema_of<'a>(columns: impl IntoIterator<Item = (&'a str, DataType)>) -> SchemaRef {
    let fields = columns.into_iter().map(|(name, ty)| Field::new(name, ty, true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn columns_of(schema: &SchemaRef) -> String {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    format!("({})", names.join(", "))
}
