//! Random unnests: rows meet lists by a key, or each of them.

use arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::common::ScalarValue;
use rand::Rng;
use rand::rngs::StdRng;
use std::sync::Arc;

use super::{Scale, columns_where, pick, random_plan, random_value};
use crate::oracle::batch_of_rows;
use crate::plan::{ConstantPlan, JoinKind, JoinPlan, Plan, UnnestPlan, schema_of};

pub(super) fn random_unnest(random: &mut StdRng, depth: u32, scale: Scale) -> Plan {
    let left = random_plan(random, depth - 1, scale);
    let right = lists(random, scale);
    let (left_schema, right_schema) = (left.schema(), right.schema());
    let keys = columns_where(&left_schema, |ty| *ty == DataType::Int64);
    let left_keys: Vec<usize> = pick(random, &keys).into_iter().collect();
    let fields = left_schema.fields().iter().chain(right_schema.fields());
    let named = |field: &Arc<Field>| (field.name().clone(), field.data_type().clone());
    let columns: Vec<(String, DataType)> = fields.map(named).collect();
    let schema = |columns: &[(String, DataType)]| -> SchemaRef {
        schema_of(columns.iter().map(|(name, ty)| (name.as_str(), ty.clone())))
    };
    let join = Plan::Join(Box::new(JoinPlan {
        left,
        right,
        right_keys: vec![0; left_keys.len()],
        null_equal: vec![false; left_keys.len()],
        left_keys,
        condition: None,
        kind: JoinKind::Inner,
        schema: schema(&columns),
    }));
    let first = columns.len() - 2;
    let lists = [vec![first], vec![first, first + 1], vec![first + 1, first]];
    let lists = lists[random.random_range(0..3)].clone();
    let kept = (0..columns.len()).filter(|column| !lists.contains(column));
    let mut out: Vec<_> = kept.map(|column| columns[column].clone()).collect();
    let element = |&list: &usize| match &columns[list].1 {
        DataType::List(field) => ("e".to_string(), field.data_type().clone()),
        other => unreachable!("no list: {other}"),
    };
    out.extend(lists.iter().map(element));
    let ordinality = random.random_bool(0.5);
    out.extend(ordinality.then(|| ("ordinality".to_string(), DataType::Int64)));
    Plan::Unnest(Box::new(UnnestPlan { input: join, lists, ordinality, schema: schema(&out) }))
}

/// Rows of a key and two lists, some of them NULL or empty.
fn lists(random: &mut StdRng, scale: Scale) -> Plan {
    let list = |ty: DataType| DataType::List(Arc::new(Field::new_list_field(ty, true)));
    let schema = schema_of([
        ("key", DataType::Int64),
        ("l", list(DataType::Int64)),
        ("m", list(DataType::Utf8)),
    ]);
    let mut row = || {
        schema.fields().iter().map(|field| random_value(random, field.data_type(), scale)).collect()
    };
    let rows: Vec<Vec<ScalarValue>> = (0..4).map(|_| row()).collect();
    Plan::Constant(ConstantPlan { rows: batch_of_rows(&schema, &rows) })
}
