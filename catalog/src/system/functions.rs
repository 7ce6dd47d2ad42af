//! The plain functions behind Postgres' catalog functions and `reg*` types. The SQL side registers
//! them under their SQL names and supplies catalog, user and search path.
//!
//! Law      `None` is SQL NULL; an oid that leads nowhere gives what Postgres gives, mostly NULL
//! Missing  privileges: whoever may connect may see everything

mod definition;
mod description;
mod reg;
#[cfg(test)]
mod tests;
mod visibility;

pub use definition::{
    format_type, pg_get_constraintdef, pg_get_expr, pg_get_function_arguments,
    pg_get_function_result, pg_get_function_sqlbody, pg_get_functiondef, pg_get_indexdef,
    pg_get_ruledef, pg_get_serial_sequence, pg_get_statisticsobjdef_columns, pg_get_viewdef,
};
pub use description::{
    col_description, obj_description, pg_encoding_to_char, pg_get_userbyid,
    pg_relation_is_publishable, pg_tablespace_location, shobj_description,
};
pub use reg::{
    RegError, regclass_in, regclass_out, regcollation_in, regcollation_out, regnamespace_in,
    regnamespace_out, regproc_in, regproc_out, regrole_in, regrole_out, regtype_in, regtype_out,
    to_regclass, to_regnamespace, to_regproc, to_regrole, to_regtype,
};
pub use visibility::{
    current_schema, current_schemas, pg_collation_is_visible, pg_function_is_visible,
    pg_is_other_temp_schema, pg_my_temp_schema, pg_table_is_visible, pg_type_is_visible,
};
