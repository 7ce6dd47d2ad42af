//! Calls of the user's functions, replaced by their bodies.
//!
//! Law: `f(a, …)` becomes `CAST(body AS result)` with `CAST(a AS parameter)` for each parameter, so
//! that every later pass, ad hoc and maintained, sees nothing but expressions it knows. The names
//! of a body are its function's: parameters, and functions by its own search path. An argument is
//! computed wherever its parameter stands, so one that is volatile may stand but once.
//!
//! Before [`super::ast`], after [`super::names`]: a column is called like the function, not like
//! what its body is.

mod body;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::logical_expr::Volatility;
use sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, Query, TableFactor,
    Value, Visit, VisitMut, Visitor, VisitorMut,
};
use tidemark_catalog::{Function, ObjectId};

use body::{Substituter, Uses, expression, parameter};

use super::argument::cast_argument;
use super::ast::{binary, call, cast_to};
use super::table_function::derived_function;
use crate::dml::ast_type;
use crate::error::{SqlError, state};
use crate::parse::fold;
use crate::parse::position::of_span;
use crate::plan::on_large_stack;
use crate::resolve::Resolver;

/// Deepest nesting of functions in bodies of functions.
const FUNCTION_DEPTH_MAX: usize = 64;
/// Deepest an expression may become.
const EXPRESSION_DEPTH_MAX: usize = 1_000;
/// Most that the calls of one statement may come to.
const EXPRESSIONS_MAX: usize = 100_000;
/// Names that are not registered as functions and mean one all the same.
const SPELLINGS: &[&str] = &[
    "array",
    "current_date",
    "current_time",
    "current_timestamp",
    "generate_series",
    "generate_subscripts",
    "grouping",
    "localtime",
    "localtimestamp",
    "regexp_split_to_table",
    "row",
    "statement_timestamp",
    "string_to_table",
    "transaction_timestamp",
    "unnest",
];

/// Replaces every call in a query.
///
/// Errors: 42883 for a wrong number of arguments, 42809 for what only aggregates take, 0A000 for a
/// volatile argument that would be computed twice, 54001 where it comes to too much.
pub fn inline(query: &mut Query, resolver: &Resolver<'_>) -> Result<(), SqlError> {
    if resolver.ctx.catalog.functions().next().is_none() {
        return Ok(());
    }
    let mut inliner = Inliner::new(resolver);
    let inlined = outcome(query.visit(&mut inliner));
    resolver.note_functions(inliner.used);
    inlined
}

/// A function's body over these arguments, neither cast nor checked for NULL.
pub(crate) fn applied(
    resolver: &Resolver<'_>,
    function: &Function,
    arguments: &[Expr],
) -> Result<Expr, SqlError> {
    let mut inliner = Inliner::new(resolver);
    let mut body = inliner.body(function)?;
    outcome(VisitMut::visit(&mut body, &mut Substituter { function, arguments }))?;
    resolver.note_functions(inliner.used);
    Ok(body)
}

/// Whether a name means a function of the system's, which none of the user's may be called like.
pub(crate) fn is_built_in(resolver: &Resolver<'_>, name: &str) -> bool {
    let state = resolver.state;
    SPELLINGS.contains(&name)
        || state.scalar_functions().contains_key(name)
        || state.aggregate_functions().contains_key(name)
        || state.window_functions().contains_key(name)
        || state.higher_order_functions().contains_key(name)
}

fn outcome(flow: ControlFlow<SqlError>) -> Result<(), SqlError> {
    match flow {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn flow(result: Result<(), SqlError>) -> ControlFlow<SqlError> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

struct Inliner<'a> {
    resolver: &'a Resolver<'a>,
    /// Functions whose bodies are being inlined, outermost first; calls in a body are looked up by
    /// the last one's search path.
    within: Vec<&'a Function>,
    /// Bodies with the calls in them inlined.
    bodies: BTreeMap<ObjectId, Expr>,
    used: BTreeSet<ObjectId>,
    /// What the calls have come to.
    expressions: usize,
}

impl VisitorMut for Inliner<'_> {
    type Break = SqlError;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        flow(self.in_from(factor))
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        flow(self.expression(expr))
    }
}

impl<'a> Inliner<'a> {
    fn new(resolver: &'a Resolver<'a>) -> Self {
        Inliner {
            resolver,
            within: Vec::new(),
            bodies: BTreeMap::new(),
            used: BTreeSet::new(),
            expressions: 0,
        }
    }

    /// The user's function that a call means.
    fn find(&self, name: &ObjectName) -> Option<&'a Function> {
        let parts: Option<Vec<String>> =
            name.0.iter().map(|part| part.as_ident().map(fold)).collect();
        let (schema, name) = match parts?.as_slice() {
            [name] if is_built_in(self.resolver, name) => return None,
            [name] => (None, name.clone()),
            [schema, name] => (Some(schema.clone()), name.clone()),
            [database, schema, name] if *database == self.resolver.ctx.database => {
                (Some(schema.clone()), name.clone())
            }
            _ => return None,
        };
        let path = self.within.last().map(|function| function.search_path.as_slice());
        self.resolver.function(schema.as_deref(), &name, path)
    }

    /// `FROM f(…)`: one row of one column.
    fn in_from(&mut self, factor: &mut TableFactor) -> Result<(), SqlError> {
        let (name, args, alias, ordinality) = match factor {
            TableFactor::Table { name, args: Some(args), alias, with_ordinality, .. } => {
                (name, &mut args.args, alias, *with_ordinality)
            }
            TableFactor::Function { name, args, alias, with_ordinality, .. } => {
                (name, args, alias, *with_ordinality)
            }
            _ => return Ok(()),
        };
        let Some(function) = self.find(name) else { return Ok(()) };
        if ordinality {
            return Err(SqlError::unsupported("WITH ORDINALITY is not supported"));
        }
        let args = std::mem::take(args);
        let mut called = call(&function.name, vec![]);
        if let Expr::Function(ast::Function { name: written, args: list, .. }) = &mut called {
            *written = name.clone();
            if let FunctionArguments::List(list) = list {
                list.args = args;
            }
        }
        *factor = derived_function(&function.name, vec![called], alias.take(), None);
        Ok(())
    }

    fn expression(&mut self, expr: &mut Expr) -> Result<(), SqlError> {
        let Expr::Function(call) = expr else { return Ok(()) };
        let Some(function) = self.find(&call.name) else { return Ok(()) };
        let at = call.name.0.first().and_then(|part| part.as_ident());
        let at = at.and_then(|ident| of_span(ident.span)).filter(|_| self.within.is_empty());
        *expr = self.inlined(function, call).map_err(|error| error.at(at))?;
        Ok(())
    }

    fn inlined(
        &mut self,
        function: &'a Function,
        call: &mut ast::Function,
    ) -> Result<Expr, SqlError> {
        let arguments = arguments(function, call)?;
        let mut body = self.body(function)?;
        let uses = self.uses(function, &body, &arguments)?;
        self.count(&body, &arguments, &uses)?;
        let arguments: Vec<Expr> = arguments
            .into_iter()
            .enumerate()
            .map(|(n, argument)| cast_argument(argument, function, n))
            .collect();
        outcome(VisitMut::visit(&mut body, &mut Substituter { function, arguments: &arguments }))?;
        if function.strict {
            body = null_for_null(arguments, body);
        }
        let inlined = cast_to(body, ast_type(function.returns));
        let mut depth = Depth::default();
        let _ = inlined.visit(&mut depth);
        match depth.deepest > EXPRESSION_DEPTH_MAX {
            true => Err(too_complex(function)),
            false => Ok(inlined),
        }
    }

    /// The body with the calls in it inlined, its parameters still to be replaced.
    fn body(&mut self, function: &'a Function) -> Result<Expr, SqlError> {
        self.used.insert(function.id);
        if let Some(body) = self.bodies.get(&function.id) {
            return Ok(body.clone());
        }
        if self.within.iter().any(|outer| outer.id == function.id) {
            let message = format!("function {} calls itself", function.signature());
            return Err(SqlError::unsupported(message)
                .with_hint("A function is put where it is called, so it has to come to an end."));
        }
        if self.within.len() >= FUNCTION_DEPTH_MAX {
            return Err(too_complex(function));
        }
        let mut body = expression(function)?;
        self.within.push(function);
        let inlined = on_large_stack(|| outcome(VisitMut::visit(&mut body, self)));
        self.within.pop();
        inlined?;
        self.bodies.insert(function.id, body.clone());
        Ok(body)
    }

    /// How often each argument is computed.
    fn uses(
        &self,
        function: &Function,
        body: &Expr,
        arguments: &[Expr],
    ) -> Result<Vec<usize>, SqlError> {
        let mut uses = Uses { function, of: vec![usize::from(function.strict); arguments.len()] };
        outcome(body.visit(&mut uses))?;
        for (argument, uses) in arguments.iter().zip(&uses.of) {
            if *uses > 1 && self.is_volatile(argument) {
                let message = format!(
                    "function {} computes a volatile argument more than once",
                    function.signature()
                );
                return Err(SqlError::unsupported(message).with_hint(
                    "Compute the argument in a subquery, and call the function over it.",
                ));
            }
        }
        Ok(uses.of)
    }

    fn is_volatile(&self, argument: &Expr) -> bool {
        let scalars = self.resolver.state.scalar_functions();
        let mut found = false;
        let _: ControlFlow<()> = ast::visit_expressions(argument, |expr| {
            if let Expr::Function(call) = expr
                && let Some(name) = call.name.0.last().and_then(|part| part.as_ident())
                && let Some(function) = scalars.get(&fold(name))
            {
                found |= function.signature().volatility == Volatility::Volatile;
            }
            ControlFlow::Continue(())
        });
        found
    }

    fn count(&mut self, body: &Expr, args: &[Expr], uses: &[usize]) -> Result<(), SqlError> {
        let args = args.iter().zip(uses).map(|(arg, uses)| size(arg).saturating_mul(*uses));
        self.expressions = self.expressions.saturating_add(size(body)).saturating_add(args.sum());
        if self.expressions > EXPRESSIONS_MAX {
            let message = "the functions that a statement calls come to too large an expression";
            return Err(SqlError::new(state::STATEMENT_TOO_COMPLEX, message)
                .with_hint("Compute what is called often in a subquery."));
        }
        Ok(())
    }
}

fn too_complex(function: &Function) -> SqlError {
    let message = format!("function {} is nested too deeply", function.signature());
    SqlError::new(state::STATEMENT_TOO_COMPLEX, message)
}

/// The arguments of a call, in the order of the parameters.
fn arguments(function: &Function, call: &mut ast::Function) -> Result<Vec<Expr>, SqlError> {
    let name = fold_name(&call.name);
    let not_aggregate = |what: &str| {
        let message = format!("{what} specified, but {name} is not an aggregate function");
        Err(SqlError::new(state::WRONG_OBJECT_TYPE, message))
    };
    if call.over.is_some() {
        let message = format!(
            "OVER specified, but {name} is not a window function nor an aggregate function"
        );
        return Err(SqlError::new(state::WRONG_OBJECT_TYPE, message));
    }
    if call.filter.is_some() {
        return not_aggregate("FILTER");
    }
    if !call.within_group.is_empty() {
        return not_aggregate("WITHIN GROUP");
    }
    let FunctionArguments::List(list) = &mut call.args else {
        return Err(SqlError::syntax("a subquery as an argument needs its own parentheses"));
    };
    if list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct) {
        return not_aggregate("DISTINCT");
    }
    if !list.clauses.is_empty() {
        return not_aggregate("ORDER BY");
    }
    let given = std::mem::take(&mut list.args);
    let wrong_number = wrong_arguments(function, given.len());
    let mut arguments: Vec<Option<Expr>> = vec![None; function.arguments.len()];
    for (n, given) in given.into_iter().enumerate() {
        let (at, argument) = match given {
            FunctionArg::Unnamed(argument) => (Some(n), argument),
            FunctionArg::Named { name, arg, .. } => (parameter(function, &fold(&name)), arg),
            FunctionArg::ExprNamed { name: Expr::Identifier(name), arg, .. } => {
                (parameter(function, &fold(&name)), arg)
            }
            FunctionArg::ExprNamed { .. } => (None, FunctionArgExpr::Wildcard),
        };
        let FunctionArgExpr::Expr(argument) = argument else {
            return not_aggregate(&format!("{name}(*)"));
        };
        let place = at.and_then(|at| arguments.get_mut(at)).filter(|place| place.is_none());
        match place {
            Some(place) => *place = Some(argument),
            None => return Err(wrong_number),
        }
    }
    arguments.into_iter().collect::<Option<Vec<Expr>>>().ok_or(wrong_number)
}

fn fold_name(name: &ObjectName) -> String {
    name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default()
}

fn wrong_arguments(function: &Function, given: usize) -> SqlError {
    let name = &function.name;
    let message = match given {
        1 => format!("function {name} with such an argument does not exist"),
        _ => format!("function {name} with such {given} arguments does not exist"),
    };
    let hint = format!("There is {name}({}).", function.parameters());
    SqlError::new(state::UNDEFINED_FUNCTION, message).with_hint(hint)
}

/// `CASE WHEN a IS NULL OR … THEN NULL ELSE body END`.
fn null_for_null(arguments: Vec<Expr>, body: Expr) -> Expr {
    let is_null = |argument: Expr| Expr::IsNull(Box::new(argument));
    let any = arguments
        .into_iter()
        .map(is_null)
        .reduce(|left, right| binary(left, ast::BinaryOperator::Or, right));
    let Some(any) = any else { return body };
    Expr::Case {
        case_token: ast::helpers::attached_token::AttachedToken::empty(),
        end_token: ast::helpers::attached_token::AttachedToken::empty(),
        operand: None,
        conditions: vec![ast::CaseWhen { condition: any, result: Expr::value(Value::Null) }],
        else_result: Some(Box::new(body)),
    }
}

fn size(expr: &Expr) -> usize {
    let mut size = 0;
    let _: ControlFlow<()> = ast::visit_expressions(expr, |_| {
        size += 1;
        ControlFlow::Continue(())
    });
    size
}

#[derive(Default)]
struct Depth {
    now: usize,
    deepest: usize,
}

impl Visitor for Depth {
    type Break = ();

    fn pre_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        self.now += 1;
        self.deepest = self.deepest.max(self.now);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        self.now -= 1;
        ControlFlow::Continue(())
    }
}
