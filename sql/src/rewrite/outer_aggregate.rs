//! Aggregates inside a subquery whose arguments are columns of the query around it: they belong to
//! that query (SQL:2016, 10.9), so it is grouped first, and the subquery asked about the groups.
//!
//! `SELECT g, (SELECT … WHERE x < sum(t.v)) FROM t GROUP BY g` becomes
//! `SELECT q.g, (SELECT … WHERE x < q.sum) FROM (SELECT g, sum(t.v) FROM t GROUP BY g) AS q`.
//!
//! Law: an aggregate is an outer one if it names columns, each by a table that the query around has
//! and the subquery has not. With grouping sets, or keys by their place, the text is left as it is.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, GroupByExpr, Ident, Query, Select, SelectItem, SetExpr, TableAlias, TableFactor,
    TableWithJoins, VisitMut, VisitorMut, visit_expressions,
};
use tidemark_engine::aggregate::aggregate_function;

use super::ast::empty_query;
use super::names::column_name;
use super::using::relation;
use crate::parse::fold;

/// Names the grouped query; no text can write it.
const GROUPS: &str = "\u{2}groups";

/// Groups first, wherever a subquery has an aggregate of the query around.
pub fn lift(query: &mut Query) {
    let _: ControlFlow<()> = VisitMut::visit(query, &mut Lifter);
}

struct Lifter;

impl VisitorMut for Lifter {
    type Break = ();

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let tables = tables_of(select);
        let mut finder = Parts { tables: &tables, inside: vec![], outer: 0, lifted: None };
        visit_values(select, &mut finder);
        if finder.outer > 0
            && let GroupByExpr::Expressions(keys, _) = &select.group_by
            && keys.iter().all(is_plain)
        {
            let keys = keys.clone();
            let lifted = Lifted { keys, calls: vec![] };
            let mut parts =
                Parts { tables: &tables, inside: vec![], outer: 0, lifted: Some(lifted) };
            name_items(select);
            visit_values(select, &mut parts);
            let Some(Lifted { keys, calls }) = parts.lifted else {
                return ControlFlow::Continue(());
            };
            regroup(select, keys, calls);
        }
        ControlFlow::Continue(())
    }
}

/// Whether a key is an expression, rather than a place or sets of keys.
fn is_plain(key: &Expr) -> bool {
    matches!(key, Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Function(_))
        || matches!(key, Expr::BinaryOp { .. } | Expr::Cast { .. })
}

/// The columns keep the names they have.
fn name_items(select: &mut Select) {
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) = item {
            let alias = Ident::with_quote('"', column_name(expr));
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
}

fn visit_values(select: &mut Select, parts: &mut Parts<'_>) {
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            let _: ControlFlow<()> = VisitMut::visit(expr, parts);
        }
    }
    if let Some(having) = &mut select.having {
        let _: ControlFlow<()> = VisitMut::visit(having, parts);
    }
}

/// Puts the groups, as a derived table, in the place of FROM, WHERE and GROUP BY.
fn regroup(select: &mut Select, keys: Vec<Expr>, calls: Vec<Expr>) {
    let item = |(expr, alias): (Expr, Ident)| SelectItem::ExprWithAlias { expr, alias };
    let keys_named = keys.iter().cloned().enumerate().map(|(n, key)| (key, key_name(n)));
    let calls_named = calls.into_iter().enumerate().map(|(n, call)| (call, call_name(n)));
    let mut groups = empty_query();
    if let SetExpr::Select(inner) = groups.body.as_mut() {
        inner.projection = keys_named.chain(calls_named).map(item).collect();
        inner.from = std::mem::take(&mut select.from);
        inner.selection = select.selection.take();
        inner.group_by = GroupByExpr::Expressions(keys, vec![]);
    }
    let name = Ident::with_quote('"', GROUPS);
    let alias = Some(TableAlias { explicit: true, name, columns: vec![], at: None });
    let relation = TableFactor::Derived { lateral: false, subquery: groups, alias, sample: None };
    select.from = vec![TableWithJoins { relation, joins: vec![] }];
    select.group_by = GroupByExpr::Expressions(vec![], vec![]);
    select.selection = select.having.take();
}

fn key_name(n: usize) -> Ident {
    Ident::with_quote('"', format!("\u{2}key{n}"))
}

fn call_name(n: usize) -> Ident {
    Ident::with_quote('"', format!("\u{2}call{n}"))
}

/// A column of the groups.
fn of_groups(name: Ident) -> Expr {
    Expr::CompoundIdentifier(vec![Ident::with_quote('"', GROUPS), name])
}

fn tables_of(select: &Select) -> BTreeSet<String> {
    let factors = select.from.iter().flat_map(|tables| {
        std::iter::once(&tables.relation).chain(tables.joins.iter().map(|join| &join.relation))
    });
    factors.filter_map(relation).map(|name| fold(&name)).collect()
}

/// What the grouped query gives.
struct Lifted {
    keys: Vec<Expr>,
    calls: Vec<Expr>,
}

/// Counts the outer aggregates of a query; puts columns of the groups in the place of its
/// aggregates and keys, if there are groups.
struct Parts<'t> {
    tables: &'t BTreeSet<String>,
    /// The tables of the subqueries around, outermost first.
    inside: Vec<BTreeSet<String>>,
    outer: usize,
    lifted: Option<Lifted>,
}

impl VisitorMut for Parts<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let tables = match query.body.as_ref() {
            SetExpr::Select(select) => tables_of(select),
            _ => BTreeSet::new(),
        };
        self.inside.push(tables);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.inside.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.is_own_aggregate(expr) {
            self.outer += usize::from(!self.inside.is_empty());
            if let Some(lifted) = &mut self.lifted {
                let known = lifted.calls.iter().position(|call| call == expr);
                let at = known.unwrap_or(lifted.calls.len());
                let call = std::mem::replace(expr, of_groups(call_name(at)));
                if known.is_none() {
                    lifted.calls.push(call);
                }
            }
        } else if let Some(lifted) = &self.lifted
            && (self.inside.is_empty() || self.is_ours(expr))
            && let Some(at) = lifted.keys.iter().position(|key| same(key, expr))
        {
            *expr = of_groups(key_name(at));
        }
        ControlFlow::Continue(())
    }
}

impl Parts<'_> {
    /// Whether an expression is an aggregate call of the query whose tables these are.
    fn is_own_aggregate(&self, expr: &Expr) -> bool {
        let Expr::Function(function) = expr else { return false };
        let name = function.name.0.last().and_then(|part| part.as_ident()).map(fold);
        let aggregate = name.is_some_and(|name| aggregate_function(&name).is_some());
        if !aggregate || function.over.is_some() {
            return false;
        }
        self.inside.is_empty() || self.is_ours(expr)
    }

    /// Whether an expression in a subquery names columns, and all of them by our tables.
    fn is_ours(&self, expr: &Expr) -> bool {
        let (mut columns, mut ours) = (0, true);
        let _: ControlFlow<()> = visit_expressions(expr, |part| {
            match part {
                Expr::CompoundIdentifier(parts) if parts.len() == 2 => {
                    columns += 1;
                    let table = fold(&parts[0]);
                    let hidden = self.inside.iter().any(|tables| tables.contains(&table));
                    ours &= self.tables.contains(&table) && !hidden;
                }
                Expr::Identifier(_) | Expr::Subquery(_) => ours = false,
                _ => {}
            }
            ControlFlow::Continue(())
        });
        columns > 0 && ours
    }
}

/// Whether two expressions are one, a column perhaps with its table in one of them.
fn same(key: &Expr, expr: &Expr) -> bool {
    let bare = |expr: &Expr| match expr {
        Expr::Identifier(name) => Some(fold(name)),
        Expr::CompoundIdentifier(parts) => parts.last().map(fold),
        _ => None,
    };
    let qualified = |expr: &Expr| matches!(expr, Expr::CompoundIdentifier(_));
    match (bare(key), bare(expr)) {
        (Some(one), Some(other)) if !(qualified(key) && qualified(expr)) => one == other,
        _ => key == expr,
    }
}
