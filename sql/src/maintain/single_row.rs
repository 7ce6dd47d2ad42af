//! The check that a subquery used as an expression gives one row at most.
//!
//! Law: `single_row(count, value)` is the value where the count is at most 1, or NULL; else 21000.
//! It fails where the expression stands that asked, for the row that asked.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::{SqlError, state};

static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let signature = Signature::any(2, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(SingleRow { signature }))
});

/// The value, if there is one row at most.
pub(super) fn single_row(count: Expr, value: Expr) -> Expr {
    FUNCTION.call(vec![count, value])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SingleRow {
    signature: Signature,
}

impl ScalarUDFImpl for SingleRow {
    fn name(&self) -> &str {
        "single_row"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[1].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let counts = args.args[0].to_array(args.number_rows)?;
        let counts = counts.as_primitive::<Int64Type>();
        if (0..counts.len()).any(|row| counts.is_valid(row) && counts.value(row) > 1) {
            let message = "more than one row returned by a subquery used as an expression";
            return Err(SqlError::new(state::CARDINALITY_VIOLATION, message).into());
        }
        Ok(args.args[1].clone())
    }
}
