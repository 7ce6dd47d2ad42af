//! `SELECT -a AS a FROM t ORDER BY t.a`: a column to sort by beside one of the list that is called
//! the same.
//!
//! Law: a qualified name in ORDER BY is a column of the tables, also where the list has a column of
//! that name, which DataFusion finds ambiguous: the list's gets a suffix as a repeated one does
//! (see [`super::names`]). What stands around a derived table or a CTE sees the name as written.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Ident, OrderBy, OrderByKind, Query, SelectItem, SetExpr, TableAlias, TableAliasColumnDef,
    TableFactor, Visit, VisitMut, Visitor, VisitorMut,
};

use super::names::{MARK, shown};
use crate::parse::fold;

/// Marks the columns of the list that stand in the way.
pub fn part(query: &mut Query) {
    let _: ControlFlow<()> = query.visit(&mut Parter { depth: 0 });
}

struct Parter {
    depth: usize,
}

impl VisitorMut for Parter {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        for cte in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            keep_names(&cte.query, &mut cte.alias);
        }
        let hidden = sorted_by(query);
        let is_outermost = self.depth == 0;
        if let SetExpr::Select(select) = query.body.as_mut()
            && !hidden.is_empty()
            && (is_outermost || names_of(&select.projection).is_some())
        {
            let renamed = mark(&mut select.projection, &hidden);
            sort_by_marked(&mut query.order_by, &renamed);
        }
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Derived { subquery, alias: Some(alias), .. } = factor {
            keep_names(subquery, alias);
        }
        ControlFlow::Continue(())
    }
}

/// Says in an alias what the columns are called, before they are marked.
fn keep_names(query: &Query, alias: &mut TableAlias) {
    let SetExpr::Select(select) = query.body.as_ref() else { return };
    if sorted_by(query).is_empty() {
        return;
    }
    let names = names_of(&select.projection).unwrap_or_default();
    for name in names.into_iter().skip(alias.columns.len()) {
        alias.columns.push(TableAliasColumnDef { name, data_type: None });
    }
}

/// The names of a list's columns, if there are no wildcards in it.
fn names_of(items: &[SelectItem]) -> Option<Vec<Ident>> {
    let name = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.clone()),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(name.clone()),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names)) => names.last().cloned(),
        _ => None,
    };
    items.iter().map(name).collect()
}

/// The columns of the list whose names ORDER BY has with a qualifier.
fn sorted_by(query: &Query) -> BTreeSet<String> {
    let SetExpr::Select(select) = query.body.as_ref() else { return BTreeSet::new() };
    let Some(order) = &query.order_by else { return BTreeSet::new() };
    let mut qualified = Qualified::default();
    let _: ControlFlow<()> = order.visit(&mut qualified);
    let named = select.projection.iter().filter_map(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(fold(alias)),
        _ => None,
    });
    named.filter(|name| qualified.names.contains(name)).collect()
}

/// The last parts of qualified names, subqueries left out.
#[derive(Default)]
struct Qualified {
    names: BTreeSet<String>,
    depth: usize,
}

impl Visitor for Qualified {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let (Expr::CompoundIdentifier(names), 0) = (expr, self.depth) {
            self.names.extend(names.last().map(fold));
        }
        ControlFlow::Continue(())
    }
}

/// Marks the columns so called; gives what each is called then.
fn mark(items: &mut [SelectItem], hidden: &BTreeSet<String>) -> Vec<(String, Ident)> {
    let mut renamed = Vec::new();
    for (n, item) in items.iter_mut().enumerate() {
        if let SelectItem::ExprWithAlias { alias, .. } = item
            && hidden.contains(&fold(alias))
        {
            let name = fold(alias);
            let marked = Ident::with_quote('"', format!("{}{MARK}{n}", shown(&name)));
            *alias = marked.clone();
            renamed.push((name, marked));
        }
    }
    renamed
}

/// A key that is the name of a column of the list, and nothing else, is that column.
fn sort_by_marked(order: &mut Option<OrderBy>, renamed: &[(String, Ident)]) {
    let Some(OrderBy { kind: OrderByKind::Expressions(keys), .. }) = order else { return };
    for key in keys {
        if let Expr::Identifier(name) = &mut key.expr
            && let Some((_, marked)) = renamed.iter().find(|(written, _)| *written == fold(name))
        {
            *name = marked.clone();
        }
    }
}
