//! DataFusion's session state as Tidemark uses it: its functions replaced by ours, its options set
//! for PostgreSQL.
//!
//! Law: planning and running see the same state; it holds no tables. Names are resolved by
//! [`crate::resolve`].

use std::sync::{Arc, LazyLock};

use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionConfig;

use crate::context::PlanContext;
use crate::function::{self, SessionInfo};
use crate::rewrite;
use crate::run::{FilterPushdown, OuterConstants};
use crate::tell::Tell;
use crate::time_join::Planner;

/// Rows of input above which a query is run on every core.
pub const PARALLEL_ROWS_MIN: usize = 200_000;

static BASE: LazyLock<SessionState> = LazyLock::new(base);
static CORES: LazyLock<usize> =
    LazyLock::new(|| std::thread::available_parallelism().map_or(1, |n| n.get()));

fn base() -> SessionState {
    let mut config = SessionConfig::new()
        .with_target_partitions(1)
        .with_information_schema(false)
        .with_batch_size(8192)
        .with_create_default_catalog_and_schema(false);
    let options = config.options_mut();
    let parser = &mut options.sql_parser;
    parser.parse_float_as_decimal = true;
    parser.enable_ident_normalization = true;
    parser.support_varchar_with_length = true;
    parser.map_string_types_to_utf8view = false;
    parser.collect_spans = true;
    parser.dialect = datafusion::common::config::Dialect::PostgreSQL;
    parser.default_null_ordering = "nulls_max".to_string();
    // ARRAY(SELECT … ORDER BY …) depends on the order of its input.
    parser.enable_subquery_sort_elimination = false;
    options.execution.time_zone = Some("+00:00".to_string());
    options.execution.collect_statistics = false;
    options.optimizer.prefer_hash_join = true;
    options.optimizer.skip_failed_rules = false;
    let mut builder = SessionStateBuilder::new_with_default_features()
        .with_config(config)
        .with_runtime_env(Arc::new(RuntimeEnv::default()))
        .with_optimizer_rules(optimizer_rules())
        .with_physical_optimizer_rules(physical_rules())
        .with_query_planner(Arc::new(Planner))
        .with_analyzer_rules(vec![]); // rewrite::postgres_semantics has done it
    let planners = builder.expr_planners().get_or_insert_default();
    planners.insert(0, function::operator::planner());
    planners.insert(0, rewrite::planner());
    let mut state = builder.build();
    register(&mut state);
    state
}

/// DataFusion's rules without the one that takes DISTINCT out of aggregates: ours do it themselves,
/// and their types differ from what it builds. Filters are pushed down by [`FilterPushdown`].
fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    rules.retain(|rule| rule.name() != "single_distinct_aggregation_to_group_by");
    let pushdown: Arc<dyn OptimizerRule + Send + Sync> = Arc::new(FilterPushdown::default());
    for rule in rules.iter_mut().filter(|rule| rule.name() == pushdown.name()) {
        *rule = Arc::clone(&pushdown);
    }
    rules
}

/// DataFusion's rules, behind the one that keeps them from what holds on one side of a join alone.
fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    rules.insert(0, Arc::new(OuterConstants));
    rules
}

fn register(state: &mut SessionState) {
    use datafusion::execution::FunctionRegistry;
    let scalars = function::scalar_functions().iter().chain(rewrite::functions());
    for function in scalars {
        let registered = state.register_udf(Arc::clone(function));
        registered.expect("a session state takes every function");
    }
    for function in function::session_window::functions() {
        let registered = state.register_udwf(Arc::clone(function));
        registered.expect("a session state takes every window function");
    }
    for function in function::aggregate_functions() {
        let registered = state.register_udaf(Arc::clone(function));
        registered.expect("a session state takes every aggregate");
    }
}

/// The state for one statement.
pub fn session_state(ctx: &PlanContext) -> SessionState {
    let mut state = BASE.clone();
    let info = SessionInfo {
        catalog: Arc::clone(&ctx.catalog),
        user: ctx.user.clone(),
        database: ctx.database.clone(),
        settings: ctx.settings.clone(),
        connections: ctx.connections.clone(),
    };
    state.config_mut().options_mut().extensions.insert(info);
    state.config_mut().set_extension(Arc::new(ctx.tell.clone()));
    // Physical expressions take the options from here, not from the state.
    let options = Arc::clone(state.config_options());
    state.execution_props_mut().config_options = Some(options);
    state
}

/// What a statement's plan is executed in.
pub fn task_context(state: &SessionState) -> Arc<TaskContext> {
    let context = TaskContext::from(state);
    Arc::new(match state.config().get_extension::<Tell>() {
        Some(tell) => context.with_runtime(Arc::clone(&tell.works().runtime)),
        None => context,
    })
}

/// Lets a statement that reads `rows` rows use every core, if they are worth it.
pub fn set_parallelism(state: &mut SessionState, rows: usize) {
    if rows >= PARALLEL_ROWS_MIN {
        state.config_mut().options_mut().execution.target_partitions = *CORES;
    }
}
