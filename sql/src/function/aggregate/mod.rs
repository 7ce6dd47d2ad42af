//! The engine's aggregate functions as DataFusion's, so that an ad-hoc query and a maintained
//! view give the same bits (S8).
//!
//! Law: each function of `tidemark_engine::aggregate::AGGREGATES`, by each of its names, replaces
//! DataFusion's of that name, over the same accumulators. Three ways lead there: `groups` keeps
//! sums in parts, of count, sum, avg, min and max; `rows` keeps rows, of everything else and of
//! DISTINCT; and a min or max of what has neither NaN nor −0 nor a length is DataFusion's, which
//! means the same and keeps less.

mod arguments;
mod groups;
mod rows;
mod single;
#[cfg(test)]
mod tests;

use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature,
    Volatility,
};
use datafusion::physical_expr::expressions::Literal;
use tidemark_engine::aggregate::{AGGREGATES, AggregateFunction, Constants, Order};

use crate::error::{SqlError, state};

use super::scalar::list;
use super::type_name;
pub use arguments::{aggregate_arguments, check_parameter, not_constant};
use groups::Groups;
use rows::{InFrame, OneGroup, RowGroups, Shape, row_type};
use single::Single;

static FUNCTIONS: LazyLock<Vec<Arc<AggregateUDF>>> = LazyLock::new(|| {
    let names = |function: &&'static dyn AggregateFunction| {
        let function = *function;
        let names = std::iter::once(function.name()).chain(function.aliases().iter().copied());
        names.map(move |name| EngineAggregate::new(function, name)).collect::<Vec<_>>()
    };
    let all = AGGREGATES.iter().flat_map(names);
    all.map(|function| Arc::new(AggregateUDF::new_from_impl(function))).collect()
});

/// Every aggregate function of the engine, to be registered in a session state.
pub fn functions() -> &'static [Arc<AggregateUDF>] {
    &FUNCTIONS
}

/// The same function as a window's: it sees the rows of a frame in the window's order.
pub fn in_frame(function: &AggregateUDF) -> Option<Arc<AggregateUDF>> {
    let own = function.inner().downcast_ref::<EngineAggregate>()?;
    let framed = EngineAggregate { in_frame: true, ..EngineAggregate::new(own.function, own.name) };
    Some(Arc::new(AggregateUDF::new_from_impl(framed)))
}

#[derive(Debug)]
struct EngineAggregate {
    function: &'static dyn AggregateFunction,
    /// Which of its names it was called by.
    name: &'static str,
    in_frame: bool,
    signature: Signature,
}

/// How a call is computed.
enum Way {
    Native(Arc<AggregateUDF>),
    Groups,
    Rows,
}

impl EngineAggregate {
    fn new(function: &'static dyn AggregateFunction, name: &'static str) -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        EngineAggregate { function, name, in_frame: false, signature }
    }

    fn way(&self, distinct: bool, argument: Option<&DataType>) -> Way {
        let name = self.function.name();
        let extremum = matches!(name, "min" | "max");
        match (name, argument) {
            _ if distinct && !extremum => Way::Rows,
            (_, Some(DataType::Interval(_) | DataType::List(_))) if name != "count" => Way::Rows,
            ("min" | "max", Some(DataType::Float32 | DataType::Float64)) => Way::Groups,
            ("min", _) => Way::Native(min_udaf()),
            ("max", _) => Way::Native(max_udaf()),
            ("count" | "sum" | "avg", _) => Way::Groups,
            _ => Way::Rows,
        }
    }

    fn way_of(&self, args: &AccumulatorArgs<'_>) -> Way {
        self.way(args.is_distinct, args.expr_fields.first().map(|field| field.data_type()))
    }

    fn groups(&self, args: &AccumulatorArgs<'_>) -> Result<Groups> {
        let types: Vec<DataType> =
            args.expr_fields.iter().map(|field| field.data_type().clone()).collect();
        Ok(Groups::new(self.function, &types, args.return_type())?)
    }

    /// The call as the engine has it: a constant last argument is a parameter.
    fn shape(&self, args: &AccumulatorArgs<'_>) -> Result<Shape> {
        let mut arguments: Vec<DataType> =
            args.expr_fields.iter().map(|field| field.data_type().clone()).collect();
        let constant = args.exprs.last().and_then(|expr| expr.downcast_ref::<Literal>());
        let parameter = match (self.function.constants(), constant) {
            (Constants::None, _) | (Constants::Allowed, None) => None,
            (_, Some(literal)) if arguments.len() > 1 => Some(literal.value().clone()),
            (_, _) => return Err(not_constant(self.name).into()),
        };
        if let Some(parameter) = &parameter {
            check_parameter(self.function, parameter)?;
            arguments.pop();
        }
        let keys = match self.function.order() {
            Order::Indifferent => &[],
            Order::Free | Order::WithinGroup => args.order_bys,
        };
        let order = keys.iter().map(|key| Ok((key.expr.data_type(args.schema)?, key.options)));
        Ok(Shape {
            function: self.function,
            arguments,
            parameters: parameter.into_iter().collect(),
            order: order.collect::<Result<_>>()?,
            distinct: args.is_distinct,
        })
    }
}

impl PartialEq for EngineAggregate {
    fn eq(&self, other: &Self) -> bool {
        (self.name, self.in_frame) == (other.name, other.in_frame)
    }
}

impl Eq for EngineAggregate {}

impl Hash for EngineAggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.name, self.in_frame).hash(state);
    }
}

impl AggregateUDFImpl for EngineAggregate {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arguments::coerced(self.function.name(), types))
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        // Here and not in coerce_types, whose errors DataFusion words anew.
        self.function.return_type(&self.coerce_types(types)?).ok_or_else(|| {
            let names: Vec<String> = types.iter().map(type_name).collect();
            let call = format!("{}({})", self.name, names.join(", "));
            let hint = "No function matches the given name and argument types. You might need to \
                        add explicit type casts.";
            SqlError::new(state::UNDEFINED_FUNCTION, format!("function {call} does not exist"))
                .with_hint(hint)
                .into()
        })
    }

    fn is_nullable(&self) -> bool {
        !matches!(self.function.name(), "count" | "approx_count_distinct" | "regr_count")
    }

    fn default_value(&self, ty: &DataType) -> Result<ScalarValue> {
        match self.is_nullable() {
            false => Ok(ScalarValue::Int64(Some(0))),
            true => ScalarValue::try_from(ty),
        }
    }

    /// Whoever depends on order is given the order keys as columns, and sorts by itself.
    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        match self.function.order() {
            Order::Indifferent => AggregateOrderSensitivity::Insensitive,
            Order::Free | Order::WithinGroup => AggregateOrderSensitivity::Beneficial,
        }
    }

    fn with_beneficial_ordering(
        self: Arc<Self>,
        _beneficial_ordering: bool,
    ) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        Ok(Some(self))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        match self.function.order() {
            Order::Indifferent => ReversedUDAF::Identical,
            Order::Free | Order::WithinGroup => ReversedUDAF::NotSupported,
        }
    }

    /// Postgres has no IGNORE NULLS of aggregates, and neither has the engine.
    fn supports_null_handling_clause(&self) -> bool {
        false
    }

    fn supports_within_group_clause(&self) -> bool {
        self.function.order() == Order::WithinGroup
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let input = args.input_fields.first().map(|field| field.data_type().clone());
        let field = |name: &str, ty: DataType| {
            Arc::new(Field::new(format_state_name(args.name, name), ty, true))
        };
        match self.way(args.is_distinct, input.as_ref()) {
            Way::Native(native) => native.state_fields(args),
            Way::Groups => {
                let count = field("count", DataType::Int64);
                match groups::part_type(self.function, input.as_ref()) {
                    Some(part) => Ok(vec![field("parts", list(part)), count]),
                    None => Ok(vec![count]),
                }
            }
            Way::Rows => {
                let order: &[FieldRef] = match self.function.order() {
                    Order::Indifferent => &[],
                    Order::Free | Order::WithinGroup => args.ordering_fields,
                };
                let fields = args.input_fields.iter().chain(order);
                let row = row_type(fields.map(|field| field.data_type().clone()));
                Ok(vec![field("rows", list(row))])
            }
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match self.way_of(&args) {
            Way::Native(native) => native.accumulator(args),
            Way::Groups => Ok(Box::new(Single::new(self.groups(&args)?))),
            Way::Rows if self.in_frame => Ok(Box::new(InFrame::new(self.shape(&args)?))),
            Way::Rows => Ok(Box::new(OneGroup::new(self.shape(&args)?))),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match self.way_of(&args) {
            Way::Native(native) => native.create_sliding_accumulator(args),
            Way::Groups => self.accumulator(args),
            Way::Rows => Ok(Box::new(InFrame::new(self.shape(&args)?))),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        match self.way_of(&args) {
            Way::Native(native) => native.groups_accumulator_supported(args),
            Way::Groups | Way::Rows => true,
        }
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        match self.way_of(&args) {
            Way::Native(native) => native.create_groups_accumulator(args),
            Way::Groups => Ok(Box::new(self.groups(&args)?)),
            Way::Rows => Ok(Box::new(RowGroups::new(self.shape(&args)?))),
        }
    }
}
