//! From [`Rel`] to `engine::Plan`: expressions become physical, comparisons with now() become
//! Temporal operators.
//!
//! Law: one operator of the tree is one or a few of the plan, and nothing is decided here but the
//! order inside a Filter: what cannot fail first, then what time changes, then what can fail, in
//! the order of the text (S10).

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use tidemark_engine::Plan;
use tidemark_engine::plan::{
    AggregatePlan, ConstantPlan, FilterPlan, InputPlan, JoinPlan, ProjectPlan, RecursivePlan,
    SessionPlan, SetOperationPlan, TemporalMode, TemporalPlan, TopKPlan, UnionPlan, UnnestPlan,
    VersionJoinPlan, WindowPlan,
};

use super::fallible::is_fallible;
use super::rel::{
    Aggregate, Filter, Join, Project, Rel, TopK, VersionJoin, Window, all_references, as_column,
    column, columns_of, is_half, joined, moved_call, moved_keys, substitute, type_of,
};
use super::scalar::Scalars;
use super::temporal::{Analysis, Comparison, has_now};
use crate::error::SqlError;

/// Makes the plan of a relation.
pub(super) fn lower(rel: &Rel, scalars: &Scalars) -> Result<Plan, SqlError> {
    Lowering { scalars }.plan(rel)
}

struct Lowering<'a> {
    scalars: &'a Scalars,
}

/// A plan with the columns of a relation somewhere among its own: column i of the relation is its
/// column `columns[i]`.
struct Placed {
    plan: Plan,
    columns: Vec<usize>,
}

impl Placed {
    fn over(&self, expr: &Expr) -> Expr {
        substitute(expr.clone(), &|i| column(self.columns[i]))
    }

    fn at(&self, columns: &[usize]) -> Vec<usize> {
        columns.iter().map(|&i| self.columns[i]).collect()
    }
}

impl Lowering<'_> {
    /// The relation with its own columns and no others.
    fn plan(&self, rel: &Rel) -> Result<Plan, SqlError> {
        let placed = self.placed(rel)?;
        if placed.columns.iter().copied().eq(0..placed.plan.schema().fields().len()) {
            return Ok(placed.plan);
        }
        let columns: Vec<Expr> = placed.columns.iter().copied().map(column).collect();
        self.computed(placed.plan, &columns, nullable(&rel.schema()))
    }

    /// The relation, perhaps with columns that were needed on the way.
    fn placed(&self, rel: &Rel) -> Result<Placed, SqlError> {
        let plan = match rel {
            Rel::Filter(filter) => return self.filter(filter),
            Rel::Join(join) => return self.join(join),
            Rel::VersionJoin(join) => return self.version_join(join),
            Rel::TopK(top) => return self.top_k(top),
            Rel::Window(window) => return self.window(window),
            Rel::Scan(scan) => Plan::Input(InputPlan {
                id: scan.collection,
                // A column that is NOT NULL is empty from the commit on that drops it.
                schema: nullable(&scan.schema),
                append_only: scan.append_only,
                arrived_at: scan.arrived_at,
                versions: scan.versions,
            }),
            Rel::Constant(rows) => Plan::Constant(ConstantPlan { rows: rows.clone() }),
            Rel::Project(project) => self.project(project)?,
            Rel::Aggregate(aggregate) => self.aggregate(aggregate)?,
            Rel::Union(union) => {
                let inputs = union.inputs.iter().map(|input| self.plan(input));
                let inputs = inputs.collect::<Result<_, SqlError>>()?;
                Plan::Union(UnionPlan { inputs, schema: union.schema.clone() })
            }
            Rel::SetOperation(operation) => Plan::SetOperation(Box::new(SetOperationPlan {
                kind: operation.kind,
                left: self.plan(&operation.left)?,
                right: self.plan(&operation.right)?,
                schema: operation.schema.clone(),
            })),
            Rel::Unnest(unnest) => Plan::Unnest(Box::new(UnnestPlan {
                input: self.plan(&unnest.input)?,
                lists: unnest.lists.clone(),
                ordinality: unnest.ordinality,
                schema: nullable(&unnest.schema),
            })),
            Rel::Session(session) => Plan::Session(Box::new(SessionPlan {
                input: self.plan(&session.input)?,
                keys: session.keys.clone(),
                time: session.time,
                gap_us: session.gap_us,
                schema: nullable(&session.schema),
            })),
            Rel::Recursive(recursive) => Plan::Recursive(Box::new(RecursivePlan {
                itself: recursive.itself,
                base: self.plan(&recursive.base)?,
                step: self.plan(&recursive.step)?,
                distinct: recursive.distinct,
                schema: recursive.schema.clone(),
            })),
        };
        Ok(Placed { plan, columns: (0..rel.width()).collect() })
    }

    fn project(&self, project: &Project) -> Result<Plan, SqlError> {
        let mut input = self.placed(&project.input)?;
        if project.exprs.iter().any(has_now) {
            input = self.narrowed(input, &all_references(&project.exprs))?;
        }
        let own = input.plan.schema();
        let analysis = Analysis { scalars: self.scalars, schema: &own };
        let mut flags = Vec::new();
        let exprs = project.exprs.iter().map(|expr| match has_now(expr) {
            true => analysis.flagged(input.over(expr), &mut flags),
            false => Ok(input.over(expr)),
        });
        let exprs = exprs.collect::<Result<Vec<_>, SqlError>>()?;
        let input = self.temporal(input.plan, &flags, TemporalMode::Flags)?;
        self.computed(input, &exprs, project.schema.clone())
    }

    /// Without the columns that are not needed: a Temporal operator keeps whole rows.
    fn narrowed(&self, input: Placed, needed: &BTreeSet<usize>) -> Result<Placed, SqlError> {
        let own = input.plan.schema();
        if needed.len() == own.fields().len() {
            return Ok(input);
        }
        let mut columns = input.columns.clone();
        let (mut exprs, mut fields) = (Vec::new(), Vec::new());
        for (place, &needed) in needed.iter().enumerate() {
            exprs.push(column(input.columns[needed]));
            fields.push(own.field(input.columns[needed]).clone());
            columns[needed] = place;
        }
        let schema = nullable(&Schema::new(fields));
        let plan = self.computed(input.plan, &exprs, schema)?;
        Ok(Placed { plan, columns })
    }

    /// The row of `exprs`, over the columns of `input`.
    fn computed(&self, input: Plan, exprs: &[Expr], schema: SchemaRef) -> Result<Plan, SqlError> {
        let own = input.schema();
        let exprs = exprs.iter().map(|expr| self.scalars.physical(expr, &own));
        let exprs = exprs.collect::<Result<_, SqlError>>()?;
        Ok(Plan::Project(Box::new(ProjectPlan { input, exprs, schema })))
    }

    fn aggregate(&self, aggregate: &Aggregate) -> Result<Plan, SqlError> {
        let input = self.placed(&aggregate.input)?;
        let calls = aggregate.calls.iter().map(|call| call.moved(|i| input.columns[i])).collect();
        let keys = input.at(&aggregate.keys);
        let (input, schema) = (input.plan, aggregate.schema.clone());
        let append_only = input.append_only();
        Ok(Plan::Aggregate(Box::new(AggregatePlan { input, keys, calls, schema, append_only })))
    }

    fn filter(&self, filter: &Filter) -> Result<Placed, SqlError> {
        let Placed { mut plan, columns } = self.placed(&filter.input)?;
        let schema = plan.schema();
        let predicates = filter.predicates.iter();
        let over = |predicate: &Expr| substitute(predicate.clone(), &|i| column(columns[i]));
        let (fallible, infallible): (Vec<Expr>, Vec<Expr>) =
            predicates.map(over).partition(|predicate| is_fallible(predicate, &schema));
        let (timed, steady): (Vec<Expr>, Vec<Expr>) = infallible.into_iter().partition(has_now);

        plan = self.steady(plan, steady)?;
        let analysis = Analysis { scalars: self.scalars, schema: &schema };
        let (mut together, mut flagged) = (Vec::new(), Vec::new());
        for predicate in timed {
            match analysis.conjunction(&predicate)? {
                Some(comparisons) => together.extend(comparisons),
                None => flagged.push(predicate),
            }
        }
        plan = self.temporal(plan, &together, TemporalMode::Filter)?;
        for predicate in flagged.into_iter().chain(fallible) {
            plan = self.one(plan, predicate)?;
        }
        Ok(Placed { plan, columns })
    }

    /// The rows for which one predicate is true; flags stand behind the columns.
    fn one(&self, input: Plan, predicate: Expr) -> Result<Plan, SqlError> {
        if !has_now(&predicate) {
            return self.steady(input, [predicate]);
        }
        let schema = input.schema();
        let analysis = Analysis { scalars: self.scalars, schema: &schema };
        if let Some(comparisons) = analysis.conjunction(&predicate)? {
            return self.temporal(input, &comparisons, TemporalMode::Filter);
        }
        let mut flags = Vec::new();
        let predicate = analysis.flagged(predicate, &mut flags)?;
        let flagged = self.temporal(input, &flags, TemporalMode::Flags)?;
        self.steady(flagged, [predicate])
    }

    /// A Filter of predicates without now().
    fn steady(
        &self,
        input: Plan,
        predicates: impl IntoIterator<Item = Expr>,
    ) -> Result<Plan, SqlError> {
        let Some(predicate) = conjunction(predicates) else {
            return Ok(input);
        };
        let predicate = self.scalars.physical(&predicate, &input.schema())?;
        Ok(Plan::Filter(Box::new(FilterPlan { input, predicate })))
    }

    fn temporal(
        &self,
        input: Plan,
        comparisons: &[Comparison],
        mode: TemporalMode,
    ) -> Result<Plan, SqlError> {
        if comparisons.is_empty() {
            return Ok(input);
        }
        let schema = input.schema();
        let analysis = Analysis { scalars: self.scalars, schema: &schema };
        let bounds = comparisons.iter().map(|comparison| analysis.bound(comparison));
        let bounds = bounds.collect::<Result<_, SqlError>>()?;
        Ok(Plan::Temporal(Box::new(TemporalPlan { input, bounds, mode })))
    }

    fn top_k(&self, top: &TopK) -> Result<Placed, SqlError> {
        let Placed { plan: input, columns } = self.placed(&top.input)?;
        let keys = top.keys.iter().map(|&key| columns[key]).collect();
        let order = moved_keys(&top.order, |i| columns[i]);
        let (offset, limit, ties) = (top.offset, top.limit, top.ties);
        let append_only = input.append_only();
        let plan = TopKPlan { input, keys, order, offset, limit, ties, append_only };
        Ok(Placed { plan: Plan::TopK(Box::new(plan)), columns })
    }

    fn window(&self, window: &Window) -> Result<Placed, SqlError> {
        let Placed { plan: input, columns } = self.placed(&window.input)?;
        let place = |i: usize| columns[i];
        let (own, width) = (input.schema(), window.input.width());
        let values = window.schema.fields().iter().skip(width).cloned();
        let fields: Vec<Arc<Field>> = own.fields().iter().cloned().chain(values).collect();
        let values = own.fields().len()..fields.len();
        let plan = WindowPlan {
            partition: window.partition.iter().map(|&key| place(key)).collect(),
            order: moved_keys(&window.order, place),
            tie_break: moved_keys(&window.tie_break, place),
            calls: window.calls.iter().map(|call| moved_call(call, place)).collect(),
            schema: Arc::new(Schema::new(fields)),
            input,
        };
        let columns = columns.iter().copied().chain(values).collect();
        Ok(Placed { plan: Plan::Window(Box::new(plan)), columns })
    }

    /// Keys that are computed stand behind each side's own columns.
    fn join(&self, join: &Join) -> Result<Placed, SqlError> {
        let left_on: Vec<&Expr> = join.on.iter().map(|on| &on.left).collect();
        let right_on: Vec<&Expr> = join.on.iter().map(|on| &on.right).collect();
        let (left, left_keys) = self.keyed(&join.left, &left_on)?;
        let (right, right_keys) = self.keyed(&join.right, &right_on)?;
        let both = nullable(&joined(&left.schema(), &right.schema()));
        let (width, with_keys) = (join.left.width(), left.schema().fields().len());
        let place = |i: usize| if i < width { i } else { i - width + with_keys };
        let condition = join.condition.iter().cloned();
        let condition = conjunction(condition.map(|p| substitute(p, &|i| column(place(i)))));
        let condition = condition.map(|condition| self.scalars.physical(&condition, &both));
        let (schema, visible) = match is_half(join.kind) {
            true => (left.schema(), width),
            false => (both, width + join.right.width()),
        };
        let plan = JoinPlan {
            left,
            right,
            left_keys,
            right_keys,
            null_equal: join.on.iter().map(|on| on.null_equal).collect(),
            condition: condition.transpose()?,
            kind: join.kind,
            schema,
        };
        let columns = (0..visible).map(place).collect();
        Ok(Placed { plan: Plan::Join(Box::new(plan)), columns })
    }

    /// Of the versions only what is asked for is kept, and when each began and ended.
    fn version_join(&self, join: &VersionJoin) -> Result<Placed, SqlError> {
        let computed: Vec<&Expr> = join.on.iter().map(|on| &on.left).chain([&join.time]).collect();
        let (left, mut left_keys) = self.keyed(&join.input, &computed)?;
        let time = left_keys.pop().expect("the time is the last of them");
        let versions = self.plan(&Rel::Scan(join.versions.clone()))?;
        let all = join.versions.schema.fields().len();
        let kept: Vec<usize> = join.columns.iter().copied().chain([all - 2, all - 1]).collect();
        let fields = nullable(&columns_of(&join.versions.schema, &kept));
        let exprs: Vec<Expr> = kept.iter().copied().map(column).collect();
        let right = self.computed(versions, &exprs, fields)?;
        let place_of = |on: usize| join.columns.iter().position(|kept| *kept == on);
        let right_keys = join.on.iter().map(|on| place_of(as_column(&on.right)?));
        let right_keys = right_keys.collect::<Option<Vec<_>>>();
        let right_keys = right_keys.ok_or_else(|| SqlError::internal("a key that is not kept"))?;
        let (width, with_keys) = (join.input.width(), left.schema().fields().len());
        let both = nullable(&joined(&left.schema(), &right.schema()));
        let schema = both.project(&(0..both.fields().len() - 1).collect::<Vec<_>>())?;
        let place = |i: usize| match i.checked_sub(width) {
            None => i,
            Some(of) => with_keys + place_of(of).expect("a condition's columns are kept"),
        };
        let condition = join.condition.iter().cloned();
        let condition = conjunction(condition.map(|p| substitute(p, &|i| column(place(i)))));
        let condition = condition.map(|condition| self.scalars.physical(&condition, &schema));
        let plan = VersionJoinPlan {
            left,
            right,
            left_keys,
            right_keys,
            time,
            condition: condition.transpose()?,
            outer: join.outer,
            schema: Arc::new(schema),
        };
        let columns = (0..width).chain(with_keys..with_keys + join.columns.len()).collect();
        Ok(Placed { plan: Plan::VersionJoin(Box::new(plan)), columns })
    }

    /// A side of a join, with its keys as columns.
    fn keyed(&self, side: &Rel, on: &[&Expr]) -> Result<(Plan, Vec<usize>), SqlError> {
        let columns: Option<Vec<usize>> = on.iter().map(|expr| as_column(expr)).collect();
        if let Some(keys) = columns {
            return Ok((self.plan(side)?, keys));
        }
        let schema = side.schema();
        let mut exprs: Vec<Expr> = (0..schema.fields().len()).map(column).collect();
        let mut fields: Vec<Arc<Field>> = nullable(&schema).fields().iter().cloned().collect();
        let mut keys = Vec::new();
        for expr in on {
            keys.push(as_column(expr).unwrap_or(exprs.len()));
            if as_column(expr).is_none() {
                let ty = type_of(expr, &schema)?;
                fields.push(Arc::new(Field::new(format!("key_{}", keys.len()), ty, true)));
                exprs.push((*expr).clone());
            }
        }
        let input = self.placed(side)?;
        let exprs: Vec<Expr> = exprs.iter().map(|expr| input.over(expr)).collect();
        let plan = self.computed(input.plan, &exprs, Arc::new(Schema::new(fields)))?;
        Ok((plan, keys))
    }
}

/// The columns, none of them NOT NULL.
pub(super) fn nullable(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter();
    let fields = fields.map(|field| Field::new(field.name(), field.data_type().clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
