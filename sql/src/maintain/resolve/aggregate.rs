//! GROUP BY and aggregate calls, with everything they compute as columns below them.
//!
//! Law: keys, arguments, order keys and FILTERs are computed once for each row. An argument that
//! can fail is not computed for a row that its FILTER removes (S10).
//!
//! GROUPING SETS, ROLLUP and CUBE are the union of an aggregate for each set, with NULL for the
//! keys it lacks and the set's number, whose bits say which those are (what grouping() reads).

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{
    AggregateFunction, AggregateFunctionParams, Case, GroupingSet,
};
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{Expr, logical_plan};
use tidemark_engine::aggregate::{Class, Constants, Order, aggregate_function};
use tidemark_engine::plan::{AggregateCall, SortKey};

use super::{Resolver, cast_columns, names, plain_schema};
use crate::error::{SqlError, state};
use crate::function::aggregate::{check_parameter, not_constant};
use crate::maintain::fallible::is_fallible;
use crate::maintain::refuse;
use crate::maintain::rel::{Aggregate, Rel, Union, as_column, column, type_of};

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

/// An aggregate, resolved: its calls over columns of `input`.
struct Resolved {
    input: Rel,
    /// Every key, in the order of the text.
    keys: Vec<usize>,
    /// Keys of each grouping set, as places in `keys`; `None` for a plain GROUP BY.
    sets: Option<Vec<Vec<usize>>>,
    calls: Vec<AggregateCall>,
}

impl Resolver<'_> {
    pub(super) fn aggregate(&self, aggregate: &logical_plan::Aggregate) -> Result<Rel, SqlError> {
        let resolved = self.resolved(aggregate)?;
        let declared = plain_schema(&aggregate.schema);
        let rel = match &resolved.sets {
            None => {
                let functions = resolved.calls.iter().map(|call| call.function.name().to_owned());
                let keys = names(&aggregate.schema).into_iter().take(resolved.keys.len());
                let names = keys.chain(functions).collect();
                grouped(resolved.input, resolved.keys, resolved.calls, names)?
            }
            Some(sets) => {
                let mut numbers = Vec::new();
                let inputs = sets.iter().map(|set| {
                    let number = number_of(set, resolved.keys.len(), &mut numbers);
                    resolved.grouping(set, number, &declared)
                });
                let inputs = inputs.collect::<Result<Vec<_>, SqlError>>()?;
                Rel::Union(Union { inputs, schema: declared.clone() })
            }
        };
        cast_columns(rel, &declared)
    }

    fn resolved(&self, aggregate: &logical_plan::Aggregate) -> Result<Resolved, SqlError> {
        let input = self.rel(&aggregate.input)?;
        let mut computed = Computed::default();
        let group: Vec<&Expr> = grouping_set_to_exprlist(&aggregate.group_expr)?;
        let sets = match aggregate.group_expr.as_slice() {
            [Expr::GroupingSet(sets)] => Some(sets_of(sets, &group)),
            _ => None,
        };
        let group: Vec<Expr> = group.into_iter().cloned().collect();
        let keys = self.exprs(&group, aggregate.input.schema(), &input)?;
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
        let calls = calls.collect::<Result<Vec<AggregateCall>, SqlError>>()?;
        let input = match computed.exprs.is_empty() {
            true => input,
            false => {
                let columns = computed.names(&input.schema());
                input.project(computed.exprs, columns)?
            }
        };
        Ok(Resolved { input, keys, sets, calls })
    }

    fn call(
        &self,
        call: &AggregateFunction,
        aggregate: &logical_plan::Aggregate,
        input: &Rel,
        computed: &mut Computed,
    ) -> Result<AggregateCall, SqlError> {
        let (plan, params) = (aggregate.input.schema(), &call.params);
        let name = call.func.name();
        let function = aggregate_function(name).ok_or_else(|| refuse::aggregate(name))?;
        let filter = params.filter.iter().map(|filter| filter.as_ref().clone());
        let filter = self.exprs(&filter.collect::<Vec<_>>(), plan, input)?.pop();
        let mut arguments = match is_star(name, &params.args) {
            true => vec![],
            false => self.exprs(&params.args, plan, input)?,
        };
        let parameter = match (function.constants(), arguments.last()) {
            (Constants::Allowed | Constants::Required, Some(Expr::Literal(value, _))) => {
                Some(value.clone())
            }
            (Constants::Required, _) => return Err(not_constant(name)),
            (Constants::None | Constants::Allowed, _) => None,
        };
        if let Some(parameter) = &parameter {
            check_parameter(function, parameter)?;
            arguments.pop();
        }
        let schema = input.schema();
        let behind_filter = |argument: Expr| match &filter {
            Some(filter) if is_fallible(&argument, &schema) => {
                let when = (Box::new(filter.clone()), Box::new(argument));
                Expr::Case(Case::new(None, vec![when], None))
            }
            _ => argument,
        };
        let mut place = |expr: Expr| computed.place(behind_filter(expr));
        let arguments: Vec<usize> = arguments.into_iter().map(&mut place).collect();
        let mut order_by = Vec::new();
        for (i, expr) in self.order_keys(params, plan, input)?.into_iter().enumerate() {
            let sort = &params.order_by[i];
            let column = match function.order() {
                Order::Indifferent => continue,
                Order::WithinGroup => arguments[0],
                Order::Free => place(expr),
            };
            let (descending, nulls_first) = (!sort.asc, sort.nulls_first);
            order_by.push(SortKey { column, descending, nulls_first });
        }
        let filter = filter.map(|filter| computed.place(filter));
        // An extremum is that of the distinct values too.
        let distinct = params.distinct && function.class() != Class::Extremum;
        let parameters = parameter.into_iter().collect();
        Ok(AggregateCall { function, arguments, parameters, distinct, order_by, filter })
    }

    fn order_keys(
        &self,
        params: &AggregateFunctionParams,
        plan: &datafusion::common::DFSchema,
        input: &Rel,
    ) -> Result<Vec<Expr>, SqlError> {
        let exprs: Vec<Expr> = params.order_by.iter().map(|sort| sort.expr.clone()).collect();
        self.exprs(&exprs, plan, input)
    }
}

/// The keys of each set, as places among all keys.
fn sets_of(sets: &GroupingSet, keys: &[&Expr]) -> Vec<Vec<usize>> {
    let places = |exprs: &[Expr]| -> Vec<usize> {
        (0..keys.len()).filter(|&place| exprs.contains(keys[place])).collect()
    };
    match sets {
        GroupingSet::Rollup(exprs) => {
            (0..=exprs.len()).rev().map(|length| places(&exprs[..length])).collect()
        }
        GroupingSet::Cube(exprs) => (0..1u64 << exprs.len())
            .map(|left_out| {
                let kept = exprs.iter().enumerate();
                let kept = kept.filter(|(i, _)| left_out >> i & 1 == 0);
                places(&kept.map(|(_, expr)| expr.clone()).collect::<Vec<_>>())
            })
            .collect(),
        GroupingSet::GroupingSets(sets) => sets.iter().map(|set| places(set)).collect(),
    }
}

/// DataFusion's number of a set: a bit for each key, set where the set lacks it, the last key
/// lowest, and above them how many sets like it came before.
fn number_of(set: &[usize], keys: usize, before: &mut Vec<u64>) -> u64 {
    let bits = (0..keys).fold(0, |bits, place| bits << 1 | u64::from(!set.contains(&place)));
    let alike = before.iter().filter(|other| **other == bits).count() as u64;
    before.push(bits);
    alike << keys | bits
}

impl Resolved {
    /// The rows of one grouping set, with the columns of all.
    fn grouping(&self, set: &[usize], number: u64, declared: &Schema) -> Result<Rel, SqlError> {
        let keys: Vec<usize> = set.iter().map(|&place| self.keys[place]).collect();
        let own = keys.iter().map(|_| "key".to_owned());
        let functions = self.calls.iter().map(|call| call.function.name().to_owned());
        let names = own.chain(functions).collect();
        let rel = grouped(self.input.clone(), keys, self.calls.clone(), names)?;
        let key = |place: usize| match set.iter().position(|&own| own == place) {
            Some(at) => Ok(column(at)),
            None => {
                let null = ScalarValue::try_from(declared.field(place).data_type())?;
                Ok(Expr::Literal(null, None))
            }
        };
        let mut exprs = (0..self.keys.len()).map(key).collect::<Result<Vec<_>, SqlError>>()?;
        let ty = declared.field(self.keys.len()).data_type();
        let number = ScalarValue::UInt64(Some(number)).cast_to(ty)?;
        exprs.push(Expr::Literal(number, None));
        exprs.extend((0..self.calls.len()).map(|call| column(set.len() + call)));
        let names = declared.fields().iter().map(|field| field.name().clone()).collect();
        rel.project(exprs, names)
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
        call.return_type(&own).ok_or_else(|| {
            let types = call.arguments.iter().map(|&i| own.field(i).data_type().to_string());
            let types: Vec<String> = types.collect();
            let (name, types) = (call.function.name(), types.join(", "));
            let message = format!("function {name}({types}) does not exist");
            SqlError::new(state::UNDEFINED_FUNCTION, message)
        })
    });
    let types = key_types.chain(call_types).collect::<Result<Vec<_>, SqlError>>()?;
    let fields = names.into_iter().zip(types).map(|(name, ty)| Field::new(name, ty, true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    Ok(Rel::Aggregate(Aggregate { input: Box::new(input), keys, calls, schema }))
}
