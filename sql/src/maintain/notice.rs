//! What CREATE tells about a view that is right, but perhaps not meant (S7).
//!
//! Law: one NOTICE for each row side of a temporal filter that has a lower bound and no upper one,
//! neither in the same filter nor in one below it.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::logical_expr::Expr;
use tidemark_engine::plan::Edge;

use super::rel::{Rel, as_column, column, is_half, named, shift};
use super::scalar::Scalars;
use super::temporal::{Analysis, Comparison, Now, has_now};
use crate::error::{Notice, SqlError};

/// The notices of a relation whose predicates are in their places.
pub(super) fn notices(rel: &Rel, scalars: &Scalars) -> Result<Vec<Notice>, SqlError> {
    let mut survey = Survey { scalars, open: vec![], to_now: false };
    survey.upper_bounds(rel)?;
    Ok(survey
        .open
        .into_iter()
        .map(|side| {
            let message = format!("temporal filter on {side} has no upper bound");
            let hint = format!(
                "Rows dated in the future count. Add AND {side} <= now() to leave them out."
            );
            Notice { hint: Some(hint), ..Notice::new(message) }
        })
        .collect())
}

/// What of a relation is never after now(): expressions over its columns.
pub(super) fn not_in_the_future(rel: &Rel, scalars: &Scalars) -> Result<Vec<Expr>, SqlError> {
    Survey { scalars, open: vec![], to_now: true }.upper_bounds(rel)
}

/// The schema of a relation, its aggregates' columns called as the text has them: `max(ts)`.
fn shown(rel: &Rel) -> SchemaRef {
    let schema = rel.schema();
    let names: Vec<String> = match rel {
        Rel::Aggregate(aggregate) => {
            let input = aggregate.input.schema();
            let argument = |at: &usize| input.field(*at).name().as_str();
            let calls = aggregate.calls.iter().map(|call| {
                let arguments: Vec<&str> = call.arguments.iter().map(argument).collect();
                let arguments =
                    if arguments.is_empty() { "*".into() } else { arguments.join(", ") };
                format!("{}({arguments})", call.function.name())
            });
            let keys = schema.fields().iter().take(aggregate.keys.len());
            keys.map(|field| field.name().clone()).chain(calls).collect()
        }
        Rel::Project(project) => {
            let input = shown(&project.input);
            let name = |(expr, field): (&Expr, &FieldRef)| match as_column(expr) {
                Some(at) => input.field(at).name().clone(),
                None => field.name().clone(),
            };
            project.exprs.iter().zip(schema.fields()).map(name).collect()
        }
        Rel::Filter(filter) => return shown(&filter.input),
        _ => return schema,
    };
    let renamed = names.into_iter().zip(schema.fields());
    let fields = renamed.map(|(name, field)| Field::clone(field).with_name(name));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

struct Survey<'a> {
    scalars: &'a Scalars,
    /// Row sides without an upper bound, as the text has them.
    open: Vec<String>,
    /// Whether a bound after now() is none.
    to_now: bool,
}

impl Survey<'_> {
    /// The row sides, over the relation's columns, that are known not to be in the future.
    fn upper_bounds(&mut self, rel: &Rel) -> Result<Vec<Expr>, SqlError> {
        Ok(match rel {
            // What is there has arrived.
            Rel::Scan(scan) if scan.arrived_at => vec![column(rel.width() - 1)],
            Rel::Scan(_) | Rel::Constant(_) => vec![],
            Rel::VersionJoin(join) => self.upper_bounds(&join.input)?,
            Rel::Filter(filter) => {
                let mut bounded = self.upper_bounds(&filter.input)?;
                let schema = shown(&filter.input);
                let mut comparisons = Vec::new();
                for predicate in filter.predicates.iter().filter(|p| has_now(p)) {
                    comparisons.extend(self.comparisons(predicate, &schema)?);
                }
                self.check(&comparisons, &mut bounded, &schema);
                bounded
            }
            Rel::Project(project) => {
                let bounded = self.upper_bounds(&project.input)?;
                let schema = project.input.schema();
                for expr in project.exprs.iter().filter(|expr| has_now(expr)) {
                    let comparisons = self.comparisons(expr, &schema)?;
                    self.check(&comparisons, &mut bounded.clone(), &schema);
                }
                let place = |side: &Expr| project.exprs.iter().position(|expr| expr == side);
                bounded.iter().filter_map(place).map(column).collect()
            }
            Rel::Join(join) => {
                let left = self.upper_bounds(&join.left)?;
                let right = self.upper_bounds(&join.right)?;
                let width = join.left.width() as isize;
                let right = right.into_iter().map(|side| shift(side, width));
                // Times of the padded side are NULL where they aren't bounded.
                match is_half(join.kind) {
                    true => left,
                    false => left.into_iter().chain(right).collect(),
                }
            }
            Rel::Aggregate(aggregate) => {
                let bounded = self.upper_bounds(&aggregate.input)?;
                let place = |side: &Expr| {
                    aggregate.keys.iter().position(|&key| as_column(side) == Some(key))
                };
                bounded.iter().filter_map(place).map(column).collect()
            }
            Rel::TopK(top) => self.upper_bounds(&top.input)?,
            Rel::Window(window) => self.upper_bounds(&window.input)?,
            Rel::Session(session) => self.upper_bounds(&session.input)?,
            Rel::SetOperation(operation) => {
                self.upper_bounds(&operation.right)?;
                self.upper_bounds(&operation.left)?
            }
            Rel::Union(_) | Rel::Unnest(_) | Rel::Recursive(_) => {
                for input in rel.inputs() {
                    self.upper_bounds(input)?;
                }
                vec![]
            }
        })
    }

    fn comparisons(&self, expr: &Expr, schema: &SchemaRef) -> Result<Vec<Comparison>, SqlError> {
        let analysis = Analysis { scalars: self.scalars, schema };
        if let Some(comparisons) = analysis.conjunction(expr)? {
            return Ok(comparisons);
        }
        let mut flags = Vec::new();
        analysis.flagged(expr.clone(), &mut flags)?;
        Ok(flags)
    }

    fn check(&mut self, comparisons: &[Comparison], bounded: &mut Vec<Expr>, schema: &SchemaRef) {
        let upper = comparisons.iter().filter(|comparison| {
            let to_now = match comparison.now {
                Now::Offset(offset) => offset <= 0,
                Now::Monotone(_) => false,
            };
            comparison.edge == Edge::From && (to_now || !self.to_now)
        });
        bounded.extend(upper.map(|comparison| comparison.value.clone()));
        for comparison in comparisons.iter().filter(|comparison| comparison.edge == Edge::Until) {
            let side = named(&comparison.value, schema).to_string();
            if !bounded.contains(&comparison.value) && !self.open.contains(&side) {
                self.open.push(side);
            }
        }
    }
}
