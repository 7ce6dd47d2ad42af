//! Predicates to the places where they cost least, and products to joins.
//!
//! Law      a predicate moves down only if it cannot fail, and only through columns that cannot
//!          fail: so nothing that can fail is asked about more rows than the text asks (S10)
//! Joins    inner joins in a row are taken apart and put together left to right, each time with the
//!          first relation that an equality connects; without one, every pair is made
//! But      an equality that can fail becomes the key of a join that has no other: its side is then
//!          computed for each row below the join, and a row that fails is reported there. It could
//!          meet nothing; making every pair instead would be worse
//! Missing  statistics: the order depends on the text alone

use std::collections::BTreeSet;
use std::ops::Range;

use arrow::datatypes::Schema;
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::{Expr, Operator};

use super::fallible::is_fallible;
use super::rel::{
    Aggregate, Filter, Join, Project, Rel, Union, column, references, shift, substitute,
};
use super::temporal::has_now;

/// The relation with its predicates in their places.
pub(super) fn push_down(rel: Rel) -> Rel {
    push(rel, vec![])
}

/// `rel` with only the rows for which all of `predicates` are true; none of them can fail.
fn push(rel: Rel, predicates: Vec<Expr>) -> Rel {
    match rel {
        Rel::Filter(filter) => push_filter(filter, predicates),
        Rel::Project(project) => push_project(project, predicates),
        Rel::Join(_) => push_join(rel, predicates, vec![]),
        Rel::Aggregate(aggregate) => push_aggregate(aggregate, predicates),
        Rel::Union(union) => {
            let inputs = union.inputs.into_iter();
            let inputs = inputs.map(|input| push(input, predicates.clone())).collect();
            Rel::Union(Union { inputs, schema: union.schema })
        }
        Rel::Scan(_) | Rel::Constant(_) => rel.filter(predicates),
    }
}

fn push_filter(filter: Filter, predicates: Vec<Expr>) -> Rel {
    let schema = filter.input.schema();
    let (fallible, mut movable): (Vec<Expr>, Vec<Expr>) =
        filter.predicates.into_iter().partition(|predicate| is_fallible(predicate, &schema));
    movable.extend(predicates);
    match *filter.input {
        join @ Rel::Join(_) => push_join(join, movable, fallible),
        input => push(input, movable).filter(fallible),
    }
}

fn push_project(project: Project, predicates: Vec<Expr>) -> Rel {
    let input = project.input.schema();
    let through = |predicate: &Expr| {
        references(predicate).into_iter().all(|i| !is_fallible(&project.exprs[i], &input))
    };
    let (below, above): (Vec<Expr>, Vec<Expr>) = predicates.into_iter().partition(through);
    let below = below
        .into_iter()
        .map(|predicate| substitute(predicate, &|i| project.exprs[i].clone()))
        .collect();
    let input = Box::new(push(*project.input, below));
    Rel::Project(Project { input, exprs: project.exprs, schema: project.schema }).filter(above)
}

/// Through the keys of groups. What is asked of the one group of no keys stays: it is there even
/// over no rows.
fn push_aggregate(aggregate: Aggregate, predicates: Vec<Expr>) -> Rel {
    let keys = aggregate.keys.len();
    let of_keys = |predicate: &Expr| keys > 0 && references(predicate).iter().all(|&i| i < keys);
    let (below, above): (Vec<Expr>, Vec<Expr>) = predicates.into_iter().partition(of_keys);
    let below = below
        .into_iter()
        .map(|predicate| substitute(predicate, &|i| column(aggregate.keys[i])))
        .collect();
    let input = Box::new(push(*aggregate.input, below));
    Rel::Aggregate(Aggregate { input, ..aggregate }).filter(above)
}

/// Inner joins in a row, taken apart. Columns are numbered through all of them.
#[derive(Default)]
struct Product {
    relations: Vec<(Rel, Range<usize>)>,
    predicates: Vec<Expr>,
    width: usize,
}

impl Product {
    fn add(&mut self, rel: Rel) {
        match rel {
            Rel::Join(join) => {
                let left = self.width;
                self.add(*join.left);
                let right = self.width;
                self.add(*join.right);
                for (l, r) in join.on {
                    let (l, r) = (shift(l, left as isize), shift(r, right as isize));
                    self.predicates.push(l.eq(r));
                }
            }
            Rel::Filter(filter) if matches!(*filter.input, Rel::Join(_)) => {
                let schema = filter.input.schema();
                if filter.predicates.iter().any(|predicate| is_fallible(predicate, &schema)) {
                    self.add_whole(push_filter(filter, vec![]));
                    return;
                }
                let first = self.width as isize;
                self.add(*filter.input);
                let shifted = filter.predicates.into_iter().map(|p| shift(p, first));
                self.predicates.extend(shifted);
            }
            other => self.add_whole(other),
        }
    }

    fn add_whole(&mut self, rel: Rel) {
        let columns = self.width..self.width + rel.width();
        self.width = columns.end;
        self.relations.push((rel, columns));
    }

    /// Gives each relation the predicates that are about it alone.
    fn push_single(&mut self) {
        for (rel, columns) in &mut self.relations {
            let (own, others): (Vec<Expr>, Vec<Expr>) =
                std::mem::take(&mut self.predicates).into_iter().partition(|predicate| {
                    // One without columns goes to the first relation: there it decides for all.
                    references(predicate).into_iter().all(|i| columns.contains(&i))
                });
            self.predicates = others;
            let first = columns.start as isize;
            let own = own.into_iter().map(|predicate| shift(predicate, -first)).collect();
            let whole = std::mem::replace(rel, placeholder());
            *rel = push(whole, own);
        }
    }
}

/// Stands for a relation while it is rebuilt.
fn placeholder() -> Rel {
    use arrow::record_batch::RecordBatch;
    Rel::Constant(RecordBatch::new_empty(Schema::empty().into()))
}

/// Relations joined so far: where each column of the product is in it.
struct Joined {
    rel: Rel,
    /// `columns[i]` of the product is column i of `rel`.
    columns: Vec<usize>,
}

impl Joined {
    fn place(&self, column: usize) -> usize {
        self.columns.iter().position(|&known| known == column).expect("a column joined already")
    }

    /// An expression over the product's columns, over those of `rel`.
    fn over(&self, expr: Expr) -> Expr {
        substitute(expr, &|i| column(self.place(i)))
    }

    fn has_all(&self, columns: &BTreeSet<usize>) -> bool {
        columns.iter().all(|column| self.columns.contains(column))
    }
}

/// A tree of joins, with predicates that cannot fail to place, and some that can to keep above.
fn push_join(rel: Rel, predicates: Vec<Expr>, mut fallible: Vec<Expr>) -> Rel {
    let mut product = Product::default();
    product.add(rel);
    product.predicates.extend(predicates);
    product.push_single();
    let Product { relations, mut predicates, width } = product;
    let mut remaining = relations.into_iter().collect::<Vec<_>>();
    let (rel, columns) = remaining.remove(0);
    let mut joined = Joined { rel, columns: columns.collect() };
    while !remaining.is_empty() {
        let connected = |(_, columns): &(Rel, Range<usize>)| {
            predicates.iter().any(|predicate| key(predicate, &joined, columns).is_some())
        };
        let next = remaining.iter().position(connected);
        let (right, columns) = remaining.remove(next.unwrap_or(0));
        let mut on = Vec::new();
        predicates.retain(|predicate| {
            let key = key(predicate, &joined, &columns);
            let is_key = key.is_some();
            on.extend(key);
            !is_key
        });
        if on.is_empty() {
            let first = fallible.iter().position(|p| key(p, &joined, &columns).is_some());
            if let Some(first) = first {
                on.extend(key(&fallible.remove(first), &joined, &columns));
            }
        }
        let rel = Rel::Join(Join { left: Box::new(joined.rel), right: Box::new(right), on });
        joined = Joined { rel, columns: joined.columns.into_iter().chain(columns).collect() };
        let (ready, later): (Vec<Expr>, Vec<Expr>) =
            predicates.into_iter().partition(|predicate| joined.has_all(&references(predicate)));
        predicates = later;
        let ready: Vec<Expr> = ready.into_iter().map(|p| joined.over(p)).collect();
        joined.rel = joined.rel.filter(ready);
    }
    let fallible = fallible.into_iter().map(|p| joined.over(p)).collect();
    let places: Vec<usize> = (0..width).map(|column| joined.place(column)).collect();
    joined.rel.filter(fallible).select(&places)
}

/// The predicate as a key of `joined` ⋈ the relation with `columns`, over the columns of either.
fn key(predicate: &Expr, joined: &Joined, columns: &Range<usize>) -> Option<(Expr, Expr)> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = predicate else {
        return None;
    };
    if has_now(predicate) {
        return None;
    }
    let of_right = |side: &Expr| {
        let columns_of_side = references(side);
        !columns_of_side.is_empty() && columns_of_side.into_iter().all(|i| columns.contains(&i))
    };
    let of_left = |side: &Expr| {
        let columns_of_side = references(side);
        !columns_of_side.is_empty() && joined.has_all(&columns_of_side)
    };
    let (l, r) = match () {
        _ if of_left(left) && of_right(right) => (left, right),
        _ if of_left(right) && of_right(left) => (right, left),
        _ => return None,
    };
    let first = columns.start as isize;
    Some((joined.over(l.as_ref().clone()), shift(r.as_ref().clone(), -first)))
}
