//! Sizes: `pg_size_pretty`, and sizes of relations, which are not known here and given as 0.

use datafusion::logical_expr::ScalarUDF;

use super::body::{Int8, Num, Numeric, Oid, Text, fn1, fn2};
use super::scalar::Scalar;

const UNITS: [&str; 6] = ["bytes", "kB", "MB", "GB", "TB", "PB"];

/// Half away from zero at each unit, a unit being left once there are 20,480 of half of it.
fn pretty(bytes: i128) -> String {
    let mut size = bytes;
    let mut unit = 0;
    // One bit more than the unit is kept until the end, for rounding.
    let mut doubled = false;
    while unit + 1 < UNITS.len() && size.abs() >= if doubled { 20 * 1024 - 1 } else { 10 * 1024 } {
        size = if doubled { size / 1024 } else { size / 512 };
        doubled = true;
        unit += 1;
    }
    if doubled {
        size = (size + size.signum()) / 2;
    }
    format!("{size} {}", UNITS[unit])
}

fn unknown(name: &'static str) -> ScalarUDF {
    Scalar::new(name)
        .volatile()
        .overload(fn1::<Oid, Int8>(|_| Ok(0)))
        .overload(fn1::<Text, Int8>(|_| Ok(0)))
        .udf()
}

pub fn functions() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("pg_size_pretty")
            .overload(fn1::<Int8, Text>(|bytes| Ok(pretty(bytes.into()))))
            .overload(fn1::<Numeric, Text>(|n: Num| {
                let unit = 10i128.pow(n.scale.max(0) as u32);
                Ok(pretty(n.value / unit))
            }))
            .udf(),
        Scalar::new("pg_relation_size")
            .volatile()
            .overload(fn1::<Oid, Int8>(|_| Ok(0)))
            .overload(fn1::<Text, Int8>(|_| Ok(0)))
            .overload(fn2::<Oid, Text, Int8>(|_, _| Ok(0)))
            .udf(),
        unknown("pg_total_relation_size"),
        unknown("pg_table_size"),
        unknown("pg_indexes_size"),
        unknown("pg_database_size"),
    ]
}
