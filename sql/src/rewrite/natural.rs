//! NATURAL joins: with USING, which says what the merged columns are.
//!
//! Law: the columns of both sides that share a name, in the left one's order; none is ON true.
//! The sides' columns are learned by planning them alone, so a LATERAL side is refused.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Cte, Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, Query, Select, TableFactor,
    TableWithJoins, Value, Visit, VisitMut, Visitor, VisitorMut,
};

use super::scope::{Columns, Scope};
use crate::error::{SqlError, state};
use crate::parse::fold;

/// Puts USING in the place of NATURAL, in the FROM items that have such a join.
pub fn expand(query: &mut Query, columns: Columns<'_>) -> Result<(), SqlError> {
    if Visit::visit(query, &mut Finder).is_continue() {
        return Ok(());
    }
    match VisitMut::visit(query, &mut Expander { scope: Scope::new(columns) }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Finder;

impl Visitor for Finder {
    type Break = ();

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        match select.from.iter().any(needs_names) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

fn needs_names(tables: &TableWithJoins) -> bool {
    let nested = |factor: &TableFactor| match factor {
        TableFactor::NestedJoin { table_with_joins, .. } => needs_names(table_with_joins),
        _ => false,
    };
    let natural = |join: &Join| constraint(join) == Some(&JoinConstraint::Natural);
    nested(&tables.relation)
        || tables.joins.iter().any(|join| natural(join) || nested(&join.relation))
}

struct Expander<'a> {
    scope: Scope<'a>,
}

impl VisitorMut for Expander<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        let mut seen: Vec<Cte> = Vec::new();
        for cte in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            // Those before it are in its sight. Nothing is left to do when it is visited again.
            let mut inner = Expander { scope: self.scope.with(seen.clone()) };
            VisitMut::visit(&mut cte.query, &mut inner)?;
            seen.push(cte.clone());
        }
        self.scope.enter(query);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<SqlError> {
        self.scope.leave();
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        for tables in select.from.iter_mut().filter(|tables| needs_names(tables)) {
            if let Err(error) = self.named(tables) {
                return ControlFlow::Break(error);
            }
        }
        ControlFlow::Continue(())
    }
}

impl Expander<'_> {
    fn named(&self, tables: &mut TableWithJoins) -> Result<(), SqlError> {
        if let TableFactor::NestedJoin { table_with_joins, .. } = &mut tables.relation {
            self.named(table_with_joins)?;
        }
        let mut left = self.scope.columns_of(&tables.relation)?;
        for join in &mut tables.joins {
            if let TableFactor::NestedJoin { table_with_joins, .. } = &mut join.relation {
                self.named(table_with_joins)?;
            }
            let right = self.scope.columns_of(&join.relation)?;
            let Some(constraint) = constraint_mut(join) else {
                left.extend(right);
                continue;
            };
            if *constraint == JoinConstraint::Natural {
                let common: Vec<&String> =
                    left.iter().filter(|name| right.contains(name)).collect();
                check_once(&common, &right)?;
                *constraint = merging(&common);
            }
            let merged: Vec<String> = match constraint {
                JoinConstraint::Using(names) => names.iter().filter_map(last).collect(),
                _ => vec![],
            };
            left.extend(right.into_iter().filter(|name| !merged.contains(name)));
        }
        Ok(())
    }
}

macro_rules! constraint_of {
    ($operator:expr) => {
        match $operator {
            JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)
            | JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)
            | JoinOperator::FullOuter(constraint) => Some(constraint),
            _ => None,
        }
    };
}

fn constraint(join: &Join) -> Option<&JoinConstraint> {
    constraint_of!(&join.join_operator)
}

fn constraint_mut(join: &mut Join) -> Option<&mut JoinConstraint> {
    constraint_of!(&mut join.join_operator)
}

fn last(name: &ObjectName) -> Option<String> {
    name.0.last().and_then(|part| part.as_ident()).map(fold)
}

fn merging(common: &[&String]) -> JoinConstraint {
    if common.is_empty() {
        return JoinConstraint::On(Expr::value(Value::Boolean(true)));
    }
    let name = |name: &&String| ObjectName::from(vec![Ident::with_quote('"', name.as_str())]);
    JoinConstraint::Using(common.iter().map(name).collect())
}

fn check_once(common: &[&String], right: &[String]) -> Result<(), SqlError> {
    for name in common {
        let counts = [
            (common.iter().filter(|other| other == &name).count(), "left"),
            (right.iter().filter(|other| other == name).count(), "right"),
        ];
        if let Some((_, side)) = counts.iter().find(|(count, _)| *count > 1) {
            let message =
                format!("common column name \"{name}\" appears more than once in {side} table");
            return Err(SqlError::new(state::AMBIGUOUS_COLUMN, message));
        }
    }
    Ok(())
}
