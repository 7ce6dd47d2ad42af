//! `_arrived_at`: when each row of a table arrived, for queries that ask for it (S18).
//!
//! Law: a table in FROM has the column if its SELECT names it anywhere, so what nobody asks for is
//! never read; `*` does not hold it. Only tables have it: of a view it is a column like any other.
//! A table that is to show it says so in its name, which the resolver takes apart again.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    ExcludeSelectItem, Expr, Ident, ObjectName, ObjectNamePart, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableAlias, TableAliasColumnDef, TableFactor,
    TableWithJoins, Visit, VisitMut, Visitor, VisitorMut, WildcardAdditionalOptions,
};
use tidemark_engine::ARRIVED_AT;

use super::point_in_time;
use super::using::{relation, relations};
use crate::error::SqlError;
use crate::parse::fold;
use crate::resolve::Resolver;

/// Before the name of a table that shows when its rows arrived.
const MARK: char = '\u{4}';

/// The name without the mark, and whether it had it.
pub fn unmarked(name: &str) -> (&str, bool) {
    match name.strip_prefix(MARK) {
        Some(name) => (name, true),
        None => (name, false),
    }
}

/// Marks the tables whose rows' arrival is asked for.
pub fn mark(query: &mut Query, resolver: &Resolver<'_>) {
    if !mentions(query) {
        return;
    }
    let mut marker = Marker { resolver, scope: vec![], ordered: vec![] };
    let _: ControlFlow<()> = VisitMut::visit(query, &mut marker);
}

/// Whether a name in it is the column's.
fn mentions(tree: &impl Visit) -> bool {
    struct Finder;
    impl Visitor for Finder {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Identifier(name) if fold(name) == ARRIVED_AT => ControlFlow::Break(()),
                Expr::CompoundIdentifier(names)
                    if names.last().is_some_and(|name| fold(name) == ARRIVED_AT) =>
                {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    tree.visit(&mut Finder).is_break()
}

struct Marker<'a> {
    resolver: &'a Resolver<'a>,
    /// The CTEs in sight, outermost first.
    scope: Vec<BTreeSet<String>>,
    /// Of each query around: whether it is ordered by the column.
    ordered: Vec<bool>,
}

impl VisitorMut for Marker<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let mut seen = BTreeSet::new();
        let recursive = query.with.as_ref().is_some_and(|with| with.recursive);
        for cte in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            // Those before it are in its sight, and itself if it is recursive. Marks stay when it
            // is visited again.
            if recursive {
                seen.insert(fold(&cte.alias.name));
            }
            let mut scope = self.scope.clone();
            scope.push(seen.clone());
            let mut inner = Marker { resolver: self.resolver, scope, ordered: vec![] };
            VisitMut::visit(&mut cte.query, &mut inner)?;
            seen.insert(fold(&cte.alias.name));
        }
        self.scope.push(seen);
        let one = matches!(query.body.as_ref(), SetExpr::Select(_));
        self.ordered.push(one && query.order_by.as_ref().is_some_and(mentions));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.scope.pop();
        self.ordered.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        if self.ordered.last() == Some(&true) || mentions(select) {
            select.from.iter_mut().for_each(|tables| self.tables(tables));
        }
        ControlFlow::Continue(())
    }
}

impl Marker<'_> {
    fn tables(&self, tables: &mut TableWithJoins) {
        self.factor(&mut tables.relation);
        tables.joins.iter_mut().for_each(|join| self.factor(&mut join.relation));
    }

    fn factor(&self, factor: &mut TableFactor) {
        let (name, alias) = match factor {
            TableFactor::NestedJoin { table_with_joins, .. } => {
                return self.tables(table_with_joins);
            }
            TableFactor::Table { name, alias, args: None, .. } => (name, alias),
            _ => return,
        };
        let names = name.0.iter().map(|part| part.as_ident().map(fold));
        let Some(names) = names.collect::<Option<Vec<String>>>() else { return };
        let of_cte = |name: &String| self.scope.iter().any(|names| names.contains(name));
        let is_table = match names.as_slice() {
            [name] => !of_cte(name) && self.resolver.is_table(None, name),
            [.., schema, name] => self.resolver.is_table(Some(schema), name),
            [] => false,
        };
        let Some(ObjectNamePart::Identifier(own)) = name.0.last_mut().filter(|_| is_table) else {
            return;
        };
        let called = own.clone();
        own.value = format!("{MARK}{}", fold(own));
        own.quote_style = Some('"');
        let named = TableAlias { explicit: true, name: called, columns: vec![], at: None };
        let alias = alias.get_or_insert(named);
        if !alias.columns.is_empty() {
            let name = Ident::with_quote('"', ARRIVED_AT);
            alias.columns.push(TableAliasColumnDef { name, data_type: None });
        }
    }
}

/// Keeps the column out of a SELECT's wildcards.
pub fn hide(select: &mut Select) -> Result<(), SqlError> {
    let mut hidden = Vec::new();
    select.from.iter().for_each(|tables| showing(tables, &mut hidden));
    if hidden.is_empty() {
        return Ok(());
    }
    let mut items = Vec::with_capacity(select.projection.len());
    for item in std::mem::take(&mut select.projection) {
        match item {
            SelectItem::Wildcard(options) => items.extend(spelt(&select.from, options, &hidden)?),
            SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(name),
                options,
            ) => items.push(without(name, options, &hidden)),
            item => items.push(item),
        }
    }
    select.projection = items;
    Ok(())
}

/// The names of the marked tables, those under a join as of a time of the row's included.
fn showing(tables: &TableWithJoins, found: &mut Vec<String>) {
    let joined = tables.joins.iter().map(|join| &join.relation);
    for factor in std::iter::once(&tables.relation).chain(joined) {
        let table = match factor {
            TableFactor::NestedJoin { table_with_joins, .. } => {
                showing(table_with_joins, found);
                continue;
            }
            TableFactor::Table { name, .. } => Some(name),
            factor => point_in_time::relation_of(factor),
        };
        let own = table.and_then(|name| name.0.last()).and_then(|part| part.as_ident());
        if own.is_some_and(|own| own.value.contains(MARK))
            && let Some(name) = relation(factor).filter(|name| !point_in_time::is_inner(name))
        {
            found.push(fold(&name));
        }
    }
}

/// `*` as a wildcard for each table.
fn spelt(
    from: &[TableWithJoins],
    options: WildcardAdditionalOptions,
    hidden: &[String],
) -> Result<Vec<SelectItem>, SqlError> {
    let names = from.iter().map(relations).collect::<Option<Vec<_>>>();
    let names = names.ok_or_else(|| {
        let message = format!("* beside {ARRIVED_AT} needs a name for every relation in FROM");
        SqlError::unsupported(message).with_hint("Give each of them an alias.")
    })?;
    let item = |name: Ident| {
        let name = ObjectName(vec![ObjectNamePart::Identifier(name)]);
        without(name, options.clone(), hidden)
    };
    Ok(names.concat().into_iter().map(item).collect())
}

fn without(
    name: ObjectName,
    mut options: WildcardAdditionalOptions,
    hidden: &[String],
) -> SelectItem {
    let own = name.0.last().and_then(|part| part.as_ident()).map(fold);
    if own.is_some_and(|own| hidden.contains(&own)) {
        let mut names = match options.opt_exclude.take() {
            Some(ExcludeSelectItem::Multiple(names)) => names,
            Some(ExcludeSelectItem::Single(name)) => vec![name],
            None => vec![],
        };
        names.push(ObjectName::from(vec![Ident::with_quote('"', ARRIVED_AT)]));
        options.opt_exclude = Some(ExcludeSelectItem::Multiple(names));
    }
    SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options)
}
