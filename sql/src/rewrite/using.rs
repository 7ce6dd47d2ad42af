//! Columns that a join with USING merges, where WHERE names them without a table.
//!
//! `SqlToRel` finds them ambiguous there. After an inner join both sides have the same value, so
//! the joined table's column stands for it; after a single left join it is the left table's.

use std::collections::HashMap;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Ident, JoinConstraint, JoinOperator, Query, Select, TableFactor, VisitMut, VisitorMut,
};

use crate::parse::fold;

/// Qualifies merged columns in the WHERE of one SELECT.
pub fn qualify(select: &mut Select) {
    let mut merged: HashMap<String, Ident> = HashMap::new();
    for tables in &select.from {
        for (n, join) in tables.joins.iter().enumerate() {
            let (constraint, side) = match &join.join_operator {
                JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => {
                    (constraint, relation(&join.relation))
                }
                JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) if n == 0 => {
                    (constraint, relation(&tables.relation))
                }
                _ => continue,
            };
            let (JoinConstraint::Using(columns), Some(side)) = (constraint, side) else { continue };
            for column in columns {
                if let Some(ident) = column.0.last().and_then(|part| part.as_ident()) {
                    merged.entry(fold(ident)).or_insert_with(|| side.clone());
                }
            }
        }
    }
    if let Some(selection) = &mut select.selection
        && !merged.is_empty()
    {
        let _: ControlFlow<()> = selection.visit(&mut Qualifier { merged, depth: 0 });
    }
}

/// The name a table goes by.
fn relation(factor: &TableFactor) -> Option<Ident> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. } => Some(alias.name.clone()),
        TableFactor::Table { name, .. } => name.0.last()?.as_ident().cloned(),
        _ => None,
    }
}

struct Qualifier {
    merged: HashMap<String, Ident>,
    /// Subqueries around the expression: their names are their own.
    depth: usize,
}

impl VisitorMut for Qualifier {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(ident) = expr
            && self.depth == 0
            && let Some(relation) = self.merged.get(&fold(ident))
        {
            *expr = Expr::CompoundIdentifier(vec![relation.clone(), ident.clone()]);
        }
        ControlFlow::Continue(())
    }
}
