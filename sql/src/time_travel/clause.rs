//! From a time clause, or `SET as_of`, to a [`TimeTravel`].

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DFSchemaRef, TableReference};
use datafusion::error::Result;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, LogicalPlanBuilder, Projection, SubqueryAlias, TableSource,
};
use sqlparser::ast::{
    self, Expr as AstExpr, FunctionArg, FunctionArgExpr, Ident, TableAlias, TableFactor,
    TableVersion,
};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;
use tidemark_engine::Timestamp;

use super::{TimeTravel, What};
use crate::error::SqlError;
use crate::parse::fold;
use crate::resolve::{PAST, RelationSource, ScannedRelation};
use crate::rewrite::arrived_at;
use crate::rewrite::ast::cast_to;
use crate::rewrite::version_clause::unmarked;
use crate::run::now_literal;
use crate::time_join::Clock;

/// Makes the times of a clause, or of a log, timestamptz.
pub fn spell(factor: &mut TableFactor) {
    let log = log_of(factor).is_some();
    match factor {
        TableFactor::Table { args: Some(args), .. } if log => {
            for arg in args.args.iter_mut().skip(1) {
                if let FunctionArg::Unnamed(FunctionArgExpr::Expr(time)) = arg {
                    spell_time(time);
                }
            }
        }
        TableFactor::Table { version: Some(version), .. } => spell_version(version),
        _ => {}
    }
}

fn spell_version(version: &mut TableVersion) {
    if let TableVersion::ForSystemTimeAsOf(time) | TableVersion::TimestampAsOf(time) = version {
        spell_time(time);
    }
}

fn spell_time(time: &mut AstExpr) {
    let zone = ast::TimezoneInfo::Tz;
    let written = std::mem::replace(time, AstExpr::value(ast::Value::Null));
    *time = cast_to(AstExpr::Nested(Box::new(written)), ast::DataType::Timestamp(None, zone));
}

/// Which log a table function is, if it is one.
pub fn log_of(factor: &TableFactor) -> Option<What> {
    let TableFactor::Table { name, args: Some(_), with_ordinality: false, .. } = factor else {
        return None;
    };
    let [name] = name.0.as_slice() else { return None };
    match fold(name.as_ident()?).as_str() {
        "changes" => Some(What::Changes),
        "history" => Some(What::History),
        _ => None,
    }
}

/// Plans the relations that have a time clause.
#[derive(Debug)]
pub struct TimeClauses;

impl RelationPlanner for TimeClauses {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        if let Some(what) = log_of(&relation) {
            return log(what, relation, context);
        }
        let TableFactor::Table { name, alias, version: Some(version), args: None, .. } = &relation
        else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let (clock, time) = match version {
            TableVersion::ForSystemTimeAsOf(time) => (Clock::System, time.clone()),
            TableVersion::TimestampAsOf(time) => (Clock::Event, time.clone()),
            _ => return Ok(RelationPlanning::Original(Box::new(relation))),
        };
        let name = context.object_name_to_table_reference(name.clone())?;
        let source = context.context_provider().get_table_source(in_past(&name))?;
        let time = context.sql_to_expr(time, &DFSchema::empty())?;
        let plan = traveled(&name, source, clock, What::State, vec![time])?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))))
    }
}

/// `changes('x' [, from [, to]])` and `history`.
fn log(
    what: What,
    relation: TableFactor,
    context: &mut dyn RelationPlannerContext,
) -> Result<RelationPlanning> {
    let TableFactor::Table { name: function, alias, args: Some(args), .. } = relation else {
        return Err(SqlError::internal("a log is a table function").into());
    };
    let usage = || {
        let message = format!("{function} takes the name of a relation and at most two times");
        SqlError::syntax(message).with_hint(format!("Write {function}('x' [, from [, to]])."))
    };
    let args = args.args.into_iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) => Ok(arg),
        _ => Err(usage()),
    });
    let mut args = args.collect::<std::result::Result<Vec<_>, _>>()?.into_iter();
    let name = args.next().and_then(relation_name).ok_or_else(usage)?;
    let times = args.map(|time| context.sql_to_expr(time, &DFSchema::empty()));
    let times = times.collect::<Result<Vec<_>>>()?;
    if times.len() > 2 {
        return Err(usage().into());
    }
    let name = context.object_name_to_table_reference(name)?;
    let source = context.context_provider().get_table_source(in_past(&name))?;
    let plan = traveled(&name, source, Clock::System, what, times)?;
    let own = || TableAlias {
        explicit: true,
        name: Ident::with_quote('"', function.to_string().to_lowercase()),
        columns: vec![],
        at: None,
    };
    let alias = Some(alias.unwrap_or_else(own));
    Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
}

/// `'schema.name'`, or the same as names.
fn relation_name(written: AstExpr) -> Option<ast::ObjectName> {
    match written {
        AstExpr::Value(value) => {
            let text = value.value.into_string()?;
            let dialect = sqlparser::dialect::PostgreSqlDialect {};
            let mut parser = Parser::new(&dialect).try_with_sql(&text).ok()?;
            let name = parser.parse_object_name(false).ok()?;
            (parser.peek_token_ref().token == Token::EOF).then_some(name)
        }
        AstExpr::Identifier(name) => Some(ast::ObjectName::from(vec![name])),
        AstExpr::CompoundIdentifier(names) => Some(ast::ObjectName::from(names)),
        _ => None,
    }
}

/// A relation's columns with those of its log.
fn with_log(columns: &DFSchemaRef, name: &TableReference, what: What) -> Result<DFSchemaRef> {
    let time = |name: &str, nullable| {
        let zone = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
        Field::new(name, zone, nullable)
    };
    let more = match what {
        What::State => return Ok(Arc::clone(columns)),
        What::Changes => [time("_time", false), Field::new("_diff", DataType::Int64, false)],
        What::History => [time("valid_from", false), time("valid_to", true)],
    };
    let fields = columns.fields().iter().cloned().chain(more.map(Arc::new));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    Ok(Arc::new(DFSchema::try_from_qualified_schema(name.clone(), &schema)?))
}

/// A relation as of the session's `as_of`, from its source in the past.
pub fn as_of(
    name: &TableReference,
    past: Arc<dyn TableSource>,
    at: Timestamp,
) -> Result<LogicalPlan> {
    let time = Expr::Literal(now_literal(at), None);
    traveled(name, past, Clock::System, What::State, vec![time])
}

/// The name by which the resolver is asked for the past.
fn in_past(name: &TableReference) -> TableReference {
    with_table(name, &format!("{PAST}{}", name.table()))
}

fn with_table(name: &TableReference, table: &str) -> TableReference {
    match name {
        TableReference::Bare { .. } => TableReference::bare(table),
        TableReference::Partial { schema, .. } => TableReference::partial(schema.clone(), table),
        TableReference::Full { catalog, schema, .. } => {
            TableReference::full(catalog.clone(), schema.clone(), table)
        }
    }
}

fn traveled(
    name: &TableReference,
    past: Arc<dyn TableSource>,
    clock: Clock,
    what: What,
    times: Vec<Expr>,
) -> Result<LogicalPlan> {
    let name = with_table(name, unmarked(arrived_at::unmarked(name.table()).0)?.0);
    let plan = LogicalPlanBuilder::scan(name, past, None)?.build()?.transform_down(|node| {
        let LogicalPlan::TableScan(scan) = &node else { return Ok(Transformed::no(node)) };
        let source = scan.source.downcast_ref::<RelationSource>();
        let Some(RelationSource {
            relation: ScannedRelation::Past(relation, version),
            with_arrivals,
            ..
        }) = source
        else {
            return Err(SqlError::internal("only relations of the catalog have a past").into());
        };
        let node = TimeTravel {
            name: scan.table_name.clone(),
            relation: *relation,
            clock,
            version: *version,
            what,
            with_arrivals: *with_arrivals,
            times: times.clone(),
            schema: with_log(&scan.projected_schema, &scan.table_name, what)?,
        };
        let node = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        Ok(Transformed::yes(node))
    })?;
    with_log_columns(plan.data)
}

/// What stands between a log and its name lets the log's own two columns pass.
fn with_log_columns(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up(|node| match node {
        LogicalPlan::Projection(Projection { mut expr, input, .. }) => {
            if let Some(log) = super::of(&input).filter(|log| log.what != What::State) {
                let columns = log.schema.columns();
                expr.extend(columns[columns.len() - 2..].iter().cloned().map(Expr::Column));
            }
            let projection = Projection::try_new(expr, input)?;
            Ok(Transformed::yes(LogicalPlan::Projection(projection)))
        }
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, alias, .. }) => {
            let renamed = SubqueryAlias::try_new(input, alias)?;
            Ok(Transformed::yes(LogicalPlan::SubqueryAlias(renamed)))
        }
        node => Ok(Transformed::no(node)),
    })?;
    Ok(plan.data)
}
