//! Tests of [`super`]: rows as text, before and after.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Int64Array, ListArray};
use arrow::datatypes::{DataType, Field, Int64Type};
use expect_test::expect;

use super::UnnestPlan;
use crate::operator::testing::{input, print, run};
use crate::plan::{Plan, schema_of};
use crate::time::CollectionId;
use crate::updates::{Updates, batch_of};

#[test]
fn lists_side_by_side_are_padded_to_the_longest() {
    let integers = || Arc::new(Field::new_list_field(DataType::Int64, true));
    let (list, pair) = (DataType::List(integers()), DataType::FixedSizeList(integers(), 2));
    let schema = schema_of([("l", list), ("k", DataType::Int64), ("pair", pair)]);
    let names = ["k", "l", "pair", "ordinality"];
    let plan = Plan::Unnest(Box::new(UnnestPlan {
        input: input(1, &schema),
        lists: vec![0, 2],
        ordinality: true,
        schema: schema_of(names.map(|name| (name, DataType::Int64))),
    }));
    // The slice in front makes offsets begin above 0.
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([
        Some(vec![Some(9), Some(9)]),
        Some(vec![Some(1), None, Some(3)]),
        None,
        Some(vec![]),
        Some(vec![]),
    ]);
    let pairs = FixedSizeListArray::from_iter_primitive::<Int64Type, _, _>(
        [
            None,
            Some(vec![Some(10), Some(20)]),
            Some(vec![Some(30), Some(40)]),
            None,
            Some(vec![None, None]),
        ],
        2,
    );
    let keys = Int64Array::from(vec![0, 1, 2, 3, 4]);
    let columns: Vec<ArrayRef> = vec![Arc::new(lists), Arc::new(keys), Arc::new(pairs)];
    let data = batch_of(schema, columns, 5).slice(1, 4);
    let updates = Updates::new(data, vec![1, 2, 2, 3], vec![1, 2, 1, -1]);
    let out = run(&plan, &[(CollectionId(1), updates)].into(), &[2]);
    expect![[r#"
        + 1 1 10 1 @1
        + 1 3 NULL 3 @1
        + 1 NULL 20 2 @1
        +2 2 NULL 30 1 @2
        +2 2 NULL 40 2 @2
        - 4 NULL NULL 1 @3
        - 4 NULL NULL 2 @3
    "#]]
    .assert_eq(&print(out));
}
