//! What tables, views and the process hold in memory, for tidemark.memory.

use tidemark_catalog::Object;
use tidemark_catalog::system::MemoryPart;
use tidemark_engine::{OperatorStatistics, Relation, memory};

use crate::context::PlanContext;
use crate::maintain::explain_operators;

/// A row for each part.
pub(crate) fn parts(ctx: &PlanContext) -> Vec<MemoryPart> {
    let objects = ctx.catalog.objects().flat_map(|object| of_object(ctx, object));
    of_process().into_iter().chain(objects).collect()
}

fn of_process() -> Vec<MemoryPart> {
    let usage = memory::usage();
    let part = |name: &str, bytes| part(None, name.to_owned(), bytes);
    let mut parts = vec![part("resident", Some(usage.resident)), part("file", Some(usage.in_file))];
    parts.extend(usage.limit.map(|limit| part("limit", Some(limit))));
    parts
}

fn of_object(ctx: &PlanContext, object: &Object) -> Vec<MemoryPart> {
    let collection = ctx.collection(object.id);
    let Some(relation) = ctx.engine.relation(collection) else { return vec![] };
    let mut parts = of_relation(object, &relation);
    if let Some((plan, statistics)) = ctx.engine.operators(collection) {
        let operators = explain_operators(&ctx.catalog, &plan);
        let operators = operators.into_iter().zip(&statistics);
        parts.extend(operators.map(|(name, done)| of_operator(object, name, done)));
    }
    parts
}

fn of_relation(object: &Object, relation: &Relation) -> Vec<MemoryPart> {
    let size = relation.size();
    let part = |name: &str, bytes| part(Some(object), name.to_owned(), Some(bytes));
    let mut parts = vec![part("rows", size.rows), part("past", size.past)];
    if !relation.indexed().is_empty() {
        parts.push(part("key index", size.index));
    }
    parts
}

fn of_operator(object: &Object, name: String, done: &OperatorStatistics) -> MemoryPart {
    let hits = 1.0 - done.page_faults as f64 / done.updates_in as f64;
    let is_limited = memory::usage().limit.is_some();
    MemoryPart {
        rows: Some(done.state.rows),
        page_faults: is_limited.then_some(done.page_faults),
        hit_rate: (is_limited && done.updates_in > 0).then(|| hits.max(0.0)),
        ..part(Some(object), name, Some(done.state.bytes))
    }
}

fn part(of: Option<&Object>, name: String, bytes: Option<u64>) -> MemoryPart {
    let of = of.map(|object| object.id);
    MemoryPart { of, name, rows: None, bytes, page_faults: None, hit_rate: None }
}
