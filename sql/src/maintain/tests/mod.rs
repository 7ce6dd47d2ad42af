//! Text in, plan out; and plans against the text they came from.

mod by_row;
mod generator;
mod lowering;
mod oracle;
mod refusal;
mod subqueries;

use std::sync::Arc;

use sqlparser::ast;
use tidemark_catalog::{Catalog, Column, Object, ObjectId, ObjectKind, Op, PgType, Table, View};
use tidemark_engine::{Engine, EngineConfig, LogConfig};

use super::{MaintainedPlan, explain_plan, plan_view};
use crate::context::PlanContext;
use crate::error::SqlError;
use crate::parse::{Statement, parse};
use crate::settings::Settings;

/// A catalog with tables, views and one materialized view, over an engine that is only there.
struct Fixture {
    context: PlanContext,
    _data: tempfile::TempDir,
}

fn columns(of: &[(&str, PgType)]) -> Vec<Column> {
    of.iter().map(|(name, ty)| Column::new(name, *ty)).collect()
}

fn table(of: &[(&str, PgType)], primary_key: &[usize]) -> ObjectKind {
    let mut columns = columns(of);
    primary_key.iter().for_each(|&column| columns[column].not_null = true);
    ObjectKind::Table(Table { primary_key: primary_key.to_vec(), ..Table::new(columns) })
}

fn view(sql: &str, of: &[(&str, PgType)], key: Option<Vec<usize>>) -> View {
    View {
        sql: sql.to_owned(),
        columns: columns(of),
        depends_on: vec![],
        key,
        append_only: false,
        functions: vec![],
        version: 1,
        collection: None,
        widths: std::collections::BTreeMap::new(),
        names: std::collections::BTreeMap::new(),
        search_path: vec!["public".to_owned()],
        time_zone: "UTC".to_owned(),
        bindings: Default::default(),
    }
}

impl Fixture {
    fn new() -> Self {
        let price = Column {
            typmod: PgType::numeric_typmod(10, 2).expect("in range"),
            ..Column::new("w", PgType::Numeric)
        };
        let t = table(
            &[
                ("id", PgType::Int4),
                ("k", PgType::Int4),
                ("v", PgType::Int8),
                ("f", PgType::Float8),
                ("s", PgType::Text),
                ("ts", PgType::Timestamptz),
            ],
            &[0],
        );
        let mut u = table(
            &[
                ("id", PgType::Int4),
                ("k", PgType::Int4),
                ("w", PgType::Numeric),
                ("s", PgType::Text),
                ("at", PgType::Timestamp),
            ],
            &[0],
        );
        if let ObjectKind::Table(table) = &mut u {
            table.columns[2] = price;
        }
        let d = table(&[("k", PgType::Int4), ("day", PgType::Date), ("ok", PgType::Bool)], &[]);
        let recent = view(
            "SELECT id, k, v, ts FROM t WHERE v > 0",
            &[
                ("id", PgType::Int4),
                ("k", PgType::Int4),
                ("v", PgType::Int8),
                ("ts", PgType::Timestamptz),
            ],
            None,
        );
        let totals = view(
            "SELECT k, count(*) AS n FROM t GROUP BY k",
            &[("k", PgType::Int4), ("n", PgType::Int8)],
            Some(vec![0]),
        );
        let objects = [
            ("t", t),
            ("u", u),
            ("d", d),
            ("recent", ObjectKind::View(recent)),
            ("totals", ObjectKind::MaterializedView(totals)),
        ];
        let mut catalog = Catalog::new();
        for (name, kind) in objects {
            let object = Object::new(catalog.next_id(), "public", name, kind);
            catalog.apply(&Op::CreateObject(object)).expect("a new name");
        }
        let data = tempfile::tempdir().expect("a folder for the engine");
        let log = LogConfig::default();
        let config = EngineConfig { data: data.path().to_owned(), workers: 1, fsync: false, log };
        let (engine, _) = Engine::open(config).expect("an empty folder opens");
        let context = PlanContext {
            catalog: Arc::new(catalog),
            engine,
            settings: Settings::default(),
            user: "tester".to_owned(),
            database: "tidemark".to_owned(),
            connections: None,
            tell: crate::tell::Tell::default(),
        };
        Fixture { context, _data: data }
    }

    fn plan(&self, sql: &str) -> Result<MaintainedPlan, SqlError> {
        let query = query(sql)?;
        plan_view(&self.context, &query)
    }

    /// The plan as EXPLAIN prints it, the key and the notices.
    fn explained(&self, sql: &str) -> String {
        let plan = match self.plan(sql) {
            Ok(plan) => plan,
            Err(error) => return format!("{error}\n"),
        };
        let mut text = explain_plan(&self.context.catalog, &plan.plan).join("\n");
        let name = |&column: &usize| plan.columns[column].name.as_str();
        match &plan.key {
            None => text.push_str("\nno key"),
            Some(key) => {
                let names: Vec<&str> = key.iter().map(name).collect();
                text.push_str(&format!("\nkey ({})", names.join(", ")));
            }
        }
        for notice in &plan.notices {
            text.push_str(&format!("\nNOTICE {}", notice.message));
        }
        text.push('\n');
        text.lines().map(broken).collect()
    }
}

/// A line in pieces that fit a test's file, the further ones indented.
fn broken(line: &str) -> String {
    const WIDTH_MAX: usize = 78;
    let indent = line.len() - line.trim_start().len();
    let (mut text, mut width) = (" ".repeat(indent), indent);
    for word in line.split(' ').filter(|word| !word.is_empty()) {
        if width + word.chars().count() > WIDTH_MAX && width > indent {
            text.push_str(&format!("\n{:indent$}", "", indent = indent + 6));
            width = indent + 6;
        } else if width > indent {
            text.push(' ');
            width += 1;
        }
        text.push_str(word);
        width += word.chars().count();
    }
    text + "\n"
}

fn query(sql: &str) -> Result<Box<ast::Query>, SqlError> {
    match parse(sql)?.remove(0).statement {
        Statement::Query(query) => Ok(query),
        other => panic!("not a query: {other:?}"),
    }
}

fn object(catalog: &Catalog, name: &str) -> ObjectId {
    let found = catalog.resolve(None, name, &["public".to_owned()]);
    found.expect("an object of the fixture").id
}
