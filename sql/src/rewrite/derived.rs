//! Derived tables with a LATERAL inside that stand behind other tables of FROM: as CTEs.
//!
//! `SqlToRel` lets the LATERAL of such a table see the tables before it, and prefers them to the
//! table's own of the same name. A CTE is planned before FROM is.
//!
//! Law: a derived table that isn't LATERAL sees no table beside it, so it may stand in WITH.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Cte, Ident, ObjectName, Query, Select, SetExpr, TableAlias, TableFactor, Visit, VisitMut,
    Visitor, VisitorMut, With, helpers::attached_token::AttachedToken,
};

use super::ast::empty_query;

/// Puts the derived tables that need it into WITH.
pub fn hoist(query: &mut Query) {
    let _: ControlFlow<()> = VisitMut::visit(query, &mut Hoister { hoisted: 0 });
}

struct Hoister {
    hoisted: usize,
}

impl VisitorMut for Hoister {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let mut ctes = Vec::new();
        self.body(&mut query.body, &mut ctes);
        if !ctes.is_empty() {
            let empty = || With {
                with_token: AttachedToken::empty(),
                recursive: false,
                cte_tables: vec![],
            };
            query.with.get_or_insert_with(empty).cte_tables.extend(ctes);
        }
        ControlFlow::Continue(())
    }
}

impl Hoister {
    fn body(&mut self, body: &mut SetExpr, ctes: &mut Vec<Cte>) {
        match body {
            SetExpr::Select(select) => self.select(select, ctes),
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left, ctes);
                self.body(right, ctes);
            }
            _ => {}
        }
    }

    fn select(&mut self, select: &mut Select, ctes: &mut Vec<Cte>) {
        let factors = select.from.iter_mut().flat_map(|tables| {
            let joined = tables.joins.iter_mut().map(|join| &mut join.relation);
            std::iter::once(&mut tables.relation).chain(joined)
        });
        for factor in factors.skip(1) {
            if let TableFactor::Derived { lateral: false, subquery, alias: Some(_), .. } = factor
                && Visit::visit(subquery, &mut Finder).is_break()
            {
                self.factor(factor, ctes);
            }
        }
    }

    fn factor(&mut self, factor: &mut TableFactor, ctes: &mut Vec<Cte>) {
        let TableFactor::Derived { subquery, alias, .. } = factor else { return };
        self.hoisted += 1;
        let name = Ident::with_quote('"', format!("\u{2}derived{}", self.hoisted));
        let mut named = empty_query();
        std::mem::swap(&mut named, subquery);
        let own = TableAlias { explicit: true, name: name.clone(), columns: vec![], at: None };
        ctes.push(Cte {
            alias: own,
            query: named,
            from: None,
            materialized: None,
            closing_paren_token: AttachedToken::empty(),
        });
        let alias = alias.take();
        *factor = TableFactor::Table {
            name: ObjectName::from(vec![name]),
            alias,
            args: None,
            with_hints: vec![],
            version: None,
            with_ordinality: false,
            partitions: vec![],
            json_path: None,
            sample: None,
            index_hints: vec![],
        };
    }
}

/// Stops at a LATERAL.
struct Finder;

impl Visitor for Finder {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Derived { lateral: true, .. }
            | TableFactor::Function { .. }
            | TableFactor::UNNEST { .. }
            | TableFactor::Table { args: Some(_), .. } => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}
