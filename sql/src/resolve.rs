//! Names in a query: relations through the catalog and the search path, functions through the
//! session state.
//!
//! Law: a plan scans a [`RelationSource`] for each relation it names; plain views are expanded
//! where they stand, each under the search path it was created with (S11). What `SqlToRel` would
//! silently drop from a table factor (a version, a sample, ordinality) is refused.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result, TableReference};
use datafusion::execution::SessionState;
use datafusion::logical_expr::planner::{
    ContextProvider, ExprPlanner, RelationPlanner, RelationPlannerContext, RelationPlanning,
    TypePlanner,
};
use datafusion::logical_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, LogicalPlanBuilder, ScalarUDF, TableSource,
    TableType, WindowUDF,
};
use sqlparser::ast::{self, TableFactor};
use tidemark_catalog::system::SystemTable;
use tidemark_catalog::{
    Catalog, Column, CommitTime, Found, Function, Object, ObjectId, ObjectKind, PgType,
    VersionSelection, View,
};
use tidemark_engine::{ARRIVED_AT, Timestamp};

use crate::context::PlanContext;
use crate::dml::TARGET;
use crate::error::{SqlError, state as sqlstate};
use crate::function;
use crate::plain_view;
use crate::plan::plan_body;
use crate::rewrite::version_clause::unmarked;
use crate::rewrite::{argument, arrived_at, bpchar};
use crate::run::now_literal;
use crate::time_travel::{self, TimeClauses};
use crate::version;

/// Deepest nesting of plain views.
const VIEW_DEPTH_MAX: usize = 64;
/// Name of the column that DML plans read row ids by.
pub const ROW_ID: &str = "_rowid";

/// A relation in a plan that is not bound to a snapshot yet.
#[derive(Debug, Clone)]
pub struct RelationSource {
    pub relation: ScannedRelation,
    pub schema: SchemaRef,
    /// The column of `schema` after the relation's own is the time at which each row arrived.
    pub with_arrivals: bool,
    /// The last column of `schema` is [`ROW_ID`].
    pub with_row_ids: bool,
}

impl RelationSource {
    /// The same with the time of arrival. What this transaction has written has none yet.
    fn arrived(&self) -> RelationSource {
        let ty = now_literal(Timestamp::MIN).data_type();
        let mut fields = self.schema.fields().to_vec();
        let place = fields.len() - usize::from(self.with_row_ids);
        fields.insert(place, Arc::new(Field::new(ARRIVED_AT, ty, true)));
        RelationSource {
            schema: Arc::new(Schema::new(fields)),
            with_arrivals: true,
            ..self.clone()
        }
    }
}

#[derive(Debug, Clone)]
pub enum ScannedRelation {
    Table(ObjectId),
    MaterializedView(ObjectId),
    System(&'static SystemTable),
    /// Rows that a statement works on itself, like `excluded`, by name.
    Given(String),
    /// A table or a view, not expanded, at times of its past: no snapshot has its rows. With the
    /// version that is selected; `None`: at each time the one in force.
    Past(ObjectId, Option<VersionSelection>),
}

/// Before a name in a query: what it means is read in its past.
pub const PAST: char = '\u{2}';

impl TableSource for RelationSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// A plain view: planned, and put in the place of its name.
#[derive(Debug)]
struct ViewSource {
    plan: LogicalPlan,
    schema: SchemaRef,
}

impl TableSource for ViewSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        Some(Cow::Borrowed(&self.plan))
    }
}

/// What the names of one query or view body mean.
pub struct Resolver<'a> {
    pub ctx: &'a PlanContext,
    pub state: &'a SessionState,
    search_path: Vec<String>,
    /// Names fixed when a view was created.
    bindings: BTreeMap<String, ObjectId>,
    /// Of a view: the functions it was created with. A name in it means one of them.
    functions: Option<&'a [ObjectId]>,
    /// Of a view: how many columns the relations it names had when it was created.
    widths: Option<&'a BTreeMap<ObjectId, usize>>,
    /// Of a view: what the columns of relations were called then, where they are called otherwise.
    names: Option<&'a BTreeMap<ObjectId, Vec<String>>>,
    /// Definitions as of this time, and materialized views expanded as well: down to the tables.
    /// `None`: those of the present.
    definitions: Option<CommitTime>,
    /// Relations a statement brings along, by name.
    given: BTreeMap<String, RelationSource>,
    /// Views being expanded, outermost first.
    expanding: Vec<ObjectId>,
    /// Every user object a name led to, by the name as written.
    found: Arc<Mutex<Resolved>>,
    relation_planners: Vec<Arc<dyn RelationPlanner>>,
    /// The time of relations without one of their own, where it is not the statement's (S6).
    as_of: Option<Timestamp>,
}

/// The objects that names of a query led to.
#[derive(Debug, Default, Clone)]
pub struct Resolved {
    /// By name as written, of the query itself.
    pub names: BTreeMap<String, ObjectId>,
    /// Plain views of the query itself.
    pub plain_views: BTreeSet<ObjectId>,
    /// The user's functions, those in functions too.
    pub functions: BTreeSet<ObjectId>,
}

impl<'a> Resolver<'a> {
    pub fn new(ctx: &'a PlanContext, state: &'a SessionState) -> Self {
        Resolver {
            ctx,
            state,
            search_path: ctx.search_path(),
            bindings: BTreeMap::new(),
            functions: None,
            widths: None,
            names: None,
            definitions: None,
            given: BTreeMap::new(),
            expanding: Vec::new(),
            found: Arc::default(),
            relation_planners: vec![Arc::new(TimeClauses), Arc::new(Refuser)],
            as_of: ctx.settings.as_of(),
        }
    }

    /// With relations of the statement's own, which come before every other.
    pub fn with_given(mut self, given: BTreeMap<String, RelationSource>) -> Self {
        self.given = given;
        self
    }

    /// Definitions as of a time, and no views left in what is planned: down to the tables.
    pub fn with_definitions_at(mut self, time: CommitTime) -> Self {
        self.definitions = Some(time);
        self.as_of = None;
        self
    }

    pub fn resolved(&self) -> Resolved {
        self.found.lock().expect("nothing panics while holding it").clone()
    }

    fn lookup(&self, name: &TableReference) -> Result<Arc<dyn TableSource>> {
        let (schema, table) = (name.schema(), name.table());
        let (table, in_past) = match table.strip_prefix(PAST) {
            Some(table) => (table, true),
            None => (table, false),
        };
        let (table, arrivals) = arrived_at::unmarked(table);
        let (table, version) = unmarked(table)?;
        if schema.is_none()
            && let Some(given) = self.given.get(table)
        {
            let given = if arrivals { given.arrived() } else { given.clone() };
            return Ok(Arc::new(given));
        }
        if let Some(database) = name.catalog()
            && database != self.ctx.database
        {
            let message = format!("cross-database references are not implemented: \"{name}\"");
            return Err(SqlError::unsupported(message).into());
        }
        let written = written_name(schema, table);
        match self.find(schema, table)? {
            Some(Found::Object(object)) if !object.is_relation() => {
                Err(source_is_no_relation(&self.ctx.catalog, object).into())
            }
            Some(Found::Object(object)) => {
                let id = object.id;
                let expanded = matches!(object.kind, ObjectKind::View(_)) || version.is_some();
                self.note(written, id, expanded);
                if version.is_some() && object.view().is_none() {
                    return Err(no_versions(object).into());
                }
                let past = || self.unexpanded(object, ScannedRelation::Past(id, version), arrivals);
                match (version, self.as_of) {
                    _ if in_past => past(),
                    (_, Some(at)) => {
                        let plan = time_travel::as_of(name, past()?, at)?;
                        let schema = Arc::new(plan.schema().as_arrow().clone());
                        Ok(Arc::new(ViewSource { plan, schema }))
                    }
                    (Some(which), None) => self.version(object, which),
                    (None, None) => self.object(id, arrivals),
                }
            }
            Some(Found::System(system)) if in_past || version.is_some() => {
                let message = format!("system table \"{}\" has no past", system.name);
                Err(SqlError::unsupported(message).into())
            }
            Some(Found::System(system)) => Ok(Arc::new(RelationSource {
                relation: ScannedRelation::System(system),
                schema: system.arrow_schema(),
                with_arrivals: false,
                with_row_ids: false,
            })),
            Some(Found::PrimaryKeyIndex(_)) => {
                let message = format!("\"{table}\" is an index");
                Err(SqlError::new(sqlstate::WRONG_OBJECT_TYPE, message).into())
            }
            None => Err(SqlError::undefined_table(&written).into()),
        }
    }

    /// What a name means in the catalog.
    fn find(&self, schema: Option<&str>, table: &str) -> Result<Option<Found<'a>>> {
        let catalog = &self.ctx.catalog;
        let written = written_name(schema, table);
        Ok(match self.bindings.get(&written) {
            Some(id) => Some(Found::Object(catalog.get(*id).ok_or_else(|| dropped(&written))?)),
            None => catalog.lookup(schema, table, &self.search_path),
        })
    }

    /// Whether a name means a table, whose rows arrive.
    pub fn is_table(&self, schema: Option<&str>, table: &str) -> bool {
        if schema.is_none()
            && let Some(given) = self.given.get(table)
        {
            return matches!(given.relation, ScannedRelation::Table(_)) || table == TARGET;
        }
        match self.find(schema, table) {
            Ok(Some(Found::Object(object))) => object.table().is_some(),
            _ => false,
        }
    }

    /// The function of the user's that a name means, in a body by that function's `path`.
    pub fn function(
        &self,
        schema: Option<&str>,
        name: &str,
        path: Option<&[String]>,
    ) -> Option<&'a Function> {
        let catalog = &self.ctx.catalog;
        let path = path.unwrap_or(&self.search_path);
        let Some(bound) = self.functions else {
            return catalog.resolve_function(schema, name, path);
        };
        let bound = || bound.iter().filter_map(|id| self.known_function(*id));
        let in_schema = |schema: &str| {
            bound().find(|function| function.schema == schema && function.name == name)
        };
        let found = match schema {
            Some(schema) => in_schema(schema),
            None => path.iter().find_map(|schema| in_schema(schema)),
        };
        // Its schema may have been renamed.
        found.or_else(|| bound().find(|function| function.name == name))
    }

    fn known_function(&self, id: ObjectId) -> Option<&'a Function> {
        match self.definitions {
            Some(time) => self.ctx.catalog.function_at(id, time),
            None => self.ctx.catalog.function(id),
        }
    }

    pub fn note_functions(&self, used: BTreeSet<ObjectId>) {
        let mut found = self.found.lock().expect("nothing panics while holding it");
        found.functions.extend(used);
    }

    fn note(&self, name: String, id: ObjectId, plain_view: bool) {
        let mut found = self.found.lock().expect("nothing panics while holding it");
        found.names.insert(name, id);
        if plain_view {
            found.plain_views.insert(id);
        }
    }

    fn object(&self, id: ObjectId, arrivals: bool) -> Result<Arc<dyn TableSource>> {
        let object = self.ctx.catalog.get(id).expect("just found in this catalog");
        let relation = match &object.kind {
            ObjectKind::Table(_) => ScannedRelation::Table(id),
            ObjectKind::MaterializedView(_) if self.definitions.is_none() => {
                ScannedRelation::MaterializedView(id)
            }
            ObjectKind::View(_) | ObjectKind::MaterializedView(_) => {
                return self.narrowed(id, plain_view::bounded(self.expand(id)?));
            }
            ObjectKind::Source(_) => {
                return Err(source_is_no_relation(&self.ctx.catalog, object).into());
            }
        };
        self.unexpanded(object, relation, arrivals)
    }

    /// A scan of an object's columns.
    fn unexpanded(
        &self,
        object: &Object,
        relation: ScannedRelation,
        arrivals: bool,
    ) -> Result<Arc<dyn TableSource>> {
        let id = object.id;
        let schema = bpchar::marked(relation_schema(object.columns()), object.columns());
        let (with_arrivals, with_row_ids) = (false, false);
        let source = RelationSource { relation, schema, with_arrivals, with_row_ids };
        let source = Arc::new(if arrivals { source.arrived() } else { source });
        let columns = object.columns();
        let others = self.names.and_then(|names| names.get(&id));
        let narrower = self.width(id).is_some_and(|width| width < columns.len());
        if !narrower && others.is_none() && !columns.iter().any(Column::is_dropped) {
            return Ok(source);
        }
        let scan = LogicalPlanBuilder::scan(object.name.as_str(), source, None)?.build()?;
        match others {
            Some(names) => seen(as_named(scan, names.iter().map(String::as_str))?),
            None => {
                let width = self.width(id).unwrap_or(columns.len());
                seen(as_named(scan, columns.iter().take(width).map(|column| column.name.as_str()))?)
            }
        }
    }

    /// A version of a view: the rows that are kept if it is that of the present.
    fn version(&self, object: &Object, which: VersionSelection) -> Result<Arc<dyn TableSource>> {
        let selected = version::selected(&self.ctx.catalog, object.id, which)?;
        match selected.until {
            None if self.definitions.is_none() => self.object(object.id, false),
            _ => self.narrowed(object.id, self.expand_at(object.id, which)?),
        }
    }

    /// How many columns a relation had when the text that names it was written.
    fn width(&self, id: ObjectId) -> Option<usize> {
        self.widths?.get(&id).copied()
    }

    /// A plan in the place of a relation, without columns that have come since.
    fn narrowed(&self, id: ObjectId, plan: LogicalPlan) -> Result<Arc<dyn TableSource>> {
        let width = self.width(id).unwrap_or(usize::MAX);
        let plan = match plan.schema().fields().len() > width {
            true => {
                let columns = plan.schema().columns().into_iter().enumerate();
                let columns =
                    columns.filter(|(place, column)| *place < width || column.name == ARRIVED_AT);
                let columns: Vec<Expr> = columns.map(|(_, column)| Expr::Column(column)).collect();
                LogicalPlanBuilder::from(plan).project(columns)?.build()?
            }
            false => plan,
        };
        seen(plan)
    }

    /// The plan of a plain or materialized view's body, with the view's column names.
    ///
    /// Errors: 42P01 where something it reads was dropped.
    pub fn expand(&self, id: ObjectId) -> Result<LogicalPlan> {
        let catalog = &self.ctx.catalog;
        let object = match self.definitions {
            Some(time) => catalog.version_at(id, time).map(|version| version.object),
            None => catalog.get(id),
        };
        self.expand_version(object.expect("views are expanded by id")).map(|(plan, _)| plan)
    }

    /// The plan of one version of a view, and what the names in it led to.
    pub fn expand_version(&self, object: &Object) -> Result<(LogicalPlan, Resolved)> {
        let view = object.view().expect("only views are expanded");
        let inner = self.of_view(object, view)?;
        let names = view.columns.iter().map(|column| column.name.as_str());
        let plan = plan_body(&inner, &view.sql, names).map_err(|error| {
            // The position is in the view's text, which the client has not sent.
            let error = SqlError { position: None, ..error };
            DataFusionError::from(error)
        })?;
        Ok((plan, inner.resolved()))
    }

    /// What the names in a view's text mean.
    fn of_view<'v>(&'v self, object: &Object, view: &'v View) -> Result<Resolver<'v>> {
        let id = object.id;
        if self.expanding.contains(&id) || self.expanding.len() >= VIEW_DEPTH_MAX {
            let name = &object.name;
            let message =
                format!("infinite recursion detected in the definition of view \"{name}\"");
            return Err(SqlError::new(sqlstate::INVALID_OBJECT_DEFINITION, message).into());
        }
        let mut expanding = self.expanding.clone();
        expanding.push(id);
        Ok(Resolver {
            ctx: self.ctx,
            state: self.state,
            search_path: view.search_path.clone(),
            bindings: view.bindings.clone(),
            functions: Some(&view.functions),
            widths: Some(&view.widths),
            names: Some(&view.names),
            definitions: self.definitions,
            given: BTreeMap::new(),
            expanding,
            found: Arc::default(),
            relation_planners: self.relation_planners.clone(),
            as_of: None,
        })
    }
}

/// A source has relations, and is none.
fn source_is_no_relation(catalog: &Catalog, source: &Object) -> SqlError {
    let relations: Vec<&str> =
        catalog.relations_of(source.id).map(|object| object.name.as_str()).collect();
    let message = format!("cannot read source \"{}\"", source.name);
    SqlError::new(sqlstate::WRONG_OBJECT_TYPE, message)
        .with_hint(format!("Its rows stand in {}.", relations.join(", ")))
}

/// What is put in the place of a relation's name.
fn seen(plan: LogicalPlan) -> Result<Arc<dyn TableSource>> {
    let schema = Arc::new(plan.schema().as_arrow().clone());
    Ok(Arc::new(ViewSource { plan, schema }))
}

/// The first columns, under these names, without those that were dropped; with times of arrival if
/// there are.
fn as_named<'a>(plan: LogicalPlan, names: impl Iterator<Item = &'a str>) -> Result<LogicalPlan> {
    let mut names = names.fuse();
    let columns = plan.schema().columns().into_iter().filter_map(|column| match names.next() {
        Some(name) if Column::is_name_of_dropped(name) => None,
        Some(name) if column.name != *name => {
            let relation = column.relation.clone();
            Some(Expr::Column(column).alias_qualified(relation, name))
        }
        None if column.name != ARRIVED_AT => None,
        _ => Some(Expr::Column(column)),
    });
    let columns: Vec<Expr> = columns.collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

fn no_versions(object: &Object) -> SqlError {
    let (noun, name) = (object.kind.noun(), &object.name);
    let message = format!("{noun} \"{name}\" has no versions: only views do");
    SqlError::new(sqlstate::WRONG_OBJECT_TYPE, message)
}

/// For a version of a view that read something which is gone (S22).
fn dropped(name: &str) -> SqlError {
    let message = format!("relation \"{name}\" was dropped");
    SqlError::new(sqlstate::UNDEFINED_TABLE, message)
        .with_detail("A version of a view read it; what has the name today is something else.")
}

/// `schema.name` or `name`, as a binding is kept.
pub fn written_name(schema: Option<&str>, name: &str) -> String {
    match schema {
        Some(schema) => format!("{schema}.{name}"),
        None => name.to_string(),
    }
}

/// The Arrow schema of stored columns. NOT NULL is enforced on write, so plans may use it.
pub fn relation_schema(columns: &[tidemark_catalog::Column]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|column| column.field()).collect::<Vec<_>>()))
}

impl ContextProvider for Resolver<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        self.lookup(&name)
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        let table = datafusion::datasource::cte_worktable::CteWorkTable::new(name, schema);
        Ok(datafusion::datasource::provider_as_source(Arc::new(table)))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relation_planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(Types))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let found = self.state.scalar_functions().get(name).cloned();
        // `SqlToRel` has one function of its own.
        let elsewhere = name == "unnest"
            || self.state.aggregate_functions().contains_key(name)
            || self.state.window_functions().contains_key(name)
            || self.state.higher_order_functions().contains_key(name);
        found.or_else(|| (!elsewhere).then(|| function::undefined(name)))
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}

/// PostgreSQL's types, all of them through the one table.
#[derive(Debug)]
struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> Result<Option<FieldRef>> {
        if let Some(field) = argument::field(sql_type) {
            return Ok(Some(Arc::new(field?)));
        }
        let data_type = arrow_type(sql_type)?;
        Ok(Some(Arc::new(Field::new("", data_type, true))))
    }
}

/// The Arrow type of a type's name; 42704 if there is none.
pub fn arrow_type(sql_type: &ast::DataType) -> Result<DataType, SqlError> {
    let (ty, typmod) = PgType::parse(&sql_type.to_string())
        .map_err(|error| SqlError::new(error.sqlstate(), error.to_string()))?;
    Ok(ty.to_arrow(typmod))
}

/// Sees every table factor first, and refuses what `SqlToRel` would drop.
#[derive(Debug)]
struct Refuser;

impl RelationPlanner for Refuser {
    fn plan_relation(
        &self,
        relation: TableFactor,
        _: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let refused = match &relation {
            TableFactor::Table { version: Some(_), .. } => Some("this time clause"),
            TableFactor::Table { sample: Some(_), .. } => Some("TABLESAMPLE"),
            TableFactor::Derived { sample: Some(_), .. } => Some("TABLESAMPLE"),
            TableFactor::Table { with_ordinality: true, .. }
            | TableFactor::UNNEST { with_ordinality: true, .. }
            | TableFactor::Function { with_ordinality: true, .. } => Some("WITH ORDINALITY"),
            TableFactor::Table { partitions, .. } if !partitions.is_empty() => Some("PARTITION"),
            TableFactor::Table { with_hints, .. } if !with_hints.is_empty() => Some("table hints"),
            TableFactor::Table { json_path: Some(_), .. } => Some("a path after a table name"),
            TableFactor::Pivot { .. }
            | TableFactor::Unpivot { .. }
            | TableFactor::MatchRecognize { .. }
            | TableFactor::JsonTable { .. }
            | TableFactor::XmlTable { .. } => Some("this table expression"),
            _ => None,
        };
        match refused {
            Some(what) => Err(SqlError::unsupported(format!("{what} is not supported")).into()),
            None => Ok(RelationPlanning::Original(Box::new(relation))),
        }
    }
}
