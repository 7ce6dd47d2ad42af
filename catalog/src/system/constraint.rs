//! Constraints as information_schema tells them: primary keys, and NOT NULL columns as CHECKs.

use super::SystemContext;
use super::relation::{Attribute, Relation, primary_keys, tables_and_views};

pub(super) struct Constraint {
    pub catalog: String,
    pub schema: String,
    pub name: String,
    pub table: String,
    pub is_primary_key: bool,
    /// The column that may not be NULL; empty for a primary key.
    pub column: String,
}

/// A column of a primary key.
pub(super) struct ConstraintColumn {
    pub catalog: String,
    pub schema: String,
    pub name: String,
    pub table: String,
    pub column: String,
    /// From 1, in the order of the constraint.
    pub position: i32,
}

impl Constraint {
    pub fn kind(&self) -> &'static str {
        if self.is_primary_key { "PRIMARY KEY" } else { "CHECK" }
    }

    pub fn check_clause(&self) -> String {
        format!("{} IS NOT NULL", self.column)
    }
}

pub(super) fn constraints(context: &SystemContext) -> Vec<Constraint> {
    let keys = primary_keys(&context.catalog).into_iter().map(|key| Constraint {
        catalog: context.database.clone(),
        schema: key.schema,
        name: key.name,
        table: key.table_name,
        is_primary_key: true,
        column: String::new(),
    });
    let not_nulls = tables_and_views(context).into_iter().filter(|relation| relation.kind == 'r');
    keys.chain(not_nulls.flat_map(|relation| not_nulls_of(context, &relation))).collect()
}

/// Postgres names them by oids: schema, relation, column number.
fn not_nulls_of(context: &SystemContext, relation: &Relation) -> Vec<Constraint> {
    let columns = relation.attributes.iter().filter(|column| column.not_null);
    let constraint = |column: &Attribute| Constraint {
        catalog: context.database.clone(),
        schema: relation.schema.clone(),
        name: format!("{}_{}_{}_not_null", relation.schema_oid, relation.oid, column.number),
        table: relation.name.clone(),
        is_primary_key: false,
        column: column.name.clone(),
    };
    columns.map(constraint).collect()
}

pub(super) fn key_columns(context: &SystemContext) -> Vec<ConstraintColumn> {
    let mut found = Vec::new();
    for key in primary_keys(&context.catalog) {
        for (position, column) in (1..).zip(&key.attributes) {
            found.push(ConstraintColumn {
                catalog: context.database.clone(),
                schema: key.schema.clone(),
                name: key.name.clone(),
                table: key.table_name.clone(),
                column: column.name.clone(),
                position,
            });
        }
    }
    found
}
