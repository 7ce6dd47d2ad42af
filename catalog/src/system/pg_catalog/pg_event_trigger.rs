//! pg_event_trigger: event triggers. Always empty: there are none.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, declared, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_event_trigger",
    oid: Oid(3466),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    declared("oid", PgType::Oid),
    declared("evtname", PgType::Name),
    declared("evtevent", PgType::Name),
    declared("evtowner", PgType::Oid),
    declared("evtfoid", PgType::Oid),
    declared("evtenabled", PgType::Char),
    null("evttags", PgType::Array(&PgType::Text)),
];
