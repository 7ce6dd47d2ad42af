//! pg_stat_user_tables: the user's tables and materialized views, with the number of rows in them.
//!
//! Missing  every counter of scans and changes: NULL, not 0, since nobody counts them

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::column::{Column, Value, build, column, describe, null, optional};
use crate::system::relation::{Relation, relations};
use crate::system::{SystemContext, SystemTable};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_stat_user_tables",
    oid: Oid(12161),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, tables(context)),
};

const COLUMNS: &[Column<Relation>] = &[
    column("relid", PgType::Oid, |relation| relation.oid.into()),
    column("schemaname", PgType::Name, |relation| (&relation.schema).into()),
    column("relname", PgType::Name, |relation| (&relation.name).into()),
    null("seq_scan", PgType::Int8),
    null("seq_tup_read", PgType::Int8),
    null("idx_scan", PgType::Int8),
    null("idx_tup_fetch", PgType::Int8),
    null("n_tup_ins", PgType::Int8),
    null("n_tup_upd", PgType::Int8),
    null("n_tup_del", PgType::Int8),
    null("n_tup_hot_upd", PgType::Int8),
    optional("n_live_tup", PgType::Int8, live),
    null("n_dead_tup", PgType::Int8),
    null("n_mod_since_analyze", PgType::Int8),
    null("n_ins_since_vacuum", PgType::Int8),
    null("last_vacuum", PgType::Timestamptz),
    null("last_autovacuum", PgType::Timestamptz),
    null("last_analyze", PgType::Timestamptz),
    null("last_autoanalyze", PgType::Timestamptz),
    null("vacuum_count", PgType::Int8),
    null("autovacuum_count", PgType::Int8),
    null("analyze_count", PgType::Int8),
    null("autoanalyze_count", PgType::Int8),
];

fn tables(context: &SystemContext) -> Vec<Relation> {
    let listed = |relation: &Relation| matches!(relation.kind, 'r' | 'm') && relation.id.is_some();
    relations(context).into_iter().filter(listed).collect()
}

/// Rows, where they are known.
fn live(relation: &Relation) -> Value<'static> {
    if relation.tuples < 0.0 { Value::Null } else { Value::Int(relation.tuples as i64) }
}
