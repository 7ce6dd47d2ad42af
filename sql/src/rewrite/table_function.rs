//! Functions that give rows, in FROM: a derived table that takes their arrays apart.
//!
//! Law: an argument may refer to what stands before it in FROM; NULL arrays have no rows; WITH
//! ORDINALITY numbers the rows of each call. A result column with a name of its own keeps it,
//! others are called like the alias or the function.

use sqlparser::ast::{
    self, BinaryOperator, DataType, Expr, FunctionArg, FunctionArgExpr, Ident, SelectItem, SetExpr,
    TableAlias, TableFactor,
};

use super::ast::{binary, call, cast, cast_to, empty_query, number};
use crate::error::SqlError;
use crate::parse::fold;
use crate::time_travel;

/// `FROM f(…)`: a set-returning function as a derived table, so that its arguments may refer
/// outwards.
pub fn table_function(factor: &mut TableFactor) -> Result<(), SqlError> {
    if time_travel::log_of(factor).is_some() {
        return Ok(());
    }
    if let TableFactor::UNNEST { array_exprs, alias, with_offset: false, with_ordinality, .. } =
        factor
    {
        let (args, ordinality) = (std::mem::take(array_exprs), *with_ordinality);
        *factor = derived_function("unnest", args, alias.take(), Some(ordinality));
        return Ok(());
    }
    let (name, args, alias, ordinality) = match factor {
        TableFactor::Table { name, args: Some(args), alias, with_ordinality, .. } => {
            (name, &mut args.args, alias, *with_ordinality)
        }
        TableFactor::Function { name, args, alias, with_ordinality, .. } => {
            (name, args, alias, *with_ordinality)
        }
        _ => return Ok(()),
    };
    let function = name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default();
    let args = unnamed(std::mem::take(args))?;
    *factor = match function.as_str() {
        "unnest" => derived_function("unnest", args, alias.take(), Some(ordinality)),
        "generate_subscripts" => {
            let array = vec![subscripts(args)?];
            derived_function(&function, array, alias.take(), Some(ordinality))
        }
        "jsonb_each" | "json_each" => each(args, "jsonb_each_values", alias.take(), ordinality),
        "jsonb_each_text" | "json_each_text" => {
            each(args, "jsonb_each_values_text", alias.take(), ordinality)
        }
        "jsonb_to_record" | "json_to_record" => record(args, alias.take(), ordinality)?,
        "jsonb_to_recordset" | "json_to_recordset" => records(args, alias.take(), ordinality)?,
        name => match SERIES.iter().find(|(series, _)| *series == name) {
            Some((_, array)) => {
                let column = if array.starts_with("jsonb_elements") { "value" } else { name };
                let array = vec![call(array, args)];
                let alias = named_column(alias.take(), name, column);
                derived_function(column, array, alias, Some(ordinality))
            }
            None if ordinality => {
                let message = format!("WITH ORDINALITY of {name} is not supported");
                return Err(SqlError::unsupported(message));
            }
            None => derived_function(name, vec![call(name, args)], alias.take(), None),
        },
    };
    Ok(())
}

/// The names of the columns that a function in FROM gives, if its name says them.
pub fn column_names(factor: &TableFactor) -> Option<Vec<String>> {
    let mut factor = factor.clone();
    table_function(&mut factor).ok()?;
    let TableFactor::Derived { subquery, alias, .. } = &factor else { return None };
    let SetExpr::Select(select) = subquery.body.as_ref() else { return None };
    let given = alias.iter().flat_map(|alias| &alias.columns).map(|column| fold(&column.name));
    let mut names: Vec<String> = given.collect();
    for item in select.projection.iter().skip(names.len()) {
        let SelectItem::ExprWithAlias { alias, .. } = item else { return None };
        names.push(fold(alias));
    }
    Some(names)
}

/// Functions that give rows, and those that give them as an array.
pub const SERIES: [(&str, &str); 11] = [
    ("_pg_expandarray", "expand_array"),
    ("generate_series", "generate_series"),
    ("jsonb_array_elements", "jsonb_elements"),
    ("jsonb_array_elements_text", "jsonb_elements_text"),
    ("jsonb_object_keys", "jsonb_keys"),
    ("json_array_elements", "jsonb_elements"),
    ("json_array_elements_text", "jsonb_elements_text"),
    ("json_object_keys", "jsonb_keys"),
    ("regexp_matches", "regexp_matches_array"),
    ("regexp_split_to_table", "regexp_split_to_array"),
    ("string_to_table", "string_to_array"),
];

/// `jsonb_each`: keys beside values.
fn each(args: Vec<Expr>, values: &str, alias: Option<TableAlias>, ordinality: bool) -> TableFactor {
    let arrays = vec![call("jsonb_each_keys", args.clone()), call(values, args)];
    let name = Ident::with_quote('"', "jsonb_each");
    let alias = alias.or(Some(TableAlias { explicit: true, name, columns: vec![], at: None }));
    let mut factor = derived_function("key", arrays, alias, Some(ordinality));
    if let TableFactor::Derived { subquery, .. } = &mut factor
        && let SetExpr::Select(select) = subquery.body.as_mut()
        && let Some(SelectItem::ExprWithAlias { alias, .. }) = select.projection.get_mut(1)
    {
        *alias = Ident::with_quote('"', "value");
    }
    factor
}

/// `jsonb_to_record(x) AS r(a integer, …)`: the members of an object as columns.
fn record(
    args: Vec<Expr>,
    alias: Option<TableAlias>,
    ordinality: bool,
) -> Result<TableFactor, SqlError> {
    let object = only(args)?;
    let mut alias = defined(alias)?;
    let mut members = members(&object, &mut alias)?;
    if ordinality {
        members.push(cast_to(number(1), DataType::BigInt(None)));
    }
    let mut subquery = empty_query();
    if let SetExpr::Select(select) = subquery.body.as_mut() {
        select.projection = members.into_iter().map(SelectItem::UnnamedExpr).collect();
        super::names::name_items(&mut select.projection, false);
    }
    Ok(TableFactor::Derived { lateral: true, subquery, alias: Some(alias), sample: None })
}

/// `jsonb_to_recordset(x) AS r(a integer, …)`: the same of each object of an array.
fn records(
    args: Vec<Expr>,
    alias: Option<TableAlias>,
    ordinality: bool,
) -> Result<TableFactor, SqlError> {
    let array = vec![call("jsonb_elements", vec![only(args)?])];
    let mut alias = defined(alias)?;
    let ident = |name: &str| Ident::with_quote('"', name);
    let column = |name| ast::TableAliasColumnDef { name, data_type: None };
    let mut columns = vec![column(ident("value"))];
    columns.extend(ordinality.then(|| column(ident("ordinality"))));
    let elements = TableAlias { explicit: true, name: ident("elements"), columns, at: None };
    let elements = derived_function("value", array, Some(elements), Some(ordinality));
    let mut members = members(&Expr::Identifier(ident("value")), &mut alias)?;
    members.extend(ordinality.then(|| Expr::Identifier(ident("ordinality"))));
    let mut subquery = empty_query();
    if let SetExpr::Select(select) = subquery.body.as_mut() {
        select.projection = members.into_iter().map(SelectItem::UnnamedExpr).collect();
        super::names::name_items(&mut select.projection, false);
        select.from = vec![ast::TableWithJoins { relation: elements, joins: vec![] }];
    }
    Ok(TableFactor::Derived { lateral: true, subquery, alias: Some(alias), sample: None })
}

fn only(mut args: Vec<Expr>) -> Result<Expr, SqlError> {
    match args.len() {
        1 => Ok(cast_to(args.remove(0), DataType::JSONB)),
        _ => Err(SqlError::syntax("a record is made of one argument")),
    }
}

/// The alias of a record, which says what its columns are.
fn defined(alias: Option<TableAlias>) -> Result<TableAlias, SqlError> {
    let typed = |alias: &TableAlias| {
        !alias.columns.is_empty() && alias.columns.iter().all(|column| column.data_type.is_some())
    };
    alias.filter(typed).ok_or_else(|| {
        let message = "a column definition list is required for functions returning \"record\"";
        SqlError::syntax(message)
    })
}

/// The members of an object as an alias defines them, which keeps their names alone.
fn members(object: &Expr, alias: &mut TableAlias) -> Result<Vec<Expr>, SqlError> {
    let member = |column: &mut ast::TableAliasColumnDef| {
        let name = Expr::value(ast::Value::SingleQuotedString(fold(&column.name)));
        let of_object = |op| binary(object.clone(), op, name.clone());
        let ty = column.data_type.take().unwrap_or(DataType::Text);
        let value = match &ty {
            DataType::JSON | DataType::JSONB => return Ok(of_object(BinaryOperator::Arrow)),
            DataType::Array(_) => {
                call("jsonb_elements_text", vec![of_object(BinaryOperator::Arrow)])
            }
            _ => of_object(BinaryOperator::LongArrow),
        };
        let mut value = cast_to(value, ty);
        cast(&mut value)?;
        Ok(value)
    };
    alias.columns.iter_mut().map(member).collect()
}

/// The alias of a function whose result column has a name of its own, which an alias of the table
/// does not change.
fn named_column(alias: Option<TableAlias>, function: &str, column: &str) -> Option<TableAlias> {
    if column == function {
        return alias;
    }
    let name = || Ident::with_quote('"', function);
    let mut alias = alias.unwrap_or_else(|| TableAlias {
        explicit: true,
        name: name(),
        columns: vec![],
        at: None,
    });
    if alias.columns.is_empty() {
        let name = Ident::with_quote('"', column);
        alias.columns.push(ast::TableAliasColumnDef { name, data_type: None });
    }
    Some(alias)
}

pub fn unnamed(args: Vec<FunctionArg>) -> Result<Vec<Expr>, SqlError> {
    args.into_iter()
        .map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
            _ => Err(SqlError::unsupported("named arguments are not supported")),
        })
        .collect()
}

/// `(SELECT unnest(a) AS f, …) AS alias`, perhaps with the elements' places beside them; of a
/// function of one row `args` is its call: `(SELECT f(a) AS f) AS alias`.
pub fn derived_function(
    function: &str,
    args: Vec<Expr>,
    alias: Option<TableAlias>,
    set_with_ordinality: Option<bool>,
) -> TableFactor {
    let mut alias = alias.unwrap_or_else(|| TableAlias {
        explicit: true,
        name: Ident::with_quote('"', function),
        columns: vec![],
        at: None,
    });
    let places = (set_with_ordinality == Some(true)).then(|| places(&args));
    let calls: Vec<Expr> = match set_with_ordinality {
        Some(_) => args.into_iter().map(unnest).collect(),
        None => args,
    };
    if alias.columns.is_empty() && calls.len() == 1 && places.is_none() {
        // A scalar function's column is called like the alias.
        alias.columns.push(ast::TableAliasColumnDef { name: alias.name.clone(), data_type: None });
    }
    let projection: Vec<SelectItem> = calls
        .into_iter()
        .enumerate()
        .map(|(n, expr)| {
            let name = if n == 0 { function.to_string() } else { format!("{function}{n}") };
            SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) }
        })
        .chain(places.map(|expr| SelectItem::ExprWithAlias {
            expr,
            alias: Ident::with_quote('"', "ordinality"),
        }))
        .collect();
    let mut subquery = empty_query();
    if let SetExpr::Select(select) = subquery.body.as_mut() {
        select.projection = projection;
    }
    TableFactor::Derived { lateral: true, subquery, alias: Some(alias), sample: None }
}

/// The places of the elements of the longest array, as rows.
fn places(arrays: &[Expr]) -> Expr {
    let lengths = arrays.iter().map(|array| call("cardinality", vec![array.clone()]));
    let longest = call("greatest", lengths.collect());
    let one = || cast_to(number(1), DataType::BigInt(None));
    unnest(call("generate_series", vec![one(), cast_to(longest, DataType::BigInt(None))]))
}

/// The elements of an array as rows: none of a NULL array, where DataFusion would make a row of
/// NULL.
pub fn unnest(array: Expr) -> Expr {
    call("unnest", vec![call("array_or_empty", vec![array])])
}

/// The subscripts of an array, as an array.
pub fn subscripts(args: Vec<Expr>) -> Result<Expr, SqlError> {
    if args.len() != 2 {
        return Err(SqlError::unsupported("generate_subscripts takes an array and a dimension"));
    }
    let length = call("array_length", args);
    Ok(call("generate_series", vec![cast_to(number(1), DataType::Int4(None)), length]))
}
