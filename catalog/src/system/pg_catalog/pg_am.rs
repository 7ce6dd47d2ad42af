//! pg_am: the access methods that relations refer to.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, build, column, describe};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_am",
    oid: Oid(2601),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| build(COLUMNS, METHODS),
};

const COLUMNS: &[Column<Method>] = &[
    column("oid", PgType::Oid, |method| Oid(method.0).into()),
    column("amname", PgType::Name, |method| method.1.into()),
    column("amhandler", PgType::Regproc, |method| Oid(method.2).into()),
    column("amtype", PgType::Char, |method| method.3.into()),
];

/// oid, name, handler function, kind: table or index.
struct Method(u32, &'static str, u32, char);

const METHODS: &[Method] = &[Method(2, "heap", 3, 't'), Method(403, "btree", 330, 'i')];
