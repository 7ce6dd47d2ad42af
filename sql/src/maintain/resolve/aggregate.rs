//! GROUP BY and aggregate calls, with everything they compute as columns below them.
//!
//! Law: keys, arguments and FILTERs are computed once for each row. An argument that can fail is
//! not computed for a row that its FILTER removes (S10).
//!
//! DISTINCT of one argument is two aggregates: the distinct arguments of each group, then the
//! functions over them.

use arrow::datatypes::{Field, Schema};
use datafusion::logical_expr::expr::{AggregateFunction, Case};
use datafusion::logical_expr::{Expr, logical_plan};
use tidemark_engine::aggregate::aggregate_function;
use tidemark_engine::plan::AggregateCall;

use super::{Resolver, cast_columns, names, plain_schema};
use crate::error::{SqlError, state};
use crate::maintain::fallible::is_fallible;
use crate::maintain::refuse;
use crate::maintain::rel::{Aggregate, Rel, as_column, column, type_of};

/// Expressions computed below the aggregate, each once.
#[derive(Default)]
struct Computed {
    exprs: Vec<Expr>,
}

impl Computed {
    fn place(&mut self, expr: Expr) -> usize {
        match self.exprs.iter().position(|known| *known == expr) {
            Some(place) => place,
            None => {
                self.exprs.push(expr);
                self.exprs.len() - 1
            }
        }
    }
}

impl Computed {
    /// Names for printing: a column's own, else a number.
    fn names(&self, input: &Schema) -> Vec<String> {
        let name = |(i, expr): (usize, &Expr)| match as_column(expr) {
            Some(column) => input.field(column).name().clone(),
            None => format!("expr_{i}"),
        };
        self.exprs.iter().enumerate().map(name).collect()
    }
}

struct Call {
    call: AggregateCall,
    distinct: bool,
}

impl Resolver<'_> {
    pub(super) fn aggregate(&self, aggregate: &logical_plan::Aggregate) -> Result<Rel, SqlError> {
        if aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) {
            return Err(refuse::grouping_sets());
        }
        let input = self.rel(&aggregate.input)?;
        let mut computed = Computed::default();
        let keys = self.exprs(&aggregate.group_expr, aggregate.input.schema(), &input)?;
        let keys: Vec<usize> = keys.into_iter().map(|key| computed.place(key)).collect();
        let calls = aggregate.aggr_expr.iter().map(|expr| {
            let mut expr = expr;
            while let Expr::Alias(alias) = expr {
                expr = &alias.expr;
            }
            match expr {
                Expr::AggregateFunction(call) => self.call(call, aggregate, &input, &mut computed),
                other => Err(SqlError::internal(format!("not an aggregate: {other}"))),
            }
        });
        let calls = calls.collect::<Result<Vec<Call>, SqlError>>()?;

        let input = match computed.exprs.is_empty() {
            true => input,
            false => {
                let columns = computed.names(&input.schema());
                input.project(computed.exprs, columns)?
            }
        };
        let (input, keys, calls) = match calls.iter().any(|call| call.distinct) {
            true => distinct_arguments(input, keys, calls)?,
            false => (input, keys, calls.into_iter().map(|call| call.call).collect()),
        };
        let declared = plain_schema(&aggregate.schema);
        let functions = calls.iter().map(|call| call.function.name().to_owned());
        let names = names(&aggregate.schema).into_iter().take(keys.len()).chain(functions);
        let names = names.collect();
        let rel = grouped(input, keys, calls, names)?;
        cast_columns(rel, &declared)
    }

    fn call(
        &self,
        call: &AggregateFunction,
        aggregate: &logical_plan::Aggregate,
        input: &Rel,
        computed: &mut Computed,
    ) -> Result<Call, SqlError> {
        let (plan, params) = (aggregate.input.schema(), &call.params);
        let name = call.func.name();
        let function = aggregate_function(name).ok_or_else(|| refuse::aggregate(name))?;
        let filter = params.filter.iter().map(|filter| filter.as_ref().clone());
        let filter = self.exprs(&filter.collect::<Vec<_>>(), plan, input)?.pop();
        let arguments = match is_star(name, &params.args) {
            true => vec![],
            false => self.exprs(&params.args, plan, input)?,
        };
        let schema = input.schema();
        let behind_filter = |argument: Expr| match &filter {
            Some(filter) if is_fallible(&argument, &schema) => {
                let when = (Box::new(filter.clone()), Box::new(argument));
                Expr::Case(Case::new(None, vec![when], None))
            }
            _ => argument,
        };
        let arguments: Vec<usize> =
            arguments.into_iter().map(|argument| computed.place(behind_filter(argument))).collect();
        let filter = filter.map(|filter| computed.place(filter));
        let distinct = params.distinct && name != "min" && name != "max";
        Ok(Call { call: AggregateCall::new(function, arguments, filter), distinct })
    }
}

/// `count(*)`, which DataFusion writes as the count of a constant.
fn is_star(name: &str, arguments: &[Expr]) -> bool {
    match arguments {
        [] => true,
        [Expr::Literal(value, _)] => name == "count" && !value.is_null(),
        #[expect(deprecated)]
        [Expr::Wildcard { .. }] => name == "count",
        _ => false,
    }
}

/// The distinct (keys, argument, FILTER) of the input, and the calls over them.
fn distinct_arguments(
    input: Rel,
    keys: Vec<usize>,
    calls: Vec<Call>,
) -> Result<(Rel, Vec<usize>, Vec<AggregateCall>), SqlError> {
    let first = &calls[0].call;
    let (arguments, filter) = (first.arguments.clone(), first.filter);
    let alike = |call: &Call| {
        let unaffected = call.distinct || matches!(call.call.function.name(), "min" | "max");
        unaffected && call.call.arguments == arguments && call.call.filter == filter
    };
    if arguments.len() != 1 || !calls.iter().all(alike) {
        return Err(refuse::mixed_distinct());
    }
    let columns: Vec<usize> = keys.iter().copied().chain(arguments).chain(filter).collect();
    let argument = keys.len();
    let calls = calls.into_iter().map(|call| AggregateCall {
        arguments: vec![argument],
        filter: filter.map(|_| argument + 1),
        ..call.call
    });
    let calls = calls.collect();
    Ok((input.select(&columns).distinct(), (0..keys.len()).collect(), calls))
}

/// The aggregate, its columns called `names`.
fn grouped(
    input: Rel,
    keys: Vec<usize>,
    calls: Vec<AggregateCall>,
    names: Vec<String>,
) -> Result<Rel, SqlError> {
    let own = input.schema();
    let ty = |i: usize| type_of(&column(i), &own);
    let key_types = keys.iter().map(|&key| ty(key));
    let call_types = calls.iter().map(|call| {
        let arguments = call.arguments.iter().map(|&i| ty(i)).collect::<Result<Vec<_>, _>>()?;
        call.function.return_type(&arguments).ok_or_else(|| {
            let types: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            let (name, types) = (call.function.name(), types.join(", "));
            let message = format!("function {name}({types}) does not exist");
            SqlError::new(state::UNDEFINED_FUNCTION, message)
        })
    });
    let types = key_types.chain(call_types).collect::<Result<Vec<_>, SqlError>>()?;
    let fields = names.into_iter().zip(types).map(|(name, ty)| Field::new(name, ty, true));
    let schema = std::sync::Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    Ok(Rel::Aggregate(Aggregate { input: Box::new(input), keys, calls, schema }))
}
