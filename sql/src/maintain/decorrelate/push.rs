//! Bindings pushed down through a relation, one operator after another.
//!
//! Law: what comes out has the relation's own columns, then the bindings; its rows with bindings b
//! are the relation's rows as evaluated for b. A global aggregate has its row for each binding,
//! also over nothing.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::{Expr, lit};
use tidemark_engine::CollectionId;
use tidemark_engine::plan::JoinKind;

use super::null_of;
use crate::error::SqlError;
use crate::maintain::fallible::is_fallible;
use crate::maintain::pushdown::{equality, is_not_distinct};
use crate::maintain::refuse;
use crate::maintain::rel::{
    Aggregate, Filter, Join, On, Project, Recursive, Rel, Scan, ScopeId, Session, SetOperation,
    TopK, Union, Unnest, Window, as_outer, column, is_half, joined, outer_references, shift,
    substitute, substitute_outer, type_of,
};

/// What is pushed.
pub(super) struct Push {
    scope: ScopeId,
    /// The outer columns; binding i is the value of the i-th.
    columns: Vec<usize>,
    fields: Vec<Field>,
    /// The bindings themselves; `None`: equalities must give them.
    bindings: Option<Rel>,
    /// Rows so far of recursions that have the bindings.
    working: Vec<CollectionId>,
}

/// `None` where equalities don't give the bindings.
type Pushed = Result<Option<Rel>, SqlError>;

impl Push {
    pub fn new(scope: ScopeId, columns: &[usize], outer: &Schema, bindings: Option<Rel>) -> Self {
        let field = |&column: &usize| {
            let of = outer.field(column);
            Field::new(of.name(), of.data_type().clone(), true)
        };
        let fields = columns.iter().map(field).collect();
        Push { scope, columns: columns.to_vec(), fields, bindings, working: vec![] }
    }

    /// The relation with the bindings behind its own columns.
    pub fn push(&mut self, rel: Rel) -> Pushed {
        if !self.refers(&rel) {
            let bindings = self.bindings.clone();
            if matches!(&rel, Rel::Constant(rows) if rows.num_rows() == 1 && rel.width() == 0) {
                return Ok(bindings);
            }
            return Ok(bindings.map(|bindings| rel.join(JoinKind::Inner, bindings, vec![], vec![])));
        }
        if self.is_free() && self.has_fallible(&rel) {
            return Ok(None);
        }
        match rel {
            Rel::Scan(scan) => {
                let schema = self.with_bindings(&scan.schema);
                Ok(Some(Rel::Scan(Scan { schema, key: None, types: vec![], ..scan })))
            }
            Rel::Constant(_) => unreachable!("constants refer to nothing"),
            Rel::Project(project) => self.project(project),
            Rel::Filter(filter) => self.filter(filter),
            Rel::Join(join) => self.join(join),
            Rel::VersionJoin(_) => Err(refuse::point_in_time()),
            Rel::Aggregate(aggregate) if aggregate.keys.is_empty() => self.global(aggregate),
            Rel::Aggregate(aggregate) => self.aggregate(aggregate),
            Rel::Union(union) => {
                let schema = self.with_bindings(&union.schema);
                let inputs = union.inputs.into_iter().map(|input| self.push(input));
                let inputs = inputs.collect::<Result<Option<Vec<_>>, SqlError>>()?;
                Ok(inputs.map(|inputs| Rel::Union(Union { inputs, schema })))
            }
            Rel::SetOperation(operation) => {
                let schema = self.with_bindings(&operation.schema);
                let (left, right) = (self.push(*operation.left)?, self.push(*operation.right)?);
                Ok(left.zip(right).map(|(left, right)| {
                    let (left, right) = (Box::new(left), Box::new(right));
                    Rel::SetOperation(SetOperation { left, right, schema, ..operation })
                }))
            }
            Rel::TopK(top) => {
                let keys = self.behind(&top.keys, top.input.width());
                let input = self.push(*top.input)?;
                let over = |input| Rel::TopK(TopK { input: Box::new(input), keys, ..top });
                Ok(input.map(over))
            }
            Rel::Window(window) => self.window(window),
            Rel::Unnest(unnest) => self.unnest(unnest),
            Rel::Session(session) => self.session(session),
            Rel::Recursive(recursive) => self.recursive(recursive),
        }
    }

    fn is_free(&self) -> bool {
        self.bindings.is_none()
    }

    fn refers(&self, rel: &Rel) -> bool {
        rel.any(&|rel| match rel {
            Rel::Scan(scan) => self.working.contains(&scan.collection),
            other => other.exprs().into_iter().any(|expr| self.has_outer(expr)),
        })
    }

    fn has_outer(&self, expr: &Expr) -> bool {
        !outer_references(expr, self.scope).is_empty()
    }

    fn has_fallible(&self, rel: &Rel) -> bool {
        let schema = match rel {
            Rel::Project(project) => project.input.schema(),
            Rel::Filter(filter) => filter.input.schema(),
            Rel::Join(join) => joined(&join.left.schema(), &join.right.schema()),
            _ => return false,
        };
        match rel {
            Rel::Join(join) => {
                let right = join.right.schema();
                join.on.iter().any(|on| is_fallible(&on.right, &right))
                    || join.on.iter().any(|on| is_fallible(&on.left, &schema))
                    || join.condition.iter().any(|expr| is_fallible(expr, &schema))
            }
            other => other.exprs().into_iter().any(|expr| is_fallible(expr, &schema)),
        }
    }

    /// The expression with the bindings that stand from `at` on.
    fn bound(&self, expr: Expr, at: usize) -> Expr {
        substitute_outer(expr, self.scope, &|outer| column(at + self.place(outer)))
    }

    fn place(&self, outer: usize) -> usize {
        let place = self.columns.iter().position(|&column| column == outer);
        place.expect("a binding for each outer column")
    }

    fn with_bindings(&self, schema: &SchemaRef) -> SchemaRef {
        let own = schema.fields().iter().map(|field| field.as_ref().clone());
        Arc::new(Schema::new(own.chain(self.fields.iter().cloned()).collect::<Vec<_>>()))
    }

    /// The columns, then the bindings from `at` on.
    fn behind(&self, columns: &[usize], at: usize) -> Vec<usize> {
        columns.iter().copied().chain(at..at + self.fields.len()).collect()
    }

    fn project(&mut self, project: Project) -> Pushed {
        let (width, schema) = (project.input.width(), self.with_bindings(&project.schema));
        let input = self.push(*project.input)?;
        let own = project.exprs.into_iter().map(|expr| self.bound(expr, width));
        let bindings = (width..width + self.fields.len()).map(column);
        let exprs = own.chain(bindings).collect();
        Ok(input.map(|input| Rel::Project(Project { input: Box::new(input), exprs, schema })))
    }

    fn filter(&mut self, filter: Filter) -> Pushed {
        if self.is_free() && !self.refers(&filter.input) {
            return self.equated(filter);
        }
        let width = filter.input.width();
        let input = self.push(*filter.input)?;
        let predicates = filter.predicates.into_iter().map(|p| self.bound(p, width)).collect();
        Ok(input.map(|input| input.filter(predicates)))
    }

    /// The filter with inner expressions in the place of the outer columns that they equal.
    fn equated(&self, filter: Filter) -> Pushed {
        let schema = filter.input.schema();
        let mut equal: Vec<Option<Expr>> = vec![None; self.columns.len()];
        let mut predicates = Vec::new();
        for predicate in filter.predicates {
            match self.equation(&predicate, &schema) {
                Some((place, inner, null_equal)) if equal[place].is_none() => {
                    if !null_equal {
                        predicates.push(inner.clone().is_not_null());
                    }
                    equal[place] = Some(inner);
                }
                _ => predicates.push(predicate),
            }
        }
        let Some(equal) = equal.into_iter().collect::<Option<Vec<Expr>>>() else {
            return Ok(None);
        };
        let over_inner = |predicate: Expr| {
            substitute_outer(predicate, self.scope, &|outer| equal[self.place(outer)].clone())
        };
        let predicates = predicates.into_iter().map(over_inner).collect();
        let names = self.fields.iter().map(|field| field.name().clone()).collect();
        Ok(Some(filter.input.filter(predicates).extend(equal.clone(), names)?))
    }

    /// `outer column = inner expression` of the same type: which binding, and what it equals.
    fn equation(&self, predicate: &Expr, schema: &Schema) -> Option<(usize, Expr, bool)> {
        let (left, right, null_equal) = equality(predicate)?;
        let (outer, inner) = match (as_outer(left, self.scope), as_outer(right, self.scope)) {
            (Some(outer), None) => (outer, right),
            (None, Some(outer)) => (outer, left),
            _ => return None,
        };
        let place = self.place(outer);
        let same_type = type_of(inner, schema).ok()? == *self.fields[place].data_type();
        (same_type && !self.has_outer(inner)).then(|| (place, inner.clone(), null_equal))
    }

    fn join(&mut self, join: Join) -> Pushed {
        let bindings = self.fields.len();
        let (left_width, right_width) = (join.left.width(), join.right.width());
        let (of_left, of_right) = (self.refers(&join.left), self.refers(&join.right));
        let (to_left, to_right) = match join.kind {
            JoinKind::Inner => (of_left || !of_right, of_right),
            JoinKind::Left | JoinKind::Semi | JoinKind::Anti => (true, of_right),
            JoinKind::Right => (of_left, true),
            JoinKind::Full => (true, true),
        };
        let mut side = |rel: Box<Rel>, push: bool| match push {
            true => self.push(*rel),
            false => Ok(Some(*rel)),
        };
        let (left, right) = (side(join.left, to_left)?, side(join.right, to_right)?);
        let Some((left, right)) = left.zip(right) else { return Ok(None) };
        let new_left = left.width();
        let at = if to_left { left_width } else { new_left + right_width };
        let place = |i: usize| if i < left_width { i } else { i - left_width + new_left };
        let moved = |expr: Expr| {
            let expr = substitute(expr, &|i| column(place(i)));
            self.bound(expr, at)
        };
        let mut condition: Vec<Expr> = join.condition.into_iter().map(moved).collect();
        let mut on = Vec::new();
        for equal in join.on {
            match self.has_outer(&equal.left) || self.has_outer(&equal.right) {
                false => on.push(equal),
                true => {
                    let right = shift(equal.right, new_left as isize);
                    let (left, right) = (self.bound(equal.left, at), self.bound(right, at));
                    condition.push(match equal.null_equal {
                        true => is_not_distinct(left, right),
                        false => left.eq(right),
                    });
                }
            }
        }
        if to_left && to_right {
            on.extend((0..bindings).map(|i| On {
                left: column(left_width + i),
                right: column(right_width + i),
                null_equal: true,
            }));
        }
        let joined = left.join(join.kind, right, on, condition);
        if is_half(join.kind) {
            return Ok(Some(joined));
        }
        let own = (0..left_width).chain(new_left..new_left + right_width);
        if join.kind == JoinKind::Full {
            return self
                .either(joined, own.collect(), left_width, new_left + right_width)
                .map(Some);
        }
        // Of a right join, the left's are NULL where it has no partner.
        let at = if join.kind == JoinKind::Right { new_left + right_width } else { at };
        let columns: Vec<usize> = own.chain(at..at + bindings).collect();
        Ok(Some(joined.select(&columns)))
    }

    /// Of a full join, the bindings of whichever side is there.
    fn either(
        &self,
        joined: Rel,
        own: Vec<usize>,
        left: usize,
        right: usize,
    ) -> Result<Rel, SqlError> {
        let schema = joined.schema();
        let names: Vec<String> = own.iter().map(|&i| schema.field(i).name().clone()).collect();
        let names = names.into_iter().chain(self.fields.iter().map(|field| field.name().clone()));
        let names = names.collect();
        let either = (0..self.fields.len()).map(|i| {
            let (left, right) = (column(left + i), column(right + i));
            let when = (Box::new(left.clone().is_not_null()), Box::new(left));
            Expr::Case(Case::new(None, vec![when], Some(Box::new(right))))
        });
        let exprs = own.into_iter().map(column).chain(either).collect();
        joined.project(exprs, names)
    }

    fn aggregate(&mut self, aggregate: Aggregate) -> Pushed {
        let (keys, bindings) = (aggregate.keys.len(), self.fields.len());
        let new_keys = self.behind(&aggregate.keys, aggregate.input.width());
        let Some(input) = self.push(*aggregate.input)? else { return Ok(None) };
        let schema = self.inserted(&aggregate.schema, keys);
        let width = schema.fields().len();
        let input = Box::new(input);
        let rel = Rel::Aggregate(Aggregate { input, keys: new_keys, schema, ..aggregate });
        Ok(Some(rel.select(&bindings_last(keys, bindings, width))))
    }

    /// The one group of no keys, for each binding: beside the rows to aggregate stands one that no
    /// call counts, so that the group is there.
    fn global(&mut self, mut aggregate: Aggregate) -> Pushed {
        let Some(bindings) = self.bindings.clone() else { return Ok(None) };
        let width = aggregate.input.width();
        let count = self.fields.len();
        let present = width + count;
        let filters: Vec<usize> = aggregate.calls.iter().filter_map(|call| call.filter).collect();
        let absent = (0..width).map(|i| match filters.contains(&i) {
            true => Ok(lit(false)),
            false => null_of(i, &aggregate.input),
        });
        let absent = absent.collect::<Result<Vec<_>, SqlError>>()?;
        let Some(input) = self.push(*aggregate.input)? else { return Ok(None) };
        let rows = input.extend(vec![lit(true)], vec!["present".to_owned()])?;
        let schema = rows.schema();
        let names = schema.fields().iter().map(|field| field.name().clone()).collect();
        let exprs = absent.into_iter().chain((0..count).map(column)).chain([lit(false)]).collect();
        let nothing = bindings.project(exprs, names)?;
        for call in &mut aggregate.calls {
            call.filter = call.filter.or(Some(present));
        }
        let input = Box::new(Rel::Union(Union { inputs: vec![rows, nothing], schema }));
        let schema = self.inserted(&aggregate.schema, 0);
        let all = schema.fields().len();
        let keys = (width..present).collect();
        let rel = Rel::Aggregate(Aggregate { input, keys, calls: aggregate.calls, schema });
        Ok(Some(rel.select(&bindings_last(0, count, all))))
    }

    fn window(&mut self, window: Window) -> Pushed {
        let width = window.input.width();
        let partition = self.behind(&window.partition, width);
        let Some(input) = self.push(*window.input)? else { return Ok(None) };
        let schema = self.inserted(&window.schema, width);
        let all = schema.fields().len();
        let rel = Rel::Window(Window { input: Box::new(input), partition, schema, ..window });
        Ok(Some(rel.select(&bindings_last(width, self.fields.len(), all))))
    }

    fn unnest(&mut self, unnest: Unnest) -> Pushed {
        let kept = unnest.input.width() - unnest.lists.len();
        let Some(input) = self.push(*unnest.input)? else { return Ok(None) };
        let schema = self.inserted(&unnest.schema, kept);
        let all = schema.fields().len();
        let rel = Rel::Unnest(Unnest { input: Box::new(input), schema, ..unnest });
        Ok(Some(rel.select(&bindings_last(kept, self.fields.len(), all))))
    }

    fn session(&mut self, session: Session) -> Pushed {
        let width = session.input.width();
        let keys = self.behind(&session.keys, width);
        let Some(input) = self.push(*session.input)? else { return Ok(None) };
        let schema = self.inserted(&session.schema, width);
        let all = schema.fields().len();
        let rel = Rel::Session(Session { input: Box::new(input), keys, schema, ..session });
        Ok(Some(rel.select(&bindings_last(width, self.fields.len(), all))))
    }

    /// A recursion for each binding: its rows so far have the bindings, too.
    fn recursive(&mut self, recursive: Recursive) -> Pushed {
        if self.is_free() {
            return Ok(None);
        }
        let schema = self.with_bindings(&recursive.schema);
        let base = self.push(*recursive.base)?;
        self.working.push(recursive.itself);
        let step = self.push(*recursive.step)?;
        Ok(base.zip(step).map(|(base, step)| {
            let (base, step) = (Box::new(base), Box::new(step));
            Rel::Recursive(Recursive { base, step, schema, ..recursive })
        }))
    }

    /// The schema with the bindings from `at` on.
    fn inserted(&self, schema: &SchemaRef, at: usize) -> SchemaRef {
        let own: Vec<Field> = schema.fields().iter().map(|field| field.as_ref().clone()).collect();
        let (before, after) = own.split_at(at);
        let bindings = self.fields.iter().cloned();
        let all = before.iter().cloned().chain(bindings).chain(after.iter().cloned());
        Arc::new(Schema::new(all.collect::<Vec<_>>()))
    }
}

/// The columns of an operator that puts bindings from `at` on, with them at the end.
fn bindings_last(at: usize, bindings: usize, width: usize) -> Vec<usize> {
    (0..at).chain(at + bindings..width).chain(at..at + bindings).collect()
}
