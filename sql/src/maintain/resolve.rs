//! From DataFusion's logical plan to [`Rel`]: names become positions, subqueries become joins, and
//! what is not maintained is refused.
//!
//! Law: nothing is moved and nothing is left out here, but for ORDER BY without LIMIT, which a
//! collection doesn't have. Every node and expression that isn't named here is refused.

mod aggregate;
mod as_of;
mod join;
mod order;
mod recursive;
mod subquery;
mod unnest;
mod version_join;
mod widened;
mod window;

use std::cell::Cell;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DFSchemaRef};
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, TableScan, Volatility, logical_plan};
use datafusion::scalar::ScalarValue;
use tidemark_engine::CollectionId;

use super::interval::cast_of;
use super::refuse;
use super::rel::{Rel, Scan, ScopeId, Union, column, outer, type_of};
use super::scalar::Scalars;
use super::temporal::{is_now, normalized};
use crate::error::{SqlError, state};
use crate::plain_view;
use crate::rewrite::names::shown;
use crate::time_join::PointInTimeJoin;
use crate::time_travel::TimeTravel;
use widened::Resolved;

/// What a relation of a plan is: the caller knows the catalog.
pub(super) type Relations<'a> = &'a dyn Fn(&TableScan) -> Result<Scan, SqlError>;

/// Turns a plan into a [`Rel`] with the plan's columns.
pub(super) fn resolve(
    plan: &LogicalPlan,
    relations: Relations<'_>,
    scalars: &Scalars,
) -> Result<Rel, SqlError> {
    let numbers = Cell::new(0);
    let resolver =
        Resolver { relations, scalars, scopes: vec![], working: vec![], numbers: &numbers };
    resolver.rel(plan)
}

/// Expressions over the columns of a plan, over the positions of what was made of it.
pub(super) fn over(
    plan: &LogicalPlan,
    rel: &Rel,
    exprs: &[Expr],
    scalars: &Scalars,
) -> Result<Vec<Expr>, SqlError> {
    let relations = |_: &TableScan| Err(SqlError::internal("an expression scans nothing"));
    let numbers = Cell::new(0);
    let (scopes, working) = (vec![], vec![]);
    let resolver = Resolver { relations: &relations, scalars, scopes, working, numbers: &numbers };
    resolver.exprs(exprs, plan.schema(), rel)
}

#[derive(Clone)]
struct Resolver<'a> {
    relations: Relations<'a>,
    scalars: &'a Scalars,
    /// The queries around this one, outermost first.
    scopes: Vec<QueryScope>,
    /// The recursions around this query, outermost first.
    working: Vec<Working>,
    /// For scopes and recursions.
    numbers: &'a Cell<usize>,
}

/// A query whose columns a subquery may name.
#[derive(Clone)]
struct QueryScope {
    id: ScopeId,
    names: DFSchemaRef,
}

/// The rows so far of a recursive query.
#[derive(Clone)]
struct Working {
    name: String,
    collection: CollectionId,
    schema: SchemaRef,
}

impl Resolver<'_> {
    fn number(&self) -> usize {
        let number = self.numbers.get();
        self.numbers.set(number + 1);
        number
    }

    /// The same, inside a subquery of a query with the columns `names`.
    fn inside(&self, names: &DFSchema) -> (Self, ScopeId) {
        let id = ScopeId(self.number());
        let mut inner = self.clone();
        inner.scopes.push(QueryScope { id, names: Arc::new(names.clone()) });
        (inner, id)
    }

    fn rel(&self, plan: &LogicalPlan) -> Result<Rel, SqlError> {
        if widened::has_subqueries(plan)? && !matches!(plan, LogicalPlan::Join(_)) {
            return self.without_subqueries(plan);
        }
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::Projection(projection) => {
                let input = self.rel(&projection.input)?;
                let exprs = self.exprs(&projection.expr, projection.input.schema(), &input)?;
                input.project(exprs, names(&projection.schema))
            }
            LogicalPlan::Filter(filter) => {
                let input = self.rel(&filter.input)?;
                let predicates = self.predicates(&filter.predicate, &filter.input, &input)?;
                Ok(input.filter(predicates))
            }
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::SubqueryAlias(alias) => self.rel(&alias.input),
            LogicalPlan::Subquery(lateral) => self.rel(&lateral.subquery),
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => self.rel(&sort.input),
            LogicalPlan::Sort(_) => Err(SqlError::internal("a sort that is optimized already")),
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Distinct(Distinct::All(input)) => Ok(self.rel(input)?.distinct()),
            LogicalPlan::Distinct(Distinct::On(on)) => self.distinct_on(on),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Values(values) => self.values(values),
            LogicalPlan::EmptyRelation(empty) => Ok(constant(&empty.schema, empty.produce_one_row)),
            LogicalPlan::Window(window) => self.window(window),
            LogicalPlan::Unnest(unnest) => self.unnest(unnest),
            LogicalPlan::RecursiveQuery(query) => self.recursive(query),
            LogicalPlan::Extension(extension) => {
                if let Some(view) = plain_view::body(extension) {
                    return self.rel(view);
                }
                let node = extension.node.as_any();
                match (node.downcast_ref(), node.downcast_ref()) {
                    (Some(Resolved { rel, .. }), _) => Ok(rel.as_ref().clone()),
                    (None, Some(join)) => self.as_of_join(join),
                    (None, None) if node.is::<TimeTravel>() => Err(refuse::time_travel()),
                    (None, None) if node.is::<PointInTimeJoin>() => {
                        let join = node.downcast_ref().expect("just asked");
                        self.version_join(join)
                    }
                    (None, None) => Err(refuse::relation(extension.node.name())),
                }
            }
            LogicalPlan::Repartition(_)
            | LogicalPlan::Statement(_)
            | LogicalPlan::Explain(_)
            | LogicalPlan::Analyze(_)
            | LogicalPlan::Dml(_)
            | LogicalPlan::Ddl(_)
            | LogicalPlan::Copy(_)
            | LogicalPlan::DescribeTable(_) => {
                Err(SqlError::internal(format!("not a query: {}", plan.display())))
            }
        }
    }

    fn scan(&self, scan: &TableScan) -> Result<Rel, SqlError> {
        if scan.fetch.is_some() {
            return Err(SqlError::internal("a scan that is optimized already"));
        }
        let whole = match (scan.source.get_logical_plan(), self.working_of(scan)) {
            (Some(view), _) => self.rel(&view)?,
            (None, Some(working)) => Rel::Scan(working.scan()),
            (None, None) => Rel::Scan((self.relations)(scan)?),
        };
        let full = DFSchema::try_from_qualified_schema(
            scan.table_name.clone(),
            scan.source.schema().as_ref(),
        )?;
        let filters = self.exprs(&scan.filters, &full, &whole)?;
        let rel = whole.filter(filters);
        Ok(match &scan.projection {
            Some(columns) => rel.select(columns),
            None => rel,
        })
    }

    fn union(&self, union: &logical_plan::Union) -> Result<Rel, SqlError> {
        let schema = plain_schema(&union.schema);
        let inputs = union.inputs.iter().map(|input| cast_columns(self.rel(input)?, &schema));
        let inputs = inputs.collect::<Result<Vec<_>, SqlError>>()?;
        Ok(Rel::Union(Union { inputs, schema }))
    }

    /// VALUES: a relation of one row for each, so that one that fails leaves the others.
    fn values(&self, values: &logical_plan::Values) -> Result<Rel, SqlError> {
        let schema = plain_schema(&values.schema);
        let rows = values.values.iter().map(|row| {
            let one = constant(&DFSchema::empty(), true);
            let exprs = self.exprs(row, &DFSchema::empty(), &one)?;
            cast_columns(one.project(exprs, names(&values.schema))?, &schema)
        });
        let mut rows = rows.collect::<Result<Vec<_>, SqlError>>()?;
        Ok(match rows.len() {
            1 => rows.remove(0),
            _ => Rel::Union(Union { inputs: rows, schema }),
        })
    }

    /// The predicate's conjuncts, over the columns of `input`.
    fn predicates(
        &self,
        predicate: &Expr,
        plan: &LogicalPlan,
        input: &Rel,
    ) -> Result<Vec<Expr>, SqlError> {
        self.exprs(&split_conjunction_owned(predicate.clone()), plan.schema(), input)
    }

    /// Expressions over `names`, the columns of `input` in its order, as expressions by position.
    fn exprs(&self, exprs: &[Expr], names: &DFSchema, input: &Rel) -> Result<Vec<Expr>, SqlError> {
        let schema = input.schema();
        exprs.iter().map(|expr| self.expr(expr, names, &schema)).collect()
    }

    fn expr(&self, expr: &Expr, names: &DFSchema, schema: &Schema) -> Result<Expr, SqlError> {
        check(expr, self.scalars.of_session())?;
        let positional = expr.clone().transform_up(|expr| {
            Ok(match expr {
                Expr::Column(named) => Transformed::yes(column(index_of(names, &named)?)),
                Expr::OuterReferenceColumn(field, named) => {
                    let data_type = field.data_type().clone();
                    Transformed::yes(self.outer_column(&named, data_type)?)
                }
                Expr::Alias(alias) => Transformed::yes(*alias.expr),
                Expr::Literal(value, Some(_)) => Transformed::yes(Expr::Literal(value, None)),
                other => match cast_of(&other) {
                    // What DataFusion calls an unsigned number is a bigint already.
                    Some((inner, to)) if type_of(inner, schema)? == to => {
                        Transformed::yes(inner.clone())
                    }
                    _ => Transformed::no(other),
                },
            })
        })?;
        let folded = self.scalars.fold(positional.data, schema)?;
        Ok(normalized(folded, schema, self.scalars)?)
    }

    /// A column of the innermost query around that has it.
    fn outer_column(
        &self,
        named: &Column,
        data_type: arrow::datatypes::DataType,
    ) -> Result<Expr, SqlError> {
        let found = self.scopes.iter().rev().find_map(|scope| {
            let index = scope.names.maybe_index_of_column(named)?;
            Some(outer(scope.id, index, data_type.clone()))
        });
        found.ok_or_else(refuse::subquery)
    }
}

fn index_of(names: &DFSchema, column: &Column) -> datafusion::common::Result<usize> {
    names.index_of_column(column)
}

/// Refuses what no materialized view may contain. `of_session`: it is a query of a session's own.
fn check(expr: &Expr, of_session: bool) -> Result<(), SqlError> {
    expr.apply(|expr| {
        let refused = match expr {
            Expr::ScalarSubquery(_)
            | Expr::Exists(_)
            | Expr::InSubquery(_)
            | Expr::SetComparison(_) => Some(refuse::subquery()),
            Expr::WindowFunction(_) => Some(refuse::window()),
            Expr::Unnest(_) => Some(refuse::set_returning()),
            Expr::Placeholder(placeholder) => {
                let message = format!("there is no parameter {}", placeholder.id);
                Some(SqlError::new(state::UNDEFINED_PARAMETER, message))
            }
            Expr::ScalarFunction(function) if !of_session => {
                let name = function.name();
                match function.func.signature().volatility {
                    Volatility::Volatile => Some(refuse::volatile(name)),
                    Volatility::Stable if !is_now(expr) => Some(refuse::of_session(name)),
                    _ => None,
                }
            }
            _ => None,
        };
        let refused = refused.or_else(|| time_literal(expr).filter(|_| !of_session));
        match refused {
            Some(error) => Err(error.into()),
            None => Ok(TreeNodeRecursion::Continue),
        }
    })?;
    Ok(())
}

/// Words for a moving time, read as a time: `'now'::timestamptz`.
fn time_literal(expr: &Expr) -> Option<SqlError> {
    let (inner, to) = cast_of(expr)?;
    let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = inner else {
        return None;
    };
    let word = text.trim().to_lowercase();
    let moves = matches!(word.as_str(), "now" | "today" | "tomorrow" | "yesterday");
    (to.is_temporal() && moves).then(|| refuse::time_literal(text))
}

/// No rows, or one row of no columns.
fn constant(schema: &DFSchema, one_row: bool) -> Rel {
    let schema = plain_schema(schema);
    Rel::Constant(match one_row {
        false => RecordBatch::new_empty(schema),
        true => {
            let options = RecordBatchOptions::new().with_row_count(Some(1));
            let none = Arc::new(Schema::empty());
            RecordBatch::try_new_with_options(none, vec![], &options).expect("no columns, one row")
        }
    })
}

fn names(schema: &DFSchema) -> Vec<String> {
    let name = |field: &Arc<Field>| match shown(field.name()) {
        // DataFusion's name for the elements of a list holds the whole expression.
        name if name.starts_with("__unnest_placeholder") => "unnest".to_owned(),
        name => name.to_owned(),
    };
    schema.fields().iter().map(name).collect()
}

/// Nullable columns without metadata.
pub(super) fn plain_schema(schema: &DFSchema) -> SchemaRef {
    let field = |field: &Arc<Field>| Field::new(field.name(), field.data_type().clone(), true);
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

/// The relation's columns with the types of `schema`.
pub(super) fn cast_columns(rel: Rel, schema: &SchemaRef) -> Result<Rel, SqlError> {
    let own = rel.schema();
    let same = |(a, b): (&Arc<Field>, &Arc<Field>)| a.data_type() == b.data_type();
    if own.fields().iter().zip(schema.fields()).all(same) {
        return Ok(rel);
    }
    let casts = schema.fields().iter().enumerate().map(|(i, field)| {
        match type_of(&column(i), &own)? == *field.data_type() {
            true => Ok(column(i)),
            false => Ok(Expr::Cast(Cast::new(Box::new(column(i)), field.data_type().clone()))),
        }
    });
    let casts = casts.collect::<Result<Vec<_>, SqlError>>()?;
    let names = schema.fields().iter().map(|field| field.name().clone()).collect();
    rel.project(casts, names)
}
