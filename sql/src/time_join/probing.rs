//! What executes a [`PointInTimeJoin`]: times and keys of the left rows as requests to the replay,
//! and what it answers beside them.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array,
    UInt64Array, new_null_array,
};
use arrow::compute::{concat_batches, filter_record_batch, take};
use arrow::datatypes::{Field, Schema, SchemaRef, TimestampMicrosecondType};
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::PhysicalExpr;
use tidemark_catalog::{CommitTime, VersionSelection};
use tidemark_engine::batch::evaluate;
use tidemark_engine::plan::{ConstantPlan, Plan, ProjectPlan};
use tidemark_engine::replay::point_in_time;
use tidemark_engine::{CollectionId, Timestamp};

use super::Clock;
use super::point_in_time::{Bound, PointInTimeJoin};
use super::replay::{Replay, there_from};
use super::whole::Whole;
use crate::error::{Notice, SqlError, state};
use crate::maintain::{Replayed, ReplayedColumns};
use crate::tell::Tell;
use crate::text_io::Zone;
use crate::text_io::datetime::format_timestamptz;
use crate::version;
use crate::work::{Work, WorkKind};

type Physical<'a> = &'a dyn Fn(&Expr, &DFSchema) -> Result<Arc<dyn PhysicalExpr>>;

/// See the module.
#[derive(Debug)]
pub struct Probing {
    tell: Tell,
    label: String,
    schema: SchemaRef,
    left_width: usize,
    outer: bool,
    time: Arc<dyn PhysicalExpr>,
    /// What the keys of the replay equal.
    keys: Vec<Arc<dyn PhysicalExpr>>,
    /// Of pairs.
    filter: Option<Arc<dyn PhysicalExpr>>,
    replay: Arc<Replay>,
}

impl Probing {
    pub fn new(join: &PointInTimeJoin, tell: Tell, physical: Physical<'_>) -> Result<Self> {
        let Some(Bound(replay)) = &join.bound else {
            return Err(SqlError::internal("a point-in-time join that is not bound").into());
        };
        let (left, both) = (join.left.schema(), UserDefinedLogicalNodeCore::schema(join));
        let filter = conjunction(join.conditions.iter().cloned());
        Ok(Probing {
            tell,
            label: join.to_string().replacen("PointInTimeJoin", "PointInTimeJoinExec", 1),
            schema: both.inner().clone(),
            left_width: left.fields().len(),
            outer: join.outer,
            time: physical(&join.time, left)?,
            keys: join.keys.iter().map(|key| physical(key, left)).collect::<Result<_>>()?,
            filter: filter.map(|filter| physical(&filter, both)).transpose()?,
            replay: Arc::clone(replay),
        })
    }
}

impl Whole for Probing {
    fn label(&self) -> String {
        self.label.clone()
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn begin(&self) -> Arc<Work> {
        self.tell.begin(WorkKind::PointInTimeJoin, &self.replay.name)
    }

    fn run(&self, inputs: Vec<RecordBatch>, work: &Work) -> Result<RecordBatch> {
        let Some(left) = inputs.into_iter().next() else {
            return Err(SqlError::internal("a point-in-time join has a left side").into());
        };
        let times = self.times(&left)?;
        // Before it is found readable, so that it stays so.
        let known = || times.iter().copied().flatten().map(Timestamp);
        if let (Some(oldest), Some(newest)) = (known().min(), known().max()) {
            work.set_times(oldest, newest);
        }
        let _held = known().min().map(|oldest| self.replay.history.engine.hold(oldest));
        self.tell_of(&times);
        let keys = self.keys.iter().map(|key| key.evaluate(&left)?.into_array(left.num_rows()));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let (mut numbers, mut parts) = (Vec::new(), Vec::new());
        for span in &self.replay.spans {
            let within = |time: &u64| span.from <= *time && *time < span.until;
            let times: Vec<_> = times.iter().map(|time| time.filter(within)).collect();
            if times.iter().all(Option::is_none) {
                continue;
            }
            let replayed = span.planned.as_ref().map_err(|error| error.clone())?;
            for (requests, rows) in self.found(replayed, &keys, &times, work)? {
                let (requests, right) = at_time(&replayed.columns, requests, rows, &times)?;
                let pairs = self.pairs(&left, &requests, right)?;
                let (requests, pairs) = self.filtered(requests, pairs)?;
                numbers.extend(requests.values());
                parts.push(pairs);
            }
        }
        self.in_order(&left, numbers, parts)
    }
}

impl Probing {
    /// What the relation answers, by one of its definitions.
    fn found(
        &self,
        replayed: &Replayed,
        keys: &[ArrayRef],
        times: &[Option<u64>],
        work: &Work,
    ) -> Result<Vec<(UInt64Array, RecordBatch)>> {
        self.check_kept(replayed, times)?;
        let column = |key: &usize| replayed.keys[*key].expect("only such keys are looked for");
        let columns: Vec<usize> = self.replay.keys.iter().map(column).collect();
        let (plan, past) = (&replayed.plan, &self.replay.history);
        let found = point_in_time(plan, past, &columns, keys, times, work);
        Ok(found.map_err(|why| work.stopped(why))?)
    }

    /// 22023 for times that a table existed at but whose rows of then are not kept.
    fn check_kept(&self, replayed: &Replayed, times: &[Option<u64>]) -> Result<()> {
        let replay = &self.replay;
        for table in replayed.plan.reads() {
            let Some((oldest, there)) = replay.kept(table) else { continue };
            let gone = |time: &u64| there.0 <= *time && *time < oldest.0;
            let gone = times.iter().copied().flatten().filter(gone);
            let (count, example) = gone.fold((0, u64::MAX), |(n, first), t| (n + 1, first.min(t)));
            if count > 0 {
                let (name, of) = (&replay.name, replay.table_name(table));
                let message = format!("relation \"{name}\" cannot be read at a time so far back");
                return Err(SqlError::new(state::INVALID_PARAMETER_VALUE, message)
                    .with_detail(format!(
                        "{count} rows have one, such as {}; the past of table \"{of}\" is kept \
                         from {} on.",
                        shown(example as i64),
                        shown(oldest.0 as i64)
                    ))
                    .into());
            }
        }
        Ok(())
    }

    /// Says what is special about reading the relation at these times.
    fn tell_of(&self, times: &[Option<u64>]) {
        let (Replay { history, object, version, .. }, tell) = (self.replay.as_ref(), &self.tell);
        if history.clock() == Clock::Event {
            return;
        }
        let catalog = &history.catalog;
        let known = || times.iter().copied().flatten();
        let (Some(from), Some(to)) = (known().min(), known().max()) else { return };
        let (from, to) = (CommitTime(from), CommitTime(to));
        let which = version.unwrap_or(VersionSelection::InForce(from));
        for notice in version::notices(catalog, *object, which, from, to) {
            tell.notice(notice);
        }
        let Some(object) = catalog.get(*object).filter(|object| object.table().is_some()) else {
            return;
        };
        let Some(table) = history.engine.relation(CollectionId(object.id.0)) else { return };
        let there = there_from(catalog, &table);
        let early = known().filter(|time| *time < there.0).count();
        if early > 0 {
            let name = &object.name;
            let message = format!("table \"{name}\" did not exist yet at the time of {early} rows");
            let hint = "It is empty then.".to_owned();
            tell.notice(Notice { hint: Some(hint), ..Notice::new(message) });
        }
    }

    /// The left rows' times, none of which is in the future.
    fn times(&self, left: &RecordBatch) -> Result<Vec<Option<u64>>> {
        let times = self.time.evaluate(left)?.into_array(left.num_rows())?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let at = self.replay.at.0 as i64;
        let late = times.iter().flatten().filter(|time| *time > at);
        let late: (usize, Option<i64>) =
            late.fold((0, None), |(count, example), time| (count + 1, example.max(Some(time))));
        if let (count, Some(example)) = late {
            let name = &self.replay.name;
            let message = format!("relation \"{name}\" cannot be read at a time in the future");
            return Err(SqlError::new(state::INVALID_PARAMETER_VALUE, message)
                .with_detail(format!(
                    "{count} of {} rows have one, such as {}; the statement reads at {}.",
                    left.num_rows(),
                    shown(example),
                    shown(at)
                ))
                .with_hint("Leave these rows out: WHERE ts <= now().")
                .into());
        }
        // Before the epoch there was nothing.
        Ok(times.iter().map(|time| time.map(|time| time.max(0) as u64)).collect())
    }

    fn pairs(
        &self,
        left: &RecordBatch,
        requests: &UInt64Array,
        right: Vec<ArrayRef>,
    ) -> Result<RecordBatch> {
        let left = left.columns().iter().map(|column| take(column, requests, None));
        let left = left.collect::<std::result::Result<Vec<_>, _>>()?;
        batch(&self.nullable(), [left, right].concat(), requests.len())
    }

    fn nullable(&self) -> SchemaRef {
        let fields =
            self.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    fn filtered(
        &self,
        requests: UInt64Array,
        pairs: RecordBatch,
    ) -> Result<(UInt64Array, RecordBatch)> {
        let Some(filter) = &self.filter else { return Ok((requests, pairs)) };
        let truths = filter.evaluate(&pairs)?.into_array(pairs.num_rows())?;
        let truths: &BooleanArray = truths.as_boolean();
        let kept = arrow::compute::filter(&requests, truths)?;
        Ok((kept.as_primitive().clone(), filter_record_batch(&pairs, truths)?))
    }

    /// All pairs in the order of the left rows; of an outer join each of these at least once.
    fn in_order(
        &self,
        left: &RecordBatch,
        mut numbers: Vec<u64>,
        mut parts: Vec<RecordBatch>,
    ) -> Result<RecordBatch> {
        if self.outer {
            let mut met = vec![false; left.num_rows()];
            numbers.iter().for_each(|&number| met[number as usize] = true);
            let alone = (0..left.num_rows() as u64).filter(|&row| !met[row as usize]);
            let alone = UInt64Array::from_iter_values(alone);
            let right = self.schema.fields().iter().skip(self.left_width);
            let nulls = right.map(|field| new_null_array(field.data_type(), alone.len()));
            parts.push(self.pairs(left, &alone, nulls.collect())?);
            numbers.extend(alone.values());
        }
        let rows = concat_batches(&self.nullable(), &parts)?;
        let mut order: Vec<u32> = (0..numbers.len() as u32).collect();
        order.sort_by_key(|&place| numbers[place as usize]);
        let order = UInt32Array::from(order);
        let columns = rows.columns().iter().map(|column| take(column, &order, None));
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
        batch(&self.schema, columns, order.len())
    }
}

/// The relation's columns: what depends on the moment is computed for each request.
fn at_time(
    columns: &ReplayedColumns,
    requests: UInt64Array,
    rows: RecordBatch,
    times: &[Option<u64>],
) -> Result<(UInt64Array, Vec<ArrayRef>)> {
    let (exprs, schema) = match columns {
        ReplayedColumns::Plain(columns) => {
            let columns = columns.iter().map(|&column| Arc::clone(rows.column(column)));
            return Ok((requests, columns.collect()));
        }
        ReplayedColumns::AtTime { exprs, schema } => (exprs, schema),
    };
    let time = requests.values().iter().map(|&request| {
        times[request as usize].expect("a request without a time meets nothing") as i64
    });
    let time = arrow::array::TimestampMicrosecondArray::from_iter_values(time);
    let time: ArrayRef = Arc::new(time.with_timezone("+00:00"));
    let number: ArrayRef = Arc::new(requests);
    let with = |own: &Schema, more: &[(&str, &ArrayRef)]| -> SchemaRef {
        let more = more
            .iter()
            .map(|(name, array)| Arc::new(Field::new(*name, array.data_type().clone(), true)));
        Arc::new(Schema::new(own.fields().iter().cloned().chain(more).collect::<Vec<_>>()))
    };
    let input_schema = with(&rows.schema(), &[("time", &time), ("request", &number)]);
    let columns = rows.columns().iter().cloned().chain([time, Arc::clone(&number)]);
    let input = batch(&input_schema, columns.collect(), rows.num_rows())?;
    let place = input_schema.fields().len() - 1;
    let request: Arc<dyn PhysicalExpr> =
        Arc::new(datafusion::physical_expr::expressions::Column::new("request", place));
    let project = ProjectPlan {
        input: Plan::Constant(ConstantPlan { rows: input }),
        exprs: exprs.iter().cloned().chain([request]).collect(),
        schema: with(schema, &[("request", &number)]),
    };
    // A row that fails is not in the relation (S10).
    let computed = evaluate(&Plan::Project(Box::new(project)), Timestamp(0), &|_| {
        unreachable!("a constant reads nothing")
    });
    let mut columns = computed.rows.columns().to_vec();
    let requests = columns.pop().expect("the request's number is its last column");
    Ok((requests.as_primitive().clone(), columns))
}

fn shown(time: i64) -> String {
    let mut text = String::new();
    format_timestamptz(time, &Zone::Utc, &mut text);
    text
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
