//! Random limits of groups in an order.

use arrow::datatypes::{DataType, SchemaRef};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::{Scale, random_plan};
use crate::plan::{Plan, SortKey, TopKPlan};

pub(crate) fn random_top_k(random: &mut StdRng, depth: u32, scale: Scale) -> Plan {
    let input = random_plan(random, depth - 1, scale);
    let schema = input.schema();
    let keys: Vec<usize> =
        (0..schema.fields().len()).filter(|_| random.random_bool(0.25)).collect();
    let order = random_order(random, &schema);
    Plan::TopK(Box::new(TopKPlan {
        input,
        keys,
        ties: random.random_bool(0.3).then(|| random.random_range(0..=order.len().min(2))),
        order,
        offset: if random.random_bool(0.6) { 0 } else { random.random_range(0..5) },
        limit: random.random_bool(0.8).then(|| random.random_range(0..5)),
        append_only: false,
    }))
}

/// All columns that sort, in random order and directions.
pub(super) fn random_order(random: &mut StdRng, schema: &SchemaRef) -> Vec<SortKey> {
    let sorts = |column: &usize| !matches!(schema.field(*column).data_type(), DataType::List(_));
    let mut columns: Vec<usize> = (0..schema.fields().len()).filter(sorts).collect();
    columns.shuffle(random);
    let key = |column: usize| SortKey {
        column,
        descending: random.random_bool(0.4),
        nulls_first: random.random_bool(0.4),
    };
    columns.into_iter().map(key).collect()
}
