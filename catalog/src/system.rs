//! The system relations: pg_catalog, information_schema and tidemark, computed from a context.
//!
//! Law      column names, order, types and oids of pg_catalog and information_schema are PostgreSQL
//!          15's; a relation lists nothing that isn't so, and where Tidemark has nothing to list it
//!          is empty
//! Missing  nothing is stored: a relation is built when it is read, and can't be written
//!
//! One relation = one file + one line in `SYSTEM_TABLES`. `column.rs` says how a file is written,
//! `functions` are the plain functions behind pg_get_viewdef, format_type, regclass and so on.

mod column;
mod constraint;
mod context;
pub mod functions;
mod information_schema;
mod pg_catalog;
mod relation;
#[cfg(test)]
mod tests;
mod tidemark;

pub use column::SystemColumn;
pub use context::{
    Activity, Backfill, CheckpointTaken, MemoryPart, Past, Quarantined, RowCount, Setting,
    SettingKind, SourceProgress, SystemContext, ViewProgress,
};

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};

use crate::PgType;
use crate::object::Oid;

/// A relation that is computed when it is read.
#[derive(Clone, Copy)]
pub struct SystemTable {
    pub schema: &'static str,
    pub name: &'static str,
    pub oid: Oid,
    /// As in pg_class: `r` or `v`. Columns of views are all nullable, as in Postgres.
    pub relkind: char,
    definition: fn() -> Vec<SystemColumn>,
    arrays: fn(&SystemContext) -> Vec<ArrayRef>,
}

/// The metadata of a column that is a vector, not an array: its text is without braces.
pub const VECTOR: &str = "tidemark.vector";

impl std::fmt::Debug for SystemTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

impl SystemTable {
    /// The columns with their Postgres types, which are finer than Arrow's: `name` and `"char"` are
    /// both `Utf8`.
    pub fn columns(&self) -> Vec<SystemColumn> {
        let mut columns = (self.definition)();
        for column in &mut columns {
            column.not_null &= self.relkind == 'r';
        }
        columns
    }

    /// The schema of [`SystemTable::rows`].
    pub fn arrow_schema(&self) -> SchemaRef {
        let field = |column: SystemColumn| {
            let field = Field::new(column.name, column.ty.to_arrow(-1), !column.not_null);
            match column.ty {
                PgType::Int2Vector | PgType::OidVector => {
                    field.with_metadata([(VECTOR.to_owned(), String::new())].into())
                }
                _ => field,
            }
        };
        Arc::new(Schema::new(self.columns().into_iter().map(field).collect::<Vec<_>>()))
    }

    /// Every row, in no particular order.
    pub fn rows(&self, context: &SystemContext) -> RecordBatch {
        let arrays = (self.arrays)(context);
        let row_count = arrays.first().map_or(0, |array| array.len());
        let options = RecordBatchOptions::new().with_row_count(Some(row_count));
        RecordBatch::try_new_with_options(self.arrow_schema(), arrays, &options)
            .unwrap_or_else(|error| panic!("{self:?} does not keep to its own columns: {error}"))
    }
}

/// The system relation of this name.
pub fn find(schema: &str, name: &str) -> Option<&'static SystemTable> {
    static BY_NAME: LazyLock<HashMap<(&str, &str), &SystemTable>> = LazyLock::new(|| {
        SYSTEM_TABLES.iter().map(|table| ((table.schema, table.name), table)).collect()
    });
    BY_NAME.get(&(schema, name)).copied()
}

/// The system relation of this oid.
pub fn find_oid(oid: Oid) -> Option<&'static SystemTable> {
    static BY_OID: LazyLock<HashMap<Oid, &SystemTable>> =
        LazyLock::new(|| SYSTEM_TABLES.iter().map(|table| (table.oid, table)).collect());
    BY_OID.get(&oid).copied()
}

/// Every system relation there is.
pub static SYSTEM_TABLES: &[SystemTable] = &[
    pg_catalog::pg_aggregate::TABLE,
    pg_catalog::pg_am::TABLE,
    pg_catalog::pg_amop::TABLE,
    pg_catalog::pg_amproc::TABLE,
    pg_catalog::pg_attrdef::TABLE,
    pg_catalog::pg_attribute::TABLE,
    pg_catalog::pg_auth_members::TABLE,
    pg_catalog::pg_authid::TABLE,
    pg_catalog::pg_available_extensions::TABLE,
    pg_catalog::pg_cast::TABLE,
    pg_catalog::pg_class::TABLE,
    pg_catalog::pg_collation::TABLE,
    pg_catalog::pg_constraint::TABLE,
    pg_catalog::pg_conversion::TABLE,
    pg_catalog::pg_cursors::TABLE,
    pg_catalog::pg_database::TABLE,
    pg_catalog::pg_db_role_setting::TABLE,
    pg_catalog::pg_default_acl::TABLE,
    pg_catalog::pg_depend::TABLE,
    pg_catalog::pg_description::TABLE,
    pg_catalog::pg_enum::TABLE,
    pg_catalog::pg_event_trigger::TABLE,
    pg_catalog::pg_extension::TABLE,
    pg_catalog::pg_foreign_data_wrapper::TABLE,
    pg_catalog::pg_foreign_server::TABLE,
    pg_catalog::pg_foreign_table::TABLE,
    pg_catalog::pg_group::TABLE,
    pg_catalog::pg_index::TABLE,
    pg_catalog::pg_indexes::TABLE,
    pg_catalog::pg_inherits::TABLE,
    pg_catalog::pg_init_privs::TABLE,
    pg_catalog::pg_language::TABLE,
    pg_catalog::pg_largeobject_metadata::TABLE,
    pg_catalog::pg_locks::TABLE,
    pg_catalog::pg_matviews::TABLE,
    pg_catalog::pg_namespace::TABLE,
    pg_catalog::pg_opclass::TABLE,
    pg_catalog::pg_operator::TABLE,
    pg_catalog::pg_opfamily::TABLE,
    pg_catalog::pg_parameter_acl::TABLE,
    pg_catalog::pg_partitioned_table::TABLE,
    pg_catalog::pg_policies::TABLE,
    pg_catalog::pg_policy::TABLE,
    pg_catalog::pg_prepared_statements::TABLE,
    pg_catalog::pg_prepared_xacts::TABLE,
    pg_catalog::pg_proc::TABLE,
    pg_catalog::pg_publication::TABLE,
    pg_catalog::pg_publication_namespace::TABLE,
    pg_catalog::pg_publication_rel::TABLE,
    pg_catalog::pg_publication_tables::TABLE,
    pg_catalog::pg_range::TABLE,
    pg_catalog::pg_replication_slots::TABLE,
    pg_catalog::pg_rewrite::TABLE,
    pg_catalog::pg_roles::TABLE,
    pg_catalog::pg_rules::TABLE,
    pg_catalog::pg_seclabel::TABLE,
    pg_catalog::pg_seclabels::TABLE,
    pg_catalog::pg_sequence::TABLE,
    pg_catalog::pg_sequences::TABLE,
    pg_catalog::pg_settings::TABLE,
    pg_catalog::pg_shadow::TABLE,
    pg_catalog::pg_shdepend::TABLE,
    pg_catalog::pg_shdescription::TABLE,
    pg_catalog::pg_shseclabel::TABLE,
    pg_catalog::pg_stat_activity::TABLE,
    pg_catalog::pg_stat_all_indexes::TABLE,
    pg_catalog::pg_stat_all_tables::TABLE,
    pg_catalog::pg_stat_replication::TABLE,
    pg_catalog::pg_stat_user_functions::TABLE,
    pg_catalog::pg_stat_user_indexes::TABLE,
    pg_catalog::pg_stat_user_tables::TABLE,
    pg_catalog::pg_statistic_ext::TABLE,
    pg_catalog::pg_stats::TABLE,
    pg_catalog::pg_subscription::TABLE,
    pg_catalog::pg_subscription_rel::TABLE,
    pg_catalog::pg_tables::TABLE,
    pg_catalog::pg_tablespace::TABLE,
    pg_catalog::pg_transform::TABLE,
    pg_catalog::pg_trigger::TABLE,
    pg_catalog::pg_ts_config::TABLE,
    pg_catalog::pg_ts_config_map::TABLE,
    pg_catalog::pg_ts_dict::TABLE,
    pg_catalog::pg_ts_parser::TABLE,
    pg_catalog::pg_ts_template::TABLE,
    pg_catalog::pg_type::TABLE,
    pg_catalog::pg_user::TABLE,
    pg_catalog::pg_user_mapping::TABLE,
    pg_catalog::pg_user_mappings::TABLE,
    pg_catalog::pg_views::TABLE,
    information_schema::check_constraints::TABLE,
    information_schema::column_domain_usage::TABLE,
    information_schema::columns::TABLE,
    information_schema::constraint_column_usage::TABLE,
    information_schema::domains::TABLE,
    information_schema::information_schema_catalog_name::TABLE,
    information_schema::key_column_usage::TABLE,
    information_schema::parameters::TABLE,
    information_schema::referential_constraints::TABLE,
    information_schema::routines::TABLE,
    information_schema::schemata::TABLE,
    information_schema::sequences::TABLE,
    information_schema::table_constraints::TABLE,
    information_schema::tables::TABLE,
    information_schema::triggers::TABLE,
    information_schema::view_table_usage::TABLE,
    information_schema::views::TABLE,
    tidemark::checkpoints::TABLE,
    tidemark::memory::TABLE,
    tidemark::quarantine::TABLE,
    tidemark::backfills::TABLE,
    tidemark::sources::TABLE,
    tidemark::tables::TABLE,
    tidemark::views::TABLE,
];
