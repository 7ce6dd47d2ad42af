//! pg_publication_rel: tables in publications. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_publication_rel",
    oid: Oid(6106),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("oid", PgType::Oid),
    declared("prpubid", PgType::Oid),
    declared("prrelid", PgType::Oid),
    null("prqual", PgType::PgNodeTree),
    null("prattrs", PgType::Int2Vector),
];
