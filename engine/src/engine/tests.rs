//! The whole engine against the oracle: real threads, a real log, real time.
//!
//! Four roads to the same V(t): a view made before its rows, half-way, after them, and after a
//! restart; with one to four workers, and views that read views.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::physical_expr::expressions::{Column, IsNotNullExpr};
use futures::executor::block_on;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Engine, EngineConfig, LogConfig, Recovered};
use crate::commit::{Change, CommitError, LoadPart, TableDef, TableLoad, TableWrite, ViewDef};
use crate::operator::testing::input;
use crate::oracle::random::{Scale, mark_append_only, random_plan, random_value, table_schema};
use crate::oracle::{batch_of_rows, evaluate, multiset, rows_of};
use crate::plan::{
    Bound, Edge, FilterPlan, InputPlan, JoinKind, JoinPlan, NowSide, Plan, TemporalMode,
    TemporalPlan, UnionPlan,
};
use crate::store::with_arrived_at;
use crate::time::{CollectionId, RowId, Timestamp};
use crate::updates::batch_of;

struct Harness {
    _directory: tempfile::TempDir,
    config: EngineConfig,
    engine: Arc<Engine>,
    views: BTreeMap<CollectionId, Plan>,
    scale: Scale,
    /// The tables that are append-only.
    growing: BTreeSet<CollectionId>,
}

#[test]
fn views_equal_the_oracle_on_every_road() {
    match std::env::var("TIDEMARK_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => four_roads(seed),
        None => (0..24).for_each(four_roads),
    }
}

#[test]
#[ignore = "nightly size"]
fn views_equal_the_oracle_on_every_road_nightly() {
    (1_000..1_500).for_each(four_roads);
}

#[test]
fn a_duplicate_key_leaves_nothing() {
    let harness = Harness::open(2);
    let schema = table_schema(2);
    let def = TableDef::new(CollectionId(9), schema.clone(), vec![0]);
    let change = Change { create_tables: vec![def], ..Change::default() };
    harness.commit(change).expect("a table");
    let mut random = StdRng::seed_from_u64(1);
    let row = random_rows(&mut random, 9, 1, harness.scale);
    let write = |insert: RecordBatch| TableWrite { table: CollectionId(9), delete: vec![], insert };
    let change = |writes| Change { writes, ..Change::default() };
    harness.commit(change(vec![write(row.clone())])).expect("the first of its key");
    let error = harness.commit(change(vec![write(row)])).expect_err("the second");
    assert!(matches!(error, CommitError::DuplicateKey { row: 0, .. }), "{error}");
    let read = harness.engine.begin_read();
    let table = harness.engine.relation(CollectionId(9)).expect("made above");
    assert_eq!(table.count(read.at), 1);
}

#[test]
fn what_stands_above_a_view_moves_with_it() {
    let mut harness = Harness::open(2);
    let tables = [1, 2].map(|id| TableDef::new(CollectionId(id), table_schema(id), vec![]));
    harness.commit(Change { create_tables: tables.into(), ..Change::default() }).expect("tables");
    harness.create_view(20, already(2, 3));
    let lower = &harness.views[&CollectionId(20)];
    let (pairs, twice) = (joined(20, lower, 1), doubled(20, lower));
    harness.create_view(21, pairs);
    harness.create_view(22, twice);
    let mut random = StdRng::seed_from_u64(1);
    for _ in 0..20 {
        let now = harness.engine.begin_read().at.0 as i64;
        let dated = |millis: i64| {
            vec![
                ScalarValue::Int64(Some(random.random_range(0..4))),
                ScalarValue::Decimal128(Some(millis.into()), 12, 2),
                ScalarValue::Float32(Some(0.5)),
                ScalarValue::TimestampMicrosecond(Some(now + millis * 1000), Some("+00:00".into())),
            ]
        };
        let dated = batch_of_rows(&table_schema(2), &[5, 20].map(dated));
        let others = random_rows(&mut random, 1, 2, harness.scale);
        let writes = [(1, others), (2, dated)].map(|(table, insert)| TableWrite {
            table: CollectionId(table),
            delete: vec![],
            insert,
        });
        let change = Change { writes: writes.into(), ..Change::default() };
        harness.commit(change).expect("no constraint to break");
        // A row has come in below by time alone, and another is still to come.
        std::thread::sleep(Duration::from_millis(7));
        harness.check_views(&[CollectionId(20)]);
        harness.check_views(&[CollectionId(21), CollectionId(22)]);
    }
}

#[test]
fn loads_reach_views_and_change_their_pasts() {
    for seed in 0..6 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut harness = Harness::open(1 + (seed % 3) as usize);
        let tables = [1, 2].map(|id| TableDef::new(CollectionId(id), table_schema(id), vec![]));
        let change = Change { create_tables: tables.into(), ..Change::default() };
        harness.commit(change).expect("tables");
        let plan = random_plan(&mut random, 2, harness.scale);
        harness.create_view(10, plan.clone());
        harness.create_view(11, over(10, &plan));
        harness.create_view(12, with_arrival(1));
        let mut last = 1_000;
        for round in 13..17 {
            let mut parts = vec![];
            for _ in 0..3 {
                let rows = random_rows(&mut random, 1, 20, harness.scale);
                let arrived = (0..20).map(|_| {
                    last += random.random_range(0..3);
                    Some(last)
                });
                parts.push(LoadPart { rows, arrived: arrived.collect(), deletes: None });
            }
            let loads = vec![TableLoad { table: CollectionId(1), parts, append_only: false }];
            let time = harness.commit(Change { loads, ..Change::default() }).expect("it is open");
            harness.check();
            let relation = harness.engine.relation(CollectionId(12)).expect("a view");
            assert_eq!((relation.readable_from(), relation.last_rewritten()), (time, time));
            harness.create_view(round, [plan.clone(), with_arrival(1)][round as usize % 2].clone());
            harness.check();
        }
        harness.random_commit(&mut random);
        harness.check();
        harness.restart(2);
        harness.check();
    }
}

mod checkpoint;
mod expiry;

/// The rows of a table whose timestamp in `column` has passed.
fn already(table: u64, column: usize) -> Plan {
    let schema = table_schema(table);
    let value = Arc::new(Column::new(schema.field(column).name(), column));
    let input = input(table, &schema);
    let now = NowSide::Offset(0);
    let bounds = vec![Bound { edge: Edge::From, strict: false, now, value }];
    Plan::Temporal(Box::new(TemporalPlan { input, bounds, mode: TemporalMode::Filter }))
}

/// A view beside the rows of a table with the same first column.
fn joined(view: u64, plan: &Plan, table: u64) -> Plan {
    let read = |id, schema: &SchemaRef| input(id, schema);
    let (left, right) = (plan.schema(), table_schema(table));
    let fields: Vec<_> = left.fields().iter().chain(right.fields()).cloned().collect();
    Plan::Join(Box::new(JoinPlan {
        left: read(view, &left),
        right: read(table, &right),
        left_keys: vec![0],
        right_keys: vec![0],
        null_equal: vec![false],
        condition: None,
        kind: JoinKind::Inner,
        schema: Arc::new(Schema::new(fields)),
    }))
}

/// Rows of two tables with equal first columns.
fn pairs(left: u64, right: u64) -> Plan {
    let [left, right] = [left, right].map(|table| input(table, &table_schema(table)));
    let (own, other) = (left.schema(), right.schema());
    let fields = own.fields().iter().chain(other.fields()).cloned();
    Plan::Join(Box::new(JoinPlan {
        left,
        right,
        left_keys: vec![0],
        right_keys: vec![0],
        null_equal: vec![false],
        condition: None,
        kind: JoinKind::Inner,
        schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
    }))
}

#[test]
fn a_join_that_stands_twice_in_a_view_is_kept_once() {
    let mut random = StdRng::seed_from_u64(1);
    let mut harness = Harness::open(2);
    let tables = [1, 2].map(|id| TableDef::new(CollectionId(id), table_schema(id), vec![]));
    harness.commit(Change { create_tables: tables.into(), ..Change::default() }).expect("tables");
    let all = pairs(1, 2);
    let schema = all.schema();
    let predicate = Arc::new(IsNotNullExpr::new(Arc::new(Column::new("s", 2))));
    let some = Plan::Filter(Box::new(FilterPlan { input: all.clone(), predicate }));
    let plan = Plan::Union(UnionPlan { inputs: vec![all, some], schema });
    harness.create_view(10, plan);
    for _ in 0..12 {
        harness.random_commit(&mut random);
        harness.check();
    }
    let (plan, operators) = harness.engine.operators(CollectionId(10)).expect("it runs");
    let mut joins = Vec::new();
    plan.visit(&mut |plan| joins.push(matches!(plan, Plan::Join(_))));
    let joins = operators.iter().zip(joins).filter(|(_, is)| *is);
    let rows: Vec<u64> = joins.map(|(join, _)| join.state.rows).collect();
    assert!(rows[0] > 0 && rows[1..] == [0], "{rows:?}");
}

/// A view's rows, and once more those with a first column.
fn doubled(view: u64, plan: &Plan) -> Plan {
    let schema = plan.schema();
    let rows = input(view, &schema);
    Plan::Union(UnionPlan { inputs: vec![rows, over(view, plan)], schema })
}

fn four_roads(seed: u64) {
    eprintln!("TIDEMARK_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut harness = Harness::open(1 + (seed % 4) as usize);
    let grows = |_: &CollectionId| random.random_bool(0.3);
    harness.growing = [1, 2].map(CollectionId).into_iter().filter(grows).collect();
    let tables = [1, 2].map(|id| TableDef::new(CollectionId(id), table_schema(id), vec![]));
    let change = Change { create_tables: tables.into(), ..Change::default() };
    harness.commit(change).expect("tables");
    let mut plan = random_plan(&mut random, 1 + (seed % 3) as u32, harness.scale);
    mark_append_only(&mut plan, &|id| harness.growing.contains(&id));
    harness.create_view(10, plan.clone());
    harness.create_view(11, over(10, &plan));
    harness.create_view(15, with_arrival(1));
    for _ in 0..12 {
        harness.random_commit(&mut random);
    }
    harness.check();
    harness.create_view(12, plan.clone());
    harness.create_view(16, with_arrival(1));
    for _ in 0..12 {
        harness.random_commit(&mut random);
        harness.check();
    }
    harness.create_view(13, over(12, &plan));
    harness.create_view(14, plan.clone());
    harness.check();
    harness.drop_view(13);
    harness.restart(1 + (seed / 2 % 4) as usize);
    harness.check();
    harness.random_commit(&mut random);
    harness.check();
}

/// A table with when its rows arrived.
fn with_arrival(table: u64) -> Plan {
    let schema = with_arrived_at(&table_schema(table));
    let id = CollectionId(table);
    Plan::Input(InputPlan { id, schema, append_only: false, arrived_at: true, versions: false })
}

/// A view that reads a view.
fn over(id: u64, plan: &Plan) -> Plan {
    let schema = plan.schema();
    let mut input = input(id, &schema);
    mark_append_only(&mut input, &|_| plan.append_only());
    let column = Arc::new(Column::new(schema.field(0).name(), 0));
    let predicate = Arc::new(IsNotNullExpr::new(column));
    Plan::Filter(Box::new(FilterPlan { input, predicate }))
}

fn random_rows(random: &mut StdRng, table: u64, rows: usize, scale: Scale) -> RecordBatch {
    let schema = table_schema(table);
    if rows == 0 {
        return RecordBatch::new_empty(schema);
    }
    let columns = schema.fields().iter().map(|field| {
        let values = (0..rows).map(|_| random_value(random, field.data_type(), scale));
        let values: Vec<ScalarValue> = values.collect();
        ScalarValue::iter_to_array(values).expect("values of one type")
    });
    batch_of(schema.clone(), columns.collect(), rows)
}

impl Harness {
    fn open(workers: usize) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let log = LogConfig::default();
        let config = EngineConfig { data: directory.path().to_owned(), workers, fsync: false, log };
        let (engine, Recovered { ddl }) = Engine::open(config.clone()).expect("an empty directory");
        assert!(ddl.is_empty());
        // Rows come and go while the test runs: steps of two milliseconds from now on.
        let scale = Scale { base: engine.begin_read().at.0 as i64, step: 2_000 };
        let (views, growing) = (BTreeMap::new(), BTreeSet::new());
        Harness { _directory: directory, config, engine, views, scale, growing }
    }

    fn restart(&mut self, workers: usize) {
        self.engine.shutdown();
        self.config.workers = workers;
        self.engine = Engine::open(self.config.clone()).expect("what was just closed").0;
        for (id, plan) in self.views.clone() {
            self.create_view(id.0, plan);
        }
        self.engine.resume();
    }

    fn commit(&self, change: Change) -> Result<Timestamp, CommitError> {
        let (send, receive) = mpsc::channel();
        let done = Box::new(move |result| send.send(result).expect("the test waits"));
        self.engine.submit(vec![], Box::new(move |_| Ok(change)), done);
        receive.recv().expect("every commit is answered")
    }

    fn create_view(&mut self, id: u64, plan: Plan) {
        let def = ViewDef::new(CollectionId(id), plan.clone(), None);
        self.commit(Change { create_views: vec![def], ..Change::default() }).expect("a view");
        self.views.insert(CollectionId(id), plan);
    }

    fn drop_view(&mut self, id: u64) {
        let id = CollectionId(id);
        self.commit(Change { drop_views: vec![id], ..Change::default() }).expect("a view");
        self.views.remove(&id);
    }

    /// Deletes and inserts in one or both tables.
    fn random_commit(&self, random: &mut StdRng) {
        let mut change = Change::default();
        let read = self.engine.begin_read();
        for table in 1..3 {
            if random.random_bool(0.3) {
                continue;
            }
            let relation = self.engine.relation(CollectionId(table)).expect("a table");
            let mut delete = Vec::new();
            for rows in relation.scan(read.at) {
                let ids = rows.ids.values().iter().map(|&id| RowId(id));
                let grows = self.growing.contains(&CollectionId(table));
                delete.extend(ids.filter(|_| !grows && random.random_bool(0.25)));
            }
            let count = random.random_range(0..6);
            let insert = random_rows(random, table, count, self.scale);
            change.writes.push(TableWrite { table: CollectionId(table), delete, insert });
        }
        self.commit(change).expect("no constraint to break");
    }

    fn rows(&self, id: CollectionId, at: Timestamp) -> RecordBatch {
        let relation = self.engine.relation(id).expect("it exists");
        let batches: Vec<RecordBatch> = relation.batches_arrived(at).collect();
        concat_batches(&relation.arrived_schema(), &batches).expect("of one schema")
    }

    /// Every view at a time of now equals the oracle over the tables at that time.
    fn check(&self) {
        let ids: Vec<CollectionId> = self.views.keys().copied().collect();
        self.check_views(&ids);
    }

    /// The same of these alone: no other is waited for.
    fn check_views(&self, ids: &[CollectionId]) {
        let read = self.engine.begin_read();
        block_on(self.engine.wait_for(ids, read.at)).expect("no view is dropped");
        for id in ids {
            let plan = &self.views[id];
            let expected = self.oracle(plan, read.at);
            let relation = self.engine.relation(*id).expect("it exists");
            let got = multiset(relation.batches(read.at).flat_map(|batch| rows_of(&batch)));
            assert_eq!(got, multiset(expected), "view {id:?} at {:?}:\n{plan}", read.at);
        }
    }

    fn oracle(&self, plan: &Plan, at: Timestamp) -> Vec<crate::oracle::Row> {
        let input = |id: CollectionId| match self.views.get(&id) {
            None => self.rows(id, at),
            Some(view) => batch_of_rows(&view.schema(), &self.oracle(view, at)),
        };
        evaluate(plan, &input, at).rows
    }
}
