//! CREATE [OR REPLACE] VIEW: a query with a name, planned anew wherever it is read.
//!
//! A view is checked by planning it once. What it reads is kept by id (S22), with the settings its
//! text means something by (S11).

use datafusion::sql::sqlparser::ast::Ident;
use tidemark_catalog::{Column, Object, ObjectId, ObjectKind, Op, View};
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::parse::CreateView;
use tidemark_sql::{PlanContext, QueryPlan, ddl};

use super::{Outcome, create_table, lock_catalog, query};
use crate::session::Session;

pub async fn run(session: &mut Session, create: &CreateView) -> Result<Outcome, SqlError> {
    let ctx = lock_catalog(session).await?;
    let (schema, name) = ddl::target_name(&ctx, &create.name)?;
    let existing = replaceable(session, &ctx, &schema, &name, create)?;
    let plan = query::plan(&ctx, &create.query, Vec::new())?;
    if !plan.parameters.is_empty() {
        let message = "there is no parameter $1".to_owned();
        return Err(SqlError::new(state::UNDEFINED_PARAMETER, message));
    }
    if create.columns.len() > plan.schema.fields().len() {
        let message = "CREATE VIEW specifies more column names than columns";
        return Err(SqlError::syntax(message));
    }
    let columns = create_table::columns_of(&plan, &names(&create.columns))?;
    let view = define(session, create, &plan, columns);
    let kind = ObjectKind::View(view);
    let op = match existing {
        Some(id) => {
            if !is_the_same(&ctx, id, &kind) {
                check_no_maintained_dependents(&ctx, id, &name)?;
            }
            Op::ReplaceObject(Object::new(id, &schema, &name, kind))
        }
        None => Op::CreateObject(Object::new(ctx.catalog.next_id(), &schema, &name, kind)),
    };
    session.open_transaction()?.stage(op)?;
    Outcome::done("CREATE VIEW")
}

/// The view that OR REPLACE replaces; 42P07 or 42809 if the name means something else.
fn replaceable(
    session: &mut Session,
    ctx: &PlanContext,
    schema: &str,
    name: &str,
    create: &CreateView,
) -> Result<Option<ObjectId>, SqlError> {
    match ctx.catalog.resolve(Some(schema), name, &[]) {
        Some(object) if create.or_replace => match object.kind {
            ObjectKind::View(_) => Ok(Some(object.id)),
            _ => {
                let message = format!("\"{name}\" is not a view");
                Err(SqlError::new(state::WRONG_OBJECT_TYPE, message))
            }
        },
        _ => {
            create_table::exists(session, ctx, schema, name, false)?;
            Ok(None)
        }
    }
}

/// Whether a replacement says what the view says already.
fn is_the_same(ctx: &PlanContext, id: ObjectId, kind: &ObjectKind) -> bool {
    match (ctx.catalog.get(id).map(|object| &object.kind), kind) {
        (Some(ObjectKind::View(old)), ObjectKind::View(new)) => old.same_definition(new),
        _ => false,
    }
}

/// The rows of a materialized view are kept up by the definitions it was made with.
fn check_no_maintained_dependents(
    ctx: &PlanContext,
    id: ObjectId,
    name: &str,
) -> Result<(), SqlError> {
    let maintained = |id: &ObjectId| {
        let object = ctx.catalog.get(*id)?;
        matches!(object.kind, ObjectKind::MaterializedView(_)).then(|| object.name.clone())
    };
    let dependents = ctx.catalog.dependents_transitive(id);
    let Some(first) = dependents.iter().find_map(maintained) else {
        return Ok(());
    };
    let message = format!("cannot replace view \"{name}\": materialized view \"{first}\" reads it");
    Err(SqlError::unsupported(message)
        .with_hint("Drop the materialized view, replace the view, and create it again."))
}

/// Names given in front of AS, as columns whose types are still to come.
pub fn names(columns: &[Ident]) -> Vec<Column> {
    let name = |column: &Ident| match column.quote_style {
        Some(_) => column.value.clone(),
        None => column.value.to_lowercase(),
    };
    columns
        .iter()
        .map(|column| Column::new(&name(column), tidemark_catalog::PgType::Text))
        .collect()
}

/// A view's definition: its text and everything its text depends on.
pub fn define(
    session: &Session,
    create: &CreateView,
    plan: &QueryPlan,
    columns: Vec<Column>,
) -> View {
    View {
        sql: create.body.clone(),
        columns,
        depends_on: plan.depends_on.clone(),
        functions: plan.functions.clone(),
        key: None,
        version: 1,
        search_path: session.settings.search_path(&session.user),
        time_zone: session.settings.time_zone(),
        bindings: plan.bindings.clone(),
    }
}
