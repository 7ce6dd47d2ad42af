//! Columns that nobody asks for are not computed and not carried.
//!
//! Law: a column that can fail is computed even if nobody asks for it, because a row for which it
//! fails is not there (S10); likewise an aggregate that can overflow. Projections above each other
//! become one where that changes neither.

use std::collections::BTreeSet;

use arrow::datatypes::{DataType, Schema};
use datafusion::logical_expr::Expr;
use tidemark_engine::plan::{AggregateCall, WindowCall, WindowFunction};

use super::fallible::is_fallible;
use super::rel::{
    Aggregate, Filter, Join, On, Project, Recursive, Rel, Session, SetOperation, TopK, Union,
    Unnest, VersionJoin, Window, all_references, as_column, column, columns_of, is_half,
    moved_call, moved_keys, references, substitute,
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
        Rel::VersionJoin(join) => prune_version_join(join, required),
        Rel::Aggregate(aggregate) => prune_aggregate(aggregate, required),
        Rel::Union(union) => {
            let inputs = union.inputs.into_iter().map(|input| exactly(input, required)).collect();
            let columns: Vec<usize> = required.iter().copied().collect();
            let schema = columns_of(&union.schema, &columns);
            Pruned { rel: Rel::Union(Union { inputs, schema }), columns }
        }
        Rel::SetOperation(operation) => {
            // Rows are the same or not by all of their columns.
            let all: BTreeSet<usize> = (0..operation.schema.fields().len()).collect();
            let left = Box::new(exactly(*operation.left, &all));
            let right = Box::new(exactly(*operation.right, &all));
            let rel = Rel::SetOperation(SetOperation { left, right, ..operation });
            Pruned { rel, columns: all.into_iter().collect() }
        }
        Rel::TopK(top) => prune_top_k(top, required),
        Rel::Window(window) => prune_window(window, required),
        Rel::Unnest(unnest) => prune_unnest(unnest, required),
        Rel::Session(session) => prune_session(session, required),
        Rel::Recursive(recursive) => {
            let all: BTreeSet<usize> = (0..recursive.schema.fields().len()).collect();
            let base = Box::new(exactly(*recursive.base, &all));
            let step = Box::new(exactly(*recursive.step, &all));
            let rel = Rel::Recursive(Recursive { base, step, ..recursive });
            Pruned { rel, columns: all.into_iter().collect() }
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
    let input = Pruned { rel: Rel::placeholder(), columns };
    let predicates = filter.predicates.into_iter().map(|expr| input.over(expr)).collect();
    Pruned { rel: rel.filter(predicates), columns: input.columns }
}

fn prune_join(join: Join, required: &BTreeSet<usize>) -> Pruned {
    let (left_width, right_width) = (join.left.width(), join.right.width());
    let mut of_left = all_references(join.on.iter().map(|on| &on.left));
    let mut of_right = all_references(join.on.iter().map(|on| &on.right));
    for column in all_references(&join.condition).iter().chain(required) {
        match column.checked_sub(left_width) {
            None => of_left.insert(*column),
            Some(column) => of_right.insert(column),
        };
    }
    ask_for_one(&mut of_left, left_width);
    ask_for_one(&mut of_right, right_width);
    let side = |rel: Rel, needed: &BTreeSet<usize>| {
        let columns: Vec<usize> = needed.iter().copied().collect();
        Pruned { rel: exactly(rel, needed), columns }
    };
    let (left, right) = (side(*join.left, &of_left), side(*join.right, &of_right));
    let on = join.on.into_iter().map(|on| On {
        left: left.over(on.left),
        right: right.over(on.right),
        null_equal: on.null_equal,
    });
    let on = on.collect();
    let of_both = |i: usize| match i.checked_sub(left_width) {
        None => left.place(i),
        Some(of_right) => left.columns.len() + right.place(of_right),
    };
    let condition = join.condition.into_iter();
    let condition = condition.map(|p| substitute(p, &|i| column(of_both(i)))).collect();
    let mut columns = left.columns.clone();
    if !is_half(join.kind) {
        columns.extend(right.columns.iter().map(|column| column + left_width));
    }
    let (left, right) = (Box::new(left.rel), Box::new(right.rel));
    Pruned { rel: Rel::Join(Join { left, right, kind: join.kind, on, condition }), columns }
}

fn prune_version_join(join: VersionJoin, required: &BTreeSet<usize>) -> Pruned {
    let width = join.input.width();
    let own = join.on.iter().map(|on| &on.left).chain([&join.time]);
    let mut of_input = all_references(own);
    let mut of_versions = all_references(join.on.iter().map(|on| &on.right));
    for column in all_references(&join.condition) {
        match column.checked_sub(width) {
            None => of_input.insert(column),
            Some(column) => of_versions.insert(column),
        };
    }
    for column in required {
        match column.checked_sub(width) {
            None => of_input.insert(*column),
            Some(column) => of_versions.insert(join.columns[column]),
        };
    }
    let columns: Vec<usize> = of_input.iter().copied().collect();
    let input = Pruned { rel: exactly(*join.input, &of_input), columns };
    let on = join.on.into_iter().map(|on| On { left: input.over(on.left), ..on }).collect();
    let time = input.over(join.time);
    let of_both = |i: usize| match i.checked_sub(width) {
        None => input.place(i),
        Some(of_versions) => input.columns.len() + of_versions,
    };
    let condition = join.condition.into_iter();
    let condition = condition.map(|p| substitute(p, &|i| column(of_both(i)))).collect();
    let kept: Vec<usize> = of_versions.into_iter().collect();
    let place = |column: &usize| join.columns.iter().position(|known| known == column);
    let places = kept.iter().map(|column| width + place(column).expect("a column it had"));
    let columns = input.columns.iter().copied().chain(places).collect();
    let input = Box::new(input.rel);
    let join = VersionJoin { input, columns: kept, on, time, condition, ..join };
    Pruned { rel: Rel::VersionJoin(join), columns }
}

fn prune_top_k(top: TopK, required: &BTreeSet<usize>) -> Pruned {
    let order = top.order.iter().map(|key| key.column);
    let needed = required.iter().copied().chain(top.keys.iter().copied()).chain(order);
    let mut needed: BTreeSet<usize> = needed.collect();
    ask_for_one(&mut needed, top.input.width());
    let input = required_of(*top.input, &needed);
    let keys = top.keys.iter().map(|&key| input.place(key)).collect();
    let order = moved_keys(&top.order, |column| input.place(column));
    let rel = Rel::TopK(TopK { input: Box::new(input.rel), keys, order, ..top });
    Pruned { rel, columns: input.columns }
}

fn prune_window(window: Window, required: &BTreeSet<usize>) -> Pruned {
    let (width, schema) = (window.input.width(), window.input.schema());
    let kept =
        |i: &usize| required.contains(&(width + i)) || window_can_fail(&window.calls[*i], &schema);
    let kept: Vec<usize> = (0..window.calls.len()).filter(kept).collect();
    let mut needed: BTreeSet<usize> = required.range(..width).copied().collect();
    if kept.is_empty() {
        return required_of(*window.input, &needed);
    }
    let calls: Vec<_> = kept.iter().map(|&i| &window.calls[i]).collect();
    needed.extend(window.partition.iter().copied());
    needed.extend(window.order.iter().chain(&window.tie_break).map(|key| key.column));
    needed.extend(calls.iter().flat_map(|call| call.arguments.iter().copied().chain(call.filter)));
    ask_for_one(&mut needed, width);
    let input = required_of(*window.input, &needed);
    let place = |column: usize| input.place(column);
    let values: Vec<usize> = kept.iter().map(|i| width + i).collect();
    let columns: Vec<usize> = input.columns.iter().copied().chain(values).collect();
    let rel = Window {
        partition: window.partition.iter().map(|&key| place(key)).collect(),
        order: moved_keys(&window.order, place),
        tie_break: moved_keys(&window.tie_break, place),
        calls: calls.into_iter().map(|call| moved_call(call, place)).collect(),
        schema: columns_of(&window.schema, &columns),
        input: Box::new(input.rel),
    };
    Pruned { rel: Rel::Window(rel), columns }
}

fn window_can_fail(call: &WindowCall, schema: &Schema) -> bool {
    match call.function {
        WindowFunction::Ntile | WindowFunction::NthValue => true,
        WindowFunction::Aggregate(function) => {
            can_overflow(&AggregateCall::new(function, call.arguments.clone(), None), schema)
        }
        _ => false,
    }
}

fn prune_unnest(unnest: Unnest, required: &BTreeSet<usize>) -> Pruned {
    let width = unnest.input.width();
    let kept: Vec<usize> = (0..width).filter(|i| !unnest.lists.contains(i)).collect();
    let of_input = required.iter().filter_map(|&i| kept.get(i).copied());
    let needed: BTreeSet<usize> = of_input.chain(unnest.lists.iter().copied()).collect();
    let input = required_of(*unnest.input, &needed);
    let lists: Vec<usize> = unnest.lists.iter().map(|&list| input.place(list)).collect();
    let beside =
        input.columns.iter().filter_map(|column| kept.iter().position(|known| known == column));
    let elements = kept.len()..unnest.schema.fields().len();
    let columns: Vec<usize> = beside.chain(elements).collect();
    let schema = columns_of(&unnest.schema, &columns);
    let input = Box::new(input.rel);
    Pruned { rel: Rel::Unnest(Unnest { input, lists, schema, ..unnest }), columns }
}

fn prune_session(session: Session, required: &BTreeSet<usize>) -> Pruned {
    let width = session.input.width();
    let mut needed: BTreeSet<usize> = required.range(..width).copied().collect();
    needed.extend(session.keys.iter().copied().chain([session.time]));
    let input = required_of(*session.input, &needed);
    let columns: Vec<usize> = input.columns.iter().copied().chain([width, width + 1]).collect();
    let rel = Session {
        keys: session.keys.iter().map(|&key| input.place(key)).collect(),
        time: input.place(session.time),
        gap_us: session.gap_us,
        schema: columns_of(&session.schema, &columns),
        input: Box::new(input.rel),
    };
    Pruned { rel: Rel::Session(rel), columns }
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
