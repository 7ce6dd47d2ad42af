//! information_schema: the standard's view of the catalog, one file per relation; columns and oids
//! are PostgreSQL 15's, the standard's domains are shown as the types under them.

pub(super) mod check_constraints;
pub(super) mod column_domain_usage;
pub(super) mod columns;
pub(super) mod constraint_column_usage;
pub(super) mod domains;
pub(super) mod information_schema_catalog_name;
pub(super) mod key_column_usage;
pub(super) mod parameters;
pub(super) mod referential_constraints;
pub(super) mod routines;
pub(super) mod schemata;
pub(super) mod sequences;
pub(super) mod table_constraints;
pub(super) mod tables;
pub(super) mod triggers;
pub(super) mod view_table_usage;
pub(super) mod views;
