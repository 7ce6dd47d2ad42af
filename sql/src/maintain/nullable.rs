//! Which columns of a relation may be NULL.
//!
//! Law: a column that is not nullable is NULL in no row at any time; what isn't known is nullable.

use datafusion::logical_expr::Expr;
use tidemark_engine::plan::JoinKind;

use super::rel::{Rel, as_column};

/// Whether a column may be NULL.
pub(super) fn is_nullable(rel: &Rel, column: usize) -> bool {
    match rel {
        Rel::Scan(scan) => scan.schema.field(column).is_nullable(),
        Rel::Constant(_) | Rel::Recursive(_) | Rel::Unnest(_) => true,
        Rel::Project(project) => match &project.exprs[column] {
            Expr::Literal(value, _) => value.is_null(),
            expr => as_column(expr).is_none_or(|column| is_nullable(&project.input, column)),
        },
        Rel::Filter(filter) => {
            let tested = |expr: &Expr| match expr {
                Expr::IsNotNull(of) => as_column(of) == Some(column),
                _ => false,
            };
            !filter.predicates.iter().any(tested) && is_nullable(&filter.input, column)
        }
        Rel::Join(join) => match column.checked_sub(join.left.width()) {
            None => {
                matches!(join.kind, JoinKind::Right | JoinKind::Full)
                    || is_nullable(&join.left, column)
            }
            Some(column) => {
                matches!(join.kind, JoinKind::Left | JoinKind::Full)
                    || is_nullable(&join.right, column)
            }
        },
        Rel::VersionJoin(join) => column >= join.input.width() || is_nullable(&join.input, column),
        Rel::Aggregate(aggregate) => match aggregate.keys.get(column) {
            Some(&key) => is_nullable(&aggregate.input, key),
            None => aggregate.calls[column - aggregate.keys.len()].function.name() != "count",
        },
        Rel::Union(union) => union.inputs.iter().any(|input| is_nullable(input, column)),
        Rel::SetOperation(operation) => is_nullable(&operation.left, column),
        Rel::TopK(top) => is_nullable(&top.input, column),
        Rel::Window(window) => column >= window.input.width() || is_nullable(&window.input, column),
        Rel::Session(session) => {
            column < session.input.width() && is_nullable(&session.input, column)
        }
    }
}
