//! A query as relational algebra over columns by position: what a logical plan becomes before it
//! is lowered to operators.
//!
//! Law      column `#i` of an expression is column i of its operator's input (of a join: left, then
//!          right), so an expression moves through the tree by substitution alone; names are for
//!          printing only
//! Missing  nothing that the engine has an operator for

mod explain;
mod expression;

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::{Expr, ExprSchemable, lit};
use tidemark_catalog::PgType;
use tidemark_engine::CollectionId;
use tidemark_engine::plan::{AggregateCall, JoinKind, SetOperationKind, SortKey, WindowCall};

use crate::error::SqlError;
pub(super) use expression::{
    ScopeId, all_references, any, as_column, as_outer, column, joined, named, outer,
    outer_references, position, positional_schema, references, shift, substitute, substitute_outer,
    type_of,
};

/// A relation and how it is made.
#[derive(Clone, Debug)]
pub(super) enum Rel {
    Scan(Scan),
    Constant(RecordBatch),
    Project(Project),
    Filter(Filter),
    Join(Join),
    VersionJoin(VersionJoin),
    Aggregate(Aggregate),
    Union(Union),
    SetOperation(SetOperation),
    TopK(TopK),
    Window(Window),
    Unnest(Unnest),
    Session(Session),
    Recursive(Recursive),
}

/// A table or materialized view, whole; in the step of a [`Recursive`], the rows so far.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    pub collection: CollectionId,
    pub name: String,
    pub schema: SchemaRef,
    /// Each column's type and typmod; empty where the rows are not stored.
    pub types: Vec<(PgType, i32)>,
    /// Columns that identify a row, where there are some.
    pub key: Option<Vec<usize>>,
    /// Rows never leave it.
    pub append_only: bool,
    /// The last column is the time at which the row arrived.
    pub arrived_at: bool,
    /// Its rows are all versions of the table's, each with its begin and end.
    pub versions: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Project {
    pub input: Box<Rel>,
    pub exprs: Vec<Expr>,
    pub schema: SchemaRef,
}

/// Predicates of which all must be true, in the order of the text: none is asked about a row that
/// an earlier one removed, if it can fail.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub input: Box<Rel>,
    pub predicates: Vec<Expr>,
}

/// Pairs of rows for which every `on` is equal and every `condition` true, and by its kind the rows
/// without a partner.
#[derive(Clone, Debug)]
pub(super) struct Join {
    pub left: Box<Rel>,
    pub right: Box<Rel>,
    pub kind: JoinKind,
    pub on: Vec<On>,
    /// Over the left columns, then the right ones; of an inner join empty: they stand above it.
    pub condition: Vec<Expr>,
}

/// Each row beside those of a table as they stood at the row's own time: the input's columns, then
/// some of the table's.
#[derive(Clone, Debug)]
pub(super) struct VersionJoin {
    pub input: Box<Rel>,
    /// The table's versions, with their begins and ends behind its columns.
    pub versions: Scan,
    /// Which of their columns are kept; the end never is.
    pub columns: Vec<usize>,
    /// Expressions over the input's columns, and columns of the versions.
    pub on: Vec<On>,
    /// Over the input's columns; not after now().
    pub time: Expr,
    /// Over the input's columns, then all of the versions'.
    pub condition: Vec<Expr>,
    /// Rows that meet nothing stand beside NULLs.
    pub outer: bool,
}

/// An equality of a join.
#[derive(Clone, Debug)]
pub(super) struct On {
    /// Over the left's columns.
    pub left: Expr,
    /// Over the right's columns.
    pub right: Expr,
    /// NULL equals NULL.
    pub null_equal: bool,
}

/// One row a group, the keys first. Without calls: DISTINCT.
#[derive(Clone, Debug)]
pub(super) struct Aggregate {
    pub input: Box<Rel>,
    pub keys: Vec<usize>,
    pub calls: Vec<AggregateCall>,
    pub schema: SchemaRef,
}

/// UNION ALL of relations with the types of `schema`.
#[derive(Clone, Debug)]
pub(super) struct Union {
    pub inputs: Vec<Rel>,
    pub schema: SchemaRef,
}

/// INTERSECT and EXCEPT of relations with the types of `schema`.
#[derive(Clone, Debug)]
pub(super) struct SetOperation {
    pub kind: SetOperationKind,
    pub left: Box<Rel>,
    pub right: Box<Rel>,
    pub schema: SchemaRef,
}

/// The first rows of each group; `order` is total.
#[derive(Clone, Debug)]
pub(super) struct TopK {
    pub input: Box<Rel>,
    pub keys: Vec<usize>,
    pub order: Vec<SortKey>,
    pub offset: u64,
    pub limit: Option<u64>,
    /// WITH TIES: so many keys of `order` are written.
    pub ties: Option<usize>,
}

/// The input's columns, then one a call.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub input: Box<Rel>,
    pub partition: Vec<usize>,
    pub order: Vec<SortKey>,
    pub tie_break: Vec<SortKey>,
    pub calls: Vec<WindowCall>,
    pub schema: SchemaRef,
}

/// The input's columns without the lists, one for each list, the ordinality.
#[derive(Clone, Debug)]
pub(super) struct Unnest {
    pub input: Box<Rel>,
    pub lists: Vec<usize>,
    pub ordinality: bool,
    pub schema: SchemaRef,
}

/// The input's columns, then the session's start and end.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub input: Box<Rel>,
    pub keys: Vec<usize>,
    pub time: usize,
    pub gap_us: i64,
    pub schema: SchemaRef,
}

/// The least fixpoint of `base` and `step`, which scans `itself`.
#[derive(Clone, Debug)]
pub(super) struct Recursive {
    pub itself: CollectionId,
    pub base: Box<Rel>,
    pub step: Box<Rel>,
    pub distinct: bool,
    pub schema: SchemaRef,
}

impl Rel {
    pub fn schema(&self) -> SchemaRef {
        match self {
            Rel::Scan(scan) => scan.schema.clone(),
            Rel::Constant(rows) => rows.schema(),
            Rel::Project(project) => project.schema.clone(),
            Rel::Filter(filter) => filter.input.schema(),
            Rel::Join(join) if is_half(join.kind) => join.left.schema(),
            Rel::Join(join) => joined(&join.left.schema(), &join.right.schema()),
            Rel::VersionJoin(join) => {
                let kept = columns_of(&join.versions.schema, &join.columns);
                joined(&join.input.schema(), &kept)
            }
            Rel::Aggregate(aggregate) => aggregate.schema.clone(),
            Rel::Union(union) => union.schema.clone(),
            Rel::SetOperation(operation) => operation.schema.clone(),
            Rel::TopK(top) => top.input.schema(),
            Rel::Window(window) => window.schema.clone(),
            Rel::Unnest(unnest) => unnest.schema.clone(),
            Rel::Session(session) => session.schema.clone(),
            Rel::Recursive(recursive) => recursive.schema.clone(),
        }
    }

    pub fn width(&self) -> usize {
        match self {
            Rel::Filter(filter) => filter.input.width(),
            Rel::TopK(top) => top.input.width(),
            Rel::Join(join) if is_half(join.kind) => join.left.width(),
            Rel::Join(join) => join.left.width() + join.right.width(),
            Rel::VersionJoin(join) => join.input.width() + join.columns.len(),
            other => other.schema().fields().len(),
        }
    }

    /// What it is made of, left to right.
    pub fn inputs(&self) -> Vec<&Rel> {
        match self {
            Rel::Scan(_) | Rel::Constant(_) => vec![],
            Rel::Project(project) => vec![&project.input],
            Rel::Filter(filter) => vec![&filter.input],
            Rel::Join(join) => vec![&join.left, &join.right],
            Rel::VersionJoin(join) => vec![&join.input],
            Rel::Aggregate(aggregate) => vec![&aggregate.input],
            Rel::Union(union) => union.inputs.iter().collect(),
            Rel::SetOperation(operation) => vec![&operation.left, &operation.right],
            Rel::TopK(top) => vec![&top.input],
            Rel::Window(window) => vec![&window.input],
            Rel::Unnest(unnest) => vec![&unnest.input],
            Rel::Session(session) => vec![&session.input],
            Rel::Recursive(recursive) => vec![&recursive.base, &recursive.step],
        }
    }

    /// Itself over other inputs, which have the same columns.
    pub fn map_inputs(
        self,
        map: &mut dyn FnMut(Rel) -> Result<Rel, SqlError>,
    ) -> Result<Rel, SqlError> {
        let mut boxed = |input: Box<Rel>| map(*input).map(Box::new);
        Ok(match self {
            Rel::Scan(_) | Rel::Constant(_) => self,
            Rel::Project(rel) => Rel::Project(Project { input: boxed(rel.input)?, ..rel }),
            Rel::Filter(rel) => Rel::Filter(Filter { input: boxed(rel.input)?, ..rel }),
            Rel::Join(rel) => {
                let (left, right) = (boxed(rel.left)?, boxed(rel.right)?);
                Rel::Join(Join { left, right, ..rel })
            }
            Rel::VersionJoin(rel) => {
                Rel::VersionJoin(VersionJoin { input: boxed(rel.input)?, ..rel })
            }
            Rel::Aggregate(rel) => Rel::Aggregate(Aggregate { input: boxed(rel.input)?, ..rel }),
            Rel::Union(rel) => {
                let inputs = rel.inputs.into_iter().map(map).collect::<Result<_, SqlError>>()?;
                Rel::Union(Union { inputs, ..rel })
            }
            Rel::SetOperation(rel) => {
                let (left, right) = (boxed(rel.left)?, boxed(rel.right)?);
                Rel::SetOperation(SetOperation { left, right, ..rel })
            }
            Rel::TopK(rel) => Rel::TopK(TopK { input: boxed(rel.input)?, ..rel }),
            Rel::Window(rel) => Rel::Window(Window { input: boxed(rel.input)?, ..rel }),
            Rel::Unnest(rel) => Rel::Unnest(Unnest { input: boxed(rel.input)?, ..rel }),
            Rel::Session(rel) => Rel::Session(Session { input: boxed(rel.input)?, ..rel }),
            Rel::Recursive(rel) => {
                let (base, step) = (boxed(rel.base)?, boxed(rel.step)?);
                Rel::Recursive(Recursive { base, step, ..rel })
            }
        })
    }

    /// The expressions of its own operator.
    pub fn exprs(&self) -> Vec<&Expr> {
        match self {
            Rel::Project(project) => project.exprs.iter().collect(),
            Rel::Filter(filter) => filter.predicates.iter().collect(),
            Rel::Join(join) => {
                let on = join.on.iter().flat_map(|on| [&on.left, &on.right]);
                on.chain(&join.condition).collect()
            }
            Rel::VersionJoin(join) => {
                let on = join.on.iter().map(|on| &on.left);
                on.chain([&join.time]).chain(&join.condition).collect()
            }
            _ => vec![],
        }
    }

    /// Whether some operator of the tree is as asked.
    pub fn any(&self, test: &dyn Fn(&Rel) -> bool) -> bool {
        test(self) || self.inputs().into_iter().any(|input| input.any(test))
    }

    /// Stands for a relation while it is rebuilt.
    pub fn placeholder() -> Rel {
        Rel::Constant(RecordBatch::new_empty(Schema::empty().into()))
    }

    /// Itself with only the rows for which all predicates are true.
    pub fn filter(self, mut predicates: Vec<Expr>) -> Rel {
        predicates.retain(|predicate| *predicate != lit(true));
        match predicates.is_empty() {
            true => self,
            false => Rel::Filter(Filter { input: Box::new(self), predicates }),
        }
    }

    /// A row of `exprs` for each row, columns named `names`.
    pub fn project(self, exprs: Vec<Expr>, names: Vec<String>) -> Result<Rel, SqlError> {
        let input = positional_schema(&self.schema());
        let fields = exprs
            .iter()
            .zip(names)
            .map(|(expr, name)| Ok(Field::new(name, expr.get_type(&input)?, true)));
        let schema = Arc::new(Schema::new(fields.collect::<Result<Vec<_>, SqlError>>()?));
        Ok(Rel::Project(Project { input: Box::new(self), exprs, schema }))
    }

    /// Its own columns, then a row of `exprs`, named `names`.
    pub fn extend(self, exprs: Vec<Expr>, names: Vec<String>) -> Result<Rel, SqlError> {
        let schema = self.schema();
        let own = schema.fields().iter().map(|field| field.name().clone());
        let names = own.chain(names).collect();
        let exprs = (0..self.width()).map(column).chain(exprs).collect();
        self.project(exprs, names)
    }

    /// Its columns `columns`, in that order; itself if these are all of them in their own order.
    pub fn select(self, columns: &[usize]) -> Rel {
        if columns.iter().copied().eq(0..self.width()) {
            return self;
        }
        let schema = self.schema();
        let fields: Vec<_> = columns.iter().map(|&i| schema.fields()[i].clone()).collect();
        Rel::Project(Project {
            input: Box::new(self),
            exprs: columns.iter().map(|&i| column(i)).collect(),
            schema: Arc::new(Schema::new(fields)),
        })
    }

    /// Its rows each once.
    pub fn distinct(self) -> Rel {
        let schema = self.schema();
        let keys = (0..schema.fields().len()).collect();
        Rel::Aggregate(Aggregate { input: Box::new(self), keys, calls: vec![], schema })
    }

    /// A join of that kind, its condition above it if it is an inner one.
    pub fn join(self, kind: JoinKind, right: Rel, on: Vec<On>, condition: Vec<Expr>) -> Rel {
        let (left, right) = (Box::new(self), Box::new(right));
        match kind {
            JoinKind::Inner => {
                let condition_above = condition;
                let pairs = Join { left, right, kind, on, condition: vec![] };
                Rel::Join(pairs).filter(condition_above)
            }
            kind => Rel::Join(Join { left, right, kind, on, condition }),
        }
    }
}

/// Whether a join gives left columns alone.
pub(super) fn is_half(kind: JoinKind) -> bool {
    matches!(kind, JoinKind::Semi | JoinKind::Anti)
}

/// The columns of `schema` at `columns`.
pub(super) fn columns_of(schema: &SchemaRef, columns: &[usize]) -> SchemaRef {
    let fields: Vec<_> = columns.iter().map(|&i| schema.fields()[i].clone()).collect();
    Arc::new(Schema::new(fields))
}

/// The call where the input's columns stand elsewhere.
pub(super) fn moved_call(call: &WindowCall, place: impl Fn(usize) -> usize) -> WindowCall {
    WindowCall {
        arguments: call.arguments.iter().map(|&column| place(column)).collect(),
        filter: call.filter.map(&place),
        ..call.clone()
    }
}

/// Keys of an order where the input's columns stand elsewhere.
pub(super) fn moved_keys(keys: &[SortKey], place: impl Fn(usize) -> usize) -> Vec<SortKey> {
    keys.iter().map(|key| SortKey { column: place(key.column), ..*key }).collect()
}
