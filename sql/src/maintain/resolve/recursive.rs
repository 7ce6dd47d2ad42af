//! WITH RECURSIVE: the least fixpoint of a base and a step.
//!
//! Law: the step refers to the rows so far once, and only through operators that look at rows one
//! by one or beside those of other relations: more rows below give more rows above. Anything else
//! is refused, because its fixpoint would not be the query's answer when rows are deleted.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{TableScan, logical_plan};
use tidemark_engine::CollectionId;
use tidemark_engine::plan::JoinKind;

use super::{Resolver, Working, cast_columns, plain_schema};
use crate::error::SqlError;
use crate::maintain::refuse;
use crate::maintain::rel::{Join, Recursive, Rel, Scan};

/// Above every id of the catalog.
const FIRST_WORKING: u64 = 1 << 62;

impl Working {
    pub(super) fn scan(&self) -> Scan {
        Scan {
            collection: self.collection,
            name: self.name.clone(),
            schema: Arc::clone(&self.schema),
            types: vec![],
            append_only: false,
            arrived_at: false,
            versions: false,
            key: None,
        }
    }
}

impl Resolver<'_> {
    /// The recursion whose rows so far are scanned.
    pub(super) fn working_of(&self, scan: &TableScan) -> Option<&Working> {
        let provider = source_as_provider(&scan.source).ok()?;
        let table = provider.downcast_ref::<CteWorkTable>()?;
        self.working.iter().rev().find(|working| working.name == table.name())
    }

    pub(super) fn recursive(&self, query: &logical_plan::RecursiveQuery) -> Result<Rel, SqlError> {
        let schema: SchemaRef = plain_schema(&query.schema);
        let itself = CollectionId(FIRST_WORKING + self.number() as u64);
        let base = Box::new(cast_columns(self.rel(&query.static_term)?, &schema)?);
        let mut inside = self.clone();
        let name = query.name.clone();
        inside.working.push(Working { name, collection: itself, schema: Arc::clone(&schema) });
        let step = Box::new(cast_columns(inside.rel(&query.recursive_term)?, &schema)?);
        match references(&step, itself) {
            0 | 1 => {}
            _ => return Err(refuse::recursive("the recursive term refers to itself twice")),
        }
        let joins_versions = |rel: &Rel| rel.any(&|rel| matches!(rel, Rel::VersionJoin(_)));
        if joins_versions(&base) || joins_versions(&step) {
            return Err(refuse::recursive("a join as of a column in a recursive query"));
        }
        monotone(&step, itself)?;
        let distinct = query.is_distinct;
        Ok(Rel::Recursive(Recursive { itself, base, step, distinct, schema }))
    }
}

fn references(rel: &Rel, itself: CollectionId) -> usize {
    let own = usize::from(matches!(rel, Rel::Scan(scan) if scan.collection == itself));
    own + rel.inputs().into_iter().map(|input| references(input, itself)).sum::<usize>()
}

/// Whether each row so far gives rows of its own, whatever the others are.
fn is_linear(join: &Join, itself: CollectionId) -> bool {
    match join.kind {
        JoinKind::Inner => true,
        JoinKind::Left | JoinKind::Semi | JoinKind::Anti => references(&join.right, itself) == 0,
        JoinKind::Right => references(&join.left, itself) == 0,
        JoinKind::Full => false,
    }
}

/// Refuses operators above the rows so far whose rows could become fewer.
fn monotone(rel: &Rel, itself: CollectionId) -> Result<(), SqlError> {
    if references(rel, itself) == 0 {
        return Ok(());
    }
    let refused = match rel {
        Rel::Scan(_) | Rel::Constant(_) => None,
        Rel::Project(_) | Rel::Filter(_) | Rel::Union(_) | Rel::Unnest(_) => None,
        Rel::VersionJoin(_) => None,
        Rel::Join(join) if is_linear(join, itself) => None,
        Rel::Join(_) => Some("an outer join, IN or EXISTS of its own rows in the recursive term"),
        Rel::Aggregate(_) => Some("an aggregate or DISTINCT in the recursive term"),
        Rel::SetOperation(_) => Some("INTERSECT or EXCEPT in the recursive term"),
        Rel::TopK(_) => Some("LIMIT in the recursive term"),
        Rel::Window(_) => Some("a window function in the recursive term"),
        Rel::Session(_) => Some("session() in the recursive term"),
        Rel::Recursive(_) => Some("a recursion over its own rows in the recursive term"),
    };
    match refused {
        Some(what) => Err(refuse::recursive(what)),
        None => rel.inputs().into_iter().try_for_each(|input| monotone(input, itself)),
    }
}
