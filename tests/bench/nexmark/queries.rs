//! The queries of Nexmark, and what DataFusion answers to them.
//!
//! Law      a view's rows are those of DataFusion's batch answer over the same events; numbers with
//!          a point may differ beyond the ninth digit, as DataFusion's averages are floats
//!
//! A text beside a query, `qN.datafusion.sql`, says the same in DataFusion's words: it has no time
//! windows, and ties are ordered by the rest of the row (S9). Where only the templates of to_char
//! have other words there, these are put in their place.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::arrow::array::{Int64Array, RecordBatch, StringArray};
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use tidemark_engine::connector;

/// A query of the benchmark.
pub struct Query {
    pub name: &'static str,
    /// CREATE MATERIALIZED VIEW.
    pub view: &'static str,
    reference: Option<&'static str>,
}

macro_rules! query {
    ($name:literal, $reference:expr) => {
        Query { name: $name, view: include_str!(concat!($name, ".sql")), reference: $reference }
    };
}

pub const QUERIES: &[Query] = &[
    query!("q0", None),
    query!("q1", None),
    query!("q2", None),
    query!("q3", None),
    query!("q4", None),
    query!("q5", Some(include_str!("q5.datafusion.sql"))),
    query!("q6", Some(include_str!("q6.datafusion.sql"))),
    query!("q7", Some(include_str!("q7.datafusion.sql"))),
    query!("q8", Some(include_str!("q8.datafusion.sql"))),
    query!("q9", Some(include_str!("q9.datafusion.sql"))),
    query!("q10", None),
    query!("q11", Some(include_str!("q11.datafusion.sql"))),
    query!("q12", Some(include_str!("q12.datafusion.sql"))),
    query!("q13", None),
    query!("q14", None),
    query!("q15", None),
    query!("q16", None),
    query!("q17", None),
    query!("q18", Some(include_str!("q18.datafusion.sql"))),
    query!("q19", Some(include_str!("q19.datafusion.sql"))),
    query!("q20", None),
    query!("q21", None),
    query!("q22", None),
    query!("keyed", None),
];

/// Templates of to_char, and what DataFusion calls them.
const TEMPLATES: &[(&str, &str)] = &[("'YYYY-MM-DD'", "'%Y-%m-%d'"), ("'HH24:MI'", "'%H:%M'")];

/// The table that q13 joins.
pub const SIDE_INPUT: &str = "CREATE TABLE side_input (key bigint PRIMARY KEY, value text);
    INSERT INTO side_input SELECT a, 'value ' || a FROM generate_series(0, 9999) AS g(a)";

impl Query {
    /// The query in DataFusion's words.
    fn reference(&self) -> String {
        let select = || self.view.split_once(" AS\n").expect("a view has a query").1;
        let text = self.reference.unwrap_or_else(select).trim_end().trim_end_matches(';');
        TEMPLATES.iter().fold(text.to_owned(), |text, (ours, theirs)| text.replace(ours, theirs))
    }

    /// DataFusion's answer, as [`normal`] rows, sorted.
    pub async fn expected(&self, events: &SessionContext) -> Vec<String> {
        let frame = events.sql(&self.reference()).await.expect(self.name);
        let batches = frame.collect().await.expect(self.name);
        let mut rows: Vec<String> = batches.iter().flat_map(text).collect();
        rows.sort_unstable();
        rows
    }
}

/// DataFusion with the first events of a log as tables.
pub fn datafusion(events: u64) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(1);
    config.options_mut().sql_parser.parse_float_as_decimal = true;
    let context = SessionContext::new_with_config(config);
    let log = connector::open("nexmark", &connector::Options::new()).expect("a log");
    for (place, relation) in log.relations().iter().enumerate() {
        let batch = log.read(place, 0, events);
        register(&context, relation.name, batch);
    }
    let keys = Int64Array::from_iter_values(0..10_000);
    let values = StringArray::from_iter_values((0..10_000).map(|key| format!("value {key}")));
    let schema = Schema::new(vec![
        Field::new("key", DataType::Int64, false),
        Field::new("value", DataType::Utf8, true),
    ]);
    let side = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(keys), Arc::new(values)]);
    register(&context, "side_input", side.expect("two columns"));
    context
}

fn register(context: &SessionContext, name: &str, batch: RecordBatch) {
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).expect("one batch");
    context.register_table(name, Arc::new(table)).expect("a new name");
}

fn text(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default()
        .with_null("NULL")
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"));
    let columns = batch.columns().iter();
    let columns: Vec<_> = columns
        .map(|column| ArrayFormatter::try_new(column, &options).expect("a printable type"))
        .collect();
    let row = |row: usize| {
        let values: Vec<String> =
            columns.iter().map(|column| normal(&column.value(row).to_string())).collect();
        values.join("|")
    };
    (0..batch.num_rows()).map(row).collect()
}

/// A value in one spelling: numbers with a point in nine digits, fractions of seconds without
/// zeros at their end.
pub fn normal(value: &str) -> String {
    if !value.contains('.') || value.starts_with("http") {
        return value.to_owned();
    }
    match value.parse::<f64>() {
        Ok(number) => format!("{number:.8e}"),
        Err(_) if value.contains(':') => {
            value.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        Err(_) => value.to_owned(),
    }
}
