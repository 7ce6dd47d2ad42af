//! A table's name where a value stands: its row as a composite value.
//!
//! Law: a name that no column in sight has, and a table in sight has, is that table's row; that of
//! a function which gives plain values is the value. A row that an outer join may pad is refused:
//! it is NULL there, and not a row of NULLs.

use std::cell::OnceCell;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident,
    JoinOperator, ObjectName, Query, Select, SelectItem, TableFactor, TableWithJoins, Value,
    VisitMut, VisitorMut,
};

use super::ast::call;
use super::scope::{Columns, Scope};
use super::table_function::column_names;
use super::using::relation;
use crate::error::SqlError;
use crate::parse::fold;

/// Spells whole rows out. `columns` gives the names of a query's columns.
pub fn spell(query: &mut Query, columns: Columns<'_>) -> Result<(), SqlError> {
    let scope = Scope::new(columns);
    match VisitMut::visit(query, &mut Speller { scope, tables: vec![] }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Speller<'a> {
    scope: Scope<'a>,
    /// The tables of the SELECTs around, outermost first.
    tables: Vec<Vec<Table>>,
}

/// A table in sight.
pub(super) struct Table {
    pub name: Ident,
    factor: TableFactor,
    /// An outer join may pad its rows.
    padded: bool,
    /// Once asked for; nothing where they are not known.
    columns: OnceCell<Option<Vec<String>>>,
}

impl Table {
    /// The names of its columns; nothing where they are not known.
    pub fn columns(&self, scope: &Scope<'_>) -> Option<&Vec<String>> {
        let named = || {
            // A function whose arguments name what stands before it has no plan alone.
            scope.columns_of(&self.factor).ok().or_else(|| column_names(&self.factor))
        };
        self.columns.get_or_init(named).as_ref()
    }
}

/// The tables of a FROM.
pub(super) fn tables_of(select: &Select) -> Vec<Table> {
    let mut tables = Vec::new();
    select.from.iter().for_each(|from| collect(from, false, &mut tables));
    tables
}

impl VisitorMut for Speller<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        self.scope.enter(query);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<SqlError> {
        self.scope.leave();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        self.tables.push(tables_of(select));
        if let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
            for key in keys {
                // A column of the list goes before the row of a table.
                if let Expr::Identifier(name) = &*key
                    && matches!(self.row(name), Ok(Some(Expr::Function(_))))
                {
                    of_list(key, &select.projection);
                }
            }
        }
        for item in &mut select.projection {
            // The column is called like the table, whatever its value becomes.
            if let SelectItem::UnnamedExpr(expr @ Expr::Identifier(_)) = item
                && let Expr::Identifier(name) = &*expr
                && self.table(name).is_some()
            {
                *item = SelectItem::ExprWithAlias { alias: name.clone(), expr: expr.clone() };
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &mut Select) -> ControlFlow<SqlError> {
        self.tables.pop();
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        let spelled = match expr {
            Expr::Identifier(name) => self.row(name),
            Expr::Function(function) if !counts_rows(function) => {
                self.arguments(&mut function.args).map(|()| None)
            }
            _ => return ControlFlow::Continue(()),
        };
        match spelled {
            Ok(Some(row)) => *expr = row,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

impl Speller<'_> {
    fn table(&self, name: &Ident) -> Option<&Table> {
        let called = |table: &&Table| fold(&table.name) == fold(name);
        self.tables.iter().rev().find_map(|tables| tables.iter().find(called))
    }

    /// The row that a name means, if it means one.
    fn row(&self, name: &Ident) -> Result<Option<Expr>, SqlError> {
        if self.table(name).is_none() {
            return Ok(None);
        }
        let column = fold(name);
        for tables in self.tables.iter().rev() {
            for table in tables {
                match self.columns(table) {
                    Some(columns) if !columns.contains(&column) => {}
                    // A column of that name, or columns that are not known.
                    _ => return Ok(None),
                }
            }
            if let Some(table) = tables.iter().find(|table| fold(&table.name) == column) {
                return self.spelled(table).map(Some);
            }
        }
        Ok(None)
    }

    fn columns<'t>(&self, table: &'t Table) -> Option<&'t Vec<String>> {
        table.columns(&self.scope)
    }

    fn spelled(&self, table: &Table) -> Result<Expr, SqlError> {
        let columns = self.columns(table).ok_or_else(|| {
            let message = format!("the whole row of \"{}\" is not known here", table.name);
            SqlError::unsupported(message).with_hint("Name its columns.")
        })?;
        let column = |name: &String| {
            let name = Ident::with_quote('"', name.as_str());
            Expr::CompoundIdentifier(vec![table.name.clone(), name])
        };
        if let ([value], true) = (columns.as_slice(), is_function(&table.factor)) {
            return Ok(column(value));
        }
        if table.padded {
            let message = format!("the whole row of \"{}\" over an outer join", table.name);
            return Err(
                SqlError::unsupported(message + " is not supported").with_hint("Name its columns.")
            );
        }
        let text = |name: &String| Expr::value(Value::SingleQuotedString(name.clone()));
        let fields = columns.iter().flat_map(|name| [text(name), column(name)]);
        Ok(call("named_struct", fields.collect()))
    }

    /// `f(t.*)`.
    fn arguments(&self, args: &mut FunctionArguments) -> Result<(), SqlError> {
        let FunctionArguments::List(list) = args else { return Ok(()) };
        for arg in &mut list.args {
            if let FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(name)) = arg
                && let Some(row) = last(name).and_then(|name| self.table(name))
            {
                *arg = FunctionArg::Unnamed(FunctionArgExpr::Expr(self.spelled(row)?));
            }
        }
        Ok(())
    }
}

/// A key that is the name of a column of the list, as that column's value.
fn of_list(key: &mut Expr, items: &[SelectItem]) {
    let Expr::Identifier(name) = key else { return };
    let called = items.iter().find_map(|item| match item {
        SelectItem::ExprWithAlias { expr, alias } if fold(alias) == fold(name) => Some(expr),
        _ => None,
    });
    *key = called.unwrap_or(key).clone();
}

/// Whether it is `count(t.*)`, which asks for no values.
fn counts_rows(function: &Function) -> bool {
    let distinct = match &function.args {
        FunctionArguments::List(list) => list.duplicate_treatment.is_some(),
        _ => false,
    };
    !distinct && function.name.to_string().eq_ignore_ascii_case("count")
}

fn last(name: &ObjectName) -> Option<&Ident> {
    name.0.last().and_then(|part| part.as_ident())
}

fn is_function(factor: &TableFactor) -> bool {
    matches!(
        factor,
        TableFactor::Table { args: Some(_), .. }
            | TableFactor::Function { .. }
            | TableFactor::UNNEST { .. }
    )
}

/// The tables of one item of FROM.
fn collect(from: &TableWithJoins, padded: bool, tables: &mut Vec<Table>) {
    let first = tables.len();
    of_factor(&from.relation, padded, tables);
    for join in &from.joins {
        let (left, right) = match &join.join_operator {
            JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_) => {
                (false, false)
            }
            JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => (false, true),
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => (true, false),
            _ => (true, true),
        };
        tables[first..].iter_mut().for_each(|table| table.padded |= left);
        of_factor(&join.relation, padded || right, tables);
    }
}

fn of_factor(factor: &TableFactor, padded: bool, tables: &mut Vec<Table>) {
    if let TableFactor::NestedJoin { table_with_joins, alias: None } = factor {
        return collect(table_with_joins, padded, tables);
    }
    let name = match factor {
        TableFactor::Function { alias: Some(alias), .. }
        | TableFactor::UNNEST { alias: Some(alias), .. } => Some(alias.name.clone()),
        factor => relation(factor),
    };
    if let Some(name) = name {
        let (factor, columns) = (factor.clone(), OnceCell::new());
        tables.push(Table { name, factor, padded, columns });
    }
}
