//! Definitions out of CREATE statements: columns with types and defaults, names with schemas.

mod column;
mod function;
mod options;
mod source;
mod users;

pub use column::{add_primary_key, added_value, alter_column, column_of, define_column};
pub use function::{check_function, define_function, resolve_function};
pub use options::{TableOptions, alter_table_options, history_retention};
pub use source::{Outside, SourceDefinition, SourceRelation, define_source};
pub use users::users_of_column;

use std::collections::BTreeSet;

use sqlparser::ast::{self, ColumnOption, CreateTableOptions, ObjectName, TableConstraint};
use tidemark_catalog::{Column, Found, Object, PgType, Table};
use tidemark_engine::ARRIVED_AT;

use crate::context::PlanContext;
use crate::error::{Notice, SqlError, state};
use crate::parse::fold;

/// What CREATE TABLE says.
#[derive(Debug, Clone)]
pub struct TableDefinition {
    pub schema: String,
    pub name: String,
    pub if_not_exists: bool,
    pub columns: Vec<Column>,
    /// Indexes into `columns`, in key order; empty without a key.
    pub primary_key: Vec<usize>,
    /// `CONSTRAINT name PRIMARY KEY`.
    pub primary_key_name: Option<String>,
    pub options: TableOptions,
    /// CREATE TABLE … AS: plan it, take its columns if `columns` is empty, and insert its rows.
    pub query: Option<Box<ast::Query>>,
    pub notices: Vec<Notice>,
}

/// Checks a CREATE TABLE and resolves its types and the schema it goes to. Defaults are planned
/// once, so that one that can't be evaluated is refused here.
pub fn define_table(
    ctx: &PlanContext,
    create: &ast::CreateTable,
) -> Result<TableDefinition, SqlError> {
    refuse_clauses(create)?;
    let (schema, name) = target_name(ctx, &create.name)?;
    let mut definition = TableDefinition {
        schema,
        name,
        if_not_exists: create.if_not_exists,
        columns: Vec::new(),
        primary_key: Vec::new(),
        primary_key_name: None,
        options: TableOptions::default(),
        query: create.query.clone(),
        notices: Vec::new(),
    };
    definition.read_options(&create.table_options)?;
    if definition.options.outside.is_some() {
        definition.take_columns(create)?;
        return Ok(definition);
    }
    for column in &create.columns {
        definition.add_column(column)?;
    }
    for constraint in &create.constraints {
        definition.add_constraint(constraint)?;
    }
    for index in &definition.primary_key {
        definition.columns[*index].not_null = true;
    }
    check_defaults(ctx, &definition)?;
    Ok(definition)
}

fn refuse_clauses(create: &ast::CreateTable) -> Result<(), SqlError> {
    let refused = [
        (create.temporary, "temporary tables"),
        (create.external, "external tables"),
        (create.or_replace, "CREATE OR REPLACE TABLE"),
        (create.like.is_some(), "CREATE TABLE … LIKE"),
        (create.inherits.is_some(), "table inheritance"),
        (create.partition_by.is_some(), "partitioned tables"),
        (create.partition_of.is_some(), "partitioned tables"),
    ];
    match refused.iter().find(|(set, _)| *set) {
        Some((_, what)) => Err(SqlError::unsupported(format!("{what} are not supported"))),
        None => Ok(()),
    }
}

impl TableDefinition {
    /// WITH (name = value, …). What only tunes PostgreSQL's storage says nothing here.
    fn read_options(&mut self, options: &CreateTableOptions) -> Result<(), SqlError> {
        let options = match options {
            CreateTableOptions::None => return Ok(()),
            CreateTableOptions::With(options) => options,
            other => {
                return Err(SqlError::unsupported(format!("table options {other}"))
                    .with_hint("options are written WITH (name = value)"));
            }
        };
        self.options = TableOptions::read(options)?;
        Ok(())
    }

    /// The columns of a table that has its rows from a connector.
    fn take_columns(&mut self, create: &ast::CreateTable) -> Result<(), SqlError> {
        let outside = self.options.outside.as_ref().expect("the caller has looked");
        let relation = outside.only()?;
        if !create.columns.is_empty() || !create.constraints.is_empty() || create.query.is_some() {
            let message = "a table with a connector has the columns that it gives";
            return Err(SqlError::new(state::INVALID_TABLE_DEFINITION, message)
                .with_hint("Leave the column list out, and choose columns in a view."));
        }
        self.columns.clone_from(&relation.columns);
        let named = relation.event_time.map(|column| relation.columns[column].name.clone());
        self.options.event_time = self.options.event_time.take().or(named);
        Ok(())
    }

    /// Which of the columns is the event time.
    ///
    /// Errors: 42703 if there is none of the name, 42804 if it is no time.
    fn event_time_column(&self) -> Result<Option<usize>, SqlError> {
        let Some(name) = &self.options.event_time else { return Ok(None) };
        let found = self.columns.iter().position(|column| column.name == *name);
        let index = found.ok_or_else(|| {
            let message = format!("column \"{name}\" named as event_time does not exist");
            SqlError::new(state::UNDEFINED_COLUMN, message)
        })?;
        match self.columns[index].ty {
            PgType::Timestamptz | PgType::Timestamp => Ok(Some(index)),
            _ => {
                let message = format!("event_time \"{name}\" is no timestamp");
                Err(SqlError::new(state::DATATYPE_MISMATCH, message))
            }
        }
    }

    /// The table for the catalog.
    ///
    /// Errors: 42703 and 42804 for an event time that is none of the columns' or no time.
    pub fn table(&self) -> Result<Table, SqlError> {
        Ok(Table {
            columns: self.columns.clone(),
            primary_key: self.primary_key.clone(),
            primary_key_name: self.primary_key_name.clone(),
            append_only: self.options.append_only,
            event_time: self.event_time_column()?,
            retention: self.options.retention,
            ttl: self.options.ttl,
            had_ttl: false,
            source: None,
            connector: self.options.outside.as_ref().map(|outside| outside.connector.clone()),
        })
    }

    fn add_column(&mut self, definition: &ast::ColumnDef) -> Result<(), SqlError> {
        let name = fold(&definition.name);
        check_no_system_column(&name)?;
        if self.columns.iter().any(|column| column.name == name) {
            let message = format!("column \"{name}\" specified more than once");
            return Err(SqlError::new(state::DUPLICATE_COLUMN, message));
        }
        let (ty, typmod) = column_type(&definition.data_type)?;
        let mut column = Column { name, ty, typmod, not_null: false, default: None };
        let index = self.columns.len();
        for option in &definition.options {
            match &option.option {
                ColumnOption::Null | ColumnOption::Comment(_) => {}
                ColumnOption::NotNull => column.not_null = true,
                ColumnOption::Default(expr) => column.default = Some(expr.to_string()),
                ColumnOption::PrimaryKey(_) => {
                    self.set_primary_key(vec![index], option.name.as_ref())?;
                }
                ColumnOption::Collation(_) => {}
                ColumnOption::Unique(_) => return Err(no_constraint("UNIQUE")),
                ColumnOption::Check(_) => return Err(no_constraint("CHECK")),
                ColumnOption::ForeignKey(_) => return Err(no_constraint("REFERENCES")),
                ColumnOption::Generated { .. } | ColumnOption::Identity(_) => {
                    return Err(SqlError::unsupported("generated columns are not supported"));
                }
                other => {
                    return Err(SqlError::unsupported(format!(
                        "column option {other} is not supported"
                    )));
                }
            }
        }
        self.columns.push(column);
        Ok(())
    }

    fn add_constraint(&mut self, constraint: &TableConstraint) -> Result<(), SqlError> {
        match constraint {
            TableConstraint::PrimaryKey(key) => {
                let mut columns = Vec::new();
                for column in &key.columns {
                    let name = match &column.column.expr {
                        ast::Expr::Identifier(ident) => fold(ident),
                        other => other.to_string(),
                    };
                    let index = self.columns.iter().position(|column| column.name == name);
                    columns.push(index.ok_or_else(|| {
                        let message = format!("column \"{name}\" named in key does not exist");
                        SqlError::new(state::UNDEFINED_COLUMN, message)
                    })?);
                }
                self.set_primary_key(columns, key.name.as_ref())
            }
            TableConstraint::Unique(_) => Err(no_constraint("UNIQUE")),
            TableConstraint::Check(_) => Err(no_constraint("CHECK")),
            TableConstraint::ForeignKey(_) => Err(no_constraint("FOREIGN KEY")),
            other => Err(SqlError::unsupported(format!("constraint {other} is not supported"))),
        }
    }

    fn set_primary_key(
        &mut self,
        columns: Vec<usize>,
        name: Option<&ast::Ident>,
    ) -> Result<(), SqlError> {
        if !self.primary_key.is_empty() {
            let message =
                format!("multiple primary keys for table \"{}\" are not allowed", self.name);
            return Err(SqlError::new(state::INVALID_TABLE_DEFINITION, message));
        }
        if columns.iter().collect::<BTreeSet<_>>().len() < columns.len() {
            let message = "a column appears twice in the primary key constraint";
            return Err(SqlError::new(state::DUPLICATE_COLUMN, message));
        }
        self.primary_key = columns;
        self.primary_key_name = name.map(fold);
        Ok(())
    }
}

fn no_constraint(what: &str) -> SqlError {
    SqlError::unsupported(format!("{what} constraints are not supported"))
        .with_hint("PRIMARY KEY and NOT NULL are enforced")
}

fn column_type(data_type: &ast::DataType) -> Result<(PgType, i32), SqlError> {
    let text = data_type.to_string();
    let serial = ["serial", "bigserial", "smallserial", "serial4", "serial8", "serial2"];
    if serial.contains(&text.to_lowercase().as_str()) {
        return Err(SqlError::unsupported("serial columns are not supported")
            .with_hint("use a uuid with DEFAULT gen_random_uuid(), or give the key with the row"));
    }
    let (ty, typmod) =
        PgType::parse(&text).map_err(|error| SqlError::new(error.sqlstate(), error.to_string()))?;
    if ty.typtype() == 'p' {
        let message = format!("column has pseudo-type {}", ty.name());
        return Err(SqlError::new(state::INVALID_TABLE_DEFINITION, message));
    }
    Ok((ty, typmod))
}

fn check_defaults(ctx: &PlanContext, definition: &TableDefinition) -> Result<(), SqlError> {
    for column in &definition.columns {
        if column.default.is_some() {
            crate::dml::default_plan(ctx, column)?;
        }
    }
    Ok(())
}

/// Schema and name of something to be created: the first schema of the search path that exists, if
/// none is written.
pub fn target_name(ctx: &PlanContext, name: &ObjectName) -> Result<(String, String), SqlError> {
    let (schema, name) = name_parts(ctx, name)?;
    let schema = match schema {
        Some(schema) => schema,
        None => {
            let path = ctx.search_path();
            let schema = ctx.catalog.creation_schema(&path).map(str::to_string);
            schema.ok_or_else(|| {
                let message = "no schema has been selected to create in";
                SqlError::new(state::INVALID_SCHEMA_NAME, message)
            })?
        }
    };
    if ctx.catalog.schema(&schema).is_none() {
        let message = format!("schema \"{schema}\" does not exist");
        return Err(SqlError::new(state::INVALID_SCHEMA_NAME, message));
    }
    Ok((schema, name))
}

/// The object a name means. None if there is none: [`SqlError::undefined_table`] is the caller's to
/// raise.
pub fn resolve<'a>(
    ctx: &'a PlanContext,
    name: &ObjectName,
) -> Result<Option<&'a Object>, SqlError> {
    let (schema, name) = name_parts(ctx, name)?;
    Ok(ctx.catalog.resolve(schema.as_deref(), &name, &ctx.search_path()))
}

/// The table a name means: 42P01 if there is none, 42809 if it is something else.
pub fn resolve_table<'a>(ctx: &'a PlanContext, name: &ObjectName) -> Result<&'a Object, SqlError> {
    let (schema, table) = name_parts(ctx, name)?;
    let wrong = |message: String| Err(SqlError::new(state::WRONG_OBJECT_TYPE, message));
    match ctx.catalog.lookup(schema.as_deref(), &table, &ctx.search_path()) {
        Some(Found::Object(object)) if object.table().is_some_and(|t| t.source.is_some()) => {
            let message = format!("cannot change table \"{table}\"");
            let error = SqlError::new(state::WRONG_OBJECT_TYPE, message);
            Err(error.with_detail("Its rows come from a source, and only from there.").with_hint(
                "CREATE TABLE … WITH (connector = …) makes a table that takes other rows too.",
            ))
        }
        Some(Found::Object(object)) if object.table().is_some() => Ok(object),
        Some(Found::Object(object)) => match object.kind.noun() {
            "view" => wrong(format!("cannot change view \"{table}\"")),
            noun => wrong(format!("cannot change {noun} \"{table}\"")),
        },
        Some(Found::PrimaryKeyIndex(_)) => wrong(format!("cannot change index \"{table}\"")),
        Some(Found::System(_)) => {
            let message = format!("permission denied: \"{table}\" is a system catalog");
            Err(SqlError::new(state::INSUFFICIENT_PRIVILEGE, message))
        }
        None => {
            let written = crate::resolve::written_name(schema.as_deref(), &table);
            Err(SqlError::undefined_table(written).at(position(name)))
        }
    }
}

fn position(name: &ObjectName) -> Option<usize> {
    let ident = name.0.first().and_then(|part| part.as_ident())?;
    crate::parse::position::of_span(ident.span)
}

/// (schema if written, name), folded as PostgreSQL folds; 0A000 for other databases.
pub fn name_parts(
    ctx: &PlanContext,
    name: &ObjectName,
) -> Result<(Option<String>, String), SqlError> {
    let parts: Option<Vec<String>> = name.0.iter().map(|part| part.as_ident().map(fold)).collect();
    match parts.unwrap_or_default().as_slice() {
        [table] => Ok((None, table.clone())),
        [schema, table] => Ok((Some(schema.clone()), table.clone())),
        [database, schema, table] if *database == ctx.database => {
            Ok((Some(schema.clone()), table.clone()))
        }
        [_, _, _] => {
            let message = format!("cross-database references are not implemented: \"{name}\"");
            Err(SqlError::unsupported(message))
        }
        _ => Err(SqlError::syntax(format!("improper qualified name: {name}"))),
    }
}

/// Refuses to call a table's column what every table has a system column for (S18).
pub fn check_no_system_column(name: &str) -> Result<(), SqlError> {
    if name != ARRIVED_AT {
        return Ok(());
    }
    let message = format!("column name \"{name}\" conflicts with a system column name");
    Err(SqlError::new(state::DUPLICATE_COLUMN, message))
}
