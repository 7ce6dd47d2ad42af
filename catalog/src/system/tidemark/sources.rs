//! sources: the logs outside that rows come from, and how far each has come.
//!
//! A table that has its rows from a connector stands here too, under its own name. The latencies
//! are the median and what 99 and 99.9 of 100 of the newest commits stayed below.

use crate::catalog::TIDEMARK;
use crate::object::{Connector, Object, ObjectId, Oid};
use crate::pg_type::PgType;
use crate::system::column::{Column, Value, build, column, describe, optional};
use crate::system::{SourceProgress, SystemContext, SystemTable};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: TIDEMARK,
    name: "sources",
    oid: Oid(15009),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, rows(context)),
};

const COLUMNS: &[Column<Row>] = &[
    column("id", PgType::Int8, |row| integer(row.id.0)),
    column("schema_name", PgType::Name, |row| (&row.schema).into()),
    column("source_name", PgType::Name, |row| (&row.name).into()),
    column("connector", PgType::Text, |row| (&row.connector.name).into()),
    column("options", PgType::Text, |row| row.options().into()),
    column("relations", PgType::Array(&PgType::Name), |row| Value::Texts(row.relations.clone())),
    optional("read_to", PgType::Int8, |row| row.number(|progress| Some(progress.offset))),
    optional("ends_at", PgType::Int8, |row| row.number(|progress| progress.end)),
    optional("behind", PgType::Int8, |row| row.number(|progress| progress.behind)),
    optional("commit_to_visible_ms", PgType::Array(&PgType::Float8), |row| {
        row.latencies(|progress| progress.commit_to_visible)
    }),
    optional("arrival_to_visible_ms", PgType::Array(&PgType::Float8), |row| {
        row.latencies(|progress| progress.arrival_to_visible)
    }),
];

struct Row {
    id: ObjectId,
    schema: String,
    name: String,
    connector: Connector,
    relations: Vec<String>,
    /// `None` while the transaction that makes it is open.
    progress: Option<SourceProgress>,
}

impl Row {
    fn options(&self) -> String {
        let options = self.connector.options.iter();
        options.map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", ")
    }

    fn number(&self, of: impl Fn(&SourceProgress) -> Option<u64>) -> Value<'static> {
        self.progress.as_ref().and_then(of).map_or(Value::Null, integer)
    }

    fn latencies(&self, of: impl Fn(&SourceProgress) -> Option<[f64; 3]>) -> Value<'static> {
        let latencies = self.progress.as_ref().and_then(of);
        latencies.map_or(Value::Null, |ms| Value::Floats(ms.to_vec()))
    }
}

fn integer(number: u64) -> Value<'static> {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

fn rows(context: &SystemContext) -> Vec<Row> {
    let row = |object: &Object| {
        let relations = match object.table() {
            Some(_) => vec![object.name.clone()],
            None => context.catalog.relations_of(object.id).map(|o| o.name.clone()).collect(),
        };
        Some(Row {
            id: object.id,
            schema: object.schema.clone(),
            name: object.name.clone(),
            connector: object.connector()?.clone(),
            relations,
            progress: context.sources.iter().find(|source| source.id == object.id).cloned(),
        })
    };
    context.catalog.objects().filter_map(row).collect()
}
