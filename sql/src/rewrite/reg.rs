//! Casts to the reg* types, which are oids in Arrow and names to the user.
//!
//! The AST pass writes `x::regclass` as `to_regclass_oid(x)`, whose argument may be a name or an
//! oid; which it is, is known here. Shown or cast to text, `regclass_out` prints it.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{Cast, ScalarFunction};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use crate::error::SqlError;
use crate::function;

const TYPES: [(&str, &str); 5] = [
    ("to_regclass_oid", "regclass_in"),
    ("to_regtype_oid", "regtype_in"),
    ("to_regproc_oid", "regproc_in"),
    ("to_regnamespace_oid", "regnamespace_in"),
    ("to_regrole_oid", "regrole_in"),
];

static FUNCTIONS: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(|| {
    let function = |(name, _)| {
        let signature = Signature::any(1, Volatility::Stable);
        Arc::new(ScalarUDF::new_from_impl(ToOid { name, signature }))
    };
    TYPES.into_iter().map(function).collect()
});

pub fn functions() -> &'static [Arc<ScalarUDF>] {
    &FUNCTIONS
}

/// The input function of a cast's name; None for every other function.
pub fn name(function: &str) -> Option<&'static str> {
    TYPES.iter().find(|(name, _)| *name == function).map(|(_, input)| *input)
}

/// The cast, now that the type of what is cast is known.
pub fn read(mut call: ScalarFunction, schema: &DFSchema) -> Result<Expr> {
    let input = name(call.name()).ok_or_else(|| SqlError::internal("not a cast to a reg* type"))?;
    let argument = call.args.remove(0);
    match argument.get_type(schema)? {
        DataType::UInt32 => Ok(argument),
        DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Null => {
            Ok(Expr::Cast(Cast::new(Box::new(argument), DataType::UInt32)))
        }
        _ => {
            let function = function::scalar(input)
                .ok_or_else(|| SqlError::internal(format!("function {input} is missing")))?;
            Ok(function.call(vec![argument]))
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ToOid {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for ToOid {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::UInt32)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(SqlError::internal("a cast to a reg* type was not resolved").into())
    }
}
