//! The plan of a view: what its dataflow computes, decided down to columns and classes.
//!
//! A plan is plain data with a printer. Planning decides (join keys, aggregate classes, which input
//! only grows); rendering obeys; the oracle evaluates the same plan the slow way. Every operator
//! refers to columns of its input by index, so expressions stand in `Project`, `Filter`,
//! `Temporal` and the condition of a `Join` alone.

mod same;

use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::expression::can_fail;
pub use crate::operator::aggregate::{AggregateCall, AggregatePlan};
pub use crate::operator::filter::FilterPlan;
pub use crate::operator::join::versions::VersionJoinPlan;
pub use crate::operator::join::{JoinKind, JoinPlan};
pub use crate::operator::project::ProjectPlan;
pub use crate::operator::recursive::RecursivePlan;
pub use crate::operator::session::SessionPlan;
pub use crate::operator::set_operation::{SetOperationKind, SetOperationPlan};
pub use crate::operator::temporal::{Bound, Edge, NowSide, TemporalMode, TemporalPlan};
pub use crate::operator::top_k::TopKPlan;
pub use crate::operator::unnest::UnnestPlan;
pub use crate::operator::window::{
    Exclude, Frame, FrameBound, FrameUnits, WindowCall, WindowFunction, WindowPlan,
    range_offset_defined,
};
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
    /// Pairs of rows that match, and rows by whether they do.
    Join(Box<JoinPlan>),
    /// Rows beside those of a table as they stood at each one's time.
    VersionJoin(Box<VersionJoinPlan>),
    /// One row for each group.
    Aggregate(Box<AggregatePlan>),
    /// The rows of all inputs, duplicates kept.
    Union(UnionPlan),
    /// INTERSECT and EXCEPT.
    SetOperation(Box<SetOperationPlan>),
    /// The first rows of each group.
    TopK(Box<TopKPlan>),
    /// Each row with functions of its partition.
    Window(Box<WindowPlan>),
    /// The elements of lists, a row each.
    Unnest(Box<UnnestPlan>),
    /// Each row with its session.
    Session(Box<SessionPlan>),
    /// A fixpoint.
    Recursive(Box<RecursivePlan>),
}

/// See [`Plan::Input`]. What gives it its rows may have more columns than `schema`: those after are
/// left out.
#[derive(Clone, Debug)]
pub struct InputPlan {
    pub id: CollectionId,
    pub schema: SchemaRef,
    /// Its rows never leave and never change.
    pub append_only: bool,
    /// Whether the last column is the time of arrival (S18); only of a table.
    pub arrived_at: bool,
    /// Whether its rows are those that a table has ever had (S16): behind its own columns stand the
    /// time at which each began, and the one at which it ended, NULL as long as it is there.
    pub versions: bool,
}

impl InputPlan {
    /// How many columns are the relation's own.
    pub fn own_columns(&self) -> usize {
        let beside = if self.versions { 2 } else { usize::from(self.arrived_at) };
        self.schema.fields().len() - beside
    }
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
            Plan::VersionJoin(plan) => Arc::clone(&plan.schema),
            Plan::Aggregate(plan) => Arc::clone(&plan.schema),
            Plan::Union(plan) => Arc::clone(&plan.schema),
            Plan::SetOperation(plan) => Arc::clone(&plan.schema),
            Plan::TopK(plan) => plan.input.schema(),
            Plan::Window(plan) => Arc::clone(&plan.schema),
            Plan::Unnest(plan) => Arc::clone(&plan.schema),
            Plan::Session(plan) => Arc::clone(&plan.schema),
            Plan::Recursive(plan) => Arc::clone(&plan.schema),
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
            Plan::VersionJoin(plan) => vec![&plan.left, &plan.right],
            Plan::Aggregate(plan) => vec![&plan.input],
            Plan::Union(plan) => plan.inputs.iter().collect(),
            Plan::SetOperation(plan) => vec![&plan.left, &plan.right],
            Plan::TopK(plan) => vec![&plan.input],
            Plan::Window(plan) => vec![&plan.input],
            Plan::Unnest(plan) => vec![&plan.input],
            Plan::Session(plan) => vec![&plan.input],
            Plan::Recursive(plan) => vec![&plan.base, &plan.step],
        }
    }

    /// Those of them that it is given rows of: one, where both sides of a join are one.
    pub(crate) fn given(&self) -> Vec<&Plan> {
        match self {
            Plan::Join(plan) if plan.is_of_itself() => vec![&plan.left],
            plan => plan.inputs(),
        }
    }

    /// [`Plan::inputs`], to put others in their place.
    pub(crate) fn inputs_mut(&mut self) -> Vec<&mut Plan> {
        match self {
            Plan::Input(_) | Plan::Constant(_) => vec![],
            Plan::Project(plan) => vec![&mut plan.input],
            Plan::Filter(plan) => vec![&mut plan.input],
            Plan::Temporal(plan) => vec![&mut plan.input],
            Plan::Join(plan) => vec![&mut plan.left, &mut plan.right],
            Plan::VersionJoin(plan) => vec![&mut plan.left, &mut plan.right],
            Plan::Aggregate(plan) => vec![&mut plan.input],
            Plan::Union(plan) => plan.inputs.iter_mut().collect(),
            Plan::SetOperation(plan) => vec![&mut plan.left, &mut plan.right],
            Plan::TopK(plan) => vec![&mut plan.input],
            Plan::Window(plan) => vec![&mut plan.input],
            Plan::Unnest(plan) => vec![&mut plan.input],
            Plan::Session(plan) => vec![&mut plan.input],
            Plan::Recursive(plan) => vec![&mut plan.base, &mut plan.step],
        }
    }

    /// The tables and views it reads, each once.
    pub fn reads(&self) -> BTreeSet<CollectionId> {
        let mut ids: BTreeSet<_> = self.inputs().into_iter().flat_map(Plan::reads).collect();
        match self {
            Plan::Input(plan) => drop(ids.insert(plan.id)),
            Plan::Recursive(plan) => drop(ids.remove(&plan.itself)),
            _ => {}
        }
        ids
    }

    /// Whether its rows never leave: what stands above may then keep less.
    pub fn append_only(&self) -> bool {
        let grows = match self {
            Plan::Input(plan) => plan.append_only,
            Plan::Constant(_) | Plan::Project(_) | Plan::Filter(_) => true,
            Plan::Union(_) | Plan::Unnest(_) => true,
            // Rows come in at an edge From, and go at an edge Until.
            Plan::Temporal(plan) => {
                plan.mode == TemporalMode::Filter
                    && plan.bounds.iter().all(|bound| bound.edge == Edge::From)
            }
            Plan::Join(plan) => matches!(plan.kind, JoinKind::Inner | JoinKind::Semi),
            // What the right side was at a time stays so.
            Plan::VersionJoin(plan) => return plan.left.append_only(),
            // A row each for what only comes; with values a group's row would be replaced.
            Plan::Aggregate(plan) => plan.calls.is_empty(),
            Plan::SetOperation(plan) => plan.kind.grows(),
            Plan::TopK(_) | Plan::Window(_) | Plan::Session(_) | Plan::Recursive(_) => false,
        };
        grows && self.inputs().into_iter().all(Plan::append_only)
    }

    /// Whether what it reads never leaves, for printing: an aggregate and a limit were told so, the
    /// others have no use for it.
    fn only_gains(&self) -> bool {
        match self {
            Plan::Input(plan) => plan.append_only,
            Plan::Aggregate(plan) => plan.append_only,
            Plan::TopK(plan) => plan.append_only,
            plan if plan.reads().is_empty() => false,
            plan => plan.inputs().into_iter().all(Plan::append_only),
        }
    }

    /// Whether it joins the versions of this table.
    pub(crate) fn keeps_versions(&self, table: CollectionId) -> bool {
        let own = matches!(self, Plan::Input(input) if input.versions && input.id == table);
        own || self.inputs().into_iter().any(|input| input.keeps_versions(table))
    }

    /// Whether it joins no versions of a table.
    pub(crate) fn reads_no_versions(&self) -> bool {
        let own = matches!(self, Plan::Input(input) if input.versions);
        !own && self.inputs().into_iter().all(Plan::reads_no_versions)
    }

    /// Whether its rows change with time alone, by an operator of its own.
    pub fn is_temporal(&self) -> bool {
        matches!(self, Plan::Temporal(_)) || self.inputs().into_iter().any(Plan::is_temporal)
    }

    /// Whether an expression of it can fail for some row; overflows of aggregates are not asked
    /// about.
    pub fn can_fail(&self) -> bool {
        let own = match self {
            Plan::Project(plan) => plan.exprs.iter().any(can_fail),
            Plan::Filter(plan) => can_fail(&plan.predicate),
            Plan::Temporal(plan) => plan.bounds.iter().any(|bound| can_fail(&bound.value)),
            Plan::Join(plan) => plan.condition.as_ref().is_some_and(can_fail),
            Plan::VersionJoin(plan) => plan.condition.as_ref().is_some_and(can_fail),
            _ => false,
        };
        own || self.inputs().into_iter().any(Plan::can_fail)
    }

    /// How many operators it has, itself included.
    pub fn operators(&self) -> usize {
        1 + self.inputs().into_iter().map(Plan::operators).sum::<usize>()
    }

    /// Sees every operator, in the order of the printed plan.
    pub(crate) fn visit<'a>(&'a self, see: &mut dyn FnMut(&'a Plan)) {
        see(self);
        self.inputs().into_iter().for_each(|input| input.visit(see));
    }

    /// The printed plan, an operator a line, its inputs indented below it; `name` names inputs.
    pub fn explain(&self, name: &dyn Fn(CollectionId) -> String) -> String {
        self.explain_with(name, &|_| String::new())
    }

    /// The same with `note` of each operator, by its place, at the end of its line.
    pub fn explain_with(
        &self,
        name: &dyn Fn(CollectionId) -> String,
        note: &dyn Fn(usize) -> String,
    ) -> String {
        let mut text = String::new();
        self.explain_at(0, &mut 0, name, note, &mut text).expect("writing to a string");
        text
    }

    fn explain_at(
        &self,
        depth: usize,
        place: &mut usize,
        name: &dyn Fn(CollectionId) -> String,
        note: &dyn Fn(usize) -> String,
        text: &mut String,
    ) -> fmt::Result {
        write!(text, "{:indent$}", "", indent = depth * 2)?;
        match self {
            Plan::Input(plan) => {
                let versions = if plan.versions { " versions" } else { "" };
                write!(text, "Input {}{versions}", name(plan.id))?;
            }
            Plan::Constant(plan) => write!(text, "Constant rows={}", plan.rows.num_rows())?,
            Plan::Project(plan) => write!(text, "{plan}")?,
            Plan::Filter(plan) => write!(text, "{plan}")?,
            Plan::Temporal(plan) => write!(text, "{plan}")?,
            Plan::Join(plan) => write!(text, "{plan}")?,
            Plan::VersionJoin(plan) => write!(text, "{plan}")?,
            Plan::Aggregate(plan) => write!(text, "{plan}")?,
            Plan::Union(_) => write!(text, "Union")?,
            Plan::SetOperation(plan) => write!(text, "{plan}")?,
            Plan::TopK(plan) => write!(text, "{plan}")?,
            Plan::Window(plan) => write!(text, "{plan}")?,
            Plan::Unnest(plan) => write!(text, "{plan}")?,
            Plan::Session(plan) => write!(text, "{plan}")?,
            Plan::Recursive(plan) => write!(text, "{plan}")?,
        }
        if self.only_gains() {
            write!(text, " append-only")?;
        }
        writeln!(text, " -> {}{}", columns_of(&self.schema()), note(*place))?;
        *place += 1;
        if let Plan::Recursive(plan) = self {
            let in_step = |id| if id == plan.itself { "itself".to_string() } else { name(id) };
            plan.base.explain_at(depth + 1, place, name, note, text)?;
            return plan.step.explain_at(depth + 1, place, &in_step, note, text);
        }
        for input in self.inputs() {
            input.explain_at(depth + 1, place, name, note, text)?;
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.explain(&|id| format!("#{}", id.0)))
    }
}

/// A column of an operator's input, and the direction in which it orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortKey {
    pub column: usize,
    pub descending: bool,
    pub nulls_first: bool,
}

impl SortKey {
    /// Ascending, NULLs last: how an order is completed (S9).
    pub fn ascending(column: usize) -> Self {
        SortKey { column, descending: false, nulls_first: false }
    }

    /// For printing: `price desc nulls last`; Postgres' default of NULLs goes without saying.
    pub fn display(&self, schema: &Schema) -> String {
        let name = schema.field(self.column).name();
        let direction = if self.descending { " desc" } else { "" };
        let nulls = match (self.descending, self.nulls_first) {
            (false, true) => " nulls first",
            (true, false) => " nulls last",
            _ => "",
        };
        format!("{name}{direction}{nulls}")
    }
}

/// For printing: the parts, with commas between.
pub(crate) fn listed(parts: impl IntoIterator<Item = impl fmt::Display>) -> String {
    let parts: Vec<String> = parts.into_iter().map(|part| part.to_string()).collect();
    parts.join(", ")
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
