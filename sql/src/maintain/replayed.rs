//! A relation as it is replayed: its plan, and what of it depends on the very moment it is read at.
//!
//! Law      the rows are the relation's at every time; what a projection at its top computes of
//!          now() is left to the reader, who knows the moment (time since last login)
//! Missing  now() as a value anywhere else: refused with 0A000

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{Expr, LogicalPlan};
use tidemark_catalog::Catalog;
use tidemark_engine::Plan;

use super::rel::{Project, Rel, all_references, any, as_column, column, substitute};
use super::scalar::Scalars;
use super::temporal::{has_now, is_now};
use super::{lower, prune, pushdown, resolve, scanned};
use crate::error::SqlError;

/// See the module.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub plan: Plan,
    /// By key that was asked for: the plan's column that has it; `None`: it depends on now().
    pub keys: Vec<Option<usize>>,
    pub columns: ReplayedColumns,
}

/// What the relation's columns are.
#[derive(Debug)]
pub(crate) enum ReplayedColumns {
    /// Columns of the plan.
    Plain(Vec<usize>),
    /// Expressions over the plan's columns and, behind them, the time of the read.
    AtTime { exprs: Vec<tidemark_engine::Expr>, schema: SchemaRef },
}

/// Plans the replay of a relation over tables. `keys` are expressions over its columns.
pub(crate) fn plan_replayed(
    relation: &LogicalPlan,
    keys: &[Expr],
    options: Arc<ConfigOptions>,
    catalog: &Catalog,
) -> Result<Replayed, SqlError> {
    let scalars = Scalars::new(options);
    let rel = resolve::resolve(relation, &|scan| scanned(catalog, scan), &scalars)?;
    let keys = resolve::over(relation, &rel, keys, &scalars)?;
    let schema = rel.schema();
    let (outputs, input) = split(pushdown::push_down(rel)?);
    let mut kept = Kept { columns: vec![], names: vec![] };
    let places = outputs
        .iter()
        .zip(schema.fields())
        .map(|(expr, field)| (!has_now(expr)).then(|| kept.place(expr.clone(), field.name())));
    let places: Vec<Option<usize>> = places.collect();
    for i in all_references(outputs.iter().filter(|expr| has_now(expr))) {
        kept.place(column(i), input.schema().field(i).name());
    }
    let keys = keys.into_iter().enumerate().map(|(n, key)| {
        let key = substitute(key, &|i| outputs[i].clone());
        (!has_now(&key)).then(|| kept.place(key, &format!("key_{}", n + 1)))
    });
    let keys = keys.collect();
    let columns = match places.iter().copied().collect::<Option<Vec<usize>>>() {
        Some(columns) => ReplayedColumns::Plain(columns),
        None => kept.at_time(&outputs, &input, &schema, &scalars)?,
    };
    let rel = input.project(kept.columns, kept.names)?;
    let plan = lower::lower(&prune::prune(rel), &scalars)?;
    Ok(Replayed { plan, keys, columns })
}

/// The projections at the top as one, down to the lowest of them with now(); and what is below.
fn split(mut rel: Rel) -> (Vec<Expr>, Rel) {
    let mut exprs: Vec<Expr> = (0..rel.width()).map(column).collect();
    while has_now_at_top(&rel) {
        let Rel::Project(Project { input, exprs: own, .. }) = rel else { break };
        exprs = exprs.into_iter().map(|expr| substitute(expr, &|i| own[i].clone())).collect();
        rel = *input;
    }
    (exprs, rel)
}

fn has_now_at_top(rel: &Rel) -> bool {
    match rel {
        Rel::Project(project) => {
            project.exprs.iter().any(has_now) || has_now_at_top(&project.input)
        }
        _ => false,
    }
}

/// The columns of the plan, over those of what is below the projections.
struct Kept {
    columns: Vec<Expr>,
    names: Vec<String>,
}

impl Kept {
    fn place(&mut self, expr: Expr, name: &str) -> usize {
        match self.columns.iter().position(|known| *known == expr) {
            Some(place) => place,
            None => {
                self.columns.push(expr);
                self.names.push(name.to_owned());
                self.columns.len() - 1
            }
        }
    }

    /// All outputs as expressions over the plan's columns and the time.
    fn at_time(
        &self,
        outputs: &[Expr],
        input: &Rel,
        schema: &Schema,
        scalars: &Scalars,
    ) -> Result<ReplayedColumns, SqlError> {
        let below = input.schema();
        let types = self.columns.iter().map(|expr| super::rel::type_of(expr, &below));
        let types = types.collect::<Result<Vec<_>, SqlError>>()?;
        let zone = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
        let fields = self.names.iter().cloned().zip(types).chain([("time".to_owned(), zone)]);
        let fields = fields.map(|(name, ty)| Field::new(name, ty, true));
        let own = Schema::new(fields.collect::<Vec<_>>());
        let exprs = outputs.iter().map(|expr| {
            if let Some(place) = self.columns.iter().position(|known| known == expr) {
                return scalars.physical(&column(place), &own);
            }
            let place = |i| self.columns.iter().position(|known| as_column(known) == Some(i));
            let moved = substitute(expr.clone(), &|i| {
                column(place(i).expect("what an expression needs is kept"))
            });
            scalars.physical(&with_time(moved, self.columns.len()), &own)
        });
        let exprs = exprs.collect::<Result<Vec<_>, SqlError>>()?;
        let nullable = schema
            .fields()
            .iter()
            .map(|field| Field::new(field.name(), field.data_type().clone(), true));
        let schema = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
        Ok(ReplayedColumns::AtTime { exprs, schema })
    }
}

/// The expression with a column in the place of now().
fn with_time(expr: Expr, time: usize) -> Expr {
    debug_assert!(any(&expr, is_now), "only such expressions are left to the reader");
    let replaced = expr.transform_up(|expr| match is_now(&expr) {
        true => Ok(Transformed::yes(column(time))),
        false => Ok(Transformed::no(expr)),
    });
    replaced.expect("substitution cannot fail").data
}
