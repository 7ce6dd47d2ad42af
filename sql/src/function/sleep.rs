//! `pg_sleep(seconds)`: waits, and can be cancelled meanwhile. Gives an empty text, PostgreSQL's
//! void.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::{DataType, Float64Type};
use async_trait::async_trait;
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// Nobody waits for more than a day.
const SECONDS_MAX: f64 = 86_400.0;

pub fn functions() -> Vec<ScalarUDF> {
    let signature = Signature::exact(vec![DataType::Float64], Volatility::Volatile);
    vec![AsyncScalarUDF::new(Arc::new(Sleep { signature })).into_scalar_udf()]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sleep {
    signature: Signature,
}

impl ScalarUDFImpl for Sleep {
    fn name(&self) -> &str {
        "pg_sleep"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("pg_sleep waits, which only a statement of its own can")
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Sleep {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let seconds = args.args[0].to_array(args.number_rows)?;
        let seconds = seconds.as_primitive::<Float64Type>();
        for row in 0..seconds.len() {
            if seconds.is_valid(row) {
                let seconds = seconds.value(row).clamp(0.0, SECONDS_MAX);
                tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            }
        }
        let slept = seconds.iter().map(|seconds| seconds.map(|_| ""));
        Ok(ColumnarValue::Array(Arc::new(slept.collect::<StringArray>())))
    }
}
