//! CREATE FUNCTION: what is said of a function, and whether its body keeps it.
//!
//! Law: a function that was created can be called: its body is planned once, over NULLs of its
//! parameters' types, and is an expression of one row.

use std::collections::BTreeSet;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use sqlparser::ast::{self, Expr, Ident, SelectItem, SetExpr, Value};
use tidemark_catalog::{Argument, Column, Function, ObjectId, PgType};

use super::{name_parts, target_name};
use crate::context::PlanContext;
use crate::dml::{ast_type, check_assignable, typed};
use crate::error::{SqlError, state};
use crate::function::type_name;
use crate::parse::{CreateFunction, DroppedFunction};
use crate::plan::{finish, on_large_stack, to_rel};
use crate::resolve::Resolver;
use crate::rewrite::ast::{cast_to, empty_query};
use crate::rewrite::functions::{applied, is_built_in};
use crate::session_state::session_state;

/// As in PostgreSQL.
const ARGUMENTS_MAX: usize = 100;

/// The function that CREATE FUNCTION makes, under the next id; its body is [`check_function`]'s.
///
/// Errors: 42704 for types there are not, 42P13 for parameters that are impossible, 42723 for the
/// name of a function of the system's.
pub fn define_function(ctx: &PlanContext, create: &CreateFunction) -> Result<Function, SqlError> {
    let (schema, name) = target_name(ctx, &create.name)?;
    let session = session_state(ctx);
    if is_built_in(&Resolver::new(ctx, &session), &name) {
        let message = format!("there is a built-in function \"{name}\" already");
        return Err(SqlError::new(state::DUPLICATE_FUNCTION, message)
            .with_hint("Take another name: a call would not reach this one."));
    }
    if create.arguments.len() > ARGUMENTS_MAX {
        let message = format!("functions cannot have more than {ARGUMENTS_MAX} arguments");
        return Err(SqlError::new("54023", message));
    }
    let mut arguments = Vec::new();
    let mut names = BTreeSet::new();
    for argument in &create.arguments {
        if let Some(name) = argument.name.as_ref().filter(|name| !names.insert(*name)) {
            let message = format!("parameter name \"{name}\" used more than once");
            return Err(SqlError::new(state::INVALID_FUNCTION_DEFINITION, message));
        }
        let ty = value_type(&argument.data_type, "takes")?;
        arguments.push(Argument { name: argument.name.clone(), ty });
    }
    Ok(Function {
        id: ctx.catalog.next_id(),
        schema,
        name,
        arguments,
        returns: value_type(&create.returns, "returns")?,
        body: create.body.clone(),
        strict: create.strict,
        volatility: create.volatility,
        search_path: ctx.search_path(),
    })
}

/// A type that values have, without its modifier: PostgreSQL drops it too.
fn value_type(data_type: &ast::DataType, what: &str) -> Result<PgType, SqlError> {
    let ty = argument_type(data_type)?;
    if ty.typtype() == 'p' {
        let message = format!("a function that {what} pseudo-type {} is not supported", ty.name());
        return Err(SqlError::unsupported(message).with_hint("Name a type that columns can have."));
    }
    Ok(ty)
}

fn argument_type(data_type: &ast::DataType) -> Result<PgType, SqlError> {
    let parsed = PgType::parse(&data_type.to_string());
    let parsed = parsed.map_err(|error| SqlError::new(error.sqlstate(), error.to_string()));
    parsed.map(|(ty, _)| ty)
}

/// Plans the body of a function that is in the catalog; the functions it calls, also inside others.
///
/// Errors: those of the body, without a position and with the function's name as context; 42P13
/// where the result is of another type; 0A000 for bodies that are more than an expression.
pub fn check_function(
    ctx: &PlanContext,
    function: &Function,
) -> Result<BTreeSet<ObjectId>, SqlError> {
    on_large_stack(|| check_body(ctx, function)).map_err(|error| {
        let context = format!("SQL function \"{}\"", function.name);
        SqlError { position: None, ..error }.with_context(context)
    })
}

fn check_body(ctx: &PlanContext, function: &Function) -> Result<BTreeSet<ObjectId>, SqlError> {
    let session = session_state(ctx);
    let resolver = Resolver::new(ctx, &session);
    let null = |ty: PgType| cast_to(Expr::value(Value::Null), ast_type(ty));
    let nulls: Vec<Expr> = function.types().map(null).collect();
    let body = applied(&resolver, function, &nulls)?;
    let result = Column::new(&function.name, function.returns);
    let mut query = empty_query();
    if let SetExpr::Select(select) = query.body.as_mut() {
        let alias = Ident::with_quote('"', &function.name);
        select.projection = vec![SelectItem::ExprWithAlias { expr: typed(body, &result), alias }];
    }
    let plan = finish(&session, to_rel(&resolver, &query, &[])?, &mut Vec::new())?;
    check_one_row(&plan)?;
    let actual = plan.schema().field(0).data_type();
    check_assignable(actual, &result).map_err(|_| {
        let returns = function.returns.sql_name();
        let message = format!("return type mismatch in function declared to return {returns}");
        let detail = format!("Actual return type is {}.", type_name(actual));
        SqlError::new(state::INVALID_FUNCTION_DEFINITION, message).with_detail(detail)
    })?;
    Ok(resolver.resolved().functions)
}

/// Where the body stands, there is one row: an aggregate or a set would mean something else there.
fn check_one_row(plan: &LogicalPlan) -> Result<(), SqlError> {
    let mut refused = None;
    plan.apply_with_subqueries(|node| {
        refused = refused.or(match node {
            LogicalPlan::Aggregate(_) => Some("an aggregate"),
            LogicalPlan::Window(_) => Some("a window function"),
            LogicalPlan::Unnest(_) => Some("a set-returning function"),
            _ => None,
        });
        Ok(TreeNodeRecursion::Continue)
    })?;
    match refused {
        Some(what) => Err(SqlError::unsupported(format!("{what} in a function is not supported"))
            .with_hint("Call the function over it.")),
        None => Ok(()),
    }
}

/// The function that DROP FUNCTION means.
///
/// Errors: 42883 if there is none.
pub fn resolve_function<'a>(
    ctx: &'a PlanContext,
    dropped: &DroppedFunction,
) -> Result<&'a Function, SqlError> {
    let (schema, name) = name_parts(ctx, &dropped.name)?;
    let found = ctx.catalog.resolve_function(schema.as_deref(), &name, &ctx.search_path());
    let undefined = |message: String| SqlError::new(state::UNDEFINED_FUNCTION, message);
    let Some(types) = &dropped.types else {
        let message = || format!("could not find a function named \"{}\"", dropped.name);
        return found.ok_or_else(|| undefined(message()));
    };
    let types = types.iter().map(argument_type).collect::<Result<Vec<_>, _>>()?;
    let found = found.filter(|function| function.types().eq(types.iter().copied()));
    found.ok_or_else(|| {
        let types: Vec<String> = types.iter().map(|ty| ty.sql_name()).collect();
        undefined(format!("function {}({}) does not exist", dropped.name, types.join(", ")))
    })
}
