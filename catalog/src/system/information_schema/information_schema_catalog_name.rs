//! information_schema_catalog_name: the one database, by the name the session came with.

use crate::catalog::INFORMATION_SCHEMA;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::column::{Column, build, column, describe};
use crate::system::{SystemContext, SystemTable};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: INFORMATION_SCHEMA,
    name: "information_schema_catalog_name",
    oid: Oid(13227),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, [context]),
};

const COLUMNS: &[Column<SystemContext>] =
    &[column("catalog_name", PgType::Name, |context| (&context.database).into())];
