//! `ARRAY(SELECT …)` over no rows: an empty array, where the aggregate gives NULL.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, AsArray, ListArray, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(ArrayOrEmpty { signature }))
});

pub fn function() -> &'static Arc<ScalarUDF> {
    &FUNCTION
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ArrayOrEmpty {
    signature: Signature,
}

impl ScalarUDFImpl for ArrayOrEmpty {
    fn name(&self) -> &str {
        "array_or_empty"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let Some(lists) = array.as_list_opt::<i32>() else {
            return Ok(ColumnarValue::Array(array));
        };
        if lists.null_count() == 0 {
            return Ok(ColumnarValue::Array(array));
        }
        let DataType::List(field) = lists.data_type() else {
            return Ok(ColumnarValue::Array(Arc::clone(&array)));
        };
        let lengths =
            (0..lists.len()).map(|row| if lists.is_null(row) { 0 } else { lists.value(row).len() });
        let offsets = OffsetBuffer::<i32>::from_lengths(lengths);
        let values: Vec<_> = (0..lists.len())
            .filter(|row| lists.is_valid(*row))
            .map(|row| lists.value(row))
            .collect();
        let parts: Vec<&dyn Array> = values.iter().map(|values| values.as_ref()).collect();
        let values = match parts.as_slice() {
            [] => new_empty_array(field.data_type()),
            parts => arrow::compute::concat(parts)?,
        };
        let filled = ListArray::try_new(Arc::clone(field), offsets, values, None)?;
        Ok(ColumnarValue::Array(Arc::new(filled)))
    }
}
