//! The one type of values that come to stand in one column or meet in one operator, where
//! PostgreSQL's choice is not DataFusion's.
//!
//! Law: beside a float, another number becomes a float, where DataFusion would make numerics of
//! both and lose NaN, infinities and whatever is large. An operator takes two doubles, unless both
//! are real; CASE, UNION, VALUES and the like take the widest type there is. Types of different
//! categories have no common type (42804).

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, JoinType, Result, ScalarValue};
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{
    Case, Distinct, Expr, Join, LogicalPlan, LogicalPlanBuilder, Projection, Union,
};

use super::bpchar;
use super::types::{adopt, is_unknown, known_type};
use crate::error::{SqlError, state};
use crate::function::type_name;
use crate::text_io::numeric;

/// Makes doubles of two operands of which one is a float; two reals stay.
pub fn operands(left: &mut Expr, right: &mut Expr, schema: &DFSchema) {
    let (Some(l), Some(r)) = (known_type(left, schema), known_type(right, schema)) else { return };
    if mixed(&l, &r) {
        convert(left, &l, &DataType::Float64);
        convert(right, &r, &DataType::Float64);
    }
}

/// The same for values that are compared with one another. Dates beside timestamps become such.
pub fn compared(exprs: Vec<&mut Expr>, schema: &DFSchema) {
    let types: Vec<DataType> = exprs.iter().filter_map(|expr| known_type(expr, schema)).collect();
    if types.contains(&DataType::Date32) {
        if let Some(time) = types.iter().filter(|ty| is_time(ty)).max_by_key(|ty| width(ty)) {
            convert_all(exprs, time, schema);
        }
        return;
    }
    if types.iter().any(DataType::is_floating)
        && types.iter().all(DataType::is_numeric)
        && types.windows(2).any(|pair| pair[0] != pair[1])
    {
        convert_all(exprs, &DataType::Float64, schema);
    }
}

/// Whether one is a float and the other another type of number.
pub fn mixed(left: &DataType, right: &DataType) -> bool {
    (left.is_floating() || right.is_floating())
        && left != right
        && left.is_numeric()
        && right.is_numeric()
}

/// Gives values that stand for one another one type. `what` is what PostgreSQL's message calls
/// them.
pub fn unite(what: &str, exprs: Vec<&mut Expr>, schema: &DFSchema) -> Result<()> {
    let types = exprs.iter().map(|expr| known_type(expr, schema));
    match common(what, types)? {
        Some(to) if to.is_floating() || is_time(&to) => {
            for expr in exprs {
                adopt(expr, &to)?;
                convert_all(vec![expr], &to, schema);
            }
        }
        Some(ty) => exprs.into_iter().try_for_each(|expr| adopt(expr, &ty))?,
        None => {}
    }
    Ok(())
}

/// Gives the columns of the inputs of a UNION one type each.
pub fn unite_union(mut union: Union) -> Result<Union> {
    for column in 0..union.schema.fields().len() {
        let known = |input: &Arc<LogicalPlan>| {
            let ty = input.schema().field(column).data_type();
            (*ty != DataType::Null && !is_literal(input, column)).then(|| ty.clone())
        };
        let Some(ty) = common("UNION", union.inputs.iter().map(known))? else { continue };
        // Blanks at the end count beside text of another length.
        let lengths = union.inputs.iter().map(|input| bpchar::column_length(input, column));
        let lengths: Vec<Option<usize>> = lengths.collect();
        if lengths.windows(2).any(|pair| pair[0] != pair[1]) {
            for (input, length) in union.inputs.iter_mut().zip(lengths) {
                if length.is_some() {
                    let plan = Arc::unwrap_or_clone(Arc::clone(input));
                    *input = Arc::new(bpchar::unpad_column(plan, column)?);
                }
            }
        }
        for input in &mut union.inputs {
            if is_literal(input, column)
                && let LogicalPlan::Projection(projection) = Arc::make_mut(input)
            {
                adopt(&mut projection.expr[column], &ty)?;
                let (expr, below) = (projection.expr.clone(), Arc::clone(&projection.input));
                *projection = Projection::try_new(expr, below)?;
            }
            if ty.is_floating() || is_time(&ty) {
                *input = Arc::new(cast_column(Arc::unwrap_or_clone(input.clone()), column, &ty)?);
            }
        }
    }
    // Its own schema is that of its first input.
    Union::try_new_with_loose_types(union.inputs)
}

/// The same for the two sides of INTERSECT and EXCEPT, which are joins by all columns.
pub fn unite_sides(mut join: Join) -> Result<Join> {
    let what = if join.join_type == JoinType::LeftAnti { "EXCEPT" } else { "INTERSECT" };
    let columns = join.left.schema().fields().len().min(join.right.schema().fields().len());
    for column in 0..columns {
        let sides = [&join.left, &join.right];
        let known = sides.map(|side| {
            let ty = side.schema().field(column).data_type();
            (*ty != DataType::Null && !is_literal(below_distinct(side), column)).then(|| ty.clone())
        });
        let Some(ty) = common(what, known.into_iter())? else { continue };
        for side in [&mut join.left, &mut join.right] {
            let own = side.schema().field(column).data_type();
            let casts =
                ty.is_floating() || is_time(&ty) || is_literal(below_distinct(side), column);
            if casts && *own != ty {
                *side = Arc::new(cast_side(Arc::unwrap_or_clone(side.clone()), column, &ty)?);
            }
        }
    }
    let (left, right) = (join.left.schema().columns(), join.right.schema().columns());
    join.on =
        left.into_iter().zip(right).map(|(l, r)| (Expr::Column(l), Expr::Column(r))).collect();
    Ok(join)
}

fn below_distinct(side: &LogicalPlan) -> &LogicalPlan {
    match side {
        LogicalPlan::Distinct(Distinct::All(input)) => input,
        side => side,
    }
}

/// Below the DISTINCT that a side may have.
fn cast_side(side: LogicalPlan, column: usize, to: &DataType) -> Result<LogicalPlan> {
    match side {
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let input = cast_side(Arc::unwrap_or_clone(input), column, to)?;
            Ok(LogicalPlan::Distinct(Distinct::All(Arc::new(input))))
        }
        LogicalPlan::Projection(mut projection) if is_unknown(&projection.expr[column]) => {
            adopt(&mut projection.expr[column], to)?;
            Ok(LogicalPlan::Projection(Projection::try_new(projection.expr, projection.input)?))
        }
        side => cast_column(side, column, to),
    }
}

/// Whether a column is a quoted literal or NULL, which takes the type it has elsewhere.
fn is_literal(input: &LogicalPlan, column: usize) -> bool {
    match input {
        LogicalPlan::Projection(projection) => projection.expr.get(column).is_some_and(is_unknown),
        _ => false,
    }
}

/// A plan with one column cast, under the name it has.
pub fn cast_column(plan: LogicalPlan, column: usize, to: &DataType) -> Result<LogicalPlan> {
    if plan.schema().field(column).data_type() == to {
        return Ok(plan);
    }
    let each = plan.schema().iter().enumerate().map(|(n, (qualifier, field))| {
        let expr = Expr::Column(Column::from((qualifier, field)));
        match n == column {
            true => cast(expr, to).alias_qualified(qualifier.cloned(), field.name()),
            false => expr,
        }
    });
    let columns: Vec<Expr> = each.collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// `nullif(a, b)` of a float and another number: compared as doubles, the first as it is.
pub fn nullif(args: &[Expr], schema: &DFSchema) -> Option<Expr> {
    let [value, other] = args else { return None };
    let (l, r) = (known_type(value, schema)?, known_type(other, schema)?);
    if !mixed(&l, &r) {
        return None;
    }
    let (mut left, mut right) = (value.clone(), other.clone());
    operands(&mut left, &mut right, schema);
    let null = Expr::Literal(ScalarValue::try_from(&l).ok()?, None);
    let whens = vec![(Box::new(left.eq(right)), Box::new(null))];
    Some(Expr::Case(Case::new(None, whens, Some(Box::new(value.clone())))))
}

/// The type PostgreSQL gives values of these types, None for those that have none of their own.
fn common(
    what: &str,
    types: impl Iterator<Item = Option<DataType>>,
) -> Result<Option<DataType>, SqlError> {
    let mut chosen: Option<DataType> = None;
    for ty in types.flatten() {
        let Some(before) = &chosen else {
            chosen = Some(ty);
            continue;
        };
        if category(before) != category(&ty) {
            let (before, ty) = (type_name(before), type_name(&ty));
            let message = format!("{what} types {before} and {ty} cannot be matched");
            return Err(SqlError::new(state::DATATYPE_MISMATCH, message));
        }
        if width(before) < width(&ty) {
            chosen = Some(ty);
        }
    }
    Ok(chosen)
}

/// PostgreSQL's type category; a type of its own kind is in one of its own.
fn category(ty: &DataType) -> char {
    match ty {
        DataType::Boolean => 'B',
        ty if ty.is_numeric() => 'N',
        DataType::Utf8 | DataType::Utf8View => 'S',
        DataType::Date32 | DataType::Timestamp(..) | DataType::Time64(_) => 'D',
        DataType::Interval(_) => 'T',
        DataType::List(_) => 'A',
        DataType::LargeUtf8 => 'J',
        DataType::Binary => 'Y',
        _ => 'U',
    }
}

/// Which numbers become which without being asked.
fn width(ty: &DataType) -> u8 {
    match ty {
        DataType::Int16 => 1,
        DataType::Int32 => 2,
        DataType::Int64 => 3,
        DataType::Decimal128(..) => 4,
        DataType::Float32 => 5,
        DataType::Float64 => 6,
        DataType::Timestamp(_, None) => 1, // a date is 0
        DataType::Timestamp(_, Some(_)) => 2,
        _ => 0,
    }
}

/// Times that PostgreSQL makes of a date, which DataFusion would do in nanoseconds.
fn is_time(ty: &DataType) -> bool {
    matches!(ty, DataType::Timestamp(..))
}

fn convert_all(exprs: Vec<&mut Expr>, to: &DataType, schema: &DFSchema) {
    for expr in exprs {
        if let Some(from) = known_type(expr, schema) {
            convert(expr, &from, to);
        }
    }
}

/// A number as a float; a literal at once.
pub fn convert(expr: &mut Expr, from: &DataType, to: &DataType) {
    if from == to {
        return;
    }
    let literal = match (&*expr, to) {
        (Expr::Literal(value, _), DataType::Float64) => double(value),
        _ => None,
    };
    *expr = match literal {
        Some(value) => Expr::Literal(ScalarValue::Float64(Some(value)), None),
        None => cast(std::mem::replace(expr, Expr::Literal(ScalarValue::Null, None)), to),
    };
}

/// A literal number as a double.
pub fn double(value: &ScalarValue) -> Option<f64> {
    match value {
        ScalarValue::Decimal128(Some(value), _, scale) => Some(numeric::to_float8(*value, *scale)),
        ScalarValue::Int32(Some(value)) => Some(f64::from(*value)),
        ScalarValue::Int64(Some(value)) => Some(*value as f64),
        _ => None,
    }
}

fn cast(expr: Expr, to: &DataType) -> Expr {
    Expr::Cast(Cast::new(Box::new(expr), to.clone()))
}
