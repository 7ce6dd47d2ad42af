//! Random sessions.

use arrow::datatypes::{DataType, Field};
use rand::Rng;
use rand::rngs::StdRng;
use std::sync::Arc;

use super::{Scale, columns_where, pick, random_plan};
use crate::plan::{Plan, SessionPlan, schema_of};

pub(super) fn random_session(random: &mut StdRng, depth: u32, scale: Scale) -> Plan {
    let input = random_plan(random, depth - 1, scale);
    let schema = input.schema();
    let stamps = columns_where(&schema, |ty| matches!(ty, DataType::Timestamp(..)));
    let Some(time) = pick(random, &stamps) else { return input };
    let keys = (0..schema.fields().len()).filter(|_| random.random_bool(0.2)).collect();
    let named = |field: &Arc<Field>| (field.name().clone(), field.data_type().clone());
    let mut columns: Vec<_> = schema.fields().iter().map(named).collect();
    let ty = schema.field(time).data_type();
    columns.extend(["window_start", "window_end"].map(|name| (name.to_string(), ty.clone())));
    let schema = schema_of(columns.iter().map(|(name, ty)| (name.as_str(), ty.clone())));
    let gap_us = random.random_range(0..8) * scale.step;
    Plan::Session(Box::new(SessionPlan { input, keys, time, gap_us, schema }))
}
