//! Random INTERSECT and EXCEPT, over sides that share rows.

use rand::Rng;
use rand::rngs::StdRng;

use super::{Scale, pick, random_plan, random_predicate};
use crate::plan::{FilterPlan, Plan, SetOperationKind, SetOperationPlan, UnionPlan};

const KINDS: [SetOperationKind; 4] = [
    SetOperationKind::Intersect,
    SetOperationKind::IntersectAll,
    SetOperationKind::Except,
    SetOperationKind::ExceptAll,
];

pub(super) fn random_set_operation(random: &mut StdRng, depth: u32, scale: Scale) -> Plan {
    let shared = random_plan(random, depth - 1, scale);
    let schema = shared.schema();
    let mut side = || {
        // Parts of the shared rows; with two of them many are there twice.
        let mut inputs = Vec::new();
        for _ in 0..random.random_range(1..3) {
            let input = shared.clone();
            inputs.push(match schema.fields().is_empty() || random.random_bool(0.3) {
                true => input,
                false => {
                    let predicate = random_predicate(random, &schema, scale);
                    Plan::Filter(Box::new(FilterPlan { input, predicate }))
                }
            });
        }
        Plan::Union(UnionPlan { inputs, schema: schema.clone() })
    };
    let (left, right) = (side(), side());
    let kind = pick(random, &KINDS).expect("not empty");
    Plan::SetOperation(Box::new(SetOperationPlan { kind, left, right, schema }))
}
