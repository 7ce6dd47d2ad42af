//! `WITH x AS (…) INSERT …`, UPDATE or DELETE: the WITH goes into the queries of the statement.
//!
//! Law: each query of the statement, and each table it reads beside its target, sees the names that
//! stand before it; those of a WITH of its own go before them. A WITH of several such queries is
//! computed for each of them.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Query, SelectItem, SetExpr, Statement, TableAlias, TableFactor, TableWithJoins,
    UpdateTableFromKind, VisitMut, VisitorMut, WildcardAdditionalOptions, With,
};

use super::fold;
use crate::rewrite::ast::empty_query;

/// What a query of sqlparser's is.
pub enum Split {
    Query(Box<Query>),
    /// INSERT, UPDATE or DELETE.
    Change(Box<Statement>),
}

/// Takes a statement out of the query that sqlparser makes of it.
pub fn split(mut query: Box<Query>) -> Split {
    let mut statement = match *query.body {
        SetExpr::Insert(statement) | SetExpr::Update(statement) | SetExpr::Delete(statement) => {
            statement
        }
        body => {
            query.body = Box::new(body);
            return Split::Query(query);
        }
    };
    if let Some(with) = &query.with {
        put(with, &mut statement);
    }
    Split::Change(Box::new(statement))
}

fn put(with: &With, statement: &mut Statement) {
    let into_tables = |from: &mut Vec<TableWithJoins>| {
        from.iter_mut().for_each(|from| {
            name_by_query(with, &mut from.relation);
            from.joins.iter_mut().for_each(|join| name_by_query(with, &mut join.relation));
        });
    };
    match statement {
        Statement::Update(update) => match &mut update.from {
            Some(UpdateTableFromKind::AfterSet(from) | UpdateTableFromKind::BeforeSet(from)) => {
                into_tables(from);
            }
            None => {}
        },
        Statement::Delete(delete) => delete.using.iter_mut().for_each(into_tables),
        _ => {}
    }
    let _: ControlFlow<()> = VisitMut::visit(statement, &mut Outermost { with, depth: 0 });
}

/// A table that a WITH defines, as a query that may see the WITH.
fn name_by_query(with: &With, factor: &mut TableFactor) {
    let TableFactor::Table { name, alias, args: None, .. } = factor else { return };
    let [part] = name.0.as_slice() else { return };
    let Some(ident) = part.as_ident().cloned() else { return };
    if !with.cte_tables.iter().any(|cte| fold(&cte.alias.name) == fold(&ident)) {
        return;
    }
    let named = || TableAlias { explicit: true, name: ident, columns: vec![], at: None };
    let alias = Some(alias.take().unwrap_or_else(named));
    let mut subquery = empty_query();
    if let SetExpr::Select(select) = subquery.body.as_mut() {
        select.projection = vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())];
        let relation = factor.clone();
        select.from = vec![TableWithJoins { relation, joins: vec![] }];
    }
    *factor = TableFactor::Derived { lateral: false, subquery, alias, sample: None };
}

/// Gives the WITH to each query that stands in no other.
struct Outermost<'a> {
    with: &'a With,
    depth: usize,
}

impl VisitorMut for Outermost<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        if self.depth == 0 {
            if query.with.is_some() {
                let mut inner = empty_query();
                std::mem::swap(&mut *inner, query);
                query.body = Box::new(SetExpr::Query(inner));
            }
            query.with = Some(self.with.clone());
        }
        ControlFlow::Continue(())
    }
}
