//! `x op ANY (array)` and `x op ALL (array)`.
//!
//! Law: ANY is the OR of its comparisons and ALL their AND, in three-valued logic; over an empty
//! array they are false and true; over a NULL array NULL.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray, new_null_array};
use arrow::compute::kernels::{cmp, comparison};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::{SqlError, state};
use crate::function::type_name;

static FUNCTIONS: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(|| {
    let function = |name, all| {
        let signature = Signature::any(3, Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Comparison { name, all, signature }))
    };
    vec![function("compare_any", false), function("compare_all", true)]
});

pub fn functions() -> &'static [Arc<ScalarUDF>] {
    &FUNCTIONS
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Comparison {
    name: &'static str,
    all: bool,
    signature: Signature,
}

impl ScalarUDFImpl for Comparison {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match &types[2] {
            // A quoted literal becomes an array when its type is resolved.
            DataType::List(_) | DataType::Null | DataType::Utf8 => Ok(DataType::Boolean),
            other => {
                let message = "op ANY/ALL (array) requires array on right side";
                let detail = format!("it is of type {}", type_name(other));
                let error = SqlError::new(state::WRONG_OBJECT_TYPE, message).with_detail(detail);
                Err(error.into())
            }
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let op = match &args.args[0] {
            ColumnarValue::Scalar(ScalarValue::Utf8(Some(op))) => op.clone(),
            _ => return Err(SqlError::internal("the operator is a literal").into()),
        };
        let rows = args.number_rows;
        let values = args.args[1].to_array(rows)?;
        let lists = args.args[2].to_array(rows)?;
        if lists.data_type() == &DataType::Null {
            return Ok(ColumnarValue::Array(new_null_array(&DataType::Boolean, rows)));
        }
        let lists = lists.as_list::<i32>();
        let element = lists.value_type();
        let values = if values.data_type() == &element {
            values
        } else {
            arrow::compute::cast(&values, &element)?
        };
        let result: Result<BooleanArray> = (0..rows)
            .map(|row| {
                if lists.is_null(row) {
                    return Ok(None);
                }
                self.fold(&compare(&op, &values.slice(row, 1), &lists.value(row))?)
            })
            .collect();
        Ok(ColumnarValue::Array(Arc::new(result?)))
    }
}

impl Comparison {
    fn fold(&self, results: &BooleanArray) -> Result<Option<bool>> {
        let decisive = !self.all;
        let mut unknown = false;
        for result in results {
            match result {
                Some(result) if result == decisive => return Ok(Some(decisive)),
                Some(_) => {}
                None => unknown = true,
            }
        }
        Ok(if unknown { None } else { Some(!decisive) })
    }
}

/// One value against each element.
fn compare(op: &str, value: &ArrayRef, elements: &ArrayRef) -> Result<BooleanArray> {
    if value.is_null(0) {
        return Ok(BooleanArray::new_null(elements.len()));
    }
    let value = arrow::array::Scalar::new(Arc::clone(value));
    let result = match op {
        "=" => cmp::eq(&value, elements)?,
        "<>" => cmp::neq(&value, elements)?,
        "<" => cmp::lt(&value, elements)?,
        "<=" => cmp::lt_eq(&value, elements)?,
        ">" => cmp::gt(&value, elements)?,
        ">=" => cmp::gt_eq(&value, elements)?,
        "~~" => arrow::compute::like(&value, elements)?,
        "~" => {
            let value = value.into_inner();
            let text = value.as_string::<i32>().value(0);
            let repeated = StringArray::from(vec![text; elements.len()]);
            let flags: Option<&StringArray> = None;
            comparison::regexp_is_match(&repeated, elements.as_string::<i32>(), flags)?
        }
        other => return Err(SqlError::internal(format!("no array comparison {other}")).into()),
    };
    Ok(result)
}
