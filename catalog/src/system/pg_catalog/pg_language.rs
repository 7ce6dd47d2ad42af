//! pg_language: the languages that the listed functions are written in.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, Value, build, column, describe, fixed, null};
use crate::system::relation::OWNER;

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_language",
    oid: Oid(2612),
    relkind: 'r',
    definition: || describe(COLUMNS),
    arrays: |_| build(COLUMNS, LANGUAGES),
};

const COLUMNS: &[Column<Language>] = &[
    column("oid", PgType::Oid, |language| Oid(language.0).into()),
    column("lanname", PgType::Name, |language| language.1.into()),
    fixed("lanowner", PgType::Oid, Value::Oid(OWNER)),
    fixed("lanispl", PgType::Bool, Value::Bool(false)),
    column("lanpltrusted", PgType::Bool, |language| language.2.into()),
    fixed("lanplcallfoid", PgType::Oid, Value::Oid(Oid::NONE)),
    fixed("laninline", PgType::Oid, Value::Oid(Oid::NONE)),
    fixed("lanvalidator", PgType::Oid, Value::Oid(Oid::NONE)),
    null("lanacl", PgType::Array(&PgType::Aclitem)),
];

/// oid, name, whether users may write functions in it.
struct Language(u32, &'static str, bool);

const LANGUAGES: &[Language] =
    &[Language(12, "internal", false), Language(13, "c", false), Language(14, "sql", true)];
