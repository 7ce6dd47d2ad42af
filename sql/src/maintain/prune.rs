//! Columns that nobody asks for are not computed and not carried.
//!
//! Law: a column that can fail is computed even if nobody asks for it, because a row for which it
//! fails is not there (S10); likewise an aggregate that can overflow. Projections above each other
//! become one where that changes neither.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::logical_expr::Expr;
use tidemark_engine::plan::AggregateCall;

use super::fallible::is_fallible;
use super::rel::{
    Aggregate, Filter, Join, Project, Rel, Union, all_references, as_column, column, references,
    substitute,
};

/// The relation with the columns it has, and nothing else computed on the way.
pub(super) fn prune(rel: Rel) -> Rel {
    let all = (0..rel.width()).collect();
    exactly(rel, &all)
}

/// A pruned relation: `columns[i]` of the relation as it was is its column i.
struct Pruned {
    rel: Rel,
    columns: Vec<usize>,
}

impl Pruned {
    fn place(&self, column: usize) -> usize {
        self.columns.iter().position(|&kept| kept == column).expect("a column that was required")
    }

    fn over(&self, expr: Expr) -> Expr {
        substitute(expr, &|i| column(self.place(i)))
    }
}

/// Only the required columns, in their order.
fn exactly(rel: Rel, required: &BTreeSet<usize>) -> Rel {
    let pruned = required_of(rel, required);
    let places: Vec<usize> = required.iter().map(|&column| pruned.place(column)).collect();
    fuse(pruned.rel.select(&places))
}

/// At least the required columns.
fn required_of(rel: Rel, required: &BTreeSet<usize>) -> Pruned {
    match rel {
        Rel::Scan(_) | Rel::Constant(_) => {
            let columns: Vec<usize> = required.iter().copied().collect();
            Pruned { rel: rel.select(&columns), columns }
        }
        Rel::Project(project) => prune_project(project, required),
        Rel::Filter(filter) => prune_filter(filter, required),
        Rel::Join(join) => prune_join(join, required),
        Rel::Aggregate(aggregate) => prune_aggregate(aggregate, required),
        Rel::Union(union) => {
            let inputs = union.inputs.into_iter().map(|input| exactly(input, required)).collect();
            let columns: Vec<usize> = required.iter().copied().collect();
            let schema = columns_of(&union.schema, &columns);
            Pruned { rel: Rel::Union(Union { inputs, schema }), columns }
        }
    }
}

fn prune_project(project: Project, required: &BTreeSet<usize>) -> Pruned {
    let schema = project.input.schema();
    let kept = |i: &usize| required.contains(i) || is_fallible(&project.exprs[*i], &schema);
    let columns: Vec<usize> = (0..project.exprs.len()).filter(kept).collect();
    let exprs: Vec<Expr> = columns.iter().map(|&i| project.exprs[i].clone()).collect();
    let input = required_of(*project.input, &all_references(&exprs));
    let exprs = exprs.into_iter().map(|expr| input.over(expr)).collect();
    let schema = columns_of(&project.schema, &columns);
    let project = Rel::Project(Project { input: Box::new(input.rel), exprs, schema });
    Pruned { rel: fuse(project), columns }
}

fn prune_filter(filter: Filter, required: &BTreeSet<usize>) -> Pruned {
    let mut needed = all_references(&filter.predicates);
    needed.extend(required);
    let Pruned { rel, columns } = required_of(*filter.input, &needed);
    let input = Pruned { rel: placeholder(), columns };
    let predicates = filter.predicates.into_iter().map(|expr| input.over(expr)).collect();
    Pruned { rel: rel.filter(predicates), columns: input.columns }
}

fn placeholder() -> Rel {
    Rel::Constant(arrow::record_batch::RecordBatch::new_empty(Arc::new(Schema::empty())))
}

fn prune_join(join: Join, required: &BTreeSet<usize>) -> Pruned {
    let left_width = join.left.width();
    let (left_on, right_on): (Vec<Expr>, Vec<Expr>) = join.on.into_iter().unzip();
    let mut of_left = all_references(&left_on);
    let mut of_right = all_references(&right_on);
    let right_width = join.right.width();
    for &column in required {
        match column < left_width {
            true => of_left.insert(column),
            false => of_right.insert(column - left_width),
        };
    }
    ask_for_one(&mut of_left, left_width);
    ask_for_one(&mut of_right, right_width);
    let side = |rel: Rel, needed: &BTreeSet<usize>, on: Vec<Expr>| {
        let rel = exactly(rel, needed);
        let columns: Vec<usize> = needed.iter().copied().collect();
        let pruned = Pruned { rel, columns };
        let on: Vec<Expr> = on.into_iter().map(|expr| pruned.over(expr)).collect();
        (pruned, on)
    };
    let (left, left_on) = side(*join.left, &of_left, left_on);
    let (right, right_on) = side(*join.right, &of_right, right_on);
    let columns = left.columns.into_iter().chain(right.columns.iter().map(|c| c + left_width));
    let columns = columns.collect();
    let on = left_on.into_iter().zip(right_on).collect();
    let (left, right) = (Box::new(left.rel), Box::new(right.rel));
    Pruned { rel: Rel::Join(Join { left, right, on }), columns }
}

fn prune_aggregate(aggregate: Aggregate, required: &BTreeSet<usize>) -> Pruned {
    let schema = aggregate.input.schema();
    let keys = aggregate.keys.len();
    let kept = |i: &usize| {
        *i < keys || required.contains(i) || can_overflow(&aggregate.calls[*i - keys], &schema)
    };
    let columns: Vec<usize> = (0..keys + aggregate.calls.len()).filter(kept).collect();
    let calls: Vec<&AggregateCall> =
        columns[keys..].iter().map(|&i| &aggregate.calls[i - keys]).collect();
    let of_calls = calls.iter().flat_map(|call| call.columns());
    let mut needed: BTreeSet<usize> = aggregate.keys.iter().copied().chain(of_calls).collect();
    ask_for_one(&mut needed, aggregate.input.width());
    let input = required_of(*aggregate.input, &needed);
    let calls = calls.into_iter().map(|call| call.moved(|i| input.place(i))).collect();
    let keys = aggregate.keys.iter().map(|&i| input.place(i)).collect();
    let schema = columns_of(&aggregate.schema, &columns);
    let rel = Aggregate { input: Box::new(input.rel), keys, calls, schema };
    Pruned { rel: Rel::Aggregate(rel), columns }
}

/// A function that can fail, but for sums and averages of floats, which have no range.
fn can_overflow(call: &AggregateCall, schema: &Schema) -> bool {
    let is_float =
        |&i: &usize| matches!(schema.field(i).data_type(), DataType::Float32 | DataType::Float64);
    let sums = matches!(call.function.name(), "sum" | "avg");
    call.function.can_fail() && !(sums && call.arguments.iter().all(is_float))
}

/// Rows of no columns are a special case everywhere: one column costs less.
fn ask_for_one(needed: &mut BTreeSet<usize>, width: usize) {
    if needed.is_empty() && width > 0 {
        needed.insert(0);
    }
}

fn columns_of(schema: &SchemaRef, columns: &[usize]) -> SchemaRef {
    let fields: Vec<_> = columns.iter().map(|&i| schema.fields()[i].clone()).collect();
    Arc::new(Schema::new(fields))
}

/// A projection of a projection as one, unless an expression that can fail would then be evaluated
/// for other rows than before, or one that costs something more than once.
fn fuse(rel: Rel) -> Rel {
    let Rel::Project(outer) = rel else { return rel };
    if is_identity(&outer.exprs, outer.input.width()) {
        return *outer.input;
    }
    let Rel::Project(inner) = *outer.input else {
        return Rel::Project(outer);
    };
    let schema = inner.input.schema();
    let uses = |i: usize| -> usize {
        outer.exprs.iter().filter(|expr| references(expr).contains(&i)).count()
    };
    let stays = |i: usize| {
        let expr = &inner.exprs[i];
        let is_plain = as_column(expr).is_some() || matches!(expr, Expr::Literal(..));
        let taken_whole = outer.exprs.iter().any(|expr| as_column(expr) == Some(i));
        is_plain || (uses(i) <= 1 && (taken_whole || !is_fallible(expr, &schema)))
    };
    if !(0..inner.exprs.len()).all(stays) {
        return Rel::Project(Project { input: Box::new(Rel::Project(inner)), ..outer });
    }
    let exprs: Vec<Expr> =
        outer.exprs.into_iter().map(|expr| substitute(expr, &|i| inner.exprs[i].clone())).collect();
    if is_identity(&exprs, inner.input.width()) {
        return *inner.input;
    }
    Rel::Project(Project { input: inner.input, exprs, schema: outer.schema })
}

fn is_identity(exprs: &[Expr], width: usize) -> bool {
    exprs.iter().map(as_column).eq((0..width).map(Some))
}
