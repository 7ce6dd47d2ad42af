//! SQL functions and operators with Postgres' semantics, as DataFusion scalar and aggregate
//! functions.
//!
//! Law: a function means what PostgreSQL 15's function of that name means; where DataFusion's own
//! already does, it is not here. One family is one file and one line in [`FUNCTIONS`].
//!
//! What the passes of [`crate::rewrite`] take from here:
//! - [`cast::cast`]: the function that casts to a type by Postgres' rules, for every
//!   `Expr::Cast`;
//! - [`operator::operator`]: the function behind an operator that DataFusion lacks or means
//!   otherwise (jsonb, `||`, dates minus dates, numeric division …), given the operands' types;
//! - [`operator::planner`]: the same as an `ExprPlanner`, with EXTRACT, POSITION, OVERLAY,
//!   SUBSTRING and array literals.
//!
//! Functions that depend on the session read [`SessionInfo`] from the statement's
//! `ConfigOptions`.

mod age;
pub mod aggregate;
mod array;
mod body;
pub mod cast;
mod catalog;
mod date_arithmetic;
mod encoding;
mod expand_array;
mod extract;
mod float_arithmetic;
mod format;
mod identity;
mod jsonb;
mod jsonb_build;
mod jsonb_rows;
mod make_date;
mod math;
mod now;
mod numeric_arithmetic;
pub mod operator;
mod overlaps;
mod privilege;
mod random;
mod reg;
mod regexp;
mod scalar;
mod series;
mod session;
pub mod session_window;
mod size;
mod sleep;
mod text;
mod to_char;
mod to_timestamp;
mod trunc;
mod type_of;
mod undefined;

#[cfg(test)]
mod tests;

pub use session::SessionInfo;
pub(crate) use text::like_escape;
pub use undefined::undefined;

use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use tidemark_catalog::PgType;

/// A file of functions that belong together.
pub struct Family {
    /// The file's name.
    pub name: &'static str,
    pub functions: fn() -> Vec<ScalarUDF>,
}

const fn family(name: &'static str, functions: fn() -> Vec<ScalarUDF>) -> Family {
    Family { name, functions }
}

/// Every family of scalar functions. A later function replaces DataFusion's of the same name.
pub const FUNCTIONS: &[Family] = &[
    family("age", age::functions),
    family("array", array::functions),
    family("catalog", catalog::functions),
    family("date_arithmetic", date_arithmetic::functions),
    family("encoding", encoding::functions),
    family("expand_array", expand_array::functions),
    family("extract", extract::functions),
    family("float_arithmetic", float_arithmetic::functions),
    family("format", format::functions),
    family("identity", identity::functions),
    family("jsonb", jsonb::functions),
    family("jsonb_build", jsonb_build::functions),
    family("jsonb_rows", jsonb_rows::functions),
    family("make_date", make_date::functions),
    family("math", math::functions),
    family("now", now::functions),
    family("numeric_arithmetic", numeric_arithmetic::functions),
    family("overlaps", overlaps::functions),
    family("privilege", privilege::functions),
    family("random", random::functions),
    family("reg", reg::functions),
    family("regexp", regexp::functions),
    family("series", series::functions),
    family("size", size::functions),
    family("sleep", sleep::functions),
    family("text", text::functions),
    family("to_char", to_char::functions),
    family("to_timestamp", to_timestamp::functions),
    family("trunc", trunc::functions),
    family("type_of", type_of::functions),
];

static SCALARS: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(|| {
    FUNCTIONS.iter().flat_map(|family| (family.functions)()).map(Arc::new).collect()
});

/// Every scalar function, to be registered in a session state.
pub fn scalar_functions() -> &'static [Arc<ScalarUDF>] {
    &SCALARS
}

/// A scalar function by name.
pub fn scalar(name: &str) -> Option<Arc<ScalarUDF>> {
    SCALARS.iter().find(|function| function.name() == name).cloned()
}

/// Every aggregate function that replaces DataFusion's.
pub fn aggregate_functions() -> &'static [Arc<AggregateUDF>] {
    aggregate::functions()
}

/// The name Postgres gives a type in its messages.
pub fn type_name(ty: &DataType) -> String {
    match ty {
        DataType::Null => "unknown".to_string(),
        DataType::List(field) => format!("{}[]", type_name(field.data_type())),
        other => {
            PgType::from_arrow(other).map_or_else(|| other.to_string(), |(ty, _)| ty.sql_name())
        }
    }
}
