//! Prepared statements: Parse on the wire, and PREPARE, EXECUTE, DEALLOCATE.

use std::sync::{Arc, Mutex};

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{self, Expr};
use tidemark_catalog::PgType;
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::{ParsedStatement, PlanContext, Statement, plan_dml};

use super::{Outcome, check_not_failed, execute, explain, query, set};
use crate::session::{CachedPlan, Portal, Prepared, Progress, Session};

/// The portal in which EXECUTE runs its statement; clients can't name it, as names hold no NUL.
const EXECUTE_PORTAL: &str = "\0execute";

/// Plans a statement for later: the types of its parameters and the columns of its result.
/// `types` holds what the client said of the parameters.
pub fn prepare(
    session: &Session,
    parsed: ParsedStatement,
    mut types: Vec<Option<DataType>>,
) -> Result<Prepared, SqlError> {
    check_not_failed(session, &parsed.statement)?;
    let ctx = session.plan_context();
    let mut cached = None;
    let (columns, parameter_types) = match &parsed.statement {
        Statement::Query(query) => {
            let plan = Arc::new(query::plan(&ctx, query, types)?);
            cached = (!session.has_own_names()).then(|| CachedPlan::new(&ctx, &plan));
            (Some(Arc::clone(&plan.schema)), plan.parameters.clone())
        }
        Statement::Insert(_)
        | Statement::Update(_)
        | Statement::Delete(_)
        | Statement::Truncate { .. } => {
            let plan = plan_dml(&ctx, &parsed.statement, &mut types)?;
            (plan.returning, plan.parameters)
        }
        other => (columns(session, other)?, Vec::new()),
    };
    Ok(Prepared {
        statement: Some(Arc::new(parsed)),
        declared: Vec::new(),
        parameter_types,
        columns,
        plan: Mutex::new(cached),
    })
}

/// The columns of statements that have no parameters.
fn columns(session: &Session, statement: &Statement) -> Result<Option<SchemaRef>, SqlError> {
    Ok(match statement {
        Statement::Show(name) => Some(set::show_columns(name)),
        Statement::ShowAll => Some(set::show_all_columns()),
        Statement::Explain(_) | Statement::ExplainView { .. } => Some(explain::columns()),
        Statement::Fetch { cursor, skip: false, .. } => {
            session.portals.get(cursor).and_then(|portal| portal.prepared.columns.clone())
        }
        Statement::Execute { name, .. } => session.prepared(name)?.columns.clone(),
        _ => None,
    })
}

/// PREPARE, EXECUTE, DEALLOCATE.
pub async fn run(session: &mut Session, statement: &Statement) -> Result<Outcome, SqlError> {
    match statement {
        Statement::Prepare { name, types, statement } => {
            if session.prepared.contains_key(name) {
                let message = format!("prepared statement \"{name}\" already exists");
                return Err(SqlError::new(state::DUPLICATE_PREPARED_STATEMENT, message));
            }
            let types = types.iter().map(type_named).collect::<Result<_, _>>()?;
            let parsed = ParsedStatement {
                statement: Statement::clone(statement),
                text: String::new(),
                offset: 0,
            };
            let prepared = prepare(session, parsed, types)?;
            session.prepared.insert(name.clone(), Arc::new(prepared));
            Outcome::done("PREPARE")
        }
        Statement::Execute { name, arguments } => run_prepared(session, name, arguments).await,
        Statement::Deallocate { name: Some(name) } => {
            session.prepared(name)?;
            session.prepared.remove(name);
            Outcome::done("DEALLOCATE")
        }
        Statement::Deallocate { name: None } => {
            session.prepared.clear();
            Outcome::done("DEALLOCATE ALL")
        }
        other => Err(SqlError::internal(format!("not about prepared statements: {other:?}"))),
    }
}

/// A parameter's type as PREPARE names it; `unknown` leaves it to the planner.
fn type_named(written: &ast::DataType) -> Result<Option<DataType>, SqlError> {
    let name = written.to_string();
    let (ty, typmod) =
        PgType::parse(&name).map_err(|error| SqlError::new(error.sqlstate(), error.to_string()))?;
    Ok((ty != PgType::Unknown).then(|| ty.to_arrow(typmod)))
}

async fn run_prepared(
    session: &mut Session,
    name: &str,
    arguments: &[Expr],
) -> Result<Outcome, SqlError> {
    let prepared = session.prepared(name)?;
    let (given, due) = (arguments.len(), prepared.parameter_types.len());
    if given != due {
        let message = format!("wrong number of parameters for prepared statement \"{name}\"");
        return Err(SqlError::syntax(message)
            .with_detail(format!("Expected {due} parameters but got {given}.")));
    }
    let Some(parsed) = prepared.statement.clone() else {
        return Outcome::done("");
    };
    let parameters = if arguments.is_empty() {
        Vec::new()
    } else {
        let ctx = session.plan_context();
        evaluate(session, &ctx, arguments, &prepared.parameter_types).await?
    };
    let portal = Portal { prepared, parameters, formats: Vec::new(), progress: Progress::Bound };
    session.portals.insert(EXECUTE_PORTAL.to_owned(), portal);
    let outcome = Box::pin(execute(session, &parsed, Some(EXECUTE_PORTAL))).await;
    session.portals.remove(EXECUTE_PORTAL);
    outcome
}

/// The values of EXECUTE's arguments, cast to the parameters' types as an assignment would.
pub async fn evaluate(
    session: &mut Session,
    ctx: &PlanContext,
    arguments: &[Expr],
    types: &[DataType],
) -> Result<Vec<ScalarValue>, SqlError> {
    let casts = arguments.iter().zip(types).map(|(argument, ty)| {
        let (ty, typmod) = PgType::from_arrow(ty).unwrap_or((PgType::Text, -1));
        format!("CAST(({argument}) AS {})", ty.format(typmod))
    });
    let text = format!("SELECT {}", casts.collect::<Vec<_>>().join(", "));
    let mut statements = tidemark_sql::parse(&text)?;
    let Some(Statement::Query(query)) = statements.pop().map(|parsed| parsed.statement) else {
        return Err(SqlError::syntax("an argument of EXECUTE is no expression"));
    };
    let plan = query::plan(ctx, &query, Vec::new())?;
    let mut rows = query::rows(session, ctx, &plan, Vec::new()).await?;
    let row = rows.next(1, &session.cancel.clone()).await?;
    let row = row.ok_or_else(|| SqlError::internal("a SELECT without FROM gave no row"))?;
    let values = row.columns().iter().zip(types).map(|(column, ty)| {
        let value = ScalarValue::try_from_array(column, 0)?;
        Ok(value.cast_to(ty)?)
    });
    values.collect()
}
