//! pg_opclass: the default btree operator classes, which the indexes of primary keys refer to.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, Value, build, column, describe, fixed};
use crate::system::relation::{BTREE, OWNER};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_opclass",
    oid: Oid(2616),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| build(COLUMNS, CLASSES),
};

const COLUMNS: &[Column<Class>] = &[
    column("oid", PgType::Oid, |class| Oid(class.0).into()),
    fixed("opcmethod", PgType::Oid, Value::Oid(BTREE)),
    column("opcname", PgType::Name, |class| class.1.into()),
    fixed("opcnamespace", PgType::Oid, Value::Oid(Oid(11))),
    fixed("opcowner", PgType::Oid, Value::Oid(OWNER)),
    column("opcfamily", PgType::Oid, |class| Oid(class.3).into()),
    column("opcintype", PgType::Oid, |class| class.2.oid().into()),
    fixed("opcdefault", PgType::Bool, Value::Bool(true)),
    fixed("opckeytype", PgType::Oid, Value::Oid(Oid::NONE)),
];

/// oid, name, indexed type, operator family.
struct Class(u32, &'static str, PgType, u32);

const CLASSES: &[Class] = &[
    Class(1978, "int4_ops", PgType::Int4, 1976),
    Class(1979, "int2_ops", PgType::Int2, 1976),
    Class(1981, "oid_ops", PgType::Oid, 1989),
    Class(3122, "date_ops", PgType::Date, 434),
    Class(3123, "float8_ops", PgType::Float8, 1970),
    Class(3124, "int8_ops", PgType::Int8, 1976),
    Class(3125, "numeric_ops", PgType::Numeric, 1988),
    Class(3126, "text_ops", PgType::Text, 1994),
    Class(3127, "timestamptz_ops", PgType::Timestamptz, 434),
    Class(3128, "timestamp_ops", PgType::Timestamp, 434),
    Class(10000, "array_ops", PgType::AnyArray, 397),
    Class(10003, "bool_ops", PgType::Bool, 424),
    Class(10004, "bpchar_ops", PgType::Bpchar, 426),
    Class(10006, "bytea_ops", PgType::Bytea, 428),
    Class(10007, "char_ops", PgType::Char, 429),
    Class(10012, "float4_ops", PgType::Float4, 1970),
    Class(10015, "inet_ops", PgType::Inet, 1974),
    Class(10022, "interval_ops", PgType::Interval, 1982),
    Class(10028, "name_ops", PgType::Name, 1994),
    Class(10032, "oidvector_ops", PgType::OidVector, 1991),
    Class(10034, "record_ops", PgType::Record, 2994),
    Class(10038, "time_ops", PgType::Time, 1996),
    Class(10065, "uuid_ops", PgType::Uuid, 2968),
    Class(10067, "pg_lsn_ops", PgType::PgLsn, 3253),
    Class(10088, "jsonb_ops", PgType::Jsonb, 4033),
];

/// The class a column of this type is indexed by, 0 if its values have no order.
pub(super) fn default_btree(ty: PgType) -> Oid {
    let indexed = match ty {
        PgType::Varchar => PgType::Text,
        PgType::Array(_) => PgType::AnyArray,
        other => other,
    };
    CLASSES.iter().find(|class| class.2 == indexed).map_or(Oid::NONE, |class| Oid(class.0))
}
