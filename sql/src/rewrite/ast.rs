//! Spellings of PostgreSQL's that `SqlToRel` does not know, in terms of those it does.
//!
//! Law: the tree means the same before and after; what has no equivalent is refused with 0A000,
//! never dropped.

use std::ops::ControlFlow;

use sqlparser::ast::{
    self, AccessExpr, BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName, ObjectNamePart,
    Query, Select, SelectItem, SetExpr, TableAlias, TableFactor, Value, VisitMut, VisitorMut,
};
use sqlparser::parser::Parser;
use tidemark_catalog::PgType;

use super::operators::{like_each, named_operator, quantified};
use super::rows::{self, compare_rows, rows_in_list};
use super::table_function::{SERIES, subscripts, table_function, unnamed, unnest};
use super::{
    argument, arrived_at, as_of, bpchar, distinct_on, from, grouping, hypothetical,
    interval_literal, literal, misplaced, named_arguments, point_in_time, ties, time_window, using,
    values, version_clause, windows,
};
use crate::error::{SqlError, state};
use crate::function::like_escape;
use crate::parse::fold;
use crate::parse::position::of_span;
use crate::time_travel;

/// Rewrites a query in place.
pub fn rewrite<T: VisitMut>(tree: &mut T) -> Result<(), SqlError> {
    match tree.visit(&mut Rewriter) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        if let SetExpr::Values(values) = query.body.as_ref() {
            done(misplaced::refuse(&values.rows, "VALUES"))?;
        }
        let windows = windows::resolve(query);
        values::without_subqueries(&mut query.body);
        let distinct = windows.and_then(|()| distinct_on::spell(query));
        done(distinct.and_then(|()| query_clauses(query)))
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        literal::unwrap_query(query);
        values::align(&mut query.body);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        done(rows::in_where(select).and_then(|()| grouping::multiply_out(select)))?;
        done(select.from.iter_mut().try_for_each(|tables| {
            version_clause::mark(tables)?;
            point_in_time::refuse_first(tables)?;
            point_in_time::spell(tables)
        }))
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        literal::unwrap_select(select);
        using::qualify(select);
        done(arrived_at::hide(select))?;
        let joins = select.from.iter_mut().try_for_each(as_of::spell);
        done(joins.and_then(|()| from::check(select)).and_then(|()| select_clauses(select)))
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
            let marked = version_clause::mark(table_with_joins);
            return done(marked.and_then(|()| point_in_time::spell(table_with_joins)));
        }
        time_travel::spell(factor);
        done(time_window::expand(factor))
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
            return done(as_of::spell(table_with_joins));
        }
        done(table_function(factor))
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        done(expression(expr))
    }
}

fn done(result: Result<(), SqlError>) -> ControlFlow<SqlError> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

fn query_clauses(query: &mut Query) -> Result<(), SqlError> {
    if let Some(fetch) = query.fetch.take() {
        if fetch.percent {
            return Err(SqlError::unsupported("FETCH … PERCENT is not supported"));
        }
        let rows = fetch.quantity.unwrap_or_else(|| number(1));
        let limit = match fetch.with_ties {
            true => call(ties::NAME, vec![rows]),
            false => rows,
        };
        let offset = match query.limit_clause.take() {
            Some(ast::LimitClause::LimitOffset { offset, .. }) => offset,
            _ => None,
        };
        let clause = ast::LimitClause::LimitOffset { limit: Some(limit), offset, limit_by: vec![] };
        query.limit_clause = Some(clause);
    }
    // Whoever runs the statement has locked what FOR UPDATE names; to read it means nothing.
    query.locks.clear();
    set_operands(&mut query.body)
}

/// `TABLE t` as a SELECT; statements that change data are refused.
fn set_operands(body: &mut SetExpr) -> Result<(), SqlError> {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            set_operands(left)?;
            set_operands(right)
        }
        SetExpr::Table(table) => {
            let quoted = |name: &String| ObjectNamePart::Identifier(Ident::new(name.clone()));
            let name: Vec<_> =
                table.schema_name.iter().chain(&table.table_name).map(quoted).collect();
            let text = format!("SELECT * FROM {}", ObjectName(name));
            *body = parse_query(&text)?;
            Ok(())
        }
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
            Err(SqlError::unsupported("data-modifying statements in WITH are not supported"))
        }
        _ => Ok(()),
    }
}

fn parse_query(text: &str) -> Result<SetExpr, SqlError> {
    let dialect = sqlparser::dialect::PostgreSqlDialect {};
    let query = Parser::new(&dialect).try_with_sql(text).and_then(|mut p| p.parse_query());
    query.map(|query| *query.body).map_err(|error| SqlError::internal(error.to_string()))
}

fn select_clauses(select: &mut Select) -> Result<(), SqlError> {
    rows::refuse_counted(select)?;
    if let Some(having) = &mut select.having
        && matches!(&select.group_by, ast::GroupByExpr::Expressions(keys, _) if keys.is_empty())
    {
        // One group, also where nothing else says so.
        let all = call("count", vec![number(1)]);
        let one = binary(all, BinaryOperator::GtEq, number(0));
        *having = binary(Expr::Nested(Box::new(take(having))), BinaryOperator::And, one);
    }
    if select.into.is_some() {
        return Err(SqlError::unsupported("SELECT INTO is not supported")
            .with_hint("use CREATE TABLE … AS"));
    }
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            print_reg(expr);
        }
    }
    Ok(())
}

/// `SELECT` with nothing in it, to be filled.
pub fn empty_query() -> Box<Query> {
    let dialect = sqlparser::dialect::PostgreSqlDialect {};
    let mut query = Parser::new(&dialect)
        .try_with_sql("SELECT 1")
        .and_then(|mut parser| parser.parse_query())
        .expect("this text is a query");
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection.clear();
    }
    query
}

fn expression(expr: &mut Expr) -> Result<(), SqlError> {
    match expr {
        Expr::BinaryOp { left, op, right } => {
            if let BinaryOperator::PGCustomBinaryOperator(parts) = op {
                *op = named_operator(parts)?;
            }
            if let (Some(left), Some(right)) = (rows::fields(left), rows::fields(right)) {
                *expr = match op {
                    BinaryOperator::Overlaps => rows::overlaps(left, right)?,
                    op => compare_rows(left, op, right)?,
                };
            }
            Ok(())
        }
        Expr::InList { expr: left, list, negated } if let Some(row) = rows::fields(left) => {
            *expr = rows_in_list(&row, std::mem::take(list), *negated)?;
            Ok(())
        }
        Expr::IsNull(row) | Expr::IsNotNull(row) if let Some(fields) = rows::fields(row) => {
            *expr = rows::all_null(fields, matches!(expr, Expr::IsNull(_)));
            Ok(())
        }
        Expr::Case { .. } => misplaced::refuse_rows(expr, "CASE"),
        Expr::Collate { .. } => collate(expr),
        Expr::Cast { .. } => cast(expr),
        Expr::TypedString(typed) => {
            let value = Expr::Value(typed.value.clone());
            let data_type = typed.data_type.clone();
            *expr = cast_to(value, data_type);
            cast(expr)
        }
        Expr::Interval(interval) => {
            *expr = interval_literal::read(interval)?;
            Ok(())
        }
        Expr::AtTimeZone { timestamp, time_zone } => {
            if quoted(timestamp) {
                let zone = ast::TimezoneInfo::WithTimeZone;
                **timestamp = cast_to(take(timestamp), DataType::Timestamp(None, zone));
            }
            *expr = call("timezone", vec![take(time_zone), take(timestamp)]);
            Ok(())
        }
        Expr::Array(array) => {
            if array.elem.iter().any(is_array) {
                let message = "multidimensional arrays are not supported";
                return Err(SqlError::unsupported(message));
            }
            *expr = call("make_array", std::mem::take(&mut array.elem));
            Ok(())
        }
        Expr::InSubquery { .. } | Expr::AnyOp { .. } | Expr::AllOp { .. } => {
            match rows::compare_with_subquery(expr)? {
                true => Ok(()),
                false => quantified(expr),
            }
        }
        Expr::Like { negated, expr: left, pattern, any, escape_char: None }
            if *any || is_call(pattern, "all") =>
        {
            *expr = like_each(take(left), take(pattern), *any, *negated);
            Ok(())
        }
        Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
            escape_by_backslash(pattern, escape_char)
        }
        Expr::CompoundFieldAccess { root, access_chain }
            if access_chain
                .iter()
                .all(|access| matches!(access, AccessExpr::Dot(Expr::Identifier(_)))) =>
        {
            *expr = field_of(root, access_chain);
            Ok(())
        }
        Expr::CompoundFieldAccess { root, access_chain } => {
            if let Some(slice) = slice_of(root, access_chain) {
                *expr = slice;
            }
            Ok(())
        }
        Expr::SimilarTo { negated, expr: left, pattern, escape_char: None } => {
            let similar = call("similar_to", vec![take(left), take(pattern)]);
            *expr = if *negated { not(similar) } else { similar };
            Ok(())
        }
        Expr::UnaryOp { op, expr: operand } => {
            if let Some(name) = prefix_function(op) {
                *expr = call(name, vec![take(operand)]);
            }
            Ok(())
        }
        Expr::Function(call) if !call.within_group.is_empty() && hypothetical::is(call) => {
            *expr = hypothetical::counted(call)?;
            Ok(())
        }
        Expr::Function(_) => {
            if is_call(expr, "coalesce") {
                misplaced::refuse_rows(expr, "COALESCE")?;
            }
            function(expr)
        }
        Expr::Identifier(name) if name.quote_style.is_none() && fold(name) == "current_schema" => {
            *expr = call("current_schema", vec![]);
            Ok(())
        }
        Expr::Value(_) => {
            literal::wrap(expr);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Text compares by bytes, which some collations mean.
/// `root[from:to]`.
fn slice_of(root: &mut Expr, access_chain: &mut [AccessExpr]) -> Option<Expr> {
    let [AccessExpr::Subscript(ast::Subscript::Slice { lower_bound, upper_bound, stride: None })] =
        access_chain
    else {
        return None;
    };
    let from = lower_bound.take().unwrap_or_else(|| number(1));
    let to = upper_bound.take().unwrap_or_else(|| number(i32::MAX.into()));
    Some(call("array_between", vec![take(root), from, to]))
}

fn collate(expr: &mut Expr) -> Result<(), SqlError> {
    let Expr::Collate { expr: inner, collation } = expr else { return Ok(()) };
    let name = collation.0.last().and_then(|part| part.as_ident());
    let name = name.map(fold).unwrap_or_default();
    if !matches!(name.as_str(), "default" | "C" | "POSIX" | "ucs_basic") {
        let message = format!("collation {collation} is not supported: text compares by bytes");
        return Err(SqlError::unsupported(message));
    }
    *expr = take(inner);
    Ok(())
}

fn quoted(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)))
}

/// Whether an expression is a call of a function, by its plain name.
fn is_call(expr: &Expr, name: &str) -> bool {
    match expr {
        Expr::Function(function) => {
            function.name.0.last().and_then(|part| part.as_ident()).map(fold).as_deref()
                == Some(name)
        }
        _ => false,
    }
}

fn is_array(expr: &Expr) -> bool {
    is_call(expr, "make_array")
}

/// The function behind a prefix operator that `SqlToRel` does not know.
fn prefix_function(op: &ast::UnaryOperator) -> Option<&'static str> {
    match op {
        ast::UnaryOperator::PGSquareRoot => Some("sqrt"),
        ast::UnaryOperator::PGCubeRoot => Some("cbrt"),
        ast::UnaryOperator::PGAbs => Some("abs"),
        ast::UnaryOperator::BitwiseNot => Some("bit_not"),
        _ => None,
    }
}

/// A pattern with another escape character than the backslash, which alone the kernels know.
fn escape_by_backslash(
    pattern: &mut Expr,
    escape: &mut Option<ast::ValueWithSpan>,
) -> Result<(), SqlError> {
    let Some(character) = escape.take() else { return Ok(()) };
    let literal = match pattern {
        Expr::Value(value) => Some(&mut value.value),
        _ => None,
    };
    match (literal, &character.value) {
        (_, Value::SingleQuotedString(character)) if character == "\\" => {}
        (Some(Value::SingleQuotedString(text)), Value::SingleQuotedString(character)) => {
            *text = like_escape(text, character)?;
        }
        _ => {
            let escape = Expr::value(character.value);
            *pattern = call("like_escape", vec![take(pattern), escape]);
        }
    }
    Ok(())
}

/// `(value).field`, a field of a composite value.
fn field_of(root: &mut Expr, chain: &[AccessExpr]) -> Expr {
    let fields = chain.iter().filter_map(|access| match access {
        AccessExpr::Dot(Expr::Identifier(field)) => Some(fold(field)),
        _ => None,
    });
    fields.fold(take(root), |value, field| {
        call("get_field", vec![value, Expr::value(Value::SingleQuotedString(field))])
    })
}

/// Casts with a meaning beyond their Arrow type: reg* types, and lengths of text.
pub(super) fn cast(expr: &mut Expr) -> Result<(), SqlError> {
    let Expr::Cast { kind, expr: inner, data_type, .. } = expr else { return Ok(()) };
    if !matches!(kind, CastKind::Cast | CastKind::DoubleColon) {
        return Err(SqlError::unsupported("TRY_CAST is not supported"));
    }
    if let DataType::Interval { .. } = data_type
        && let Some(cut) = interval_literal::cut(inner, data_type)
    {
        *expr = cut;
        return Ok(());
    }
    let argument = argument::sql_name(data_type).map(str::to_owned);
    let (ty, typmod) = PgType::parse(&argument.unwrap_or_else(|| data_type.to_string()))
        .map_err(|error| SqlError::new(error.sqlstate(), error.to_string()))?;
    if let Some(reg) = ty.element().and_then(reg_name)
        && let Some(names) = array_literal(inner)
    {
        let oid = |name: String| {
            call(&format!("to_{reg}_oid"), vec![Expr::value(Value::SingleQuotedString(name))])
        };
        *expr = call("make_array", names.into_iter().map(oid).collect());
        return Ok(());
    }
    if let Some(reg) = reg_name(ty) {
        let argument = take(inner);
        *expr = call(&format!("to_{reg}_oid"), vec![argument]);
        return Ok(());
    }
    if matches!(ty, PgType::Text | PgType::Varchar | PgType::Name) {
        print_reg(inner);
    }
    match ty {
        PgType::Varchar if typmod > 4 => {
            let text = cast_to(take(inner), DataType::Text);
            *expr = call(bpchar::CUT, vec![text, number(i64::from(typmod - 4))]);
        }
        PgType::Bpchar if typmod > 4 => {
            let n = number(i64::from(typmod - 4));
            let text = cast_to(take(inner), DataType::Text);
            *expr = call(bpchar::CAST, vec![text, n]);
        }
        _ => {}
    }
    Ok(())
}

/// The elements of `'{a,b}'`, if it is a flat list of plain words.
fn array_literal(expr: &Expr) -> Option<Vec<String>> {
    let Expr::Value(value) = expr else { return None };
    let Value::SingleQuotedString(text) = &value.value else { return None };
    let list = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    if list.contains(['{', '\\']) {
        return None;
    }
    Some(list.split(',').map(|word| word.trim().trim_matches('"').to_string()).collect())
}

/// The reg* types, whose values are oids that are read and printed as names.
fn reg_name(ty: PgType) -> Option<&'static str> {
    match ty {
        PgType::Regclass => Some("regclass"),
        PgType::Regtype => Some("regtype"),
        PgType::Regproc | PgType::Regprocedure => Some("regproc"),
        PgType::Regnamespace => Some("regnamespace"),
        PgType::Regrole => Some("regrole"),
        _ => None,
    }
}

/// A reg* value that is shown, or cast to text, is shown by name.
fn print_reg(expr: &mut Expr) {
    let Expr::Function(function) = expr else { return };
    let Some(name) = function.name.0.last().and_then(|part| part.as_ident()) else { return };
    if let Some(reg) = name.value.strip_prefix("to_").and_then(|name| name.strip_suffix("_oid"))
        && reg.starts_with("reg")
    {
        let out = format!("{reg}_out");
        let inner = take(expr);
        *expr = call(&out, vec![inner]);
    }
}

/// Calls: schema prefixes, the SQL-standard spellings of now(), ARRAY(SELECT …).
fn function(expr: &mut Expr) -> Result<(), SqlError> {
    let Expr::Function(function) = expr else { return Ok(()) };
    if let Some(ast::WindowType::WindowSpec(spec)) = &mut function.over {
        literal::unwrap_window(spec);
    }
    let parts: Vec<&Ident> = function.name.0.iter().filter_map(|part| part.as_ident()).collect();
    let Some(last) = parts.last() else { return Ok(()) };
    let (name, position) = (fold(last), of_span(last.span));
    if let [.., schema, _] = parts.as_slice() {
        let schema = fold(schema);
        if schema != "pg_catalog" && schema != "information_schema" && schema != "tidemark" {
            let message = format!("function {} does not exist", function.name);
            return Err(SqlError::new(state::UNDEFINED_FUNCTION, message).at(position));
        }
        function.name = ObjectName(vec![ObjectNamePart::Identifier((*last).clone())]);
    }
    if function.filter.is_some()
        && function.over.is_none()
        && crate::function::scalar(&name).is_some()
    {
        let message = format!("FILTER specified, but {name} is not an aggregate function");
        return Err(SqlError::new(state::WRONG_OBJECT_TYPE, message).at(position));
    }
    if function.parameters != FunctionArguments::None {
        return Err(SqlError::unsupported(format!("parameters of {name} are not supported")));
    }
    if let FunctionArguments::Subquery(query) = &mut function.args {
        if name == "array" {
            let query = std::mem::replace(query, empty_query());
            *expr = array_of(query);
            return Ok(());
        }
        return Err(SqlError::syntax("a subquery as an argument needs its own parentheses"));
    }
    if let FunctionArguments::List(list) = &mut function.args {
        named_arguments::place(&name, &mut list.args).map_err(|error| error.at(position))?;
    }
    if name == "generate_subscripts"
        && let FunctionArguments::List(list) = &mut function.args
    {
        let args = unnamed(std::mem::take(&mut list.args))?;
        *expr = unnest(subscripts(args)?);
        return Ok(());
    }
    if let Some((_, array)) = SERIES.iter().find(|(series, _)| *series == name) {
        function.name = ObjectName(vec![ObjectNamePart::Identifier(Ident::new(*array))]);
        let array = take(expr);
        *expr = unnest(array);
        return Ok(());
    }
    if let Some(getter) = path_getter(&name)
        && let FunctionArguments::List(list) = &mut function.args
        && list.args.len() > 1
    {
        let mut args = unnamed(std::mem::take(&mut list.args))?;
        let keys = args.split_off(1).into_iter().map(|key| cast_to(key, DataType::Text));
        let path = call("make_array", keys.collect());
        *expr = call(getter, vec![args.remove(0), path]);
        return Ok(());
    }
    if let Some(ty) = type_function(&name)
        && let FunctionArguments::List(list) = &mut function.args
        && list.args.len() == 1
        && function.over.is_none()
    {
        let arg = unnamed(std::mem::take(&mut list.args))?.remove(0);
        *expr = cast_to(arg, ty);
        return Ok(());
    }
    if name == "unnest"
        && let FunctionArguments::List(list) = &mut function.args
        && list.args.len() == 1
    {
        let arg = unnamed(std::mem::take(&mut list.args))?.remove(0);
        *expr = unnest(arg);
        return Ok(());
    }
    let as_type = |ty: DataType| cast_to(call("now", vec![]), ty);
    let zone = ast::TimezoneInfo::None;
    match name.as_str() {
        "current_timestamp" | "transaction_timestamp" | "statement_timestamp" => {
            *expr = call("now", vec![]);
        }
        "current_date" => *expr = as_type(DataType::Date),
        "age" => {
            if let FunctionArguments::List(list) = &mut function.args
                && let [argument] = list.args.as_slice()
            {
                let today = FunctionArgExpr::Expr(as_type(DataType::Date));
                list.args = vec![FunctionArg::Unnamed(today), argument.clone()];
            }
        }
        "localtimestamp" => *expr = as_type(DataType::Timestamp(None, zone)),
        "localtime" => *expr = as_type(DataType::Time(None, zone)),
        "current_time" => {
            return Err(SqlError::unsupported("time with time zone is not supported"));
        }
        _ => {}
    }
    Ok(())
}

/// What takes a path of keys as an array, of the functions that take it as arguments.
fn path_getter(name: &str) -> Option<&'static str> {
    match name {
        "jsonb_extract_path" | "json_extract_path" => Some("jsonb_get_path"),
        "jsonb_extract_path_text" | "json_extract_path_text" => Some("jsonb_get_path_text"),
        _ => None,
    }
}

/// The type whose name a function has: a call of it is a cast.
fn type_function(name: &str) -> Option<DataType> {
    Some(match name {
        "int2" => DataType::Int2(None),
        "int4" => DataType::Int4(None),
        "int8" => DataType::Int8(None),
        "float4" => DataType::Float4,
        "float8" => DataType::Float8,
        "numeric" => DataType::Numeric(ast::ExactNumberInfo::None),
        "text" => DataType::Text,
        "bool" => DataType::Bool,
        "date" => DataType::Date,
        "timestamptz" => DataType::Timestamp(None, ast::TimezoneInfo::WithTimeZone),
        _ => return None,
    })
}

/// `ARRAY(SELECT x …)` as an aggregate over the query; an empty array for no rows.
fn array_of(mut query: Box<Query>) -> Expr {
    let column = Ident::with_quote('"', "value");
    let order = order_of_elements(&mut query, &column);
    let keys = order.iter().filter_map(|item| match &item.expr {
        Expr::Identifier(ident) if *ident != column => Some(ident),
        _ => None,
    });
    let columns = std::iter::once(&column).chain(keys);
    let columns = columns
        .map(|name| ast::TableAliasColumnDef { name: name.clone(), data_type: None })
        .collect();
    let alias =
        TableAlias { explicit: true, name: Ident::with_quote('"', "array"), columns, at: None };
    let from =
        TableFactor::Derived { lateral: false, subquery: query, alias: Some(alias), sample: None };
    let mut elements = call("array_agg", vec![Expr::Identifier(column)]);
    if let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = &mut elements
        && !order.is_empty()
    {
        list.clauses.push(ast::FunctionArgumentClause::OrderBy(order));
    }
    let item = call("array_or_empty", vec![elements]);
    let mut outer = empty_query();
    if let SetExpr::Select(select) = outer.body.as_mut() {
        let alias = Ident::with_quote('"', "array");
        select.projection = vec![SelectItem::ExprWithAlias { expr: item, alias }];
        select.from = vec![ast::TableWithJoins { relation: from, joins: vec![] }];
    }
    Expr::Subquery(outer)
}

/// Takes the ORDER BY out of the query of an array, which an aggregate over it would not keep, and
/// says it in terms of its columns: its one column, and further ones with what else it orders by.
fn order_of_elements(query: &mut Query, value: &Ident) -> Vec<ast::OrderByExpr> {
    let SetExpr::Select(select) = query.body.as_mut() else { return vec![] };
    let Some(ast::OrderBy { kind: ast::OrderByKind::Expressions(items), .. }) = &query.order_by
    else {
        return vec![];
    };
    let mut items = items.clone();
    let name = match select.projection.first() {
        Some(SelectItem::ExprWithAlias { alias, .. }) => Some(fold(alias)),
        Some(SelectItem::UnnamedExpr(expr)) => Some(super::names::column_name(expr)),
        _ => return vec![],
    };
    let distinct = select.distinct.is_some();
    for (n, item) in items.iter_mut().enumerate() {
        let is_value = match &item.expr {
            Expr::Value(_) => true, // an ordinal
            Expr::Identifier(ident) => Some(fold(ident)) == name,
            _ => distinct,
        };
        let key = if is_value { value.clone() } else { Ident::with_quote('"', format!("key{n}")) };
        let expr = std::mem::replace(&mut item.expr, Expr::Identifier(key.clone()));
        if !is_value {
            select.projection.push(SelectItem::ExprWithAlias { expr, alias: key });
        }
    }
    if query.limit_clause.is_none() {
        query.order_by = None;
    }
    items
}

/// `name(arguments)`.
pub fn call(name: &str, args: Vec<Expr>) -> Expr {
    let args =
        args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new(name))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

/// `CAST(expr AS data_type)`.
pub fn cast_to(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

pub(super) fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

pub(super) fn not(expr: Expr) -> Expr {
    let expr = Box::new(Expr::Nested(Box::new(expr)));
    Expr::UnaryOp { op: ast::UnaryOperator::Not, expr }
}

pub(super) fn number(n: i64) -> Expr {
    Expr::value(Value::Number(n.to_string(), false))
}

pub(super) fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::value(Value::Null))
}
