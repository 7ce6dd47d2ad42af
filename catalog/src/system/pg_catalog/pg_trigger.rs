//! pg_trigger: triggers. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_trigger",
    oid: Oid(2620),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("oid", PgType::Oid),
    declared("tgrelid", PgType::Oid),
    declared("tgparentid", PgType::Oid),
    declared("tgname", PgType::Name),
    declared("tgfoid", PgType::Oid),
    declared("tgtype", PgType::Int2),
    declared("tgenabled", PgType::Char),
    declared("tgisinternal", PgType::Bool),
    declared("tgconstrrelid", PgType::Oid),
    declared("tgconstrindid", PgType::Oid),
    declared("tgconstraint", PgType::Oid),
    declared("tgdeferrable", PgType::Bool),
    declared("tginitdeferred", PgType::Bool),
    declared("tgnargs", PgType::Int2),
    declared("tgattr", PgType::Int2Vector),
    declared("tgargs", PgType::Bytea),
    null("tgqual", PgType::PgNodeTree),
    null("tgoldtable", PgType::Name),
    null("tgnewtable", PgType::Name),
];
