//! pg_settings: the session's settings, from the context.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::column::{Column, Value, build, column, describe, fixed, null, optional};
use crate::system::{Setting, SettingKind, SystemTable};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_settings",
    oid: Oid(12104),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, &context.settings),
};

const COLUMNS: &[Column<Setting>] = &[
    column("name", PgType::Text, |setting| (&setting.name).into()),
    column("setting", PgType::Text, |setting| (&setting.value).into()),
    null("unit", PgType::Text),
    fixed("category", PgType::Text, Value::Text("Tidemark")),
    column("short_desc", PgType::Text, |setting| (&setting.description).into()),
    null("extra_desc", PgType::Text),
    fixed("context", PgType::Text, Value::Text("user")),
    column("vartype", PgType::Text, |setting| kind(setting).into()),
    column("source", PgType::Text, |setting| source(setting).into()),
    null("min_val", PgType::Text),
    null("max_val", PgType::Text),
    optional("enumvals", PgType::Array(&PgType::Text), words),
    column("boot_val", PgType::Text, |setting| (&setting.default).into()),
    column("reset_val", PgType::Text, |setting| (&setting.default).into()),
    null("sourcefile", PgType::Text),
    null("sourceline", PgType::Int4),
    fixed("pending_restart", PgType::Bool, Value::Bool(false)),
];

fn kind(setting: &Setting) -> &'static str {
    match setting.kind {
        SettingKind::Bool => "bool",
        SettingKind::Integer => "integer",
        SettingKind::Real => "real",
        SettingKind::String => "string",
        SettingKind::Enum(_) => "enum",
    }
}

fn words(setting: &Setting) -> Value<'static> {
    match &setting.kind {
        SettingKind::Enum(words) => Value::Texts(words.clone()),
        _ => Value::Null,
    }
}

fn source(setting: &Setting) -> &'static str {
    if setting.value == setting.default { "default" } else { "session" }
}
