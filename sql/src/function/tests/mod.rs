//! Functions, operators and casts through the whole way of a query, against what PostgreSQL 15
//! answered to the same expression (`cases/*.txt`).

use std::fmt::Write;
use std::sync::Arc;

use tidemark_catalog::Catalog;
use tidemark_engine::{Engine, EngineConfig, LogConfig, Timestamp};
use tokio::runtime::Runtime;

use crate::context::{PlanContext, ReadView};
use crate::error::SqlError;
use crate::parse::{Statement, parse};
use crate::settings::Settings;
use crate::text_io::{OutputSettings, format_value};
use crate::{plan_query, run_query};

/// An empty database and a way to ask it.
pub struct Asker {
    context: PlanContext,
    runtime: Runtime,
    _data: tempfile::TempDir,
}

impl Asker {
    pub fn new() -> Self {
        let data = tempfile::tempdir().expect("a folder for the engine");
        let log = LogConfig::default();
        let config = EngineConfig { data: data.path().to_owned(), workers: 1, fsync: false, log };
        let (engine, _) = Engine::open(config).expect("an empty folder opens");
        let context = PlanContext {
            catalog: Arc::new(Catalog::new()),
            engine,
            settings: Settings::default(),
            user: "tester".to_owned(),
            database: "tidemark".to_owned(),
            connections: None,
            tell: crate::tell::Tell::default(),
        };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Asker { context, runtime, _data: data }
    }

    /// The rows of a query, columns parted by `|`.
    pub fn rows(&self, sql: &str) -> Result<Vec<String>, SqlError> {
        let statement = parse(sql)?.remove(0).statement;
        let Statement::Query(query) = statement else { panic!("not a query: {sql}") };
        let plan = plan_query(&self.context, &query, &mut Vec::new())?;
        let read = ReadView::new(Timestamp(1_781_092_800_000_000));
        let batches = self.runtime.block_on(async {
            let stream = run_query(&self.context, &plan, &read, Vec::new()).await?;
            datafusion::physical_plan::common::collect(stream).await.map_err(SqlError::from)
        })?;
        let mut rows = Vec::new();
        for batch in batches {
            for row in 0..batch.num_rows() {
                let mut line = String::new();
                for (i, column) in batch.columns().iter().enumerate() {
                    if i > 0 {
                        line.push('|');
                    }
                    if !format_value(column, row, &mut line, &OutputSettings::default()) {
                        line.push_str("NULL");
                    }
                }
                rows.push(line);
            }
        }
        Ok(rows)
    }

    /// The one value of an expression, in the words of the case files.
    fn value(&self, sql: &str) -> String {
        match self.rows(sql) {
            Ok(rows) => rows.join("/").replace('\n', "\\n").replace('\t', "\\t"),
            Err(error) => {
                let message = error.message.replace('\n', "\\n").replace('\t', "\\t");
                format!("ERROR {}: {message}", error.code)
            }
        }
    }
}

/// numeric without a type modifier has 20 digits after the point here, printed without trailing
/// zeros; roots, powers and logarithms have those of a float.
const SCALE: &str = "the scale of numeric";

/// S8.
const EXACT: &str = "a float sum is exact, rounded once";

/// Where the answer is ours on purpose: expression, answer, reason.
const DIFFERENT: &[(&str, &str, &str)] = &[
    ("1.10::numeric::text", "1.1", SCALE),
    ("array[1.5,2]", "{1.5,2.0}", SCALE),
    ("to_jsonb(1.50::numeric)", "1.5", SCALE),
    ("('{\"price\": 12.5}'::jsonb ->> 'price')::numeric * 2", "25", SCALE),
    ("extract(julian from '2026-06-10 12:00'::timestamp)", "2461202.5", SCALE),
    ("power(2, 0.5)", "1.4142135623730951", SCALE),
    (
        "sum(x) FROM (VALUES ('1e308'::float8),('1e308'::float8),('-1e308'::float8)) t(x)",
        "1e+308",
        EXACT,
    ),
    (
        "x, sum(x) OVER (ORDER BY x ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM (VALUES \
         (0.1::float8),(0.2::float8),(0.3::float8),(0.4::float8)) t(x) ORDER BY x",
        "0.1|0.30000000000000004/0.2|0.6/0.3|0.9/0.4|0.7",
        EXACT,
    ),
    (
        "x FROM (VALUES (interval '1 mon'), (interval '31 days'), (interval '29 days')) t(x) \
         WHERE x >= '30 days' ORDER BY 1 LIMIT 1",
        "31 days",
        "intervals compare by length, but are sorted by months, then days, then time",
    ),
    ("cbrt(27)", "3", "a better cube root than the C library's"),
    ("upper('héllo')", "HÉLLO", "characters are Unicode; the answers come from a C locale"),
    ("lower('HÉLLO')", "héllo", "characters are Unicode; the answers come from a C locale"),
    ("to_regtype('int4')", "23", "regtype is oid here and prints its number"),
];

fn check(name: &str, cases: &str) {
    let asker = Asker::new();
    let mut wrong = String::new();
    for line in cases.lines().filter(|line| !line.starts_with('#')) {
        let (expression, expected) = line.split_once(" ==> ").expect("a case has an answer");
        let ours = DIFFERENT.iter().find(|(known, ..)| *known == expression);
        let expected = ours.map_or(expected, |(_, answer, _)| answer);
        let got = asker.value(&format!("SELECT {expression}"));
        if got != expected {
            writeln!(wrong, "{expression}\n    postgres {expected}\n    here     {got}")
                .expect("writing to a String");
        }
    }
    assert!(wrong.is_empty(), "{name} differs from PostgreSQL:\n{wrong}");
}

macro_rules! cases {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            check(stringify!($name), include_str!(concat!("cases/", stringify!($name), ".txt")));
        }
    )*};
}

cases! { aggregate arithmetic array cast columns datetime jsonb math number_format session text }

#[test]
fn names_are_unique() {
    let mut seen = std::collections::BTreeSet::new();
    for function in super::scalar_functions() {
        for name in std::iter::once(function.name()).chain(function.aliases().iter().map(|a| &**a))
        {
            assert!(seen.insert(name.to_string()), "{name} is there twice");
        }
    }
}

#[test]
fn every_operator_has_its_function() {
    use arrow::datatypes::DataType;
    use datafusion::logical_expr::Operator;
    let types = [
        DataType::Int32,
        DataType::Float64,
        DataType::Decimal128(10, 2),
        DataType::Utf8,
        DataType::Binary,
        DataType::Date32,
        DataType::Time64(arrow::datatypes::TimeUnit::Microsecond),
        super::scalar::timestamp(),
        super::scalar::timestamptz(),
        super::scalar::interval(),
        DataType::LargeUtf8,
        super::scalar::list(DataType::Int32),
        DataType::Boolean,
    ];
    use Operator::*;
    let operators = [
        Plus,
        Minus,
        Multiply,
        Divide,
        Modulo,
        StringConcat,
        Eq,
        NotEq,
        Lt,
        LtEq,
        Gt,
        GtEq,
        Arrow,
        LongArrow,
        HashArrow,
        HashLongArrow,
        HashMinus,
        AtArrow,
        ArrowAt,
        Question,
        QuestionPipe,
        QuestionAnd,
    ];
    for op in operators {
        for left in &types {
            for right in &types {
                // Panics when the table names a function that is not in the list.
                super::operator::operator(op, left, right).expect("the table does not fail");
            }
        }
    }
}

#[test]
fn functions_over_rows_know_the_session() {
    let rows = Asker::new().rows(
        "SELECT relname, pg_table_is_visible(oid), format_type(reltype, NULL) IS NOT NULL \
         FROM pg_catalog.pg_class WHERE relname = 'pg_class'",
    );
    assert_eq!(rows.expect("a row of pg_class"), ["pg_class|t|t"]);
}
