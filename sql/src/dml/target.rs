//! The table that a statement writes.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use sqlparser::ast::{self, Expr, Ident, ObjectName, ObjectNamePart, TableAlias, TableFactor};
use tidemark_catalog::{Column, Object, PgType, Table};
use tidemark_engine::CollectionId;

use crate::context::{PlanContext, ReadView};
use crate::ddl::resolve_table;
use crate::error::{SqlError, state};
use crate::parse::fold;
use crate::parse::position::of_span;
use crate::provider::RelationProvider;
use crate::resolve::{ROW_ID, RelationSource, ScannedRelation, relation_schema};
use crate::rewrite::ast::cast_to;

/// Name under which a statement's plan scans its target with row ids. No user can write it.
pub const TARGET: &str = "\u{1}target";

/// The written table under the name the statement uses for it.
#[derive(Debug, Clone)]
pub struct Target {
    pub object: Object,
    /// Alias, or the table's name.
    pub name: String,
}

impl Target {
    pub fn named(
        ctx: &PlanContext,
        name: &ObjectName,
        alias: Option<&Ident>,
    ) -> Result<Target, SqlError> {
        let object = resolve_table(ctx, name)?.clone();
        let name = alias.map_or_else(|| object.name.clone(), fold);
        Ok(Target { object, name })
    }

    /// The same for a statement that changes or deletes rows: 55000 if the table only grows.
    pub fn changed(
        ctx: &PlanContext,
        name: &ObjectName,
        alias: Option<&Ident>,
    ) -> Result<Target, SqlError> {
        let target = Target::named(ctx, name, alias)?;
        target.check_changeable()?;
        Ok(target)
    }

    pub fn check_changeable(&self) -> Result<(), SqlError> {
        if !self.table().append_only {
            return Ok(());
        }
        let message = format!("table \"{}\" is append-only", self.object.name);
        Err(SqlError::new(state::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
            .with_hint("Its rows cannot be changed or deleted, only inserted."))
    }

    pub fn table(&self) -> &Table {
        self.object.table().expect("checked when it was made")
    }

    pub fn columns(&self) -> &[Column] {
        &self.table().columns
    }

    pub fn collection(&self) -> CollectionId {
        CollectionId(self.object.collection().0)
    }

    pub fn schema(&self) -> SchemaRef {
        relation_schema(self.columns())
    }

    pub fn provider(&self, ctx: &PlanContext, read: &ReadView) -> RelationProvider {
        RelationProvider::new(ctx, self.collection(), self.schema(), read)
    }

    /// Index of a column a statement names; 42703 if there is none.
    pub fn column(&self, ident: &Ident) -> Result<usize, SqlError> {
        let name = fold(ident);
        self.object.column(&name).ok_or_else(|| {
            let table = &self.object.name;
            let message = format!("column \"{name}\" of relation \"{table}\" does not exist");
            SqlError::new(state::UNDEFINED_COLUMN, message).at(of_span(ident.span))
        })
    }

    /// The stored rows with their ids, as the plan scans them under [`TARGET`].
    pub fn stored(&self) -> BTreeMap<String, RelationSource> {
        let source = RelationSource {
            relation: ScannedRelation::Table(self.object.id),
            schema: with_column(&self.schema(), ROW_ID),
            with_arrivals: false,
            with_row_ids: true,
        };
        BTreeMap::from([(TARGET.to_string(), source)])
    }

    /// [`TARGET`] in FROM, under the name the statement uses.
    pub fn factor(&self) -> TableFactor {
        given_factor(TARGET, &self.name)
    }
}

/// A relation a statement brings along, in FROM.
pub fn given_factor(given: &str, alias: &str) -> TableFactor {
    let alias = TableAlias {
        explicit: true,
        name: Ident::with_quote('"', alias),
        columns: vec![],
        at: None,
    };
    TableFactor::Table {
        name: object_name(given),
        alias: Some(alias),
        args: None,
        with_hints: vec![],
        version: None,
        with_ordinality: false,
        partitions: vec![],
        json_path: None,
        sample: None,
        index_hints: vec![],
    }
}

/// Rows given by the statement under a name.
pub fn given(name: &str, schema: SchemaRef) -> RelationSource {
    let relation = ScannedRelation::Given(name.to_string());
    RelationSource { relation, schema, with_arrivals: false, with_row_ids: false }
}

/// A schema with one more column of unsigned numbers.
pub fn with_column(schema: &SchemaRef, name: &str) -> SchemaRef {
    let mut fields = schema.fields().to_vec();
    fields.push(Arc::new(Field::new(name, DataType::UInt64, false)));
    Arc::new(Schema::new(fields))
}

fn object_name(name: &str) -> ObjectName {
    ObjectName(vec![ObjectNamePart::Identifier(Ident::with_quote('"', name))])
}

/// `name.column`.
pub fn column_of(relation: &str, column: &str) -> Expr {
    Expr::CompoundIdentifier(vec![Ident::with_quote('"', relation), Ident::with_quote('"', column)])
}

/// A type in a syntax tree, without its modifier.
pub fn ast_type(ty: PgType) -> ast::DataType {
    match ty.element() {
        Some(element) if ty.category() == 'A' => {
            let element = Box::new(ast_type(element));
            ast::DataType::Array(ast::ArrayElemTypeDef::SquareBracket(element, None))
        }
        _ => {
            let ident = match ty {
                PgType::Char => Ident::with_quote('"', "char"),
                _ => Ident::new(ty.name()),
            };
            ast::DataType::Custom(ObjectName(vec![ObjectNamePart::Identifier(ident)]), vec![])
        }
    }
}

/// What a column is assigned: a literal or parameter takes the column's type, as PostgreSQL has it.
pub fn typed(expr: Expr, column: &Column) -> Expr {
    if is_untyped(&expr) { cast_to(expr, ast_type(column.ty)) } else { expr }
}

/// Whether an expression has no type but that of where it stands.
pub fn is_untyped(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => matches!(
            value.value,
            ast::Value::SingleQuotedString(_)
                | ast::Value::EscapedStringLiteral(_)
                | ast::Value::DollarQuotedString(_)
                | ast::Value::Null
                | ast::Value::Placeholder(_)
        ),
        Expr::Nested(inner) => is_untyped(inner),
        _ => false,
    }
}
