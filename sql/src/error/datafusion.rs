//! DataFusion's and Arrow's errors in PostgreSQL's words.
//!
//! Law: an error of ours that travelled through DataFusion comes out unchanged. A position is taken
//! from the innermost diagnostic that has a span.

use arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;

use super::{SqlError, SqlState, similar, state};

/// Translates an error from anywhere below.
pub fn translate(error: DataFusionError) -> SqlError {
    let position = position(&error);
    inner(&error).at(position)
}

fn position(error: &DataFusionError) -> Option<usize> {
    let span = error.diagnostic()?.span?;
    (span.start.line == 1 && span.start.column > 0).then_some(span.start.column as usize)
}

fn inner(error: &DataFusionError) -> SqlError {
    match error {
        DataFusionError::External(external) => match external.downcast_ref::<SqlError>() {
            Some(error) => error.clone(),
            None => match external.downcast_ref::<DataFusionError>() {
                Some(error) => inner(error),
                None => by_message(&external.to_string(), state::INTERNAL_ERROR),
            },
        },
        DataFusionError::ArrowError(error, _) => arrow(error),
        DataFusionError::SchemaError(error, _) => schema(error),
        DataFusionError::Diagnostic(_, error) | DataFusionError::Context(_, error) => inner(error),
        DataFusionError::Shared(error) => inner(error),
        DataFusionError::Collection(errors) => match errors.first() {
            Some(error) => inner(error),
            None => SqlError::internal("an empty list of errors"),
        },
        DataFusionError::SQL(error, _) => SqlError::syntax(error.to_string()),
        DataFusionError::NotImplemented(message) => {
            by_message(message, state::FEATURE_NOT_SUPPORTED)
        }
        DataFusionError::Plan(message) => by_message(message, state::SYNTAX_ERROR),
        DataFusionError::Execution(message) => by_message(message, state::INTERNAL_ERROR),
        DataFusionError::ResourcesExhausted(message) => {
            SqlError::new(state::OUT_OF_MEMORY, format!("out of memory: {message}"))
                .with_hint("Ask for less at once, or start the server with more --memory.")
        }
        other => by_message(&other.strip_backtrace(), state::INTERNAL_ERROR),
    }
}

fn arrow(error: &ArrowError) -> SqlError {
    match error {
        ArrowError::DivideByZero => division_by_zero(),
        ArrowError::ExternalError(external) => match external.downcast_ref::<SqlError>() {
            Some(error) => error.clone(),
            None => match external.downcast_ref::<DataFusionError>() {
                Some(error) => inner(error),
                None => by_message(&external.to_string(), state::INTERNAL_ERROR),
            },
        },
        ArrowError::ArithmeticOverflow(message) => overflow(message),
        ArrowError::ParseError(message) => by_message(message, state::INVALID_TEXT_REPRESENTATION),
        ArrowError::CastError(message) => by_message(message, state::NUMERIC_VALUE_OUT_OF_RANGE),
        ArrowError::ComputeError(message) | ArrowError::InvalidArgumentError(message) => {
            by_message(message, state::INTERNAL_ERROR)
        }
        other => by_message(&other.to_string(), state::INTERNAL_ERROR),
    }
}

fn schema(error: &SchemaError) -> SqlError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            if let Some(relation) = &field.relation
                && !valid_fields.iter().any(|valid| valid.relation.as_ref() == Some(relation))
            {
                let message =
                    format!("missing FROM-clause entry for table \"{}\"", relation.table());
                return SqlError::new(state::UNDEFINED_TABLE, message);
            }
            let message = match &field.relation {
                Some(relation) => {
                    format!("column {}.{} does not exist", relation.table(), field.name)
                }
                None => format!("column \"{}\" does not exist", field.name),
            };
            let error = SqlError::new(state::UNDEFINED_COLUMN, message);
            match similar::hint(field, valid_fields) {
                Some(hint) => error.with_hint(hint),
                None => error,
            }
        }
        SchemaError::AmbiguousReference { field } => {
            let message = format!("column reference \"{}\" is ambiguous", field.name);
            SqlError::new(state::AMBIGUOUS_COLUMN, message)
        }
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => {
            let message = format!("column \"{name}\" specified more than once");
            SqlError::new(state::DUPLICATE_COLUMN, message)
        }
    }
}

fn division_by_zero() -> SqlError {
    SqlError::new(state::DIVISION_BY_ZERO, "division by zero")
}

fn overflow(message: &str) -> SqlError {
    let lower = message.to_lowercase();
    let what = if lower.contains("int16") || lower.contains("i16") {
        "smallint out of range"
    } else if lower.contains("int64") || lower.contains("i64") {
        "bigint out of range"
    } else if lower.contains("decimal") || lower.contains("i128") {
        "numeric field overflow"
    } else {
        "integer out of range"
    };
    SqlError::new(state::NUMERIC_VALUE_OUT_OF_RANGE, what)
}

/// What went wrong with a row, by its message alone.
pub fn data_error(message: &str) -> SqlError {
    let ends = |end: &str| message.ends_with(end);
    let code = match () {
        () if message == "division by zero" => state::DIVISION_BY_ZERO,
        () if message.starts_with("more than one row") => state::CARDINALITY_VIOLATION,
        () if ends("out of range") || ends("overflow") => state::NUMERIC_VALUE_OUT_OF_RANGE,
        () if message.starts_with("invalid input syntax") => state::INVALID_TEXT_REPRESENTATION,
        () => state::INVALID_PARAMETER_VALUE,
    };
    SqlError::new(code, message)
}

/// Wordings that are known, by a part of them. The first that fits decides.
type Known = (&'static str, SqlState, &'static str);

const KNOWN: &[Known] = &[
    ("Divide by zero", state::DIVISION_BY_ZERO, "division by zero"),
    ("divide by zero", state::DIVISION_BY_ZERO, "division by zero"),
    (
        "more than one row",
        state::CARDINALITY_VIOLATION,
        "more than one row returned by a subquery used as an expression",
    ),
    (
        "Too many columns! The subquery should only return one column",
        state::SYNTAX_ERROR,
        "subquery must return only one column",
    ),
    (
        "subquery should only return one column",
        state::SYNTAX_ERROR,
        "subquery must return only one column",
    ),
    (
        "hysical plan does not support logical expression",
        state::FEATURE_NOT_SUPPORTED,
        "this form of correlated or LATERAL subquery is not supported",
    ),
    ("Nested aggregate", state::GROUPING_ERROR, "aggregate function calls cannot be nested"),
    ("calls cannot be nested", state::GROUPING_ERROR, "aggregate function calls cannot be nested"),
    ("LIMIT must be >=", state::INVALID_LIMIT, "LIMIT must not be negative"),
    ("OFFSET must be >=", state::INVALID_OFFSET, "OFFSET must not be negative"),
    (
        "Inconsistent data length across values list",
        state::SYNTAX_ERROR,
        "VALUES lists must all be the same length",
    ),
    (
        "Aggregate functions are not allowed in the WHERE",
        state::GROUPING_ERROR,
        "aggregate functions are not allowed in WHERE",
    ),
];

fn by_message(message: &str, code: SqlState) -> SqlError {
    let message = message.trim();
    if let Some((_, code, text)) = KNOWN.iter().find(|(part, ..)| message.contains(part)) {
        return SqlError::new(code, *text);
    }
    if message.contains("verflow") {
        return overflow(message);
    }
    if let Some(error) = order_position(message).or_else(|| regular_expression(message)) {
        return error;
    }
    if let Some(error) = function_not_found(message).or_else(|| grouping(message)) {
        return error;
    }
    if let Some(name) = message.strip_prefix("Invalid qualifier ") {
        let message = format!("missing FROM-clause entry for table \"{name}\"");
        return SqlError::new(state::UNDEFINED_TABLE, message);
    }
    if let Some(error) = not_boolean(message) {
        return error;
    }
    if let Some(error) = signature(message).or_else(|| union_columns(message)) {
        return error;
    }
    let (message, _) = message.split_once("\n\nbacktrace:").unwrap_or((message, ""));
    SqlError::new(code, lower_first(message.lines().next().unwrap_or("")))
}

/// PostgreSQL's hint for a call that fits no function.
const NO_FUNCTION: &str = "No function matches the given name and argument types. \
                           You might need to add explicit type casts.";

/// `Order by column out of bounds, specified: 3, max: 1`
fn order_position(message: &str) -> Option<SqlError> {
    let rest = message.split("Order by column out of bounds, specified: ").nth(1)?;
    let position = rest.split(',').next().unwrap_or(rest);
    let message = format!("ORDER BY position {position} is not in select list");
    Some(SqlError::new(state::INVALID_COLUMN_REFERENCE, message))
}

/// What the regular expression crate says, whose last line is the reason.
fn regular_expression(message: &str) -> Option<SqlError> {
    let (_, told) = message.split_once("regex parse error:")?;
    let reason = told.split("error: ").last().unwrap_or(told).trim();
    let message = format!("invalid regular expression: {reason}");
    Some(SqlError::new(state::INVALID_REGULAR_EXPRESSION, message))
}

/// `Invalid function 'f'.`
fn function_not_found(message: &str) -> Option<SqlError> {
    let name = message.strip_prefix("Invalid function '")?.split('\'').next()?;
    let hint = NO_FUNCTION;
    let message = format!("function {name} does not exist");
    Some(SqlError::new(state::UNDEFINED_FUNCTION, message).with_hint(hint))
}

/// A predicate of another type: `… returning Int64`.
fn not_boolean(message: &str) -> Option<SqlError> {
    if !message.contains("non-boolean predicate") {
        return None;
    }
    let name = match message.rsplit("returning ").next()?.trim() {
        "Int16" => "smallint",
        "Int32" => "integer",
        "Int64" => "bigint",
        "Utf8" => "text",
        "Float64" => "double precision",
        other if other.starts_with("Decimal") => "numeric",
        other if other.starts_with("Timestamp") => "timestamp with time zone",
        other => other,
    };
    let message = format!("argument of WHERE must be type boolean, not type {name}");
    Some(SqlError::new(state::DATATYPE_MISMATCH, message))
}

/// Columns that are neither grouped nor aggregated.
fn grouping(message: &str) -> Option<SqlError> {
    if !message.contains("must be in GROUP BY")
        && !message.contains("must appear in the GROUP BY")
        && !message.contains("could not be resolved from available columns")
    {
        return None;
    }
    let column = message
        .split("While expanding wildcard, column \"")
        .nth(1)
        .or_else(|| {
            message.split("Column in SELECT must be in GROUP BY or an aggregate function: ").nth(1)
        })
        .or_else(|| message.split("Expression ").nth(1))
        .map(|rest| rest.split(['"', ' ', ',']).next().unwrap_or(rest).to_string());
    let name = column.unwrap_or_else(|| "?".to_string());
    let message = format!(
        "column \"{name}\" must appear in the GROUP BY clause or be used in an aggregate function"
    );
    Some(SqlError::new(state::GROUPING_ERROR, message))
}

/// Arguments that a function does not take.
fn signature(message: &str) -> Option<SqlError> {
    let known = [
        "does not support zero arguments",
        "Error during planning: Failed to coerce",
        "Failed to coerce arguments",
        "No function matches",
        "Candidate functions",
        "failed to match any signature",
        "Cannot coerce arithmetic expression",
        "Cannot infer common argument type",
        "function expects",
        "user-defined coercion failed",
    ];
    if !known.iter().any(|part| message.contains(part)) {
        return None;
    }
    let first = message.lines().next().unwrap_or(message);
    if let Some(rest) = message.split("Cannot coerce arithmetic expression ").nth(1) {
        let operation = rest.split(" to valid types").next().unwrap_or(rest);
        let message = format!("operator does not exist: {}", operation.to_lowercase());
        return Some(SqlError::new(state::UNDEFINED_FUNCTION, message));
    }
    let call = message
        .split('\'')
        .find(|call| call.contains('(') && call.ends_with(')') && !call.contains(' '))
        .or_else(|| message.split('\'').find(|call| call.contains('(') && call.ends_with(')')))
        .map(|call| format!("function {} does not exist", postgres_call(call)));
    let text = call.unwrap_or_else(|| lower_first(first));
    let hint = NO_FUNCTION;
    Some(SqlError::new(state::UNDEFINED_FUNCTION, text).with_hint(hint))
}

/// `f(Int32, Utf8)` with PostgreSQL's names of the types.
fn postgres_call(call: &str) -> String {
    let Some((name, types)) = call.split_once('(') else { return call.to_string() };
    let types = types.trim_end_matches(')').split(", ");
    // The parts of one type's own parentheses follow it.
    let names = types.filter_map(|ty| {
        let name = ty.split('(').next().unwrap_or(ty);
        Some(match name {
            "Boolean" => "boolean",
            "Int16" => "smallint",
            "Int32" => "integer",
            "Int64" => "bigint",
            "Float32" => "real",
            "Float64" => "double precision",
            "Decimal128" => "numeric",
            "Utf8" | "String" => "text",
            "LargeUtf8" => "jsonb",
            "Binary" => "bytea",
            "Date32" => "date",
            "Time64" => "time without time zone",
            "Timestamp" => "timestamp with time zone",
            "Interval" => "interval",
            "FixedSizeBinary" => "uuid",
            "UInt32" => "oid",
            "Null" => "unknown",
            _ => return None,
        })
    });
    format!("{name}({})", names.collect::<Vec<_>>().join(", "))
}

fn union_columns(message: &str) -> Option<SqlError> {
    let operation = ["UNION", "INTERSECT", "EXCEPT"]
        .into_iter()
        .find(|op| message.to_uppercase().contains(op) && message.contains("number of columns"));
    let operation = operation
        .or_else(|| message.contains("UNION queries have different number").then_some("UNION"))?;
    let message = format!("each {operation} query must have the same number of columns");
    Some(SqlError::syntax(message))
}

fn lower_first(message: &str) -> String {
    let message = message
        .trim_start_matches("Error during planning: ")
        .trim_start_matches("This feature is not implemented: ")
        .trim_start_matches("Execution error: ")
        .trim_end_matches('.');
    let mut chars = message.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && !second.is_uppercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => message.to_string(),
    }
}
