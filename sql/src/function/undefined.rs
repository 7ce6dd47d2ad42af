//! A function that does not exist, so that its error can name the types it was called with.
//!
//! Law: planning a call of it fails with 42883; it is never evaluated.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::type_name;
use crate::error::{SqlError, state};

/// A stand-in for a function of this name.
pub fn undefined(name: &str) -> Arc<ScalarUDF> {
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Undefined { name: name.to_string(), signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Undefined {
    name: String,
    signature: Signature,
}

impl Undefined {
    fn error(&self, types: impl Iterator<Item = String>) -> SqlError {
        let types: Vec<String> = types.collect();
        let message = format!("function {}({}) does not exist", self.name, types.join(", "));
        SqlError::new(state::UNDEFINED_FUNCTION, message).with_hint(
            "No function matches the given name and argument types. You might need to add \
             explicit type casts.",
        )
    }
}

impl ScalarUDFImpl for Undefined {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Err(self.error(types.iter().map(type_name)).into())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types = args.arg_fields.iter().zip(args.scalar_arguments);
        let names = types.map(|(field, constant)| match constant {
            Some(ScalarValue::Utf8(_)) => "unknown".to_string(), // a quoted literal
            _ => type_name(field.data_type()),
        });
        Err(self.error(names).into())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(self.error(std::iter::empty()).into())
    }
}
