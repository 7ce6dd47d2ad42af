//! Definitions out of CREATE statements: columns with types and defaults, names with schemas.

use sqlparser::ast::{self, ObjectName};
use tidemark_catalog::{Column, Object, Op};

use crate::context::PlanContext;
use crate::error::{Notice, SqlError};

/// What CREATE TABLE says.
#[derive(Debug, Clone)]
pub struct TableDefinition {
    pub schema: String,
    pub name: String,
    pub if_not_exists: bool,
    pub columns: Vec<Column>,
    /// Indexes into `columns`, in key order; empty without a key.
    pub primary_key: Vec<usize>,
    /// CREATE TABLE … AS: plan it, take its columns if `columns` is empty, and insert its rows.
    pub query: Option<Box<ast::Query>>,
    pub notices: Vec<Notice>,
}

/// Checks a CREATE TABLE and resolves its types and the schema it goes to. Defaults are planned once, so that one
/// that can't be evaluated is refused here.
pub fn define_table(
    ctx: &PlanContext,
    create: &ast::CreateTable,
) -> Result<TableDefinition, SqlError> {
    let _ = (ctx, create);
    Err(SqlError::unsupported("tables"))
}

/// Schema and name of something to be created: the first schema of the search path that exists, if none is written.
pub fn target_name(ctx: &PlanContext, name: &ObjectName) -> Result<(String, String), SqlError> {
    let _ = (ctx, name);
    Err(SqlError::unsupported("tables"))
}

/// The object a name means. None if there is none: [`SqlError::undefined_table`] is the caller's to raise.
pub fn resolve<'a>(
    ctx: &'a PlanContext,
    name: &ObjectName,
) -> Result<Option<&'a Object>, SqlError> {
    let _ = (ctx, name);
    Err(SqlError::unsupported("tables"))
}

/// (schema if written, name), folded as PostgreSQL folds; 0A000 for other databases.
pub fn name_parts(
    ctx: &PlanContext,
    name: &ObjectName,
) -> Result<(Option<String>, String), SqlError> {
    let _ = (ctx, name);
    Err(SqlError::unsupported("tables"))
}

/// Keeps `Op` in this crate's vocabulary for those who build changes.
pub type CatalogOp = Op;
