//! The operators that benchmarks step by hand, over rows by number.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use datafusion::scalar::ScalarValue;
use tidemark_engine::aggregate::aggregate_function;
use tidemark_engine::plan::{
    AggregateCall, AggregatePlan, Exclude, FilterPlan, Frame, FrameBound, FrameUnits, InputPlan,
    JoinKind, JoinPlan, Plan, ProjectPlan, SetOperationKind, SetOperationPlan, SortKey, TopKPlan,
    WindowCall, WindowFunction, WindowPlan, schema_of,
};
use tidemark_engine::stepping::Stepping;
use tidemark_engine::{CollectionId, Expr, Timestamp, Updates};

/// At least so many steps are measured, and for so long.
const ROUNDS_MIN: usize = 3;
const ROUNDS_MAX: usize = 2_000;
const TIME_MAX: Duration = Duration::from_millis(1_500);
/// Rows of the steps that make the state.
const FILL_ROWS: u64 = 1 << 20;

/// An operator.
pub struct Case {
    pub name: &'static str,
    plan: Plan,
    /// How many keys rows have.
    keys: u64,
}

fn table(id: u64) -> Plan {
    let columns = [("k", DataType::Int64), ("id", DataType::Int64), ("v", DataType::Int64)];
    Plan::Input(InputPlan {
        id: CollectionId(id),
        schema: schema_of(columns),
        append_only: false,
        arrived_at: false,
        versions: false,
    })
}

/// All of them, for a state of so many rows.
pub fn cases(state_rows: u64) -> Vec<Case> {
    let many = (state_rows / 4).max(1);
    let case = |name, plan, keys| Case { name, plan, keys };
    vec![
        case("filter", filter(), many),
        case("project", project(), many),
        case("aggregate, many keys", aggregate(&["count", "sum", "max"]), many),
        case("sum, many keys", aggregate(&["count", "sum"]), many),
        case("sum, 1,000 keys", aggregate(&["count", "sum"]), 1_000),
        case("distinct", aggregate(&[]), many),
        case("join", join(JoinKind::Inner), many),
        case("left join", join(JoinKind::Left), many),
        case("intersect", intersect(), many),
        case("top 3 of a key", top_k(), many),
        case("row_number of a key", window("row_number"), many),
        case("running max of a key", window("max"), many),
    ]
}

fn filter() -> Plan {
    let half = literal(0);
    let predicate = Arc::new(BinaryExpr::new(column("v", 2), Operator::Gt, half));
    Plan::Filter(Box::new(FilterPlan { input: table(1), predicate }))
}

fn project() -> Plan {
    let sum: Expr = Arc::new(BinaryExpr::new(column("v", 2), Operator::Plus, literal(1)));
    let schema = schema_of([("k", DataType::Int64), ("v", DataType::Int64)]);
    Plan::Project(Box::new(ProjectPlan {
        input: table(1),
        exprs: vec![column("k", 0), sum],
        schema,
    }))
}

fn column(name: &str, index: usize) -> Expr {
    Arc::new(Column::new(name, index))
}

fn literal(value: i64) -> Expr {
    Arc::new(Literal::new(ScalarValue::Int64(Some(value))))
}

fn aggregate(functions: &[&str]) -> Plan {
    let call = |name: &&str| {
        let function = aggregate_function(name).expect("known");
        let arguments = if *name == "count" { vec![] } else { vec![2] };
        AggregateCall::new(function, arguments, None)
    };
    let calls: Vec<AggregateCall> = functions.iter().map(call).collect();
    let input = table(1);
    let ty = |call: &AggregateCall| call.return_type(&input.schema()).expect("defined");
    let columns = std::iter::once(("k", DataType::Int64));
    let schema = schema_of(columns.chain(calls.iter().map(|call| ("f", ty(call)))));
    let keys = vec![0];
    Plan::Aggregate(Box::new(AggregatePlan { input, keys, calls, schema, append_only: false }))
}

fn join(kind: JoinKind) -> Plan {
    let (left, right) = (table(1), table(2));
    let names = ["k", "id", "v", "k2", "id2", "v2"];
    let schema = schema_of(names.map(|name| (name, DataType::Int64)));
    let (left_keys, right_keys, null_equal) = (vec![0], vec![0], vec![false]);
    let condition = None;
    Plan::Join(Box::new(JoinPlan {
        left,
        right,
        left_keys,
        right_keys,
        null_equal,
        condition,
        kind,
        schema,
    }))
}

fn intersect() -> Plan {
    let (left, right, schema) = (table(1), table(2), table(1).schema());
    let kind = SetOperationKind::Intersect;
    Plan::SetOperation(Box::new(SetOperationPlan { kind, left, right, schema }))
}

fn top_k() -> Plan {
    let order = vec![SortKey::ascending(2), SortKey::ascending(1), SortKey::ascending(0)];
    Plan::TopK(Box::new(TopKPlan {
        input: table(1),
        keys: vec![0],
        order,
        offset: 0,
        limit: Some(3),
        ties: None,
        append_only: false,
    }))
}

fn window(name: &str) -> Plan {
    let function = match aggregate_function(name) {
        Some(function) => WindowFunction::Aggregate(function),
        None => WindowFunction::RowNumber,
    };
    let frame = Frame {
        units: FrameUnits::Range,
        start: FrameBound::UnboundedPreceding,
        end: FrameBound::CurrentRow,
        exclude: Exclude::NoOthers,
    };
    let call = WindowCall {
        function,
        arguments: if name == "row_number" { vec![] } else { vec![2] },
        parameters: vec![],
        filter: None,
        frame,
        ignore_nulls: false,
    };
    let columns = ["k", "id", "v", "w"].map(|name| (name, DataType::Int64));
    Plan::Window(Box::new(WindowPlan {
        input: table(1),
        partition: vec![0],
        order: vec![SortKey::ascending(1)],
        tie_break: vec![SortKey::ascending(2), SortKey::ascending(0)],
        calls: vec![call],
        schema: schema_of(columns),
    }))
}

/// Rows by number, the same on every run.
struct Source {
    schema: SchemaRef,
    keys: u64,
    next: u64,
    time: u64,
}

impl Source {
    fn rows(&mut self, rows: usize) -> RecordBatch {
        let numbers = self.next..self.next + rows as u64;
        self.next += rows as u64;
        let column = |of: &dyn Fn(u64) -> u64| -> ArrayRef {
            Arc::new(numbers.clone().map(|number| of(number) as i64).collect::<Int64Array>())
        };
        let columns = vec![
            column(&|number| mixed(number) % self.keys),
            column(&|number| number),
            column(&|number| mixed(number ^ 0x5555) % 1_000),
        ];
        RecordBatch::try_new(self.schema.clone(), columns).expect("of the schema")
    }

    /// A step's updates, and its upper.
    fn step(&mut self, rows: usize, many_times: bool) -> (Updates, Timestamp) {
        let data = self.rows(rows);
        let lower = self.time;
        let times: Vec<u64> =
            (0..rows as u64).map(|row| if many_times { lower + row } else { lower }).collect();
        self.time = times.last().map_or(lower, |last| last + 1);
        (Updates::new(data, times, vec![1; rows]), Timestamp(self.time))
    }
}

/// SplitMix64's finish.
fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The median cost of a row, in ns, in steps of so many rows over a state of so many.
pub fn cost(case: &Case, state_rows: u64, rows: usize, many_times: bool) -> f64 {
    let mut operators = Stepping::new(&case.plan);
    let Plan::Input(input) = table(1) else { unreachable!("just made") };
    let mut source = Source { schema: input.schema, keys: case.keys, next: 0, time: 1 };
    // Both inputs of what has two: one row of the second for each key.
    let mut other = Source { schema: source.schema.clone(), keys: case.keys, next: 0, time: 1 };
    let mut others = Some(other.step(case.keys as usize, false).0);
    while source.next < state_rows {
        let fill = FILL_ROWS.min(state_rows - source.next) as usize;
        let (state, upper) = source.step(fill, false);
        operators.step(upper, &mut |id| match id.0 {
            1 => Some(state.clone()),
            _ => others.take(),
        });
    }
    let mut costs = Vec::new();
    let begun = Instant::now();
    while costs.len() < ROUNDS_MIN || (costs.len() < ROUNDS_MAX && begun.elapsed() < TIME_MAX) {
        let (updates, upper) = source.step(rows, many_times);
        let step = Instant::now();
        let out = operators.step(upper, &mut |id| (id.0 == 1).then(|| updates.clone()));
        costs.push(step.elapsed().as_nanos() as f64 / rows as f64);
        drop(out);
    }
    costs.sort_by(f64::total_cmp);
    costs[costs.len() / 2]
}
