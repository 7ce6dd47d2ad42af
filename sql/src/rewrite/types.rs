//! Types of literals and operands, as PostgreSQL resolves them, before DataFusion coerces anything.
//!
//! Law: a quoted literal has no type of its own and takes that of what it stands beside, read by
//! that type's input function (22P02 and the like). Operands of different kinds have no operator
//! (42883), where DataFusion would turn both into text. A whole number is an integer if it fits,
//! else a bigint, else numeric.

use arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ExprSchema, NullEquality, ScalarValue};
use datafusion::error::Result;
use datafusion::functions::core::named_struct;
use datafusion::logical_expr::expr::{
    Between, Case, Cast, InList, InSubquery, WindowFunctionParams,
};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, WindowFrameBound,
    WindowFrameUnits,
};
use sqlparser::ast;
use std::sync::Arc;
use tidemark_catalog::system::VECTOR;
use tidemark_engine::decimal::QUOTIENT_PRECISION;

use super::{bpchar, common_type};
use crate::error::{SqlError, state};
use crate::function::{self, type_name};
use crate::text_io;

/// Rewrites every expression of a plan.
pub fn resolve(plan: LogicalPlan) -> Result<LogicalPlan> {
    super::map_nodes(plan, &mut |node| {
        if matches!(node, LogicalPlan::Limit(_)) {
            return Ok(node);
        }
        let node = match node {
            LogicalPlan::Union(union) => LogicalPlan::Union(common_type::unite_union(union)?),
            LogicalPlan::Join(join) if join.null_equality == NullEquality::NullEqualsNull => {
                LogicalPlan::Join(common_type::unite_sides(join)?)
            }
            node => node,
        };
        let node = super::map_node(node, &mut |expr, schema| {
            expr.transform_up(|expr| Ok(Transformed::yes(expression(expr, schema)?)))
        })?;
        check_conditions(&node)?;
        match node {
            // The columns' types were those of literals before they were resolved.
            LogicalPlan::Values(rows) => LogicalPlanBuilder::values(rows.values)?.build(),
            node => Ok(node),
        }
    })
}

fn expression(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    match expr {
        Expr::Cast(cast) if is_vector(&cast.expr, schema) && is_text(&cast) => {
            let blank = Expr::Literal(ScalarValue::from(" "), None);
            let join = function::scalar("array_to_string").expect("it is in the list");
            Ok(join.call(vec![*cast.expr, blank]))
        }
        Expr::Cast(mut cast) => {
            bpchar::unpad(&mut cast.expr, schema);
            match numeric_cast(&cast, schema) {
                Some(ty) if known_type(&cast.expr, schema).as_ref() == Some(&ty) => Ok(*cast.expr),
                Some(ty) => Ok(Expr::Cast(Cast::new(cast.expr, ty))),
                None => cast_literal(cast),
            }
        }
        Expr::Literal(ScalarValue::Int64(Some(n)), metadata) => {
            let literal = i32::try_from(n)
                .map_or(ScalarValue::Int64(Some(n)), |n| ScalarValue::Int32(Some(n)));
            Ok(Expr::Literal(literal, metadata))
        }
        Expr::Literal(ScalarValue::UInt64(Some(n)), metadata) => {
            Ok(Expr::Literal(ScalarValue::Decimal128(Some(i128::from(n)), 20, 0), metadata))
        }
        Expr::BinaryExpr(binary) => operator(binary, schema),
        Expr::InList(list) => in_list(list, schema),
        Expr::Between(between) => self::between(between, schema),
        Expr::Case(case) => self::case(case, schema),
        Expr::InSubquery(mut subquery) => {
            in_subquery(&mut subquery, schema)?;
            Ok(Expr::InSubquery(subquery))
        }
        Expr::ScalarFunction(call) if super::reg::name(call.name()).is_some() => {
            super::reg::read(call, schema)
        }
        Expr::ScalarFunction(call) if call.name() == "struct" => Ok(record(call.args)),
        Expr::ScalarFunction(mut call) => {
            match call.name() {
                "compare_any" | "compare_all" if call.args.len() == 3 => {
                    array_operands(&mut call.args, schema)?;
                }
                "nullif" => {
                    adopt_common(call.args.iter_mut().collect(), schema)?;
                    if let Some(compared) = common_type::nullif(&call.args, schema) {
                        return Ok(compared);
                    }
                }
                name @ ("coalesce" | "greatest" | "least" | "make_array") => {
                    let what = if name == "make_array" { "ARRAY" } else { &name.to_uppercase() };
                    common_type::unite(what, call.args.iter_mut().collect(), schema)?;
                }
                _ => {
                    let function = Arc::clone(&call.func);
                    bpchar::unpad_arguments(function.name(), &mut call.args, schema);
                }
            }
            Ok(Expr::ScalarFunction(call))
        }
        Expr::WindowFunction(mut call) => {
            peers_of_any_type(&mut call.params, schema);
            Ok(Expr::WindowFunction(call))
        }
        expr => Ok(expr),
    }
}

/// `ROW(…)`, whose fields are f1, f2 and so on.
fn record(fields: Vec<Expr>) -> Expr {
    let name = |n: usize| Expr::Literal(ScalarValue::from(format!("f{n}")), None);
    let named = fields.into_iter().enumerate().flat_map(|(n, field)| [name(n + 1), field]);
    named_struct().call(named.collect())
}

/// RANGE without an offset means peers, as GROUPS does, for which every type will do.
fn peers_of_any_type(params: &mut WindowFunctionParams, schema: &DFSchema) {
    let frame = &mut params.window_frame;
    let offset = |bound: &WindowFrameBound| match bound {
        WindowFrameBound::Preceding(value) | WindowFrameBound::Following(value) => !value.is_null(),
        WindowFrameBound::CurrentRow => false,
    };
    let ranged = |ty: DataType| {
        ty.is_numeric()
            || matches!(ty, DataType::Utf8 | DataType::Boolean | DataType::Null)
            || matches!(ty, DataType::Date32 | DataType::Timestamp(..))
    };
    let key = params.order_by.first().and_then(|key| key.expr.get_type(schema).ok());
    if frame.units == WindowFrameUnits::Range
        && !offset(&frame.start_bound)
        && !offset(&frame.end_bound)
        && key.is_some_and(|ty| !ranged(ty))
    {
        frame.units = WindowFrameUnits::Groups;
    }
}

fn in_list(mut list: InList, schema: &DFSchema) -> Result<Expr> {
    adopt_common(std::iter::once(&mut *list.expr).chain(&mut list.list).collect(), schema)?;
    for item in &list.list {
        comparable(Operator::Eq, &list.expr, item, schema)?;
    }
    bpchar::compared(std::iter::once(&mut *list.expr).chain(&mut list.list).collect(), schema);
    json_keys(std::iter::once(&mut *list.expr).chain(&mut list.list).collect(), schema);
    let one = list.list.len() == 1;
    let all = std::iter::once(&mut *list.expr).chain(&mut list.list).collect();
    if one {
        common_type::compared(all, schema); // the operator; of several, the array's type
    } else {
        common_type::unite("IN", all, schema)?;
    }
    Ok(Expr::InList(list))
}

fn in_subquery(membership: &mut InSubquery, schema: &DFSchema) -> Result<()> {
    let query = &mut membership.subquery.subquery;
    let Some(column) = query.schema().fields().first().cloned() else { return Ok(()) };
    adopt(&mut membership.expr, column.data_type())?;
    let Some(ty) = known_type(&membership.expr, schema) else { return Ok(()) };
    if common_type::mixed(&ty, column.data_type()) {
        common_type::convert(&mut membership.expr, &ty, &DataType::Float64);
        let plan = Arc::unwrap_or_clone(Arc::clone(query));
        *query = Arc::new(common_type::cast_column(plan, 0, &DataType::Float64)?);
    }
    Ok(())
}

fn between(mut between: Between, schema: &DFSchema) -> Result<Expr> {
    adopt_common(vec![&mut between.expr, &mut between.low, &mut between.high], schema)?;
    bpchar::compared(vec![&mut between.expr, &mut between.low, &mut between.high], schema);
    comparable(Operator::GtEq, &between.expr, &between.low, schema)?;
    comparable(Operator::LtEq, &between.expr, &between.high, schema)?;
    common_type::compared(vec![&mut between.expr, &mut between.low, &mut between.high], schema);
    Ok(Expr::Between(between))
}

fn case(mut case: Case, schema: &DFSchema) -> Result<Expr> {
    if let Some(operand) = &mut case.expr {
        let whens = case.when_then_expr.iter_mut().map(|(when, _)| &mut **when);
        adopt_common(std::iter::once(&mut **operand).chain(whens).collect(), schema)?;
        let whens = case.when_then_expr.iter_mut().map(|(when, _)| &mut **when);
        common_type::compared(std::iter::once(&mut **operand).chain(whens).collect(), schema);
    }
    let results = case.when_then_expr.iter_mut().map(|(_, then)| &mut **then);
    let all = case.else_expr.as_deref_mut().into_iter().chain(results);
    common_type::unite("CASE", all.collect(), schema)?;
    Ok(Expr::Case(case))
}

/// The value and the array of `compare_any` and `compare_all`.
fn array_operands(args: &mut [Expr], schema: &DFSchema) -> Result<()> {
    match (known_type(&args[1], schema), known_type(&args[2], schema)) {
        (Some(value), Some(DataType::List(field)))
            if common_type::mixed(&value, field.data_type()) =>
        {
            let doubles = DataType::new_list(DataType::Float64, true);
            for (arg, ty) in args[1..].iter_mut().zip([DataType::Float64, doubles]) {
                *arg = Expr::Cast(Cast::new(Box::new(std::mem::take(arg)), ty));
            }
            Ok(())
        }
        (_, Some(DataType::List(field))) => adopt(&mut args[1], field.data_type()),
        (_, Some(_)) => {
            let message = "op ANY/ALL (array) requires array on right side";
            Err(SqlError::new(state::WRONG_OBJECT_TYPE, message).into())
        }
        (Some(left), None) => adopt(&mut args[2], &DataType::new_list(left, true)),
        (None, None) => adopt(&mut args[2], &DataType::new_list(DataType::Utf8, true)),
    }
}

/// Gives literals the type that the first other expression has.
fn adopt_common(exprs: Vec<&mut Expr>, schema: &DFSchema) -> Result<()> {
    let Some(ty) = exprs.iter().find_map(|expr| known_type(expr, schema)) else { return Ok(()) };
    exprs.into_iter().try_for_each(|expr| adopt(expr, &ty))
}

/// Whether an expression is a system table's column of int2vector or oidvector.
fn is_vector(expr: &Expr, schema: &DFSchema) -> bool {
    match expr {
        Expr::Column(column) => schema
            .field_from_column(column)
            .is_ok_and(|field| field.metadata().contains_key(VECTOR)),
        _ => false,
    }
}

fn is_text(cast: &Cast) -> bool {
    *cast.field.data_type() == DataType::Utf8
}

/// What a cast to `numeric` without precision makes of a quotient, which stays one, and of a
/// bigint,
/// which has all of its digits.
fn numeric_cast(cast: &Cast, schema: &DFSchema) -> Option<DataType> {
    if *cast.field.data_type() != text_io::numeric::UNCONSTRAINED {
        return None;
    }
    match known_type(&cast.expr, schema)? {
        DataType::Int64 => Some(DataType::Decimal128(19, 0)),
        ty @ DataType::Decimal128(QUOTIENT_PRECISION, _) => Some(ty),
        _ => None,
    }
}

/// A literal under a cast is read at once, by the type's input function.
fn cast_literal(cast: Cast) -> Result<Expr> {
    let to = cast.field.data_type();
    match cast.expr.as_ref() {
        Expr::Literal(ScalarValue::Int32(Some(n)), metadata) if *to == DataType::Int32 => {
            Ok(Expr::Literal(ScalarValue::Int32(Some(*n)), metadata.clone()))
        }
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) if *to != DataType::Utf8 => {
            let value = text_io::parse_literal(to, text)?;
            Ok(Expr::Literal(value, None))
        }
        Expr::Literal(value, _) if *to == DataType::Float64 => {
            Ok(match common_type::double(value) {
                Some(value) => Expr::Literal(ScalarValue::Float64(Some(value)), None),
                None => Expr::Cast(cast),
            })
        }
        _ => Ok(Expr::Cast(cast)),
    }
}

/// Resolves operands while `SqlToRel` plans, so that every type it asks for is PostgreSQL's.
pub fn planner() -> Arc<dyn ExprPlanner> {
    Arc::new(OperandPlanner)
}

#[derive(Debug)]
struct OperandPlanner;

impl ExprPlanner for OperandPlanner {
    fn plan_binary_op(
        &self,
        mut raw: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let Some(op) = of_text(&raw.op) else { return Ok(PlannerResult::Original(raw)) };
        resolve_operands(op, &mut raw.left, &mut raw.right, schema)?;
        Ok(PlannerResult::Original(raw))
    }
}

fn of_text(op: &ast::BinaryOperator) -> Option<Operator> {
    use ast::BinaryOperator as Text;
    Some(match op {
        Text::Plus => Operator::Plus,
        Text::Minus => Operator::Minus,
        Text::Multiply => Operator::Multiply,
        Text::Divide => Operator::Divide,
        Text::Modulo => Operator::Modulo,
        Text::Eq => Operator::Eq,
        Text::NotEq => Operator::NotEq,
        Text::Lt => Operator::Lt,
        Text::LtEq => Operator::LtEq,
        Text::Gt => Operator::Gt,
        Text::GtEq => Operator::GtEq,
        Text::And => Operator::And,
        Text::Or => Operator::Or,
        Text::StringConcat => Operator::StringConcat,
        _ => return None,
    })
}

fn operator(mut binary: BinaryExpr, schema: &DFSchema) -> Result<Expr> {
    resolve_operands(binary.op, &mut binary.left, &mut binary.right, schema)?;
    if equals(binary.op) {
        json_keys(vec![&mut binary.left, &mut binary.right], schema);
    }
    if matches!(binary.op, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom) {
        interval_spans(vec![&mut binary.left, &mut binary.right], schema);
    }
    // Before coercion, which would make two intervals of a date and a whole number, or text of two
    // dates.
    if let (Some(left), Some(right)) =
        (known_type(&binary.left, schema), known_type(&binary.right, schema))
        && let Some(function) = function::operator::operator(binary.op, &left, &right)?
    {
        return Ok(function.call(vec![*binary.left, *binary.right]));
    }
    Ok(Expr::BinaryExpr(binary))
}

fn equals(op: Operator) -> bool {
    use Operator::{Eq, IsDistinctFrom, IsNotDistinctFrom, NotEq};
    matches!(op, Eq | NotEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// Values of jsonb that are compared for equality, as text that is equal when they are.
fn json_keys(exprs: Vec<&mut Expr>, schema: &DFSchema) {
    let json = |expr: &&mut Expr| known_type(expr, schema) == Some(DataType::LargeUtf8);
    if exprs.iter().all(json) {
        let key = function::scalar("jsonb_key").expect("it is in the list");
        for expr in exprs {
            *expr = key.call(vec![std::mem::take(expr)]);
        }
    }
}

/// Intervals that are compared by an operator which takes NULLs, as their whole length: a month is
/// 30 days, a day 24 hours.
fn interval_spans(exprs: Vec<&mut Expr>, schema: &DFSchema) {
    let interval =
        |expr: &&mut Expr| matches!(known_type(expr, schema), Some(DataType::Interval(_)));
    if exprs.iter().all(interval) {
        let span = function::scalar("interval_span").expect("it is in the list");
        for expr in exprs {
            *expr = span.call(vec![std::mem::take(expr)]);
        }
    }
}

/// Gives literals their type and refuses operands that no operator takes.
fn resolve_operands(
    op: Operator,
    left_expr: &mut Expr,
    right_expr: &mut Expr,
    schema: &DFSchema,
) -> Result<()> {
    let (left, right) = (known_type(left_expr, schema), known_type(right_expr, schema));
    match (&left, &right) {
        (Some(ty), None) => adopt(right_expr, &operand(op, ty, false))?,
        (None, Some(ty)) => adopt(left_expr, &operand(op, ty, true))?,
        _ => {}
    }
    match op {
        Operator::And | Operator::Or => {
            for side in [&*left_expr, &*right_expr] {
                require_boolean(side, &op.to_string(), schema)?;
            }
            Ok(())
        }
        op if is_comparison(op) => {
            bpchar::compared(vec![left_expr, right_expr], schema);
            comparable(op, left_expr, right_expr, schema)?;
            common_type::compared(vec![left_expr, right_expr], schema);
            Ok(())
        }
        Operator::Plus
        | Operator::Minus
        | Operator::Multiply
        | Operator::Divide
        | Operator::Modulo => {
            computable(op, left_expr, right_expr, schema)?;
            common_type::operands(left_expr, right_expr, schema);
            Ok(())
        }
        Operator::StringConcat => {
            bpchar::unpad(left_expr, schema);
            bpchar::unpad(right_expr, schema);
            joinable(left_expr, right_expr, schema)
        }
        _ => Ok(()),
    }
}

fn computable(op: Operator, left: &Expr, right: &Expr, schema: &DFSchema) -> Result<()> {
    let (Some(l), Some(r)) = (known_type(left, schema), known_type(right, schema)) else {
        return Ok(());
    };
    let numbers = l.is_numeric() && r.is_numeric();
    let exists = match op {
        Operator::Modulo if numbers => !l.is_floating() && !r.is_floating(),
        // These are DataFusion's own; all others are functions.
        _ if numbers => true,
        Operator::Plus | Operator::Minus
            if matches!((&l, &r), (DataType::Timestamp(..), DataType::Interval(_))) =>
        {
            true
        }
        _ => function::operator::operator(op, &l, &r)?.is_some(),
    };
    if exists { Ok(()) } else { Err(no_operator(op, &l, &r).into()) }
}

/// `||` joins text to anything, and arrays, jsonb and bytea to their like.
fn joinable(left: &Expr, right: &Expr, schema: &DFSchema) -> Result<()> {
    let (Some(l), Some(r)) = (known_type(left, schema), known_type(right, schema)) else {
        return Ok(());
    };
    let text = |ty: &DataType| matches!(ty, DataType::Utf8 | DataType::Utf8View);
    let op = Operator::StringConcat;
    if text(&l) || text(&r) || function::operator::operator(op, &l, &r)?.is_some() {
        return Ok(());
    }
    Err(no_operator(op, &l, &r).into())
}

fn is_comparison(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

/// The type a quoted literal takes beside an operand of type `other`.
fn operand(op: Operator, other: &DataType, is_left: bool) -> DataType {
    match (op, other) {
        // Subtracted, it is of its neighbour's own type: `ts - '2026-01-01'` is an interval.
        (Operator::Plus, DataType::Timestamp(..) | DataType::Time64(_) | DataType::Date32) => {
            DataType::Interval(IntervalUnit::MonthDayNano)
        }
        (Operator::Minus, DataType::LargeUtf8) => DataType::Utf8, // a key of a jsonb
        (Operator::StringConcat, DataType::List(_)) if !is_left => other.clone(),
        (Operator::StringConcat, _)
        | (Operator::Arrow | Operator::LongArrow, _)
        | (Operator::HashArrow | Operator::HashLongArrow, _) => DataType::Utf8,
        _ => other.clone(),
    }
}

/// The type of an expression, None for what takes its type from its surroundings.
pub(super) fn known_type(expr: &Expr, schema: &DFSchema) -> Option<DataType> {
    if is_unknown(expr) {
        return None;
    }
    if let Expr::BinaryExpr(binary) = expr
        && (is_comparison(binary.op) || matches!(binary.op, Operator::And | Operator::Or))
    {
        return Some(DataType::Boolean); // without asking each link of a long chain
    }
    expr.get_type(schema).ok().filter(|ty| *ty != DataType::Null)
}

pub(super) fn is_unknown(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(ScalarValue::Utf8(_) | ScalarValue::Null, _) => true,
        Expr::Alias(alias) => is_unknown(&alias.expr),
        _ => false,
    }
}

/// Reads a quoted literal as a value of the type, if it is one.
pub(super) fn adopt(expr: &mut Expr, ty: &DataType) -> Result<()> {
    if matches!(ty, DataType::Utf8 | DataType::Null) {
        return Ok(());
    }
    match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => {
            let value = text_io::parse_literal(literal_type(ty), text)?;
            *expr = Expr::Literal(value, None);
        }
        Expr::Literal(ScalarValue::Utf8(None) | ScalarValue::Null, _) => {
            *expr = Expr::Literal(ScalarValue::try_from(ty)?, None);
        }
        Expr::Alias(alias) => adopt(&mut alias.expr, ty)?,
        _ => {}
    }
    Ok(())
}

/// A literal beside a numeric is a numeric, whatever the precision and scale of its neighbour.
fn literal_type(ty: &DataType) -> &DataType {
    match ty {
        DataType::Decimal128(..) => &text_io::numeric::UNCONSTRAINED,
        other => other,
    }
}

/// What PostgreSQL compares with what.
fn kind(ty: &DataType) -> Option<u8> {
    Some(match ty {
        DataType::Boolean => 1,
        ty if ty.is_numeric() => 2,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            if *ty == DataType::LargeUtf8 {
                8
            } else {
                3
            }
        }
        DataType::Date32 | DataType::Timestamp(..) => 4,
        DataType::Time64(_) | DataType::Time32(_) => 5,
        DataType::Interval(_) => 6,
        DataType::Binary | DataType::LargeBinary => 7,
        DataType::FixedSizeBinary(_) => 9,
        DataType::List(_) => 10,
        _ => return None,
    })
}

fn comparable(op: Operator, left: &Expr, right: &Expr, schema: &DFSchema) -> Result<()> {
    let (Some(l), Some(r)) = (known_type(left, schema), known_type(right, schema)) else {
        return Ok(());
    };
    match (kind(&l), kind(&r)) {
        (Some(a), Some(b)) if a != b => Err(no_operator(op, &l, &r).into()),
        _ => Ok(()),
    }
}

fn no_operator(op: Operator, left: &DataType, right: &DataType) -> SqlError {
    let op = match op {
        Operator::NotEq => "<>".to_string(),
        op => op.to_string(),
    };
    let message = format!("operator does not exist: {} {op} {}", type_name(left), type_name(right));
    SqlError::new(state::UNDEFINED_FUNCTION, message).with_hint(
        "No operator matches the given name and argument types. \
         You might need to add explicit type casts.",
    )
}

fn require_boolean(expr: &Expr, what: &str, schema: &DFSchema) -> Result<()> {
    match known_type(expr, schema) {
        None | Some(DataType::Boolean) => Ok(()),
        Some(other) => {
            let name = type_name(&other);
            let message = format!("argument of {what} must be type boolean, not type {name}");
            Err(SqlError::new(state::DATATYPE_MISMATCH, message).into())
        }
    }
}

fn check_conditions(node: &LogicalPlan) -> Result<()> {
    let schema = super::input_schema(node);
    match node {
        LogicalPlan::Filter(filter) => require_boolean(&filter.predicate, "WHERE", &schema),
        LogicalPlan::Join(join) => match &join.filter {
            Some(filter) => require_boolean(filter, "JOIN/ON", &schema),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}
