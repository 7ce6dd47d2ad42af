//! A query as relational algebra over columns by position: what a logical plan becomes before it
//! is lowered to operators.
//!
//! Law      column `#i` of an expression is column i of its operator's input (of a join: left, then
//!          right), so an expression moves through the tree by substitution alone; names are for
//!          printing only
//! Missing  order, limits, outer joins: [`super::resolve`] refuses them

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::{Expr, ExprSchemable};
use tidemark_catalog::{ObjectId, PgType};
use tidemark_engine::plan::AggregateCall;

use crate::error::SqlError;

/// A relation and how it is made.
#[derive(Clone, Debug)]
pub(super) enum Rel {
    Scan(Scan),
    Constant(RecordBatch),
    Project(Project),
    Filter(Filter),
    Join(Join),
    Aggregate(Aggregate),
    Union(Union),
}

/// A table or materialized view, whole.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    pub object: ObjectId,
    pub name: String,
    pub schema: SchemaRef,
    /// Each column's type and typmod.
    pub types: Vec<(PgType, i32)>,
    /// Columns that identify a row, where there are some.
    pub key: Option<Vec<usize>>,
    /// Rows never leave it.
    pub append_only: bool,
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

/// Pairs of rows for which every `on` is equal and not NULL; each is (over the left's columns, over
/// the right's).
#[derive(Clone, Debug)]
pub(super) struct Join {
    pub left: Box<Rel>,
    pub right: Box<Rel>,
    pub on: Vec<(Expr, Expr)>,
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

impl Rel {
    pub fn schema(&self) -> SchemaRef {
        match self {
            Rel::Scan(scan) => scan.schema.clone(),
            Rel::Constant(rows) => rows.schema(),
            Rel::Project(project) => project.schema.clone(),
            Rel::Filter(filter) => filter.input.schema(),
            Rel::Join(join) => joined(&join.left.schema(), &join.right.schema()),
            Rel::Aggregate(aggregate) => aggregate.schema.clone(),
            Rel::Union(union) => union.schema.clone(),
        }
    }

    pub fn width(&self) -> usize {
        match self {
            Rel::Filter(filter) => filter.input.width(),
            Rel::Join(join) => join.left.width() + join.right.width(),
            other => other.schema().fields().len(),
        }
    }

    /// Itself with only the rows for which all predicates are true.
    pub fn filter(self, predicates: Vec<Expr>) -> Rel {
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

    /// The tree as text, an operator a line: the OPTIMIZED stage of EXPLAIN.
    pub fn explain(&self) -> String {
        let mut text = String::new();
        self.explain_at(0, &mut text);
        text
    }

    fn explain_at(&self, depth: usize, text: &mut String) {
        let list = |exprs: &[Expr], schema: &SchemaRef| {
            let named = exprs.iter().map(|expr| named(expr, schema).to_string());
            named.collect::<Vec<_>>().join(", ")
        };
        let (line, inputs): (String, Vec<&Rel>) = match self {
            Rel::Scan(scan) => (format!("Scan {}", scan.name), vec![]),
            Rel::Constant(rows) => (format!("Constant rows={}", rows.num_rows()), vec![]),
            Rel::Project(project) => (
                format!("Project {}", list(&project.exprs, &project.input.schema())),
                vec![&project.input],
            ),
            Rel::Filter(filter) => (
                format!("Filter {}", list(&filter.predicates, &filter.input.schema())),
                vec![&filter.input],
            ),
            Rel::Join(join) => {
                let (left, right) = (join.left.schema(), join.right.schema());
                let on = join
                    .on
                    .iter()
                    .map(|(l, r)| format!("{} = {}", named(l, &left), named(r, &right)));
                let on: Vec<String> = on.collect();
                (format!("Join {}", on.join(", ")), vec![&join.left, &join.right])
            }
            Rel::Aggregate(aggregate) => {
                let names: Vec<_> =
                    aggregate.schema.fields().iter().map(|field| field.name().clone()).collect();
                let (keys, calls) = names.split_at(aggregate.keys.len());
                let line = format!("Aggregate by [{}]: [{}]", keys.join(", "), calls.join(", "));
                (line, vec![&aggregate.input])
            }
            Rel::Union(union) => ("Union".to_owned(), union.inputs.iter().collect()),
        };
        writeln!(text, "{:indent$}{}", "", line.trim_end(), indent = depth * 2)
            .expect("writing to a string");
        for input in inputs {
            input.explain_at(depth + 1, text);
        }
    }
}

/// Column `index` of the input.
pub(super) fn column(index: usize) -> Expr {
    Expr::Column(Column::new_unqualified(format!("#{index}")))
}

/// The position that a column made by [`column`] has.
pub(super) fn position(column: &Column) -> usize {
    let number = column.name.strip_prefix('#').and_then(|number| number.parse().ok());
    number.expect("every column is by position")
}

/// The position, if the expression is a column alone.
pub(super) fn as_column(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Column(column) => Some(position(column)),
        _ => None,
    }
}

/// The columns an expression refers to.
pub(super) fn references(expr: &Expr) -> BTreeSet<usize> {
    expr.column_refs().into_iter().map(position).collect()
}

/// The columns any of the expressions refers to.
pub(super) fn all_references<'a>(exprs: impl IntoIterator<Item = &'a Expr>) -> BTreeSet<usize> {
    exprs.into_iter().flat_map(references).collect()
}

/// The expression with each column replaced.
pub(super) fn substitute(expr: Expr, with: &dyn Fn(usize) -> Expr) -> Expr {
    let replaced = expr.transform_up(|expr| {
        Ok(match &expr {
            Expr::Column(column) => Transformed::yes(with(position(column))),
            _ => Transformed::no(expr),
        })
    });
    replaced.expect("substitution cannot fail").data
}

/// The expression with each column moved by `places`.
pub(super) fn shift(expr: Expr, places: isize) -> Expr {
    substitute(expr, &|i| column(i.checked_add_signed(places).expect("a column of the input")))
}

/// Whether some part of the expression is as asked.
pub(super) fn any(expr: &Expr, mut test: impl FnMut(&Expr) -> bool) -> bool {
    let mut found = false;
    expr.apply(|expr| {
        found |= test(expr);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })
    .expect("looking cannot fail");
    found
}

/// A schema in which the columns are called `#0`, `#1`, …
pub(super) fn positional_schema(schema: &Schema) -> DFSchema {
    let fields = schema.fields().iter().enumerate();
    let fields =
        fields.map(|(i, field)| Field::new(format!("#{i}"), field.data_type().clone(), true));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    DFSchema::try_from(schema).expect("numbers are unique names")
}

/// The type of an expression over a relation's columns.
pub(super) fn type_of(expr: &Expr, schema: &Schema) -> Result<DataType, SqlError> {
    Ok(expr.get_type(&positional_schema(schema))?)
}

/// The columns of a join.
pub(super) fn joined(left: &Schema, right: &Schema) -> SchemaRef {
    let fields = left.fields().iter().chain(right.fields()).cloned();
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// For printing: the expression with names for positions.
pub(super) fn named(expr: &Expr, schema: &Schema) -> Expr {
    substitute(expr.clone(), &|i| {
        Expr::Column(Column::new_unqualified(schema.field(i).name().clone()))
    })
}
