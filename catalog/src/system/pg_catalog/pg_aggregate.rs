//! pg_aggregate: the aggregates among pg_proc's functions.
//!
//! Missing  transition functions: aggregates are not made of functions here

use super::pg_proc::{FUNCTIONS, Function};
use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, Value, build, column, describe, fixed, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_aggregate",
    oid: Oid(2600),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| build(COLUMNS, FUNCTIONS.iter().filter(|function| function.kind == 'a')),
};

const COLUMNS: &[Column<Function>] = &[
    column("aggfnoid", PgType::Regproc, |function| function.oid.into()),
    fixed("aggkind", PgType::Char, Value::Char('n')),
    fixed("aggnumdirectargs", PgType::Int2, Value::Int(0)),
    fixed("aggtransfn", PgType::Regproc, Value::Oid(Oid::NONE)),
    fixed("aggfinalfn", PgType::Regproc, Value::Oid(Oid::NONE)),
    fixed("aggcombinefn", PgType::Regproc, Value::Oid(Oid::NONE)),
    fixed("aggserialfn", PgType::Regproc, Value::Oid(Oid::NONE)),
    fixed("aggdeserialfn", PgType::Regproc, Value::Oid(Oid::NONE)),
    fixed("aggmtransfn", PgType::Regproc, Value::Oid(Oid::NONE)),
    fixed("aggminvtransfn", PgType::Regproc, Value::Oid(Oid::NONE)),
    fixed("aggmfinalfn", PgType::Regproc, Value::Oid(Oid::NONE)),
    fixed("aggfinalextra", PgType::Bool, Value::Bool(false)),
    fixed("aggmfinalextra", PgType::Bool, Value::Bool(false)),
    fixed("aggfinalmodify", PgType::Char, Value::Char('r')),
    fixed("aggmfinalmodify", PgType::Char, Value::Char('r')),
    fixed("aggsortop", PgType::Oid, Value::Oid(Oid::NONE)),
    column("aggtranstype", PgType::Oid, |function| function.result.into()),
    fixed("aggtransspace", PgType::Int4, Value::Int(0)),
    fixed("aggmtranstype", PgType::Oid, Value::Oid(Oid::NONE)),
    fixed("aggmtransspace", PgType::Int4, Value::Int(0)),
    null("agginitval", PgType::Text),
    null("aggminitval", PgType::Text),
];
