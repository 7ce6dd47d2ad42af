//! Inner joins in a row: taken apart, and put together by their equalities.
//!
//! Law: left to right as the text has them, each time with the first relation that an equality
//! connects; without one, every pair is made.

use std::collections::BTreeSet;
use std::ops::Range;

use datafusion::logical_expr::Expr;
use tidemark_engine::plan::JoinKind;

use super::{equality, is_inner, is_not_distinct, push, push_filter};
use crate::error::SqlError;
use crate::maintain::fallible::is_fallible;
use crate::maintain::rel::{On, Rel, column, references, shift, substitute};

/// Inner joins in a row, taken apart. Columns are numbered through all of them.
#[derive(Default)]
struct Product {
    relations: Vec<(Rel, Range<usize>)>,
    predicates: Vec<Expr>,
    width: usize,
}

impl Product {
    fn add(&mut self, rel: Rel) -> Result<(), SqlError> {
        match rel {
            Rel::Join(join) if join.kind == JoinKind::Inner => {
                let left = self.width;
                self.add(*join.left)?;
                let right = self.width;
                self.add(*join.right)?;
                for On { left: l, right: r, null_equal } in join.on {
                    let (l, r) = (shift(l, left as isize), shift(r, right as isize));
                    self.predicates.push(match null_equal {
                        true => is_not_distinct(l, r),
                        false => l.eq(r),
                    });
                }
            }
            Rel::Filter(filter) if is_inner(&filter.input) => {
                let schema = filter.input.schema();
                if filter.predicates.iter().any(|predicate| is_fallible(predicate, &schema)) {
                    self.add_whole(push_filter(filter, vec![])?);
                    return Ok(());
                }
                let first = self.width as isize;
                self.add(*filter.input)?;
                let shifted = filter.predicates.into_iter().map(|p| shift(p, first));
                self.predicates.extend(shifted);
            }
            other => self.add_whole(other),
        }
        Ok(())
    }

    fn add_whole(&mut self, rel: Rel) {
        let columns = self.width..self.width + rel.width();
        self.width = columns.end;
        self.relations.push((rel, columns));
    }

    /// Gives each relation the predicates that are about it alone.
    fn push_single(&mut self) -> Result<(), SqlError> {
        for (rel, columns) in &mut self.relations {
            let (own, others): (Vec<Expr>, Vec<Expr>) =
                std::mem::take(&mut self.predicates).into_iter().partition(|predicate| {
                    // One without columns goes to the first relation: there it decides for all.
                    references(predicate).into_iter().all(|i| columns.contains(&i))
                });
            self.predicates = others;
            let first = columns.start as isize;
            let own = own.into_iter().map(|predicate| shift(predicate, -first)).collect();
            let whole = std::mem::replace(rel, Rel::placeholder());
            *rel = push(whole, own)?;
        }
        Ok(())
    }
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
pub(super) fn push_join(
    rel: Rel,
    predicates: Vec<Expr>,
    mut fallible: Vec<Expr>,
) -> Result<Rel, SqlError> {
    let mut product = Product::default();
    product.add(rel)?;
    product.predicates.extend(predicates);
    product.push_single()?;
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
        let rel = joined.rel.join(JoinKind::Inner, right, on, vec![]);
        joined = Joined { rel, columns: joined.columns.into_iter().chain(columns).collect() };
        let (ready, later): (Vec<Expr>, Vec<Expr>) =
            predicates.into_iter().partition(|predicate| joined.has_all(&references(predicate)));
        predicates = later;
        let ready: Vec<Expr> = ready.into_iter().map(|p| joined.over(p)).collect();
        joined.rel = joined.rel.filter(ready);
    }
    let fallible = fallible.into_iter().map(|p| joined.over(p)).collect();
    let places: Vec<usize> = (0..width).map(|column| joined.place(column)).collect();
    Ok(joined.rel.filter(fallible).select(&places))
}

/// The predicate as a key of `joined` ⋈ the relation with `columns`, over the columns of either.
fn key(predicate: &Expr, joined: &Joined, columns: &Range<usize>) -> Option<On> {
    let (left, right, null_equal) = equality(predicate)?;
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
    Some(On { left: joined.over(l.clone()), right: shift(r.clone(), -first), null_equal })
}
