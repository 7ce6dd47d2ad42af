//! Names in HAVING: columns of the tables in FROM, never of the SELECT list.
//!
//! Law: an unqualified name that a column of the list has too is that of the table with such a
//! column; where no table in sight has one, it is unknown (42703). DataFusion would take the
//! list's.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Ident, Query, Select, SelectItem, VisitMut, VisitorMut};

use super::scope::{Columns, Scope};
use super::whole_row::{Table, tables_of};
use crate::error::{SqlError, state};
use crate::parse::fold;
use crate::parse::position::of_span;

/// Qualifies such names. `columns` gives the names of a query's columns.
pub fn qualify(query: &mut Query, columns: Columns<'_>) -> Result<(), SqlError> {
    let scope = Scope::new(columns);
    match VisitMut::visit(query, &mut Qualifier { scope, tables: vec![] }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Qualifier<'a> {
    scope: Scope<'a>,
    /// The tables of the SELECTs around, outermost first.
    tables: Vec<Vec<Table>>,
}

impl VisitorMut for Qualifier<'_> {
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
        let Some(having) = &mut select.having else { return ControlFlow::Continue(()) };
        let listed = select.projection.iter().filter_map(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => Some(fold(alias)),
            _ => None,
        });
        let mut names = Names { listed: listed.collect(), around: self, depth: 0 };
        VisitMut::visit(having, &mut names)
    }

    fn post_visit_select(&mut self, _: &mut Select) -> ControlFlow<SqlError> {
        self.tables.pop();
        ControlFlow::Continue(())
    }
}

impl Qualifier<'_> {
    /// What an unqualified name means, where that can be told.
    fn qualified(&self, name: &Ident) -> Result<Option<Expr>, SqlError> {
        let column = fold(name);
        for tables in self.tables.iter().rev() {
            let columns: Vec<_> = tables.iter().map(|table| table.columns(&self.scope)).collect();
            let has = |at: &usize| columns[*at].is_some_and(|names| names.contains(&column));
            let owners: Vec<usize> = (0..tables.len()).filter(has).collect();
            match owners.as_slice() {
                _ if columns.iter().any(|names| names.is_none()) => return Ok(None),
                [] if tables.iter().any(|table| fold(&table.name) == column) => return Ok(None),
                [] => {}
                [owner] => {
                    let parts = vec![tables[*owner].name.clone(), name.clone()];
                    return Ok(Some(Expr::CompoundIdentifier(parts)));
                }
                _ => return Ok(None),
            }
        }
        let message = format!("column \"{column}\" does not exist");
        Err(SqlError::new(state::UNDEFINED_COLUMN, message).at(of_span(name.span)))
    }
}

/// The names in one HAVING, its subqueries left out.
struct Names<'q, 'a> {
    listed: Vec<String>,
    around: &'q Qualifier<'a>,
    depth: usize,
}

impl VisitorMut for Names<'_, '_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<SqlError> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<SqlError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        let Expr::Identifier(name) = &*expr else { return ControlFlow::Continue(()) };
        if self.depth > 0 || !self.listed.contains(&fold(name)) {
            return ControlFlow::Continue(());
        }
        match self.around.qualified(name) {
            Ok(Some(column)) => *expr = column,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}
