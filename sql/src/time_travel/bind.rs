//! A relation at its time, put in the place of a [`TimeTravel`].
//!
//! Law: a materialized view whose version in force at t is the present one, at a time that its
//! stored changes reach, reads these; any other view is evaluated over its tables at t. An inner
//! clause wins over an outer one, but may not be later (S16).

use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::datasource::{TableProvider, provider_as_source};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::scalar::ScalarValue;
use futures::future::BoxFuture;
use tidemark_catalog::{CommitTime, Object, ObjectId, VersionSelection};
use tidemark_engine::{ReadGuard, Timestamp};

use super::log::{Log, Source, Stretch};
use super::{TimeTravel, What, of, view_at};
use crate::context::{PlanContext, ReadView};
use crate::error::{Notice, SqlError, state};
use crate::maintain::{ReplayedColumns, plan_replayed};
use crate::plan::{base_tables, is_materialized};
use crate::provider::RelationProvider;
use crate::resolve::{RelationSource, Resolver, ScannedRelation};
use crate::run::collect;
use crate::text_io::Zone;
use crate::text_io::datetime::format_timestamptz;
use crate::time_join::{Clock, EventTimeRows, Past, Whole, WholeTable, there_from};
use crate::{rewrite, run, version};

/// What a statement reads, with `SET as_of` (S6): its time is that one.
///
/// Errors: 22023 if that is in the future.
pub fn statement_view(ctx: &PlanContext, read: &ReadView) -> Result<ReadView, SqlError> {
    match ctx.settings.as_of() {
        None => Ok(read.clone()),
        Some(at) if at > read.at => Err(in_the_future("as_of", at, read.at)),
        Some(at) => Ok(ReadView { now: at, ..read.clone() }),
    }
}

/// The plan with rows, or what computes them, in the place of every [`TimeTravel`].
pub fn travel<'a>(
    ctx: &'a PlanContext,
    session: &'a SessionState,
    plan: LogicalPlan,
    read: &'a ReadView,
    params: &'a [ScalarValue],
) -> BoxFuture<'a, Result<LogicalPlan, SqlError>> {
    Box::pin(async move {
        let mut bound: Vec<(TimeTravel, LogicalPlan)> = Vec::new();
        for node in nodes(&plan)? {
            let mut times = Vec::with_capacity(node.times.len());
            for time in &node.times {
                times.push(time_of(ctx, &node, time, read, params).await?);
            }
            let place = |at| Place { ctx, session, node: &node, at, read };
            let relation = match (node.what, times.as_slice()) {
                (What::State, &[at]) => place(at).relation().await?,
                (_, []) => place(read.now).log(None)?,
                (_, &[from]) => place(read.now).log(Some(from))?,
                (_, &[from, to, ..]) => place(to).log(Some(from))?,
            };
            bound.push((node, relation));
        }
        if bound.is_empty() {
            return Ok(plan);
        }
        // Not into their times, which are known.
        let placed = plan.transform_down_with_subqueries(|node| {
            let found = of(&node).and_then(|node| bound.iter().find(|(known, _)| known == node));
            match found {
                Some((_, relation)) => {
                    Ok(Transformed::new(relation.clone(), true, TreeNodeRecursion::Jump))
                }
                None => Ok(Transformed::no(node)),
            }
        })?;
        Ok(placed.data)
    })
}

fn nodes(plan: &LogicalPlan) -> Result<Vec<TimeTravel>> {
    let mut nodes: Vec<TimeTravel> = Vec::new();
    plan.apply_with_subqueries(|node| {
        let Some(node) = of(node) else { return Ok(TreeNodeRecursion::Continue) };
        if !nodes.contains(node) {
            nodes.push(node.clone());
        }
        Ok(TreeNodeRecursion::Jump)
    })?;
    Ok(nodes)
}

/// The time of a clause.
async fn time_of(
    ctx: &PlanContext,
    node: &TimeTravel,
    time: &Expr,
    read: &ReadView,
    params: &[ScalarValue],
) -> Result<Timestamp, SqlError> {
    let name = node.name.table();
    let value = match time {
        Expr::Literal(value, _) => value.clone(),
        time => {
            let row = LogicalPlanBuilder::empty(true);
            let row = row.project([time.clone().alias("time")])?.build()?;
            let rows = collect(ctx, &row, read, params, &Default::default()).await?;
            let batch = rows.iter().find(|batch| batch.num_rows() > 0);
            let batch = batch.ok_or_else(|| SqlError::internal("a row gave no row"))?;
            ScalarValue::try_from_array(batch.column(0), 0)?
        }
    };
    let ScalarValue::TimestampMicrosecond(micros, _) = value else {
        return Err(SqlError::internal(format!("a time that is {value}")));
    };
    let Some(micros) = micros else {
        let message = format!("relation \"{name}\" cannot be read as of NULL");
        return Err(SqlError::new(state::NULL_VALUE_NOT_ALLOWED, message)
            .with_hint("AS OF takes a point in time."));
    };
    // Before the epoch there was nothing.
    let at = Timestamp(micros.max(0) as u64);
    match at > read.now {
        true => Err(in_the_future(name, at, read.now)),
        false => Ok(at),
    }
}

fn in_the_future(name: &str, at: Timestamp, now: Timestamp) -> SqlError {
    let what = match name {
        "as_of" => "as_of is a time in the future".to_owned(),
        name => format!("relation \"{name}\" cannot be read at a time in the future"),
    };
    SqlError::new(state::INVALID_PARAMETER_VALUE, what).with_detail(format!(
        "The time is {}; the statement reads at {}.",
        shown(at),
        shown(now)
    ))
}

pub(super) fn shown(time: Timestamp) -> String {
    let mut text = String::new();
    format_timestamptz(time.0 as i64, &Zone::Utc, &mut text);
    text
}

/// One relation at one time; of a log, that of its end.
pub(super) struct Place<'a> {
    pub ctx: &'a PlanContext,
    pub session: &'a SessionState,
    pub node: &'a TimeTravel,
    pub at: Timestamp,
    read: &'a ReadView,
}

impl Place<'_> {
    /// Keeps a time readable for as long as what this gives lives.
    fn hold(&self, at: Timestamp) -> Arc<ReadGuard> {
        Arc::new(self.ctx.engine.hold(at))
    }

    /// What is read at this time.
    fn read_at(&self, held: &Arc<ReadGuard>) -> ReadView {
        ReadView {
            held: Some(Arc::clone(held)),
            present: self.read.present,
            ..ReadView::new(held.at)
        }
    }

    async fn relation(&self) -> Result<LogicalPlan, SqlError> {
        let (id, catalog) = (self.node.relation, &self.ctx.catalog);
        // Before it is found readable, so that it stays so.
        let held = self.hold(self.at);
        let object = catalog.get(id).ok_or_else(|| SqlError::undefined_table(&self.node.name))?;
        if self.node.clock == Clock::Event {
            return self.by_event_time(object, &held).await;
        }
        if object.view().is_none() {
            self.tell(object, VersionSelection::Current, self.at);
            self.check_table(id, self.at)?;
            return self.stored(id, &held);
        }
        let at = CommitTime(self.at.0);
        let which = self.node.version.unwrap_or(VersionSelection::InForce(at));
        let number = version::selected(catalog, id, which)?.number;
        self.tell(object, which, self.at);
        let name = &object.name;
        if is_materialized(catalog, id) && self.is_stored(id, number, self.at)? {
            let road = format!("{name} as of {}: stored changes", shown(self.at));
            self.ctx.tell.road(road);
            return self.stored(id, &held);
        }
        let road = format!("{name} as of {}: evaluated by version {number}", shown(self.at));
        self.ctx.tell.road(road);
        self.evaluated(id, which, None, &held).await
    }

    /// What had happened by the time, by the newest version of a view (S13).
    async fn by_event_time(
        &self,
        object: &Object,
        held: &Arc<ReadGuard>,
    ) -> Result<LogicalPlan, SqlError> {
        let id = object.id;
        let known = self.read.at.min(self.read.now);
        let (name, at, known_at) = (&object.name, shown(self.at), shown(known));
        let road =
            format!("{name} as of event time {at}: evaluated by what is known at {known_at}");
        self.ctx.tell.road(road);
        if object.view().is_none() {
            let schema = Arc::clone(self.node.schema.inner());
            let (table, with_arrivals) = (self.ctx.collection(id), self.node.with_arrivals);
            let times = (self.at, known);
            return self.whole(EventTimeRows::new(self.ctx, table, times, schema, with_arrivals));
        }
        let which = self.node.version.unwrap_or(VersionSelection::Current);
        self.evaluated(id, which, Some(known), held).await
    }

    fn tell(&self, object: &Object, which: VersionSelection, from: Timestamp) {
        let (from, to) = (CommitTime(from.0), CommitTime(self.at.0));
        for notice in version::notices(&self.ctx.catalog, object.id, which, from, to) {
            self.ctx.tell.notice(notice);
        }
    }

    /// Whether the present rows' changes reach the time, by the version that is asked for.
    fn is_stored(&self, id: ObjectId, number: u32, at: Timestamp) -> Result<bool, SqlError> {
        let present = version::selected(&self.ctx.catalog, id, VersionSelection::Current)?;
        let Some(relation) = self.ctx.engine.relation(self.ctx.collection(id)) else {
            return Ok(false);
        };
        let own_writes = run::is_overwritten(self.ctx, self.read, id);
        let in_force = present.number == number && present.from.0 <= at.0;
        Ok(in_force && !own_writes && relation.readable_from_at(self.read.present) <= at)
    }

    /// 22023 if a table's past does not reach the time; a notice if there was no table.
    fn check_table(&self, id: ObjectId, at: Timestamp) -> Result<(), SqlError> {
        let catalog = &self.ctx.catalog;
        let Some(object) = catalog.get(id) else { return Ok(()) };
        let Some(relation) = self.ctx.engine.relation(self.ctx.collection(id)) else {
            return Ok(());
        };
        let (name, oldest) = (&object.name, relation.readable_from_at(self.read.present));
        if at < there_from(catalog, &relation) {
            let message = format!("table \"{name}\" did not exist at {}", shown(at));
            let hint = "It is read as an empty table.".to_owned();
            self.ctx.tell.notice(Notice { hint: Some(hint), ..Notice::new(message) });
            return Ok(());
        }
        if at < oldest {
            let message = format!("table \"{name}\" cannot be read at {}", shown(at));
            return Err(SqlError::new(state::INVALID_PARAMETER_VALUE, message)
                .with_detail(format!("Its past is kept from {} on.", shown(oldest))));
        }
        Ok(())
    }

    /// The same for a stretch of time: what there was in it must be kept from its beginning on.
    fn check_range(&self, id: ObjectId, from: Timestamp, to: Timestamp) -> Result<(), SqlError> {
        self.check_table(id, from)?;
        let relation = self.ctx.engine.relation(self.ctx.collection(id));
        let there = relation.map(|relation| there_from(&self.ctx.catalog, &relation));
        match there {
            Some(there) if from < there && there <= to => self.check_table(id, there),
            _ => Ok(()),
        }
    }

    /// What it went through from a time, or from the oldest there is, to this one.
    fn log(&self, from: Option<Timestamp>) -> Result<LogicalPlan, SqlError> {
        let (id, catalog) = (self.node.relation, &self.ctx.catalog);
        let object = catalog.get(id).ok_or_else(|| SqlError::undefined_table(&self.node.name))?;
        let (with_first, to) = (from.is_none(), self.at);
        // All of the past is held until it is known from when on it is wanted.
        let everything = self.hold(Timestamp::MIN);
        let from = from.unwrap_or_else(|| self.oldest(id)).min(to);
        let held = self.hold(from);
        drop(everything);
        for table in base_tables(catalog, &[id].into()) {
            self.check_range(table, from, to)?;
        }
        let which = self.node.version.unwrap_or(VersionSelection::InForce(CommitTime(from.0)));
        if object.view().is_some() {
            self.tell(object, which, from);
        }
        let source = self.source(object, which, from)?;
        let road = match source {
            Source::Stored(_) => "stored changes".to_owned(),
            Source::Replayed(ref stretches, _) => format!("replay of {}", stretches.len()),
        };
        let what = format!("{} from {} to {}", object.name, shown(from), shown(to));
        let label = format!("LogExec: {what}, {road}");
        let schema = Arc::clone(self.node.schema.inner());
        let what = self.node.what;
        let (name, tell) = (object.name.clone(), self.ctx.tell.clone());
        self.whole(Log { what, from: held, with_first, to, source, name, label, schema, tell })
    }

    fn source(
        &self,
        object: &Object,
        which: VersionSelection,
        from: Timestamp,
    ) -> Result<Source, SqlError> {
        let (id, catalog) = (object.id, &self.ctx.catalog);
        let relation = self.ctx.engine.relation(self.ctx.collection(id));
        if object.view().is_none() {
            return relation
                .map(Source::Stored)
                .ok_or_else(|| SqlError::undefined_table(&object.name));
        }
        let (first, last) = (CommitTime(from.0), CommitTime(self.at.0));
        let spans = version::spans(catalog, id, which, first, last)?;
        if let ([span], Some(relation)) = (spans.as_slice(), relation)
            && is_materialized(catalog, id)
            && self.is_stored(id, span.number, from)?
        {
            return Ok(Source::Stored(relation));
        }
        let stretches = spans.iter().map(|span| self.stretch(object, span));
        let stretches = stretches.collect::<Result<Vec<_>, SqlError>>()?;
        let past = Past::new(self.ctx, Clock::System, self.at);
        Ok(Source::Replayed(stretches, past))
    }

    fn stretch(
        &self,
        object: &Object,
        span: &version::DefinitionSpan,
    ) -> Result<Stretch, SqlError> {
        let body = Resolver::new(self.ctx, self.session).expand_at(object.id, span.which)?;
        let body = rewrite::postgres_semantics(body, self.session.config_options())?;
        for table in base_tables(&self.ctx.catalog, &tables_of(&body)?) {
            self.check_range(table, Timestamp(span.from.0), Timestamp(span.until.0 - 1))?;
        }
        let refused = |detail: String| {
            let message = format!("view \"{}\" cannot be replayed", object.name);
            SqlError::unsupported(message).with_detail(detail)
        };
        let options = Arc::clone(self.session.config_options());
        let replayed = plan_replayed(&body, &[], options, &self.ctx.catalog);
        let replayed = replayed.map_err(|error| refused(error.message))?;
        let ReplayedColumns::Plain(columns) = replayed.columns else {
            return Err(refused("now() is a value in it, which changes at every instant.".into()));
        };
        let (from, to) = (Timestamp(span.from.0), Timestamp(span.until.0 - 1));
        Ok(Stretch { from, to, plan: replayed.plan, columns })
    }

    /// The oldest time that a relation's log can begin at, or the first with anything to tell.
    fn oldest(&self, id: ObjectId) -> Timestamp {
        let catalog = &self.ctx.catalog;
        let tables = base_tables(catalog, &[id].into());
        let relation = |id: &ObjectId| self.ctx.engine.relation(self.ctx.collection(*id));
        let relations: Vec<_> = tables.iter().filter_map(relation).collect();
        let present = self.read.present;
        let readable = relations.iter().map(|table| table.readable_from_at(present)).max();
        let first = relations.iter().map(|table| there_from(catalog, table)).min();
        readable.max(first).unwrap_or(Timestamp::MIN)
    }

    /// What the engine keeps of it.
    fn stored(&self, id: ObjectId, held: &Arc<ReadGuard>) -> Result<LogicalPlan, SqlError> {
        let schema = Arc::clone(self.node.schema.inner());
        let read = self.read_at(held);
        let collection = self.ctx.collection(id);
        let provider = RelationProvider {
            with_arrivals: self.node.with_arrivals,
            ..RelationProvider::new(self.ctx, collection, schema, &read)
        };
        self.scan(Arc::new(provider))
    }

    fn whole(&self, step: impl Whole + 'static) -> Result<LogicalPlan, SqlError> {
        self.scan(Arc::new(WholeTable::over(step, vec![])))
    }

    fn scan(&self, provider: Arc<dyn TableProvider>) -> Result<LogicalPlan, SqlError> {
        // DataFusion takes scans of one name for the same, whatever they read.
        let (name, own) = (&self.node.name, format!("{} as of {}", self.node.name, self.at.0));
        let scan = LogicalPlanBuilder::scan(
            TableReference::bare(own),
            provider_as_source(provider),
            None,
        )?;
        Ok(scan.alias(name.clone())?.build()?)
    }

    /// A view's definition over its tables; by event time as `known`.
    async fn evaluated(
        &self,
        id: ObjectId,
        which: VersionSelection,
        known: Option<Timestamp>,
        held: &Arc<ReadGuard>,
    ) -> Result<LogicalPlan, SqlError> {
        let body = Resolver::new(self.ctx, self.session).expand_at(id, which)?;
        let body = rewrite::postgres_semantics(body, self.session.config_options())?;
        let body = rewrite::now::substitute(body, self.at)?;
        if known.is_none() {
            for table in base_tables(&self.ctx.catalog, &tables_of(&body)?) {
                self.check_table(table, self.at)?;
            }
        }
        let read = ReadView { known, ..self.read_at(held) };
        let body = travel(self.ctx, self.session, body, &read, &[]).await?;
        let body = run::bound_relations(self.ctx, self.session, body, &read)?;
        let schema = Arc::clone(self.node.schema.inner());
        match view_at::ViewAt::of(self, &body, schema) {
            Some((view, sources)) => self.scan(Arc::new(WholeTable::over(view, sources))),
            // What the operators cannot do, such as an order by a value of the moment.
            None => Ok(LogicalPlanBuilder::from(body).alias(self.node.name.clone())?.build()?),
        }
    }
}

fn tables_of(plan: &LogicalPlan) -> Result<std::collections::BTreeSet<ObjectId>, SqlError> {
    let mut tables = std::collections::BTreeSet::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(source) = scan.source.downcast_ref::<RelationSource>()
            && let ScannedRelation::Table(id) = source.relation
        {
            tables.insert(id);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(tables)
}
