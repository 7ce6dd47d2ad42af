//! The engine's aggregate functions as DataFusion's, so that an ad-hoc query and a maintained
//! view give the same bits (S8).
//!
//! Law: each function of `tidemark_engine::aggregate::AGGREGATES` replaces DataFusion's of its
//! name, over the same accumulators: exact sums of floats, checked integers, averages of integers
//! and numerics as numeric with 16 digits. Of min and max only those of floats need the engine
//! (NaN, −0); the others are DataFusion's, which mean the same and keep less.

mod groups;
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
use tidemark_engine::aggregate::{AGGREGATES, AggregateFunction};

use crate::error::SqlError;

use super::scalar::list;
use super::type_name;
use groups::Groups;
use single::{Distinct, Single};

static FUNCTIONS: LazyLock<Vec<Arc<AggregateUDF>>> = LazyLock::new(|| {
    AGGREGATES
        .iter()
        .map(|function| Arc::new(AggregateUDF::new_from_impl(EngineAggregate::new(*function))))
        .collect()
});

/// Every aggregate function of the engine, to be registered in a session state.
pub fn functions() -> &'static [Arc<AggregateUDF>] {
    &FUNCTIONS
}

#[derive(Debug)]
struct EngineAggregate {
    function: &'static dyn AggregateFunction,
    signature: Signature,
}

impl EngineAggregate {
    fn new(function: &'static dyn AggregateFunction) -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        EngineAggregate { function, signature }
    }

    /// DataFusion's function, where it means the same.
    fn native(&self, ty: &DataType) -> Option<Arc<AggregateUDF>> {
        if matches!(ty, DataType::Float32 | DataType::Float64) {
            return None;
        }
        match self.function.name() {
            "min" => Some(min_udaf()),
            "max" => Some(max_udaf()),
            _ => None,
        }
    }

    fn native_of(&self, args: &AccumulatorArgs<'_>) -> Option<Arc<AggregateUDF>> {
        self.native(args.expr_fields.first()?.data_type())
    }

    fn groups(&self, args: &AccumulatorArgs<'_>) -> Result<Groups> {
        let types: Vec<DataType> =
            args.expr_fields.iter().map(|field| field.data_type().clone()).collect();
        Ok(Groups::new(self.function, &types, args.return_type())?)
    }
}

impl PartialEq for EngineAggregate {
    fn eq(&self, other: &Self) -> bool {
        self.function.name() == other.function.name()
    }
}

impl Eq for EngineAggregate {}

impl Hash for EngineAggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name().hash(state);
    }
}

impl AggregateUDFImpl for EngineAggregate {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.function.name();
        let coerced: Vec<DataType> = match types {
            _ if name == "count" => types.to_vec(),
            // A bare NULL or quoted literal has no type; Postgres takes the preferred one.
            [DataType::Null] if name == "sum" || name == "avg" => vec![DataType::Float64],
            [DataType::Null | DataType::Utf8View] => vec![DataType::Utf8],
            _ => types.to_vec(),
        };
        Ok(coerced)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        // Here and not in coerce_types, whose errors DataFusion words anew.
        self.function.return_type(&self.coerce_types(types)?).ok_or_else(|| {
            let names: Vec<String> = types.iter().map(type_name).collect();
            let call = format!("{}({})", self.function.name(), names.join(", "));
            let hint = "No function matches the given name and argument types. You might need to \
                        add explicit type casts.";
            SqlError::new("42883", format!("function {call} does not exist")).with_hint(hint).into()
        })
    }

    fn is_nullable(&self) -> bool {
        self.function.name() != "count"
    }

    fn default_value(&self, ty: &DataType) -> Result<ScalarValue> {
        match self.function.name() {
            "count" => Ok(ScalarValue::Int64(Some(0))),
            _ => ScalarValue::try_from(ty),
        }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let input = args.input_fields.first().map(|field| field.data_type().clone());
        if let (Some(ty), false) = (&input, args.is_distinct)
            && let Some(native) = self.native(ty)
        {
            return native.state_fields(args);
        }
        let field = |name: &str, ty: DataType| {
            Arc::new(Field::new(format_state_name(args.name, name), ty, true))
        };
        if args.is_distinct {
            return Ok(vec![field("distinct", list(input.unwrap_or(DataType::Int64)))]);
        }
        let count = field("count", DataType::Int64);
        match groups::part_type(self.function, input.as_ref()) {
            Some(part) => Ok(vec![field("parts", list(part)), count]),
            None => Ok(vec![count]),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if let (false, Some(native)) = (args.is_distinct, self.native_of(&args)) {
            return native.accumulator(args);
        }
        let groups = self.groups(&args)?;
        if args.is_distinct {
            return Ok(Box::new(Distinct::new(groups, args.expr_fields[0].data_type())?));
        }
        Ok(Box::new(Single::new(groups)))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match self.native_of(&args) {
            Some(native) => native.create_sliding_accumulator(args),
            None => self.accumulator(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        match (args.is_distinct, self.native_of(&args)) {
            (true, _) => false,
            (false, Some(native)) => native.groups_accumulator_supported(args),
            (false, None) => true,
        }
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        match self.native_of(&args) {
            Some(native) => native.create_groups_accumulator(args),
            None => Ok(Box::new(self.groups(&args)?)),
        }
    }
}
