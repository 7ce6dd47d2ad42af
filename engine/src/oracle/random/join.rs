//! Random joins: all kinds, with and without keys, with conditions that can fail.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Literal};
use rand::Rng;
use rand::rngs::StdRng;

use super::{Scale, column, columns_where, pick, random_plan, random_predicate, table_schema};
use crate::expression::Expr;
use crate::plan::{
    Bound, Edge, InputPlan, JoinKind, JoinPlan, NowSide, Plan, TemporalMode, TemporalPlan,
    VersionJoinPlan, schema_of,
};
use crate::store::with_versions;
use crate::time::CollectionId;

const KINDS: [JoinKind; 6] = [
    JoinKind::Inner,
    JoinKind::Left,
    JoinKind::Right,
    JoinKind::Full,
    JoinKind::Semi,
    JoinKind::Anti,
];

pub(super) fn random_join(random: &mut StdRng, depth: u32, scale: Scale) -> Plan {
    let left = random_plan(random, depth - 1, scale);
    let other_depth = random.random_range(0..depth.min(2));
    let right = random_plan(random, other_depth, scale);
    let (left_schema, right_schema) = (left.schema(), right.schema());
    let (mut left_keys, mut right_keys) = (vec![], vec![]);
    for l in 0..left_schema.fields().len() {
        let same = of_type(&right_schema, left_schema.field(l).data_type());
        if let Some(r) = pick(random, &same)
            && random.random_bool(0.4)
        {
            left_keys.push(l);
            right_keys.push(r);
        }
    }
    let kind = pick(random, &KINDS).expect("not empty");
    joined(random, (left, right), (left_keys, right_keys), kind, scale)
}

/// Pairs of what one plan gives, by the same key.
pub(crate) fn random_join_of_itself(random: &mut StdRng, depth: u32, scale: Scale) -> Plan {
    let plan = random_plan(random, depth - 1, scale);
    let columns = 0..plan.schema().fields().len();
    let keys: Vec<usize> = columns.filter(|_| random.random_bool(0.4)).collect();
    joined(random, (plan.clone(), plan), (keys.clone(), keys), JoinKind::Inner, scale)
}

/// Of these sides and keys, by a condition or not.
fn joined(
    random: &mut StdRng,
    (left, right): (Plan, Plan),
    (left_keys, right_keys): (Vec<usize>, Vec<usize>),
    kind: JoinKind,
    scale: Scale,
) -> Plan {
    let (left_schema, right_schema) = (left.schema(), right.schema());
    let fields = left_schema.fields().iter().chain(right_schema.fields());
    let pair = schema_of(fields.map(|field| (field.name().as_str(), field.data_type().clone())));
    let schema = match kind {
        JoinKind::Semi | JoinKind::Anti => left_schema.clone(),
        _ => pair.clone(),
    };
    let with_condition = random.random_bool(0.5) && !pair.fields().is_empty();
    let condition =
        with_condition.then(|| random_condition(random, &pair, left_schema.fields().len(), scale));
    Plan::Join(Box::new(JoinPlan {
        left,
        right,
        null_equal: left_keys.iter().map(|_| random.random_bool(0.3)).collect(),
        left_keys,
        right_keys,
        condition,
        kind,
        schema,
    }))
}

/// Rows of a plan that are not dated in the future beside the versions of table 3.
pub(crate) fn random_version_join(random: &mut StdRng, depth: u32, scale: Scale) -> Plan {
    let left = random_plan(random, depth - 1, scale);
    let left_schema = left.schema();
    let stamps = columns_where(&left_schema, |ty| matches!(ty, DataType::Timestamp(..)));
    let Some(time) = pick(random, &stamps) else { return left };
    let bound = Bound {
        edge: Edge::From,
        strict: random.random_bool(0.3),
        now: NowSide::Offset(0),
        value: column(&left_schema, time),
    };
    let (bounds, mode) = (vec![bound], TemporalMode::Filter);
    let left = Plan::Temporal(Box::new(TemporalPlan { input: left, bounds, mode }));
    let own = table_schema(3);
    let right = Plan::Input(InputPlan {
        id: CollectionId(3),
        schema: with_versions(&own),
        append_only: false,
        arrived_at: false,
        versions: true,
    });
    let (mut left_keys, mut right_keys) = (vec![], vec![]);
    for r in 0..own.fields().len() {
        let same = of_type(&left_schema, own.field(r).data_type());
        if let Some(l) = pick(random, &same)
            && random.random_bool(0.6)
        {
            left_keys.push(l);
            right_keys.push(r);
        }
    }
    let right_schema = right.schema();
    let fields = left_schema.fields().iter().chain(right_schema.fields());
    let fields = fields.take(left_schema.fields().len() + right_schema.fields().len() - 1);
    let schema = schema_of(fields.map(|field| (field.name().as_str(), field.data_type().clone())));
    let condition = random
        .random_bool(0.4)
        .then(|| random_condition(random, &schema, left_schema.fields().len(), scale));
    let outer = random.random_bool(0.5);
    let plan =
        VersionJoinPlan { left, right, left_keys, right_keys, time, condition, outer, schema };
    Plan::VersionJoin(Box::new(plan))
}

/// Over the columns of both sides, of which the first `left` are the left one's.
fn random_condition(random: &mut StdRng, pair: &SchemaRef, left: usize, scale: Scale) -> Expr {
    if left == 0 {
        return random_predicate(random, pair, scale);
    }
    let l = random.random_range(0..left);
    let ty = pair.field(l).data_type();
    let same: Vec<usize> = of_type(pair, ty).into_iter().filter(|&r| r >= left).collect();
    let Some(r) = pick(random, &same) else {
        return random_predicate(random, pair, scale);
    };
    let (l, r) = (column(pair, l), column(pair, r));
    let number = |value: i32| -> Option<Expr> {
        let value = match ty {
            DataType::Int32 => ScalarValue::Int32(Some(value)),
            DataType::Int64 => ScalarValue::Int64(Some(value.into())),
            _ => return None,
        };
        Some(Arc::new(Literal::new(value)))
    };
    if let (Some(hundred), Some(three)) = (number(100), number(3)) {
        // 100 / (l - r) > 3: fails where the two are equal.
        let apart = Arc::new(BinaryExpr::new(l, Operator::Minus, r).with_fail_on_overflow(true));
        let share = BinaryExpr::new(hundred, Operator::Divide, apart).with_fail_on_overflow(true);
        return Arc::new(BinaryExpr::new(Arc::new(share), Operator::Gt, three));
    }
    let operators = [Operator::Lt, Operator::GtEq, Operator::NotEq];
    Arc::new(BinaryExpr::new(l, pick(random, &operators).expect("not empty"), r))
}

fn of_type(schema: &SchemaRef, ty: &DataType) -> Vec<usize> {
    columns_where(schema, |other| other == ty)
}
