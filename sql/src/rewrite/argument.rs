//! Arguments of the user's functions: cast to the parameter's type where PostgreSQL does so too.
//!
//! Law: a call whose argument would need a cast in the statement is 42883, as if there were no such
//! function; literals of unknown type take the parameter's.
//!
//! Types are known long after calls are replaced by bodies. So the cast of an argument has a type
//! of its own in the tree, and metadata on its field in the plan, until [`check`] has seen it.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field};
use datafusion::logical_expr::expr::Cast;
use sqlparser::ast::{self, Expr, Ident, ObjectName, ObjectNamePart};
use tidemark_catalog::{Function, PgType};

use super::ast::cast_to;
use crate::dml::{ast_type, is_untyped};
use crate::error::{SqlError, state};
use crate::function::{cast, type_name};

/// First part of the type's name; no user can write it.
const MARK: &str = "\u{1}argument";
/// Keys of the field's metadata: what stands around the argument's type in the signature.
const BEFORE: &str = "\u{1}before";
const AFTER: &str = "\u{1}after";

/// A function's `n`th argument as the type of its parameter.
pub fn cast_argument(argument: Expr, function: &Function, n: usize) -> Expr {
    let ty = match is_untyped(&argument) {
        true => ast_type(function.arguments[n].ty),
        false => argument_type(function, n),
    };
    cast_to(argument, ty)
}

fn argument_type(function: &Function, n: usize) -> ast::DataType {
    let types: Vec<String> = function.types().map(PgType::sql_name).collect();
    let listed = |types: &[String]| types.iter().map(|ty| format!("{ty}, ")).collect::<String>();
    let before = format!("{}({}", function.name, listed(&types[..n]));
    let after: String = types[n + 1..].iter().map(|ty| format!(", {ty}")).collect();
    let parts = [MARK.to_string(), types[n].clone(), before, format!("{after})")];
    let parts = parts.map(|part| ObjectNamePart::Identifier(Ident::with_quote('"', part)));
    ast::DataType::Custom(ObjectName(parts.to_vec()), vec![])
}

/// The parameter's type as SQL spells it, if that is what this is.
pub fn sql_name(data_type: &ast::DataType) -> Option<&str> {
    parts(data_type).map(|[name, ..]| name)
}

/// The field of a cast to this type, if it is an argument's.
pub fn field(data_type: &ast::DataType) -> Option<Result<Field, SqlError>> {
    let [name, before, after] = parts(data_type)?;
    let parsed = PgType::parse(name);
    let parsed = parsed.map_err(|error| SqlError::new(error.sqlstate(), error.to_string()));
    let metadata = [(BEFORE, before), (AFTER, after)];
    let metadata = metadata.map(|(key, text)| (key.to_string(), text.to_string()));
    Some(parsed.map(|(ty, typmod)| {
        Field::new("", ty.to_arrow(typmod), true).with_metadata(HashMap::from(metadata))
    }))
}

/// Type, and the signature around it.
fn parts(data_type: &ast::DataType) -> Option<[&str; 3]> {
    let ast::DataType::Custom(ObjectName(parts), _) = data_type else { return None };
    let [mark, name, before, after] = parts.as_slice() else { return None };
    if text(mark)? != MARK {
        return None;
    }
    Some([text(name)?, text(before)?, text(after)?])
}

fn text(part: &ObjectNamePart) -> Option<&str> {
    part.as_ident().map(|ident| ident.value.as_str())
}

/// 42883 for an argument that is not cast by itself.
pub fn check(argument: &Cast, from: &DataType) -> Result<(), SqlError> {
    let metadata = argument.field.metadata();
    let (Some(before), Some(after)) = (metadata.get(BEFORE), metadata.get(AFTER)) else {
        return Ok(());
    };
    if cast::is_implicit(from, argument.field.data_type()) {
        return Ok(());
    }
    let message = format!("function {before}{}{after} does not exist", type_name(from));
    let hint = "No function matches the given name and argument types. You might need to add \
                explicit type casts.";
    Err(SqlError::new(state::UNDEFINED_FUNCTION, message).with_hint(hint))
}
