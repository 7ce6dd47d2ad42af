//! V(t) from scratch: the plan that a materialized view of the text would have, evaluated by the
//! engine's oracle over the rows of the tables.
//!
//! Law: nothing of logs, stored changes and replays has a part in it; it shares with the server the
//! way from text to plan, which the tests of that hold against the text itself.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use tidemark_engine::oracle::{Row, evaluate};
use tidemark_engine::{CollectionId, Plan, Timestamp};
use tidemark_sql::maintain::plan_view;
use tidemark_sql::text_io::{OutputSettings, format_value, parse_text};
use tidemark_sql::{PlanContext, Statement, parse};

/// Rows by their text, and how many there are of each.
pub type Collection = BTreeMap<String, i64>;

/// The rows of each table at one moment.
pub type Tables = BTreeMap<&'static str, Vec<Row>>;

/// The text of a materialized view that queries read.
pub const TOTALS: &str = "SELECT k, count(*) AS n FROM t GROUP BY k";

pub struct Reference {
    context: PlanContext,
    totals: Plan,
}

impl Reference {
    /// Over the catalog of a server in which the tables and views stand.
    pub fn new(context: PlanContext) -> Self {
        let totals = plan(&context, TOTALS).expect("it is maintained");
        Reference { context, totals }
    }

    /// `None` if no materialized view can be made of it.
    pub fn plan(&self, sql: &str) -> Option<Plan> {
        plan(&self.context, sql)
    }

    pub fn schema(&self, table: &str) -> SchemaRef {
        let sql = format!("SELECT * FROM {table}");
        self.plan(&sql).expect("a table is maintained").schema()
    }

    /// The tables that a plan reads.
    pub fn tables(&self, plan: &Plan) -> Vec<String> {
        let name = |id| match self.context.of_collection(id).expect("of this catalog").name.as_str()
        {
            "totals" => "t".to_owned(),
            table => table.to_owned(),
        };
        plan.reads().into_iter().map(name).collect()
    }

    /// The plan's rows over `tables` with now() = `at`.
    pub fn rows(&self, plan: &Plan, tables: &Tables, at: u64) -> Collection {
        let mut collection = Collection::new();
        for row in evaluate(plan, &|id| self.input(id, tables, at), Timestamp(at)).rows {
            *collection.entry(text_of(&row)).or_default() += 1;
        }
        collection
    }

    fn input(&self, id: CollectionId, tables: &Tables, at: u64) -> RecordBatch {
        let name = &self.context.of_collection(id).expect("planned in this catalog").name;
        if name == "totals" {
            let input = |id| self.input(id, tables, at);
            let rows = evaluate(&self.totals, &input, Timestamp(at)).rows;
            return batch(&self.totals.schema(), &rows);
        }
        batch(&self.schema(name), &tables[name.as_str()])
    }
}

fn plan(context: &PlanContext, sql: &str) -> Option<Plan> {
    let statement = parse(sql).expect(sql).remove(0).statement;
    let Statement::Query(query) = statement else { panic!("not a query: {sql}") };
    match plan_view(context, &query) {
        Ok(view) => Some(view.plan),
        // What is not maintained, and names that DataFusion gives twice.
        Err(error) if error.code == "0A000" || error.code == "42701" => None,
        Err(error) => panic!("{error}: {sql}"),
    }
}

fn batch(schema: &SchemaRef, rows: &[Row]) -> RecordBatch {
    if rows.is_empty() {
        return RecordBatch::new_empty(schema.clone());
    }
    let columns = (0..schema.fields().len()).map(|column| -> ArrayRef {
        let values = rows.iter().map(|row| row[column].clone());
        ScalarValue::iter_to_array(values).expect("values of one type")
    });
    RecordBatch::try_new(schema.clone(), columns.collect()).expect("columns of the schema")
}

/// As a simple query gives it, its values joined by `|`.
pub fn text_of(row: &Row) -> String {
    let texts = row.iter().map(|value| value_text(value).unwrap_or_else(|| "NULL".to_owned()));
    texts.collect::<Vec<_>>().join("|")
}

/// `None` for NULL.
pub fn value_text(value: &ScalarValue) -> Option<String> {
    let array = value.to_array().expect("a value of a column");
    let mut text = String::new();
    format_value(array.as_ref(), 0, &mut text, &OutputSettings::default()).then_some(text)
}

/// A row from the texts of its values.
pub fn row_of(schema: &SchemaRef, texts: &[Option<&str>]) -> Row {
    let value = |(text, ty): (&Option<&str>, _)| match text {
        Some(text) => parse_text(ty, text, &Default::default()).expect("what the server gave"),
        None => ScalarValue::try_from(ty).expect("every type has a NULL"),
    };
    let types = schema.fields().iter().map(|field| field.data_type());
    texts.iter().zip(types).map(value).collect()
}
