//! CREATE [OR REPLACE] VIEW: a query with a name, planned anew wherever it is read.
//!
//! A view is checked by planning it once. What it reads is kept by id (S22), with the settings its
//! text means something by (S11).

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::ast::Ident;
use tidemark_catalog::{Catalog, Column, Object, ObjectId, ObjectKind, Op, PgType, View};
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::maintain::column_type;
use tidemark_sql::parse::CreateView;
use tidemark_sql::{PlanContext, QueryPlan, ddl};

use super::{Outcome, create_table, lock_catalog, query, replace};
use crate::session::Session;

pub async fn run(session: &mut Session, create: &CreateView) -> Result<Outcome, SqlError> {
    let ctx = lock_catalog(session).await?;
    let (schema, name) = ddl::target_name(&ctx, &create.name)?;
    let existing = replaceable(session, &ctx, &schema, &name, create, "view")?;
    let plan = query::plan(&ctx, &create.query, Vec::new())?;
    if !plan.parameters.is_empty() {
        let message = "there is no parameter $1".to_owned();
        return Err(SqlError::new(state::UNDEFINED_PARAMETER, message));
    }
    if create.columns.len() > plan.schema.fields().len() {
        let message = "CREATE VIEW specifies more column names than columns";
        return Err(SqlError::syntax(message));
    }
    let mut columns = create_table::columns_of(&plan, &names(&create.columns))?;
    for (column, field) in columns.iter_mut().zip(plan.schema.fields()) {
        // As its rows come out of its text, nothing being stored in between.
        if let (PgType::Numeric, Some((_, typmod))) = (column.ty, column_type(field.data_type())) {
            column.typmod = typmod;
        }
    }
    let kind = ObjectKind::View(define(&ctx, create, &plan, columns));
    match existing {
        Some(id) => {
            let object = Object::new(id, &schema, &name, kind);
            if !tidemark_sql::version::is_same_view(&ctx, &object)? {
                replace::object(session, object).await?;
            }
        }
        None => {
            let object = Object::new(ctx.catalog.next_id(), &schema, &name, kind);
            session.open_transaction()?.stage(Op::CreateObject(object))?;
        }
    }
    Outcome::done("CREATE VIEW")
}

/// The view of this kind that OR REPLACE replaces; 42P07 or 42809 if the name means something else.
pub fn replaceable(
    session: &mut Session,
    ctx: &PlanContext,
    schema: &str,
    name: &str,
    create: &CreateView,
    noun: &str,
) -> Result<Option<ObjectId>, SqlError> {
    match ctx.catalog.resolve(Some(schema), name, &[]) {
        Some(object) if create.or_replace && object.kind.noun() == noun => Ok(Some(object.id)),
        Some(_) if create.or_replace => {
            let message = format!("\"{name}\" is not a {noun}");
            Err(SqlError::new(state::WRONG_OBJECT_TYPE, message))
        }
        _ => {
            create_table::exists(session, ctx, schema, name, false)?;
            Ok(None)
        }
    }
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
fn define(ctx: &PlanContext, create: &CreateView, plan: &QueryPlan, columns: Vec<Column>) -> View {
    View {
        sql: create.body.clone(),
        columns,
        depends_on: plan.depends_on.clone(),
        functions: plan.functions.clone(),
        key: None,
        append_only: false,
        version: 1,
        collection: None,
        widths: widths(&ctx.catalog, &plan.depends_on),
        names: BTreeMap::new(),
        search_path: ctx.search_path(),
        time_zone: ctx.settings.time_zone(),
        bindings: plan.bindings.clone(),
    }
}

/// How many columns the relations that a text names have now.
pub fn widths(catalog: &Catalog, reads: &[ObjectId]) -> BTreeMap<ObjectId, usize> {
    let width = |id: &ObjectId| Some((*id, catalog.get(*id)?.columns().len()));
    reads.iter().filter_map(width).collect()
}
