//! Window functions: a Window for each partition and order, what they compute from as columns
//! below.
//!
//! Law      a frame that isn't written is PostgreSQL's: up to the row's last peer, or all rows
//!          without ORDER BY. Where values depend on the place among peers, the order is completed
//!          by the remaining columns (S9)
//! Types    what DataFusion counts in unsigned numbers is a bigint

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::logical_expr::expr::{Cast, NullTreatment, WindowFunction as Call};
use datafusion::logical_expr::{
    Expr, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition, lit,
    logical_plan,
};
use datafusion::scalar::ScalarValue;
use tidemark_engine::aggregate::{Constants, Order, aggregate_function};
use tidemark_engine::plan::{
    Exclude, Frame, FrameBound, FrameUnits, SortKey, WindowCall, WindowFunction,
};

use super::Resolver;
use super::order::{tie_break, with_columns};
use crate::error::{SqlError, state};
use crate::function::aggregate::{check_parameter, not_constant};
use crate::function::session_window::{END, START, gap_us};
use crate::maintain::refuse;
use crate::maintain::rel::{Rel, Session, Window, type_of};
use crate::rewrite::exclude::exclusion;

/// A call and its window, over columns.
struct Windowed {
    partition: Vec<usize>,
    order: Vec<SortKey>,
    call: WindowCall,
    data_type: DataType,
    name: String,
}

impl Resolver<'_> {
    pub(super) fn window(&self, window: &logical_plan::Window) -> Result<Rel, SqlError> {
        let mut input = self.rel(&window.input)?;
        let width = input.width();
        let mut places = vec![0; window.window_expr.len()];
        let (mut calls, mut sessions) = (Vec::new(), Vec::new());
        let mut open: Vec<usize> = Vec::new();
        for (i, expr) in window.window_expr.iter().enumerate() {
            let call = called(expr)?;
            let session = [START, END].iter().position(|bound| call.fun.name() == *bound);
            if let Some(bound) = session {
                let (wider, at) = self.session(input, window, call, &mut sessions)?;
                input = wider;
                places[i] = at + bound;
                continue;
            }
            let (wider, windowed) = self.windowed(input, window, call)?;
            input = wider;
            open.push(calls.len());
            calls.push((i, windowed));
        }
        // Calls over one partition and order are one operator.
        while let Some(&first) = open.first() {
            let alike = |&i: &usize| {
                let (one, other) = (&calls[i].1, &calls[first].1);
                one.partition == other.partition && one.order == other.order
            };
            let (together, others): (Vec<usize>, Vec<usize>) = open.into_iter().partition(alike);
            open = others;
            let at = input.width();
            together.iter().enumerate().for_each(|(n, &i)| places[calls[i].0] = at + n);
            let together: Vec<&Windowed> = together.iter().map(|&i| &calls[i].1).collect();
            input = over_one_window(input, width, &together);
        }
        let columns: Vec<usize> = (0..width).chain(places).collect();
        Ok(input.select(&columns))
    }

    /// The rows with their sessions, and where the session's start stands; one for each window.
    fn session(
        &self,
        input: Rel,
        window: &logical_plan::Window,
        call: &Call,
        known: &mut Vec<(Vec<usize>, i64, usize)>,
    ) -> Result<(Rel, usize), SqlError> {
        let (plan, params) = (window.input.schema(), &call.params);
        let [time, gap] = params.args.as_slice() else { return Err(refuse::window()) };
        let gap = self.exprs(std::slice::from_ref(gap), plan, &input)?.remove(0);
        let gap = self.scalars.constant(&gap).unwrap_or(ScalarValue::Null);
        let gap_us = gap_us(&gap)?;
        let by: Vec<Expr> =
            params.partition_by.iter().chain(std::iter::once(time)).cloned().collect();
        let by = self.exprs(&by, plan, &input)?;
        let (input, by) = with_columns(input, by)?;
        if let Some((.., at)) = known.iter().find(|(known, us, _)| *known == by && *us == gap_us) {
            return Ok((input, *at));
        }
        let at = input.width();
        known.push((by.clone(), gap_us, at));
        let (time, keys) = by.split_last().expect("a time");
        let schema = input.schema();
        let bound = |name: &str| Field::new(name, schema.field(*time).data_type().clone(), true);
        let own = schema.fields().iter().map(|field| field.as_ref().clone());
        let fields: Vec<Field> = own.chain([bound("window_start"), bound("window_end")]).collect();
        let (time, keys, schema) = (*time, keys.to_vec(), Schema::new(fields).into());
        Ok((Rel::Session(Session { input: Box::new(input), keys, time, gap_us, schema }), at))
    }

    /// A call over columns of the input, some of which are put behind it.
    fn windowed(
        &self,
        input: Rel,
        window: &logical_plan::Window,
        call: &Call,
    ) -> Result<(Rel, Windowed), SqlError> {
        let (plan, params) = (window.input.schema(), &call.params);
        if params.distinct {
            return Err(refuse::distinct_window());
        }
        let function = function_of(&call.fun)?;
        let schema = input.schema();
        let plain = |exprs: &[Expr]| self.exprs(exprs, plan, &input);
        let (exclusions, partition): (Vec<Expr>, Vec<Expr>) =
            params.partition_by.iter().cloned().partition(|expr| exclusion(expr).is_some());
        let exclude = exclusions.iter().find_map(exclusion).unwrap_or(Exclude::NoOthers);
        let partition = plain(&partition)?;
        let ordered: Vec<Expr> = params.order_by.iter().map(|sort| sort.expr.clone()).collect();
        let ordered = plain(&ordered)?;
        let star = matches!(function, WindowFunction::Aggregate(f) if f.name() == "count")
            && matches!(params.args.as_slice(), [] | [Expr::Literal(..)]);
        let mut arguments = if star { vec![] } else { plain(&params.args)? };
        let parameters = parameters(function, &mut arguments)?;
        let arguments = completed_arguments(function, arguments, &schema)?;
        let filter = params.filter.iter().map(|filter| filter.as_ref().clone());
        let filter = plain(&filter.collect::<Vec<_>>())?;
        let frame = Frame { exclude, ..frame(&params.window_frame, &ordered, &schema)? };
        let counts = [partition.len(), ordered.len(), arguments.len()];
        let all = [partition, ordered, arguments, filter].concat();
        let (input, places) = with_columns(input, all)?;
        let (partition, places) = places.split_at(counts[0]);
        let (ordered, places) = places.split_at(counts[1]);
        let (arguments, filter) = places.split_at(counts[2]);
        let schema = input.schema();
        let types: Vec<DataType> =
            arguments.iter().map(|&i| schema.field(i).data_type().clone()).collect();
        let types = types.into_iter().chain(parameters.iter().map(ScalarValue::data_type));
        let data_type = value_type(function, &types.collect::<Vec<_>>())?;
        let order = ordered.iter().zip(&params.order_by).map(|(&column, sort)| SortKey {
            column,
            descending: !sort.asc,
            nulls_first: sort.nulls_first,
        });
        let call = WindowCall {
            function,
            arguments: arguments.to_vec(),
            parameters,
            filter: filter.first().copied(),
            frame,
            ignore_nulls: matches!(params.null_treatment, Some(NullTreatment::IgnoreNulls)),
        };
        let partition = partition.to_vec();
        let order = order.collect();
        let name = function.name().to_owned();
        Ok((input, Windowed { partition, order, call, data_type, name }))
    }
}

fn called(expr: &Expr) -> Result<&Call, SqlError> {
    match expr {
        Expr::Alias(alias) => called(&alias.expr),
        Expr::WindowFunction(call) => Ok(call),
        other => Err(SqlError::internal(format!("not a window function: {other}"))),
    }
}

fn over_one_window(input: Rel, width: usize, calls: &[&Windowed]) -> Rel {
    let (partition, order) = (calls[0].partition.clone(), calls[0].order.clone());
    let by_place = calls.iter().any(|windowed| depends_on_place(&windowed.call));
    let tie_break = match by_place {
        true => tie_break(&input, &partition, &order, width),
        false => vec![],
    };
    let schema = input.schema();
    let fields = schema.fields().iter().map(|field| field.as_ref().clone());
    let values = calls.iter().map(|call| Field::new(&call.name, call.data_type.clone(), true));
    let schema: SchemaRef = Schema::new(fields.chain(values).collect::<Vec<_>>()).into();
    let calls = calls.iter().map(|windowed| windowed.call.clone()).collect();
    Rel::Window(Window { input: Box::new(input), partition, order, tie_break, calls, schema })
}

/// Whether peers may have different values by an order among them.
fn depends_on_place(call: &WindowCall) -> bool {
    let by_peers = call.frame.units != FrameUnits::Rows
        && !matches!(call.frame.exclude, Exclude::CurrentRow | Exclude::Ties);
    let whole = matches!(
        (&call.frame.start, &call.frame.end),
        (FrameBound::UnboundedPreceding, FrameBound::UnboundedFollowing)
    );
    match call.function {
        WindowFunction::Rank | WindowFunction::DenseRank => false,
        WindowFunction::PercentRank | WindowFunction::CumeDist => false,
        WindowFunction::Aggregate(function) => {
            let unordered = function.order() == Order::Indifferent;
            !(unordered && (by_peers || whole))
        }
        _ => true,
    }
}

fn function_of(function: &WindowFunctionDefinition) -> Result<WindowFunction, SqlError> {
    let name = function.name();
    Ok(match name {
        "row_number" => WindowFunction::RowNumber,
        "rank" => WindowFunction::Rank,
        "dense_rank" => WindowFunction::DenseRank,
        "percent_rank" => WindowFunction::PercentRank,
        "cume_dist" => WindowFunction::CumeDist,
        "ntile" => WindowFunction::Ntile,
        "lag" => WindowFunction::Lag,
        "lead" => WindowFunction::Lead,
        "first_value" => WindowFunction::FirstValue,
        "last_value" => WindowFunction::LastValue,
        "nth_value" => WindowFunction::NthValue,
        name => match aggregate_function(name) {
            Some(function) => WindowFunction::Aggregate(function),
            None => return Err(refuse::aggregate(name)),
        },
    })
}

/// Takes the constants that an aggregate has behind its arguments.
fn parameters(
    function: WindowFunction,
    arguments: &mut Vec<Expr>,
) -> Result<Vec<ScalarValue>, SqlError> {
    let WindowFunction::Aggregate(function) = function else { return Ok(vec![]) };
    match (function.constants(), arguments.last()) {
        (Constants::Allowed | Constants::Required, Some(Expr::Literal(value, _))) => {
            let parameter = value.clone();
            check_parameter(function, &parameter)?;
            arguments.pop();
            Ok(vec![parameter])
        }
        (Constants::Required, _) => Err(not_constant(function.name())),
        (Constants::None | Constants::Allowed, _) => Ok(vec![]),
    }
}

/// The arguments as the engine takes them: offsets are bigints, and all are there.
fn completed_arguments(
    function: WindowFunction,
    mut arguments: Vec<Expr>,
    schema: &Schema,
) -> Result<Vec<Expr>, SqlError> {
    let cast = |expr: Expr, to: &DataType| match type_of(&expr, schema) {
        Ok(own) if own == *to => expr,
        _ => Expr::Cast(Cast::new(Box::new(expr), to.clone())),
    };
    match function {
        WindowFunction::Lag | WindowFunction::Lead => {
            let value = arguments.first().ok_or_else(refuse::window)?;
            let value_type = type_of(value, schema)?;
            let mut further = arguments.split_off(1).into_iter();
            let offset = further.next().map_or(lit(1i64), |offset| cast(offset, &DataType::Int64));
            let default = match further.next() {
                Some(default) => cast(default, &value_type),
                None => Expr::Literal(ScalarValue::try_from(&value_type)?, None),
            };
            arguments.extend([offset, default]);
        }
        WindowFunction::NthValue => {
            let n = arguments.pop().ok_or_else(refuse::window)?;
            arguments.push(cast(n, &DataType::Int64));
        }
        WindowFunction::Ntile => {
            arguments = arguments.into_iter().map(|n| cast(n, &DataType::Int64)).collect();
        }
        _ => {}
    }
    Ok(arguments)
}

fn value_type(function: WindowFunction, arguments: &[DataType]) -> Result<DataType, SqlError> {
    Ok(match function {
        WindowFunction::RowNumber | WindowFunction::Rank | WindowFunction::DenseRank => {
            DataType::Int64
        }
        // PostgreSQL's ntile is an integer.
        WindowFunction::Ntile => DataType::Int32,
        WindowFunction::PercentRank | WindowFunction::CumeDist => DataType::Float64,
        WindowFunction::Lag
        | WindowFunction::Lead
        | WindowFunction::FirstValue
        | WindowFunction::LastValue
        | WindowFunction::NthValue => arguments.first().cloned().ok_or_else(refuse::window)?,
        WindowFunction::Aggregate(function) => {
            function.return_type(arguments).ok_or_else(|| refuse::aggregate(function.name()))?
        }
    })
}

fn frame(frame: &WindowFrame, order: &[Expr], schema: &Schema) -> Result<Frame, SqlError> {
    let units = match frame.units {
        WindowFrameUnits::Rows => FrameUnits::Rows,
        WindowFrameUnits::Range => FrameUnits::Range,
        WindowFrameUnits::Groups => FrameUnits::Groups,
    };
    let of_order = match order {
        [one] => Some(type_of(one, schema)?),
        _ => None,
    };
    let offset = |value: &ScalarValue| -> Result<ScalarValue, SqlError> {
        let value = match (units, &of_order) {
            (FrameUnits::Range, Some(_)) if value.data_type().is_temporal() => value.clone(),
            (FrameUnits::Range, Some(DataType::Timestamp(..) | DataType::Date32)) => {
                value.cast_to(&DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano))?
            }
            (FrameUnits::Range, Some(of_order)) => value.cast_to(of_order)?,
            _ => value.cast_to(&DataType::Int64)?,
        };
        match is_negative(&value) {
            false => Ok(value),
            true => Err(SqlError::new(
                state::INVALID_PRECEDING_OR_FOLLOWING_SIZE,
                "frame offset must not be negative",
            )),
        }
    };
    let bound = |bound: &WindowFrameBound| -> Result<FrameBound, SqlError> {
        Ok(match bound {
            WindowFrameBound::Preceding(value) if value.is_null() => FrameBound::UnboundedPreceding,
            WindowFrameBound::Following(value) if value.is_null() => FrameBound::UnboundedFollowing,
            WindowFrameBound::Preceding(value) => FrameBound::Preceding(offset(value)?),
            WindowFrameBound::Following(value) => FrameBound::Following(offset(value)?),
            WindowFrameBound::CurrentRow => FrameBound::CurrentRow,
        })
    };
    let (start, end) = (bound(&frame.start_bound)?, bound(&frame.end_bound)?);
    Ok(Frame { units, start, end, exclude: Exclude::NoOthers })
}

fn is_negative(value: &ScalarValue) -> bool {
    match value {
        ScalarValue::IntervalMonthDayNano(Some(interval)) => {
            interval.months < 0 || interval.days < 0 || interval.nanoseconds < 0
        }
        other => match ScalarValue::new_zero(&other.data_type()) {
            Ok(zero) => *other < zero,
            Err(_) => false,
        },
    }
}
