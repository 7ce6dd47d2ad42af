//! columns: the columns of tables and plain views.

use crate::catalog::INFORMATION_SCHEMA;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::column::{Column, Value, build, column, describe, fixed, null, optional};
use crate::system::relation::{Attribute, Relation, tables_and_views};
use crate::system::{SystemContext, SystemTable};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: INFORMATION_SCHEMA,
    name: "columns",
    oid: Oid(13295),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, rows(context)),
};

const COLUMNS: &[Column<Row>] = &[
    column("table_catalog", PgType::Name, |row| (&row.catalog).into()),
    column("table_schema", PgType::Name, |row| (&row.schema).into()),
    column("table_name", PgType::Name, |row| (&row.table).into()),
    column("column_name", PgType::Name, |row| (&row.column.name).into()),
    column("ordinal_position", PgType::Int4, |row| i32::from(row.column.number).into()),
    optional("column_default", PgType::Varchar, |row| Value::or_null(row.column.default.as_ref())),
    column("is_nullable", PgType::Varchar, |row| Value::yes_or_no(!row.column.not_null)),
    column("data_type", PgType::Varchar, |row| data_type(row.column.ty).into()),
    optional("character_maximum_length", PgType::Int4, |row| {
        Value::or_null(character_length(&row.column))
    }),
    optional("character_octet_length", PgType::Int4, |row| {
        Value::or_null(octet_length(&row.column))
    }),
    optional("numeric_precision", PgType::Int4, |row| {
        Value::or_null(numeric(&row.column).map(|n| n.0))
    }),
    optional("numeric_precision_radix", PgType::Int4, |row| {
        Value::or_null(numeric_radix(row.column.ty))
    }),
    optional("numeric_scale", PgType::Int4, |row| {
        Value::or_null(numeric(&row.column).map(|n| n.1))
    }),
    optional("datetime_precision", PgType::Int4, |row| {
        Value::or_null(datetime_precision(&row.column))
    }),
    null("interval_type", PgType::Varchar),
    null("interval_precision", PgType::Int4),
    null("character_set_catalog", PgType::Name),
    null("character_set_schema", PgType::Name),
    null("character_set_name", PgType::Name),
    null("collation_catalog", PgType::Name),
    null("collation_schema", PgType::Name),
    null("collation_name", PgType::Name),
    null("domain_catalog", PgType::Name),
    null("domain_schema", PgType::Name),
    null("domain_name", PgType::Name),
    column("udt_catalog", PgType::Name, |row| (&row.catalog).into()),
    fixed("udt_schema", PgType::Name, Value::Text("pg_catalog")),
    column("udt_name", PgType::Name, |row| row.column.ty.name().into()),
    null("scope_catalog", PgType::Name),
    null("scope_schema", PgType::Name),
    null("scope_name", PgType::Name),
    null("maximum_cardinality", PgType::Int4),
    column("dtd_identifier", PgType::Name, |row| row.column.number.to_string().into()),
    fixed("is_self_referencing", PgType::Varchar, Value::Text("NO")),
    fixed("is_identity", PgType::Varchar, Value::Text("NO")),
    null("identity_generation", PgType::Varchar),
    null("identity_start", PgType::Varchar),
    null("identity_increment", PgType::Varchar),
    null("identity_maximum", PgType::Varchar),
    null("identity_minimum", PgType::Varchar),
    fixed("identity_cycle", PgType::Varchar, Value::Text("NO")),
    fixed("is_generated", PgType::Varchar, Value::Text("NEVER")),
    null("generation_expression", PgType::Varchar),
    column("is_updatable", PgType::Varchar, |row| Value::yes_or_no(row.updatable)),
];

struct Row {
    catalog: String,
    schema: String,
    table: String,
    updatable: bool,
    column: Attribute,
}

fn rows(context: &SystemContext) -> Vec<Row> {
    let listed = tables_and_views(context).into_iter().filter(|relation| relation.kind != 'm');
    listed.flat_map(|relation| rows_of(context, relation)).collect()
}

fn rows_of(context: &SystemContext, relation: Relation) -> Vec<Row> {
    let updatable = relation.kind == 'r' && relation.id.is_some();
    let Relation { schema, name, attributes, .. } = relation;
    let row = |column| Row {
        catalog: context.database.clone(),
        schema: schema.clone(),
        table: name.clone(),
        updatable,
        column,
    };
    attributes.into_iter().map(row).collect()
}

fn data_type(ty: PgType) -> String {
    match ty {
        PgType::Array(_) | PgType::Int2Vector | PgType::OidVector => "ARRAY".to_owned(),
        scalar => scalar.sql_name(),
    }
}

fn character_length(column: &Attribute) -> Option<i32> {
    let limited = matches!(column.ty, PgType::Varchar | PgType::Bpchar);
    let limit = PgType::length_limit(column.typmod).filter(|_| limited)?;
    i32::try_from(limit).ok()
}

/// Bytes: four for every character, or a gigabyte when there is no limit.
fn octet_length(column: &Attribute) -> Option<i32> {
    match column.ty {
        PgType::Text | PgType::Varchar | PgType::Bpchar => {
            Some(character_length(column).map_or(1 << 30, |length| length.saturating_mul(4)))
        }
        _ => None,
    }
}

/// Precision and scale; bits and 0 for the binary numbers, no scale for the inexact ones.
fn numeric(column: &Attribute) -> Option<(i32, Value<'static>)> {
    match column.ty {
        PgType::Int2 => Some((16, Value::Int(0))),
        PgType::Int4 => Some((32, Value::Int(0))),
        PgType::Int8 => Some((64, Value::Int(0))),
        PgType::Float4 => Some((24, Value::Null)),
        PgType::Float8 => Some((53, Value::Null)),
        PgType::Numeric => {
            let (precision, scale) = PgType::numeric_parts(column.typmod)?;
            Some((i32::from(precision), Value::Int(i64::from(scale))))
        }
        _ => None,
    }
}

fn numeric_radix(ty: PgType) -> Option<i32> {
    match ty {
        PgType::Int2 | PgType::Int4 | PgType::Int8 | PgType::Float4 | PgType::Float8 => Some(2),
        PgType::Numeric => Some(10),
        _ => None,
    }
}

/// Digits of a second's fraction.
fn datetime_precision(column: &Attribute) -> Option<i32> {
    match column.ty {
        PgType::Date => Some(0),
        PgType::Time | PgType::Timestamp | PgType::Timestamptz if column.typmod >= 0 => {
            Some(column.typmod)
        }
        PgType::Time | PgType::Timestamp | PgType::Timestamptz | PgType::Interval => Some(6),
        _ => None,
    }
}
