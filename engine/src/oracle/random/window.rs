//! Random windows: every function over random partitions, orders and frames.

use arrow::datatypes::{DataType, IntervalMonthDayNano, SchemaRef};
use datafusion::common::ScalarValue;
use rand::Rng;
use rand::rngs::StdRng;

use super::aggregate::random_constant;
use super::top_k::random_order;
use super::{Scale, columns_where, pick, random_plan};
use crate::aggregate::{AGGREGATES, Constants, Order};
use crate::plan::{
    AggregateCall, Exclude, Frame, FrameBound, FrameUnits, Plan, SortKey, WindowCall,
    WindowFunction, WindowPlan, schema_of,
};

pub(crate) fn random_window(random: &mut StdRng, depth: u32, scale: Scale) -> Plan {
    let input = random_plan(random, depth - 1, scale);
    let schema = input.schema();
    let partition: Vec<usize> =
        (0..schema.fields().len()).filter(|_| random.random_bool(0.15)).collect();
    let mut tie_break = random_order(random, &schema);
    let written = [0, 1, 1, 1, 2][random.random_range(0..5)].min(tie_break.len());
    let order: Vec<SortKey> = tie_break.drain(..written).collect();
    let mut calls = Vec::new();
    // More of them hide from each other which rows they look at.
    let wanted = [1, 1, 1, 2, 3][random.random_range(0..5)];
    while calls.len() < wanted {
        calls.extend(random_call(random, &schema, &order, scale));
    }
    let schema = with_calls(&schema, &calls);
    Plan::Window(Box::new(WindowPlan { input, partition, order, tie_break, calls, schema }))
}

/// The same with aggregates of any number of arguments, and of constants, beside the calls.
pub(super) fn random_wide_window(random: &mut StdRng, depth: u32, scale: Scale) -> Plan {
    let Plan::Window(mut plan) = random_window(random, depth, scale) else {
        unreachable!("a window")
    };
    let schema = plan.input.schema();
    for _ in 0..random.random_range(0..3) {
        let call = (0..8).find_map(|_| random_aggregate_call(random, &schema, &plan.order, scale));
        plan.calls.extend(call);
    }
    plan.schema = with_calls(&schema, &plan.calls);
    Plan::Window(plan)
}

/// The columns of `input`, and one for each call.
fn with_calls(input: &SchemaRef, calls: &[WindowCall]) -> SchemaRef {
    let fields = input.fields().iter();
    let own = fields.map(|field| (field.name().as_str(), field.data_type().clone()));
    schema_of(own.chain(calls.iter().map(|call| ("w", type_of(call, input)))))
}

/// `None` where the function is not defined for the columns.
fn random_aggregate_call(
    random: &mut StdRng,
    schema: &SchemaRef,
    order: &[SortKey],
    scale: Scale,
) -> Option<WindowCall> {
    let function = pick(random, AGGREGATES)?;
    if function.order() == Order::WithinGroup {
        return None;
    }
    let constant = match function.constants() {
        Constants::None => false,
        Constants::Allowed => random.random_bool(0.5),
        Constants::Required => true,
    };
    let count = if constant { 1 } else { random.random_range(0..3) };
    let columns: Vec<usize> = (0..schema.fields().len()).collect();
    let arguments = (0..count).map(|_| pick(random, &columns)).collect::<Option<Vec<_>>>()?;
    let flags = columns_where(schema, |ty| *ty == DataType::Boolean);
    let mut call = AggregateCall::new(function, arguments, None);
    if constant {
        call.parameters = vec![random_constant(random, function)];
    }
    call.return_type(schema)?;
    Some(WindowCall {
        function: WindowFunction::Aggregate(function),
        arguments: call.arguments,
        parameters: call.parameters,
        filter: pick(random, &flags).filter(|_| random.random_bool(0.5)),
        frame: random_frame(random, schema, order, scale),
        ignore_nulls: false,
    })
}

fn type_of(call: &WindowCall, schema: &SchemaRef) -> DataType {
    let argument = |number: usize| schema.field(call.arguments[number]).data_type().clone();
    match call.function {
        WindowFunction::RowNumber | WindowFunction::Rank | WindowFunction::DenseRank => {
            DataType::Int64
        }
        WindowFunction::Ntile => DataType::Int64,
        WindowFunction::PercentRank | WindowFunction::CumeDist => DataType::Float64,
        WindowFunction::Aggregate(function) => {
            let types = (0..call.arguments.len()).map(argument);
            let types = types.chain(call.parameters.iter().map(ScalarValue::data_type));
            function.return_type(&types.collect::<Vec<_>>()).expect("defined")
        }
        _ => argument(0),
    }
}

/// `None` where the columns don't have what the function needs.
fn random_call(
    random: &mut StdRng,
    schema: &SchemaRef,
    order: &[SortKey],
    scale: Scale,
) -> Option<WindowCall> {
    let integers = columns_where(schema, |ty| matches!(ty, DataType::Int64 | DataType::Int32));
    let value = random.random_range(0..schema.fields().len());
    let value_type = schema.field(value).data_type();
    let mut arguments = vec![];
    let function = match random.random_range(0..19) {
        0 => WindowFunction::RowNumber,
        1 => WindowFunction::Rank,
        2 => WindowFunction::DenseRank,
        3 => WindowFunction::PercentRank,
        4 => WindowFunction::CumeDist,
        5 => {
            arguments = vec![pick(random, &integers)?];
            WindowFunction::Ntile
        }
        number @ 6..=8 => {
            let same = columns_where(schema, |ty| ty == value_type);
            arguments = vec![value, pick(random, &integers)?, pick(random, &same)?];
            if number == 6 { WindowFunction::Lead } else { WindowFunction::Lag }
        }
        9 => {
            arguments = vec![value, pick(random, &integers)?];
            WindowFunction::NthValue
        }
        number @ 10..=11 => {
            arguments = vec![value];
            if number == 10 { WindowFunction::FirstValue } else { WindowFunction::LastValue }
        }
        _ => {
            let function = AGGREGATES[random.random_range(0..AGGREGATES.len())];
            let plain = function.constants() != Constants::Required;
            let plain = plain && function.order() != Order::WithinGroup;
            plain.then(|| function.return_type(std::slice::from_ref(value_type)))??;
            arguments = vec![value];
            WindowFunction::Aggregate(function)
        }
    };
    let flags = columns_where(schema, |ty| *ty == DataType::Boolean);
    let is_aggregate = matches!(function, WindowFunction::Aggregate(_));
    Some(WindowCall {
        function,
        arguments,
        parameters: vec![],
        filter: pick(random, &flags).filter(|_| is_aggregate && random.random_bool(0.5)),
        frame: random_frame(random, schema, order, scale),
        ignore_nulls: random.random_bool(0.3),
    })
}

fn random_frame(random: &mut StdRng, schema: &SchemaRef, order: &[SortKey], scale: Scale) -> Frame {
    let units = [FrameUnits::Rows, FrameUnits::Range, FrameUnits::Groups];
    let units = units[random.random_range(0..3)];
    let mut bound = |unbounded: FrameBound, offsets: [fn(ScalarValue) -> FrameBound; 2]| {
        let offset = match (units, order) {
            (FrameUnits::Range, [key]) => {
                random_offset(random, schema.field(key.column).data_type(), scale)
            }
            (FrameUnits::Range, _) => None,
            _ => Some(ScalarValue::Int64(Some(random.random_range(0..4)))),
        };
        match (random.random_range(0..6), offset) {
            (0 | 1, _) => unbounded,
            (2 | 3, Some(offset)) => offsets[0](offset),
            (4, Some(offset)) => offsets[1](offset),
            _ => FrameBound::CurrentRow,
        }
    };
    let (preceding, following) = (FrameBound::Preceding, FrameBound::Following);
    let start = bound(FrameBound::UnboundedPreceding, [preceding, following]);
    let end = bound(FrameBound::UnboundedFollowing, [following, preceding]);
    let exclude = match random.random_range(0..8) {
        0 => Exclude::CurrentRow,
        1 => Exclude::Group,
        2 => Exclude::Ties,
        _ => Exclude::NoOthers,
    };
    Frame { units, start, end, exclude }
}

fn random_offset(random: &mut StdRng, ty: &DataType, scale: Scale) -> Option<ScalarValue> {
    let small = random.random_range(0..4);
    let float = [0.0, 0.1, 1.5, 1e300, f64::INFINITY][random.random_range(0..5)];
    Some(match ty {
        DataType::Int64 => ScalarValue::Int64(Some(small)),
        DataType::Int32 => ScalarValue::Int32(Some(small as i32)),
        DataType::Float64 => ScalarValue::Float64(Some(float)),
        DataType::Float32 => ScalarValue::Float32(Some(float as f32)),
        DataType::Decimal128(p, s) => ScalarValue::Decimal128(Some(small as i128 * 90), *p, *s),
        DataType::Timestamp(..) => {
            let (months, days) = [(0, 0), (0, 0), (0, 0), (0, 1), (1, 0)][small as usize + 1];
            let nanoseconds = random.random_range(0..15) * scale.step * 1000;
            let interval = IntervalMonthDayNano { months, days, nanoseconds };
            ScalarValue::IntervalMonthDayNano(Some(interval))
        }
        _ => return None,
    })
}
