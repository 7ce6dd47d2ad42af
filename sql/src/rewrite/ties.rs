//! `FETCH FIRST n ROWS WITH TIES`: carried through `SqlToRel` as a function of the number.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// The function in the place of the number of rows.
pub const NAME: &str = "rows_with_ties";

static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(RowsWithTies { signature }))
});

pub fn function() -> &'static Arc<ScalarUDF> {
    &FUNCTION
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RowsWithTies {
    signature: Signature,
}

impl ScalarUDFImpl for RowsWithTies {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(args.args.remove(0))
    }
}
