//! SET, RESET, SHOW, DISCARD: the session's settings.
//!
//! In a transaction a SET goes back with ROLLBACK, a SET LOCAL at its end in any case.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast;
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::{Settings, Statement};

use super::Outcome;
use crate::rows::{Rows, RowsTag};
use crate::session::{Notice, Session};

pub fn run(session: &mut Session, statement: &Statement) -> Result<Outcome, SqlError> {
    match statement {
        Statement::Set { name, value, local } => {
            set(session, name, value.as_deref(), *local)?;
            Outcome::done(if value.is_some() { "SET" } else { "RESET" })
        }
        Statement::ResetAll => {
            session.settings = session.initial_settings.clone();
            if let Some(transaction) = &mut session.transaction {
                transaction.staged.settings = session.initial_settings.clone();
            }
            Outcome::done("RESET")
        }
        Statement::Show(name) => show(session, name),
        Statement::ShowAll => show_all(session),
        Statement::DiscardAll => discard_all(session),
        Statement::DiscardOther => Outcome::done("DISCARD"),
        other => Err(SqlError::internal(format!("not about settings: {other:?}"))),
    }
}

/// Sets or, without a value, resets.
fn set(
    session: &mut Session,
    name: &str,
    value: Option<&str>,
    local: bool,
) -> Result<(), SqlError> {
    let initial = session.initial_settings.clone();
    let change = |settings: &mut Settings| {
        let proper = match value {
            Some(value) => return settings.set(name, value),
            None => settings.reset(name)?,
        };
        if let Some(initial) = initial.get(&proper) {
            settings.force(&proper, &initial);
        }
        Ok(proper)
    };
    if local && !session.in_block() {
        change(&mut session.settings.clone())?;
        let message = "SET LOCAL can only be used in transaction blocks";
        session.notice(Notice::warning(state::NO_ACTIVE_SQL_TRANSACTION, message));
        return Ok(());
    }
    change(&mut session.settings)?;
    if let Some(transaction) = session.transaction.as_mut().filter(|_| !local) {
        change(&mut transaction.staged.settings)?;
    }
    Ok(())
}

/// `SELECT set_config(name, value, is_local)` with literals, as clients and dumps send it.
pub struct ConfigCall {
    name: String,
    value: String,
    local: bool,
}

/// Finds a call of set_config that is all there is to a query. Functions can't change a session, so
/// this one is made to happen before the query runs and returns the value.
pub fn config_call(query: &ast::Query) -> Option<ConfigCall> {
    let ast::SetExpr::Select(select) = query.body.as_ref() else {
        return None;
    };
    let ([item], true) = (select.projection.as_slice(), select.from.is_empty()) else {
        return None;
    };
    let function = match item {
        ast::SelectItem::UnnamedExpr(ast::Expr::Function(function)) => function,
        ast::SelectItem::ExprWithAlias { expr: ast::Expr::Function(function), .. } => function,
        _ => return None,
    };
    let name = function.name.to_string().to_lowercase();
    if !["set_config", "pg_catalog.set_config"].contains(&name.as_str()) {
        return None;
    }
    let ast::FunctionArguments::List(list) = &function.args else {
        return None;
    };
    let literals: Option<Vec<String>> = list.args.iter().map(literal).collect();
    let [name, value, local] = literals?.try_into().ok()?;
    let local = local == "true";
    Some(ConfigCall { name, value, local })
}

fn literal(argument: &ast::FunctionArg) -> Option<String> {
    let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ast::Expr::Value(value))) = argument
    else {
        return None;
    };
    match &value.value {
        ast::Value::SingleQuotedString(text) => Some(text.clone()),
        ast::Value::Boolean(value) => Some(value.to_string()),
        _ => None,
    }
}

pub fn apply_config(session: &mut Session, call: &ConfigCall) -> Result<(), SqlError> {
    set(session, &call.name, Some(&call.value), call.local)
}

fn show(session: &Session, name: &str) -> Result<Outcome, SqlError> {
    let value = session.settings.show(name)?;
    let schema = show_columns(name);
    let values: ArrayRef = Arc::new(StringArray::from(vec![value]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![values])?;
    Ok(Outcome::Rows(Rows::ready(schema, vec![batch], RowsTag::Fixed("SHOW".to_owned()))))
}

/// The column of SHOW, named as the setting is.
pub fn show_columns(name: &str) -> SchemaRef {
    let proper = tidemark_sql::settings::SETTINGS.iter().map(|setting| setting.name);
    let proper = proper.into_iter().find(|proper| proper.eq_ignore_ascii_case(name));
    text_columns(&[proper.unwrap_or(name)])
}

fn show_all(session: &Session) -> Result<Outcome, SqlError> {
    let schema = show_all_columns();
    let all = session.settings.all();
    let columns: [ArrayRef; 3] = [
        Arc::new(StringArray::from_iter_values(all.iter().map(|(name, _, _)| name))),
        Arc::new(StringArray::from_iter_values(all.iter().map(|(_, value, _)| value))),
        Arc::new(StringArray::from_iter_values(all.iter().map(|(_, _, text)| text))),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns.to_vec())?;
    Ok(Outcome::Rows(Rows::ready(schema, vec![batch], RowsTag::Fixed("SHOW".to_owned()))))
}

pub fn show_all_columns() -> SchemaRef {
    text_columns(&["name", "setting", "description"])
}

/// A result of text columns.
pub fn text_columns(names: &[&str]) -> SchemaRef {
    let fields = names.iter().map(|name| Field::new(*name, DataType::Utf8, true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn discard_all(session: &mut Session) -> Result<Outcome, SqlError> {
    if session.in_block() {
        let message = "DISCARD ALL cannot run inside a transaction block";
        return Err(SqlError::new(state::ACTIVE_SQL_TRANSACTION, message));
    }
    session.portals.clear();
    session.prepared.clear();
    session.settings = session.initial_settings.clone();
    Outcome::done("DISCARD ALL")
}
