//! Expressions over columns by position.
//!
//! Law: a column is called `#i`; the names that DataFusion knows are numbers here, so an expression
//! moves by substitution alone. A column of an outer query is an `OuterReferenceColumn` qualified
//! with the number of its scope.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, TableReference};
use datafusion::logical_expr::{Expr, ExprSchemable};

use crate::error::SqlError;

/// Column `index` of the input.
pub(in crate::maintain) fn column(index: usize) -> Expr {
    Expr::Column(Column::new_unqualified(format!("#{index}")))
}

/// The position that a column made by [`column`] has.
pub(in crate::maintain) fn position(column: &Column) -> usize {
    let number = column.name.strip_prefix('#').and_then(|number| number.parse().ok());
    number.expect("every column is by position")
}

/// The position, if the expression is a column alone.
pub(in crate::maintain) fn as_column(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Column(column) => Some(position(column)),
        _ => None,
    }
}

/// The columns an expression refers to.
pub(in crate::maintain) fn references(expr: &Expr) -> BTreeSet<usize> {
    expr.column_refs().into_iter().map(position).collect()
}

/// The columns any of the expressions refers to.
pub(in crate::maintain) fn all_references<'a>(
    exprs: impl IntoIterator<Item = &'a Expr>,
) -> BTreeSet<usize> {
    exprs.into_iter().flat_map(references).collect()
}

/// The expression with each column replaced.
pub(in crate::maintain) fn substitute(expr: Expr, with: &dyn Fn(usize) -> Expr) -> Expr {
    let replaced = expr.transform_up(|expr| {
        Ok(match &expr {
            Expr::Column(column) => Transformed::yes(with(position(column))),
            _ => Transformed::no(expr),
        })
    });
    replaced.expect("substitution cannot fail").data
}

/// The expression with each column moved by `places`.
pub(in crate::maintain) fn shift(expr: Expr, places: isize) -> Expr {
    substitute(expr, &|i| column(i.checked_add_signed(places).expect("a column of the input")))
}

/// Whether some part of the expression is as asked.
pub(in crate::maintain) fn any(expr: &Expr, mut test: impl FnMut(&Expr) -> bool) -> bool {
    let mut found = false;
    expr.apply(|expr| {
        found |= test(expr);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })
    .expect("looking cannot fail");
    found
}

/// A schema in which the columns are called `#0`, `#1`, …
pub(in crate::maintain) fn positional_schema(schema: &Schema) -> DFSchema {
    let fields = schema.fields().iter().enumerate();
    let fields =
        fields.map(|(i, field)| Field::new(format!("#{i}"), field.data_type().clone(), true));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    DFSchema::try_from(schema).expect("numbers are unique names")
}

/// The type of an expression over a relation's columns.
pub(in crate::maintain) fn type_of(expr: &Expr, schema: &Schema) -> Result<DataType, SqlError> {
    Ok(expr.get_type(&positional_schema(schema))?)
}

/// The columns of a join: those of a padded side may be NULL.
pub(in crate::maintain) fn joined(left: &Schema, right: &Schema) -> SchemaRef {
    let fields = left.fields().iter().chain(right.fields());
    let fields = fields.map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// For printing: the expression with names for positions.
pub(in crate::maintain) fn named(expr: &Expr, schema: &Schema) -> Expr {
    substitute(expr.clone(), &|i| {
        Expr::Column(Column::new_unqualified(schema.field(i).name().clone()))
    })
}

/// Names the columns that a subquery takes from one query around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::maintain) struct ScopeId(pub usize);

/// Column `index` of an outer query.
pub(in crate::maintain) fn outer(scope: ScopeId, index: usize, data_type: DataType) -> Expr {
    let relation = TableReference::bare(scope.0.to_string());
    let field = Arc::new(Field::new(format!("#{index}"), data_type, true));
    Expr::OuterReferenceColumn(field, Column::new(Some(relation), format!("#{index}")))
}

/// The position, if the expression is a column of that outer query.
pub(in crate::maintain) fn as_outer(expr: &Expr, scope: ScopeId) -> Option<usize> {
    match expr {
        Expr::OuterReferenceColumn(_, column) => {
            let relation = column.relation.as_ref().expect("made by outer()");
            (relation.table() == scope.0.to_string()).then(|| position(column))
        }
        _ => None,
    }
}

/// The columns of an outer query that an expression refers to.
pub(in crate::maintain) fn outer_references(expr: &Expr, scope: ScopeId) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    expr.apply(|expr| {
        found.extend(as_outer(expr, scope));
        Ok(TreeNodeRecursion::Continue)
    })
    .expect("looking cannot fail");
    found
}

/// The expression with each column of an outer query replaced.
pub(in crate::maintain) fn substitute_outer(
    expr: Expr,
    scope: ScopeId,
    with: &dyn Fn(usize) -> Expr,
) -> Expr {
    let replaced = expr.transform_up(|expr| {
        Ok(match as_outer(&expr, scope) {
            Some(index) => Transformed::yes(with(index)),
            None => Transformed::no(expr),
        })
    });
    replaced.expect("substitution cannot fail").data
}
