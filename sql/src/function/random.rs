//! `random()` and `gen_random_uuid()`: volatile, and so refused in views.

use datafusion::logical_expr::ScalarUDF;
use rand::Rng;

use super::body::{Float8, Uuid, fn0};
use super::scalar::Scalar;

pub fn functions() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("random").volatile().overload(fn0::<Float8>(|| Ok(rand::rng().random()))).udf(),
        Scalar::new("gen_random_uuid")
            .alias("uuid_generate_v4")
            .volatile()
            .overload(fn0::<Uuid>(|| {
                let mut bytes: [u8; 16] = rand::rng().random();
                // RFC 4122: version 4, variant 1.
                bytes[6] = bytes[6] & 0x0f | 0x40;
                bytes[8] = bytes[8] & 0x3f | 0x80;
                Ok(bytes)
            }))
            .udf(),
    ]
}
