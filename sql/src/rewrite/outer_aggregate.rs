//! Aggregates inside a subquery whose arguments are columns of the query around it: they belong to
//! that query (SQL:2016, 10.9), so it is grouped first, and the subquery asked about the groups.
//!
//! `SELECT g, (SELECT … WHERE x < sum(t.v)) FROM t GROUP BY g` becomes
//! `SELECT q.g, (SELECT … WHERE x < q.sum) FROM (SELECT g, sum(t.v) FROM t GROUP BY g) AS q`.
//!
//! Law: an aggregate, its FILTER included, is an outer one if it names columns, each of a table
//! that the query around has and no subquery between. A name without a table is a column of the
//! nearest query that has it. With grouping sets the text is left as it is.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, GroupByExpr, Ident, Query, Select, SelectItem, SetExpr, TableAlias, TableFactor,
    TableWithJoins, Value, Visit, VisitMut, Visitor, VisitorMut,
};
use tidemark_engine::aggregate::aggregate_function;

use super::ast::empty_query;
use super::names::column_name;
use super::scope::{Columns, Scope};
use super::using::relation;
use crate::parse::fold;

/// Names the grouped query; no text can write it.
const GROUPS: &str = "\u{2}groups";

/// Groups first, wherever a subquery has an aggregate of the query around. `columns` gives the
/// names of a query's columns.
pub fn lift(query: &mut Query, columns: Columns<'_>) {
    let _: ControlFlow<()> = VisitMut::visit(query, &mut Lifter { scope: Scope::new(columns) });
}

struct Lifter<'a> {
    scope: Scope<'a>,
}

impl VisitorMut for Lifter<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.scope.enter(query);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.scope.leave();
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let tables = Tables::of(select, &self.scope);
        let mut finder = Parts::new(&tables, &self.scope, None);
        visit_values(select, &mut finder);
        if finder.outer > 0
            && let GroupByExpr::Expressions(keys, _) = &select.group_by
            && let Some(keys) = keys.iter().map(|key| meant(key, select, &tables)).collect()
        {
            let lifted = Lifted { keys, calls: vec![] };
            let mut parts = Parts::new(&tables, &self.scope, Some(lifted));
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

/// The expression that a key of GROUP BY is, which may stand there by its place or its name in the
/// list; nothing for sets of keys.
fn meant(key: &Expr, select: &Select, tables: &Tables<'_>) -> Option<Expr> {
    let value = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
            Some(expr.clone())
        }
        _ => None,
    };
    match key {
        Expr::Value(value_) => match &value_.value {
            Value::Number(place, _) => {
                let place: usize = place.to_string().parse().ok()?;
                value(select.projection.get(place.checked_sub(1)?)?)
            }
            _ => None,
        },
        Expr::Identifier(name) if tables.has_column(&fold(name)) == Some(false) => {
            let called = |item: &&SelectItem| match item {
                SelectItem::ExprWithAlias { alias, .. } => fold(alias) == fold(name),
                _ => false,
            };
            value(select.projection.iter().find(called)?)
        }
        Expr::Identifier(_)
        | Expr::CompoundIdentifier(_)
        | Expr::Function(_)
        | Expr::BinaryOp { .. }
        | Expr::Cast { .. }
        | Expr::Case { .. } => Some(key.clone()),
        Expr::Nested(inner) => meant(inner, select, tables),
        _ => None,
    }
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

fn visit_values(select: &mut Select, parts: &mut Parts<'_, '_>) {
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

/// The tables of one SELECT.
struct Tables<'q> {
    names: BTreeSet<String>,
    factors: Vec<TableFactor>,
    scope: Scope<'q>,
    /// All their columns, once asked for; nothing where one has none that are known.
    columns: OnceCell<Option<BTreeSet<String>>>,
}

impl<'q> Tables<'q> {
    fn of(select: &Select, scope: &Scope<'q>) -> Self {
        let mut factors = Vec::new();
        select.from.iter().for_each(|tables| of_joins(tables, &mut factors));
        Tables::new(factors, scope)
    }

    /// Those of all SELECTs of a UNION.
    fn of_query(query: &Query, scope: &Scope<'q>) -> Self {
        let (mut open, mut factors) = (vec![query.body.as_ref()], Vec::new());
        while let Some(body) = open.pop() {
            match body {
                SetExpr::Select(select) => {
                    select.from.iter().for_each(|tables| of_joins(tables, &mut factors));
                }
                SetExpr::SetOperation { left, right, .. } => open.extend([&**left, &**right]),
                _ => {}
            }
        }
        Tables::new(factors, scope)
    }

    fn new(factors: Vec<TableFactor>, scope: &Scope<'q>) -> Self {
        let names = factors.iter().filter_map(relation).map(|name| fold(&name)).collect();
        Tables { names, factors, scope: scope.clone(), columns: OnceCell::new() }
    }

    /// Whether one of them has a column, if that is known.
    fn has_column(&self, name: &str) -> Option<bool> {
        let all = self.columns.get_or_init(|| {
            let columns = self.factors.iter().map(|factor| self.scope.columns_of(factor).ok());
            let columns: Option<Vec<Vec<String>>> = columns.collect();
            Some(columns?.into_iter().flatten().collect())
        });
        all.as_ref().map(|columns| columns.contains(name))
    }
}

fn of_joins(tables: &TableWithJoins, factors: &mut Vec<TableFactor>) {
    let joined = tables.joins.iter().map(|join| &join.relation);
    for factor in std::iter::once(&tables.relation).chain(joined) {
        match factor {
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                of_joins(table_with_joins, factors);
            }
            factor => factors.push(factor.clone()),
        }
    }
}

/// What the grouped query gives.
struct Lifted {
    keys: Vec<Expr>,
    calls: Vec<Expr>,
}

/// Counts the outer aggregates of a query; puts columns of the groups in the place of its
/// aggregates and keys, if there are groups.
struct Parts<'t, 'q> {
    tables: &'t Tables<'q>,
    scope: Scope<'q>,
    /// The tables of the subqueries around, outermost first.
    inside: Vec<Tables<'q>>,
    outer: usize,
    lifted: Option<Lifted>,
}

impl<'t, 'q> Parts<'t, 'q> {
    fn new(tables: &'t Tables<'q>, scope: &Scope<'q>, lifted: Option<Lifted>) -> Self {
        Parts { tables, scope: scope.clone(), inside: vec![], outer: 0, lifted }
    }
}

impl VisitorMut for Parts<'_, '_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.scope.enter(query);
        self.inside.push(Tables::of_query(query, &self.scope));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.inside.pop();
        self.scope.leave();
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

impl Parts<'_, '_> {
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

    /// Whether an expression in a subquery names columns, and all of them of our tables.
    fn is_ours(&self, expr: &Expr) -> bool {
        let (scope, within) = (self.scope.clone(), vec![]);
        let mut names = Names { parts: self, scope, within, ours: 0, others: 0 };
        let _: ControlFlow<()> = Visit::visit(expr, &mut names);
        names.ours > 0 && names.others == 0
    }
}

/// Counts the columns that an expression names: those of our tables, and others.
struct Names<'p, 't, 'q> {
    parts: &'p Parts<'t, 'q>,
    scope: Scope<'q>,
    /// The tables of subqueries inside the expression, whose columns count as neither.
    within: Vec<Tables<'q>>,
    ours: usize,
    others: usize,
}

impl Visitor for Names<'_, '_, '_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.scope.enter(query);
        self.within.push(Tables::of_query(query, &self.scope));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.within.pop();
        self.scope.leave();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        // Whether a table has what is named; unknown counts as having it.
        let has: &dyn Fn(&Tables<'_>) -> Option<bool> = match expr {
            Expr::CompoundIdentifier(parts) if parts.len() == 2 => {
                &|tables| Some(tables.names.contains(&fold(&parts[0])))
            }
            Expr::Identifier(name) => &|tables| tables.has_column(&fold(name)),
            _ => return ControlFlow::Continue(()),
        };
        if self.within.iter().rev().any(|tables| has(tables) == Some(true)) {
            return ControlFlow::Continue(());
        }
        let unknown = self.within.iter().any(|tables| has(tables).is_none());
        let hidden = self.parts.inside.iter().rev().any(|tables| has(tables) != Some(false));
        match !unknown && !hidden && has(self.parts.tables) == Some(true) {
            true => self.ours += 1,
            false => self.others += 1,
        }
        ControlFlow::Continue(())
    }
}

/// Whether two expressions are one, a column perhaps with its table in one of them.
pub(super) fn same(key: &Expr, expr: &Expr) -> bool {
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
