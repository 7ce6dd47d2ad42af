//! Columns that a join with USING merges, where they are named without a table.
//!
//! Law: after an inner or left join the merged column is the left side's (an inner join's sides are
//! equal, and `SqlToRel` merges them itself but in WHERE), after a right join the right side's,
//! after a full join whichever there is. `*` has it once, and first.

use std::ops::ControlFlow;

use datafusion::common::{Column, DataFusionError, SchemaError};
use sqlparser::ast::{
    BinaryOperator, Expr, Ident, JoinConstraint, JoinOperator, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, TableFactor, TableWithJoins, Visit, VisitMut, Visitor,
    VisitorMut, WildcardAdditionalOptions, helpers::attached_token::AttachedToken,
};
use sqlparser::ast::{ExcludeSelectItem, ObjectName, ObjectNamePart};

use super::as_of;
use super::ast::{binary, call};
use crate::error::{SqlError, state};
use crate::parse::fold;

/// Qualifies merged columns in one SELECT.
pub fn qualify(select: &mut Select) {
    let mut items = Vec::new();
    let mut outer = false;
    for tables in &mut select.from {
        let mut merged = Vec::new();
        outer |= collect(tables, &mut merged);
        items.push(merged);
    }
    if items.iter().all(Vec::is_empty) {
        return;
    }
    select.projection = expand(std::mem::take(&mut select.projection), &select.from, &items);
    let merged = items.concat();
    let mut qualifier = Qualifier { merged, depth: 0 };
    let mut visit = |expr: &mut Expr| {
        let _: ControlFlow<()> = expr.visit(&mut qualifier);
    };
    select.selection.iter_mut().for_each(&mut visit);
    if outer {
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(Expr::Identifier(name)) = item {
                // It keeps its name, whatever it becomes.
                let (expr, alias) = (Expr::Identifier(name.clone()), name.clone());
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                visit(expr);
            }
        }
        select.having.iter_mut().for_each(&mut visit);
        if let sqlparser::ast::GroupByExpr::Expressions(exprs, _) = &mut select.group_by {
            exprs.iter_mut().for_each(&mut visit);
        }
    }
}

/// What is wrong when a column that USING names is not there.
pub fn missing_column(error: &DataFusionError, query: &Query) -> Option<SqlError> {
    let DataFusionError::SchemaError(error, _) = error.find_root() else { return None };
    let SchemaError::FieldNotFound { field, valid_fields } = error.as_ref() else { return None };
    if field.relation.is_some() {
        return None;
    }
    let mut joins = Joins { column: &field.name, right: None };
    let _: ControlFlow<()> = query.visit(&mut joins);
    let right = fold(&joins.right?);
    let is_right = |column: &Column| {
        column.relation.as_ref().is_some_and(|relation| relation.table() == right)
    };
    let side = if valid_fields.iter().any(is_right) { "right" } else { "left" };
    let name = &field.name;
    let message =
        format!("column \"{name}\" specified in USING clause does not exist in {side} table");
    Some(SqlError::new(state::UNDEFINED_COLUMN, message))
}

/// Finds the table on the right of a join by a column.
struct Joins<'a> {
    column: &'a str,
    right: Option<Ident>,
}

impl Visitor for Joins<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        for join in select.from.iter().flat_map(|tables| &tables.joins) {
            let names = match &join.join_operator {
                JoinOperator::Join(JoinConstraint::Using(names))
                | JoinOperator::Inner(JoinConstraint::Using(names))
                | JoinOperator::Left(JoinConstraint::Using(names))
                | JoinOperator::LeftOuter(JoinConstraint::Using(names))
                | JoinOperator::Right(JoinConstraint::Using(names))
                | JoinOperator::RightOuter(JoinConstraint::Using(names))
                | JoinOperator::FullOuter(JoinConstraint::Using(names))
                | JoinOperator::LeftSemi(JoinConstraint::Using(names))
                | JoinOperator::LeftAnti(JoinConstraint::Using(names))
                | JoinOperator::AsOf { constraint: JoinConstraint::Using(names), .. } => names,
                _ => continue,
            };
            let named = |name: &ObjectName| {
                let ident = name.0.last().and_then(|part| part.as_ident());
                ident.is_some_and(|ident| fold(ident) == self.column)
            };
            if names.iter().any(named) {
                self.right = relation(&join.relation);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}

/// A merged column and what it is.
#[derive(Clone)]
struct Merged {
    name: String,
    ident: Ident,
    expr: Expr,
}

/// Collects what the joins of one FROM item merge; whether one is among them that `SqlToRel` does
/// not merge by itself: a right, full or ASOF join, or one by a column that was merged before. Such
/// a one of ASOF, and a join after one of the others, is by the merged column, which only ON can
/// say.
fn collect(tables: &mut TableWithJoins, merged: &mut Vec<Merged>) -> bool {
    let mut outer = match &mut tables.relation {
        TableFactor::NestedJoin { table_with_joins, alias: None } => {
            collect(table_with_joins, merged)
        }
        _ => false,
    };
    for (n, join) in tables.joins.iter_mut().enumerate() {
        let as_of = as_of::is_as_of(&join.join_operator);
        let last_by_order = as_of::is_brief(&join.join_operator);
        let (constraint, kind) = match &mut join.join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => (constraint, 'i'),
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
                (constraint, 'l')
            }
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                (constraint, 'r')
            }
            JoinOperator::FullOuter(constraint) => (constraint, 'f'),
            JoinOperator::LeftSemi(constraint) => (constraint, 'l'),
            JoinOperator::LeftAnti(constraint) | JoinOperator::AsOf { constraint, .. } => {
                (constraint, 'l')
            }
            _ => continue,
        };
        if let JoinConstraint::On(condition) = constraint
            && outer
        {
            let mut qualifier = Qualifier { merged: merged.clone(), depth: 0 };
            let _: ControlFlow<()> = condition.visit(&mut qualifier);
        }
        let JoinConstraint::Using(columns) = constraint else { continue };
        let Some(right) = relation(&join.relation) else { continue };
        let ident = |column: &ObjectName| column.0.last()?.as_ident().map(fold);
        let is_merged = |name: String| merged.iter().any(|merged| merged.name == name);
        outer |= columns.iter().filter_map(ident).any(is_merged);
        let by_on = outer || as_of;
        let mut equal: Option<Expr> = None;
        let last = columns.len().saturating_sub(1);
        for (place, column) in columns.iter().enumerate() {
            let Some(ident) = column.0.last().and_then(|part| part.as_ident()) else { continue };
            let name = fold(ident);
            let on = |side: &Ident| Expr::CompoundIdentifier(vec![side.clone(), ident.clone()]);
            let known = merged.iter().position(|merged| merged.name == name);
            let left = match known {
                Some(at) => Some(merged[at].expr.clone()),
                None if n == 0 => relation(&tables.relation).map(|left| on(&left)),
                None => None,
            };
            if by_on && let Some(left) = left.clone() {
                let op = match last_by_order && place == last {
                    true => BinaryOperator::GtEq,
                    false => BinaryOperator::Eq,
                };
                let pair = binary(left, op, on(&right));
                equal = Some(match equal {
                    Some(others) => binary(others, BinaryOperator::And, pair),
                    None => pair,
                });
            }
            let expr = match (kind, left) {
                ('i', None) | ('r', _) => on(&right),
                ('i' | 'l', Some(left)) => left,
                ('f', Some(left)) => call("coalesce", vec![left, on(&right)]),
                _ => continue,
            };
            outer |= matches!(kind, 'r' | 'f') || as_of;
            match known {
                Some(at) => merged[at].expr = expr,
                None => merged.push(Merged { name, ident: ident.clone(), expr }),
            }
        }
        if let Some(equal) = equal {
            *constraint = JoinConstraint::On(equal);
        }
    }
    outer
}

/// `*` as, of each item of FROM, the merged columns and what else its tables have.
fn expand(
    items: Vec<SelectItem>,
    from: &[TableWithJoins],
    merged: &[Vec<Merged>],
) -> Vec<SelectItem> {
    let relations: Option<Vec<Vec<Ident>>> = from.iter().map(relations).collect();
    let Some(relations) = relations else { return items };
    let mut expanded = Vec::new();
    for item in items {
        if !matches!(item, SelectItem::Wildcard(_)) {
            expanded.push(item);
            continue;
        }
        for (relations, merged) in relations.iter().zip(merged) {
            for column in merged {
                let (expr, alias) = (column.expr.clone(), column.ident.clone());
                expanded.push(SelectItem::ExprWithAlias { expr, alias });
            }
            expanded.extend(relations.iter().map(|relation| all_but(relation, merged)));
        }
    }
    expanded
}

/// `relation.*` without the columns that are merged.
fn all_but(relation: &Ident, merged: &[Merged]) -> SelectItem {
    let names = merged.iter().map(|column| ObjectName::from(vec![column.ident.clone()]));
    let options = WildcardAdditionalOptions {
        wildcard_token: AttachedToken::empty(),
        opt_exclude: Some(ExcludeSelectItem::Multiple(names.collect()))
            .filter(|_| !merged.is_empty()),
        ..WildcardAdditionalOptions::default()
    };
    let name = ObjectName(vec![ObjectNamePart::Identifier(relation.clone())]);
    let kind = SelectItemQualifiedWildcardKind::ObjectName(name);
    SelectItem::QualifiedWildcard(kind, options)
}

/// The names of all tables, in order.
pub fn relations(tables: &TableWithJoins) -> Option<Vec<Ident>> {
    let factors = std::iter::once(&tables.relation);
    let factors = factors.chain(tables.joins.iter().map(|join| &join.relation));
    let names = factors.map(|factor| match factor {
        TableFactor::NestedJoin { table_with_joins, alias: None } => relations(table_with_joins),
        factor => relation(factor).map(|name| vec![name]),
    });
    Some(names.collect::<Option<Vec<_>>>()?.concat())
}

/// The name a table goes by.
pub fn relation(factor: &TableFactor) -> Option<Ident> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. } => Some(alias.name.clone()),
        TableFactor::Table { name, .. } => name.0.last()?.as_ident().cloned(),
        _ => None,
    }
}

struct Qualifier {
    merged: Vec<Merged>,
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
            && let Some(merged) = self.merged.iter().find(|merged| merged.name == fold(ident))
        {
            *expr = merged.expr.clone();
        }
        ControlFlow::Continue(())
    }
}
