//! Subqueries evaluated for each row that asks: what the plans of the operators are held against.
//!
//! A subquery that DataFusion does not join becomes a function of the outer columns that runs it,
//! once for each distinct tuple of them.
//!
//! Law: the value is the subquery's over the same snapshot; more than one row of a scalar subquery
//! is 21000; IN and NOT IN follow three-valued logic. It is slow for many distinct tuples, and
//! right.

mod lateral;

use std::collections::HashMap;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use arrow::array::{Array, ArrayRef, ListArray, RecordBatch, StructArray, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr::SetQuantifier;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Subquery, Volatility,
};
use datafusion::physical_plan::common::collect;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};

use crate::error::{SqlError, state as sqlstate};
use crate::plan::on_large_stack;
use crate::rewrite::{self, input_schema, map_node};
use crate::run::execution;

/// What runs a plan, its subqueries row by row.
pub async fn physical(state: &SessionState, plan: LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = on_large_stack(|| {
        let plan = rewrite::complete_order(rewrite::keep_count(plan)?)?;
        let plan = rewrite::one_zero(rewrite::check_overflow(plan)?)?;
        state.optimize(&by_row(plan, state)?)
    })?;
    execution(state, &plan).await
}

/// Replaces the subqueries that can't become joins, from the outermost in.
fn by_row(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan> {
    if !has_subquery(&plan)? {
        return Ok(plan);
    }
    let plan = plan.transform_up(|node| {
        let joins = matches!(node, LogicalPlan::Filter(_));
        let projects = joins || matches!(node, LogicalPlan::Projection(_));
        let node = map_node(node, &mut |expr, schema| {
            let rewriter = Rewriter { schema, state, projects };
            rewriter.expression(expr, joins)
        })?;
        let node = match node {
            LogicalPlan::Join(join) => lateral::by_row(join, state)?,
            node => node,
        };
        Ok(Transformed::yes(node))
    })?;
    Ok(plan.data)
}

fn has_subquery(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply(|node| {
        found |= matches!(node, LogicalPlan::Subquery(_));
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                found |= matches!(
                    expr,
                    Expr::ScalarSubquery(_)
                        | Expr::Exists(_)
                        | Expr::InSubquery(_)
                        | Expr::SetComparison(_)
                );
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

struct Rewriter<'a> {
    schema: &'a DFSchema,
    state: &'a SessionState,
    /// DataFusion joins scalar subqueries of this kind of node.
    projects: bool,
}

impl Rewriter<'_> {
    /// `conjunct`: the expression is a conjunct of WHERE.
    fn expression(&self, expr: Expr, conjunct: bool) -> Result<Transformed<Expr>> {
        match expr {
            Expr::BinaryExpr(mut binary) if conjunct && binary.op == Operator::And => {
                *binary.left = self.expression(*binary.left, true)?.data;
                *binary.right = self.expression(*binary.right, true)?.data;
                Ok(Transformed::yes(Expr::BinaryExpr(binary)))
            }
            Expr::Not(inner) if conjunct && matches!(*inner, Expr::Exists(_)) => {
                let inner = self.expression(*inner, true)?.data;
                Ok(Transformed::yes(Expr::Not(Box::new(inner))))
            }
            Expr::Exists(mut exists) if conjunct && self.joinable(&exists.subquery)? => {
                exists.subquery = self.inside(exists.subquery)?;
                Ok(Transformed::yes(Expr::Exists(exists)))
            }
            Expr::InSubquery(mut of)
                if conjunct
                    && !of.negated
                    && !contains_subquery(&of.expr)?
                    && self.joinable(&of.subquery)? =>
            {
                of.subquery = self.inside(of.subquery)?;
                Ok(Transformed::yes(Expr::InSubquery(of)))
            }
            expr => expr.transform_up(|expr| Ok(Transformed::yes(self.nested(expr)?))),
        }
    }

    /// A subquery anywhere inside an expression.
    fn nested(&self, expr: Expr) -> Result<Expr> {
        match expr {
            Expr::ScalarSubquery(subquery) => {
                let joins = self.projects && is_plain_aggregate(&subquery.subquery)?;
                if subquery.outer_ref_columns.is_empty() || joins {
                    return Ok(Expr::ScalarSubquery(self.inside(subquery)?));
                }
                let ty = subquery.subquery.schema().field(0).data_type().clone();
                self.call(subquery, Kind::Scalar, ty, None)
            }
            Expr::Exists(exists) => {
                let kind = Kind::Exists { negated: exists.negated };
                self.call(exists.subquery, kind, DataType::Boolean, None)
            }
            Expr::InSubquery(of) => {
                let kind = Kind::In { negated: of.negated };
                self.call(of.subquery, kind, DataType::Boolean, Some(*of.expr))
            }
            Expr::SetComparison(of) => {
                let kind = Kind::Compared { op: of.op, all: of.quantifier == SetQuantifier::All };
                self.call(of.subquery, kind, DataType::Boolean, Some(*of.expr))
            }
            expr => Ok(expr),
        }
    }

    /// The same pass over a subquery that DataFusion joins.
    fn inside(&self, mut subquery: Subquery) -> Result<Subquery> {
        let plan = Arc::unwrap_or_clone(subquery.subquery);
        subquery.subquery = Arc::new(by_row(plan, self.state)?);
        Ok(subquery)
    }

    fn joinable(&self, subquery: &Subquery) -> Result<bool> {
        Ok(subquery.outer_ref_columns.is_empty() || correlates_in_filters(&subquery.subquery)?)
    }

    fn call(
        &self,
        subquery: Subquery,
        kind: Kind,
        ty: DataType,
        value: Option<Expr>,
    ) -> Result<Expr> {
        let plan = Arc::unwrap_or_clone(subquery.subquery);
        if plan.exists(|node| Ok(matches!(node, LogicalPlan::Union(_))))? {
            // Its partitions wait for tasks that nobody runs here.
            return Err(SqlError::unsupported("a union in a subquery by row").into());
        }
        let outer = outer_columns(&plan)?;
        let resolved = |expr: &Expr| match expr {
            Expr::OuterReferenceColumn(_, column) if self.schema.has_column(column) => {
                Expr::Column(column.clone())
            }
            expr => expr.clone(),
        };
        let args: Vec<Expr> = value.into_iter().chain(outer.iter().map(resolved)).collect();
        let columns = outer.iter().filter_map(outer_column).cloned().collect();
        let signature = Signature::any(args.len(), Volatility::Volatile);
        let signature =
            if args.is_empty() { Signature::nullary(Volatility::Volatile) } else { signature };
        let function = ByRow {
            kind,
            plan,
            columns,
            ty,
            signature,
            state: self.state.clone(),
            values: Mutex::default(),
        };
        Ok(ScalarUDF::new_from_impl(function).call(args))
    }
}

fn contains_subquery(expr: &Expr) -> Result<bool> {
    expr.exists(|expr| {
        Ok(matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
        ))
    })
}

fn outer_column(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::OuterReferenceColumn(_, column) => Some(column),
        _ => None,
    }
}

/// Columns of an outer query that a plan or a subquery in it refers to, each once.
fn outer_columns(plan: &LogicalPlan) -> Result<Vec<Expr>> {
    let mut found: Vec<Expr> = Vec::new();
    plan.apply(|node| {
        let schema = input_schema(node);
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if outer_column(expr).is_some() && !found.contains(expr) {
                    found.push(expr.clone());
                }
                if let Some(inner) = subquery_of(expr) {
                    // What an inner subquery takes from this plan is not from outside.
                    let own = |expr: &Expr| {
                        outer_column(expr).is_some_and(|column| schema.has_column(column))
                    };
                    for outer in outer_columns(&inner.subquery)? {
                        if !own(&outer) && !found.contains(&outer) {
                            found.push(outer);
                        }
                    }
                    return Ok(TreeNodeRecursion::Jump);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

fn subquery_of(expr: &Expr) -> Option<&Subquery> {
    match expr {
        Expr::ScalarSubquery(subquery) => Some(subquery),
        Expr::Exists(exists) => Some(&exists.subquery),
        Expr::InSubquery(of) => Some(&of.subquery),
        Expr::SetComparison(of) => Some(&of.subquery),
        _ => None,
    }
}

/// Whether the outer query is referred to only by filters at the top, below at most one projection:
/// what DataFusion's predicate decorrelation pulls up faithfully.
fn correlates_in_filters(plan: &LogicalPlan) -> Result<bool> {
    let refers = |node: &LogicalPlan| -> Result<bool> {
        let mut found = false;
        node.apply_expressions(|expr| {
            found |= contains_subquery(expr)?;
            found |= expr.exists(|expr| Ok(outer_column(expr).is_some()))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(found)
    };
    let mut node = plan;
    if let LogicalPlan::Projection(projection) = node {
        if refers(node)? {
            return Ok(false);
        }
        node = &projection.input;
    }
    while let LogicalPlan::Filter(filter) = node {
        if contains_subquery(&filter.predicate)? {
            return Ok(false);
        }
        node = &filter.input;
    }
    let mut fits = true;
    node.apply(|below| {
        fits &= !refers(below)?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(fits)
}

/// Whether a scalar subquery is an aggregate without groups over filters that correlate by
/// equality.
fn is_plain_aggregate(plan: &LogicalPlan) -> Result<bool> {
    let mut node = plan;
    while let LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) = node {
        node = node.inputs()[0];
    }
    let LogicalPlan::Aggregate(aggregate) = node else { return Ok(false) };
    if !aggregate.group_expr.is_empty() || !correlates_in_filters(&aggregate.input)? {
        return Ok(false);
    }
    let mut equal = true;
    for expr in aggregate.aggr_expr.iter().chain(&plan.expressions()) {
        equal &= !expr.exists(|expr| Ok(outer_column(expr).is_some()))?;
    }
    aggregate.input.apply(|node| {
        if let LogicalPlan::Filter(filter) = node {
            for conjunct in datafusion::logical_expr::utils::split_conjunction(&filter.predicate) {
                let correlated = conjunct.exists(|expr| Ok(outer_column(expr).is_some()))?;
                equal &= !correlated || is_equality(conjunct);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(equal)
}

/// `column = outer column`, in either order.
fn is_equality(expr: &Expr) -> bool {
    let Expr::BinaryExpr(binary) = expr else { return false };
    binary.op == Operator::Eq
        && matches!(
            (binary.left.as_ref(), binary.right.as_ref()),
            (Expr::Column(_), Expr::OuterReferenceColumn(..))
                | (Expr::OuterReferenceColumn(..), Expr::Column(_))
        )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Scalar,
    /// All rows, as a list of structs; NULL instead of an empty one if `outer`.
    Rows {
        outer: bool,
    },
    Exists {
        negated: bool,
    },
    In {
        negated: bool,
    },
    /// With ANY or ALL of the rows.
    Compared {
        op: Operator,
        all: bool,
    },
}

/// A subquery as a function of the outer columns it refers to; for IN, of the value sought before
/// them.
struct ByRow {
    kind: Kind,
    plan: LogicalPlan,
    columns: Vec<Column>,
    ty: DataType,
    signature: Signature,
    state: SessionState,
    /// First column of the subquery's rows, by the values of the outer columns.
    values: Mutex<HashMap<Vec<ScalarValue>, Arc<Vec<ScalarValue>>>>,
}

impl std::fmt::Debug for ByRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ByRow({:?})", self.kind)
    }
}

impl PartialEq for ByRow {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.columns == other.columns && self.plan == other.plan
    }
}

impl Eq for ByRow {}

impl Hash for ByRow {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.kind.hash(hasher);
        self.columns.hash(hasher);
        self.plan.hash(hasher);
    }
}

impl ScalarUDFImpl for ByRow {
    fn name(&self) -> &str {
        "subquery_by_row"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.ty.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let arrays: Vec<ArrayRef> =
            args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<_>>()?;
        let skip = usize::from(matches!(self.kind, Kind::In { .. } | Kind::Compared { .. }));
        let results: Vec<ScalarValue> = (0..rows)
            .map(|row| {
                let tuple = arrays[skip..]
                    .iter()
                    .map(|array| ScalarValue::try_from_array(array, row))
                    .collect::<Result<Vec<_>>>()?;
                let found = self.rows_for(tuple)?;
                match self.kind {
                    Kind::In { negated } => {
                        is_in(&ScalarValue::try_from_array(&arrays[0], row)?, &found, negated)
                    }
                    Kind::Compared { op, all } => {
                        let value = ScalarValue::try_from_array(&arrays[0], row)?;
                        compared(&value, &found, op, all)
                    }
                    Kind::Exists { negated } => {
                        Ok(ScalarValue::Boolean(Some(found.is_empty() == negated)))
                    }
                    Kind::Scalar | Kind::Rows { .. } => self.single(&found),
                }
            })
            .collect::<Result<_>>()?;
        if results.is_empty() {
            return Ok(ColumnarValue::Array(arrow::array::new_empty_array(&self.ty)));
        }
        Ok(ColumnarValue::Array(ScalarValue::iter_to_array(results)?))
    }
}

impl ByRow {
    /// The rows of a LATERAL subquery in one value.
    fn list(&self, batches: &[RecordBatch], outer: bool) -> Result<ScalarValue> {
        let DataType::List(item) = &self.ty else {
            return Err(SqlError::internal("rows are a list").into());
        };
        let DataType::Struct(fields) = item.data_type() else {
            return Err(SqlError::internal("rows are structs").into());
        };
        let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
        if rows == 0 && outer {
            return ScalarValue::try_from(&self.ty);
        }
        let columns = (0..fields.len())
            .map(|n| {
                let parts: Vec<&dyn Array> =
                    batches.iter().map(|batch| batch.column(n).as_ref()).collect();
                match parts.as_slice() {
                    [] => Ok(new_empty_array(fields[n].data_type())),
                    parts => arrow::compute::concat(parts),
                }
            })
            .collect::<std::result::Result<Vec<ArrayRef>, _>>()?;
        let structs = StructArray::try_new_with_length(fields.clone(), columns, None, rows)?;
        let offsets = OffsetBuffer::from_lengths([rows]);
        let list = ListArray::try_new(Arc::clone(item), offsets, Arc::new(structs), None)?;
        Ok(ScalarValue::List(Arc::new(list)))
    }

    fn single(&self, rows: &[ScalarValue]) -> Result<ScalarValue> {
        match rows {
            [] => ScalarValue::try_from(&self.ty),
            [one] => Ok(one.clone()),
            _ => {
                let message = "more than one row returned by a subquery used as an expression";
                Err(SqlError::new(sqlstate::CARDINALITY_VIOLATION, message).into())
            }
        }
    }

    fn rows_for(&self, tuple: Vec<ScalarValue>) -> Result<Arc<Vec<ScalarValue>>> {
        let known =
            self.values.lock().expect("nothing panics while holding it").get(&tuple).cloned();
        if let Some(rows) = known {
            return Ok(rows);
        }
        let rows = Arc::new(self.run(&tuple)?);
        let mut values = self.values.lock().expect("nothing panics while holding it");
        values.insert(tuple, Arc::clone(&rows));
        Ok(rows)
    }

    fn run(&self, tuple: &[ScalarValue]) -> Result<Vec<ScalarValue>> {
        let plan = crate::rewrite::map_plan(self.plan.clone(), &mut |expr, _| {
            expr.transform_up(|expr| {
                let at = outer_column(&expr)
                    .and_then(|column| self.columns.iter().position(|outer| outer == column));
                Ok(match at {
                    Some(at) => Transformed::yes(Expr::Literal(tuple[at].clone(), None)),
                    None => Transformed::no(expr),
                })
            })
        })?;
        // What was LATERAL to the outer query alone is an ordinary input now.
        let plan = plan.transform_up(|node| match node {
            LogicalPlan::Subquery(lateral) if lateral.subquery.all_out_ref_exprs().is_empty() => {
                Ok(Transformed::yes(Arc::unwrap_or_clone(lateral.subquery)))
            }
            node => Ok(Transformed::no(node)),
        })?;
        let plan = plan.data.recompute_schema()?;
        let batches: Vec<RecordBatch> = block_on(tokio::task::unconstrained(async {
            let exec = Box::pin(physical(&self.state, plan)).await?;
            collect(execute_stream(exec, self.state.task_ctx())?).await
        }))?;
        if let Kind::Rows { outer } = self.kind {
            return Ok(vec![self.list(&batches, outer)?]);
        }
        let mut rows = Vec::new();
        for batch in &batches {
            for row in 0..batch.num_rows() {
                rows.push(match batch.columns().first() {
                    Some(column) => ScalarValue::try_from_array(column, row)?,
                    None => ScalarValue::Null,
                });
            }
        }
        Ok(rows)
    }
}

fn compared(
    value: &ScalarValue,
    rows: &[ScalarValue],
    op: Operator,
    all: bool,
) -> Result<ScalarValue> {
    let mut unknown = false;
    for row in rows {
        let row = row.cast_to(&value.data_type())?;
        if row.is_null() || value.is_null() {
            unknown = true;
            continue;
        }
        let order = value.partial_cmp(&row).expect("values of one type");
        let holds = match op {
            Operator::Eq => order.is_eq(),
            Operator::NotEq => order.is_ne(),
            Operator::Lt => order.is_lt(),
            Operator::LtEq => order.is_le(),
            Operator::Gt => order.is_gt(),
            _ => order.is_ge(),
        };
        if holds != all {
            return Ok(ScalarValue::Boolean(Some(holds)));
        }
    }
    Ok(ScalarValue::Boolean(if unknown { None } else { Some(all) }))
}

fn is_in(value: &ScalarValue, rows: &[ScalarValue], negated: bool) -> Result<ScalarValue> {
    if rows.is_empty() {
        return Ok(ScalarValue::Boolean(Some(negated)));
    }
    if value.is_null() {
        return Ok(ScalarValue::Boolean(None));
    }
    let ty = value.data_type();
    let mut unknown = false;
    for row in rows {
        let row = if row.data_type() == ty { row.clone() } else { row.cast_to(&ty)? };
        if row.is_null() {
            unknown = true;
        } else if row == *value {
            return Ok(ScalarValue::Boolean(Some(!negated)));
        }
    }
    Ok(ScalarValue::Boolean(if unknown { None } else { Some(negated) }))
}

/// Polls on this thread until the future is done. The plans run here have one partition and read
/// memory, so they depend on no other task.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
