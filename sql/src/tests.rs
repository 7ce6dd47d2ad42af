//! Statements against a real engine in a temporary directory: text in, text out.
//!
//! A small coordinator of its own: every statement is its own commit.

mod dml;
mod psql;
mod queries;

use std::sync::{Arc, mpsc};

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::DataType;
use datafusion::physical_plan::common::collect;
use datafusion::scalar::ScalarValue;
use tidemark_catalog::{Catalog, Object, ObjectKind, Op, View};
use tidemark_engine::commit::Change;
use tidemark_engine::{
    CollectionId, Engine, EngineConfig, LogConfig, TableDef, Timestamp, ViewDef,
};

use crate::parse::CreateView;
use crate::resolve::relation_schema;
use crate::text_io::{OutputSettings, format_value};
use crate::{
    DmlResult, PlanContext, ReadView, Settings, SqlError, Statement, ddl, maintain, parse,
    plan_query, run_dml, run_query,
};

/// One session on a server of its own.
struct Session {
    engine: Arc<Engine>,
    catalog: Arc<Catalog>,
    runtime: tokio::runtime::Runtime,
    _directory: tempfile::TempDir,
}

impl Session {
    fn new() -> Session {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let data = directory.path().to_path_buf();
        let log = LogConfig::default();
        let config = EngineConfig { data, workers: 1, fsync: false, log };
        let (engine, _) = Engine::open(config).expect("an empty directory opens");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_stack_size(16 << 20)
            .enable_all()
            .build()
            .expect("a runtime");
        let catalog = Arc::new(Catalog::new());
        Session { engine, catalog, runtime, _directory: directory }
    }

    fn context(&self) -> PlanContext {
        PlanContext {
            catalog: Arc::clone(&self.catalog),
            engine: Arc::clone(&self.engine),
            settings: Settings::default(),
            user: "me".to_string(),
            database: "db".to_string(),
            activity: None,
            tell: crate::context::Tell::default(),
        }
    }

    /// Runs every statement; panics if one fails.
    fn run(&mut self, text: &str) {
        for statement in parse(text).expect(text) {
            self.one(&statement.statement, &[])
                .unwrap_or_else(|e| panic!("{}: {e}", statement.text));
        }
    }

    /// The last statement's rows or tag, or its error, as text.
    fn show(&mut self, text: &str) -> String {
        self.show_with(text, &[])
    }

    fn show_with(&mut self, text: &str, params: &[ScalarValue]) -> String {
        let result = parse(text).and_then(|statements| {
            let mut last = String::new();
            for statement in &statements {
                last = self.one(&statement.statement, params)?;
            }
            Ok(last)
        });
        result.unwrap_or_else(|error| {
            let at = error.position.map(|at| format!(" at {at}")).unwrap_or_default();
            let detail = error.detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
            format!("ERROR {}{at}: {}{detail}", error.code, error.message)
        })
    }

    fn one(&mut self, statement: &Statement, params: &[ScalarValue]) -> Result<String, SqlError> {
        match statement {
            Statement::Query(query) => {
                let ctx = self.context();
                let mut types = params.iter().map(|p| Some(p.data_type())).collect();
                let plan = plan_query(&ctx, query, &mut types)?;
                let guard = self.engine.begin_read();
                let read = ReadView::new(guard.at);
                let rows = self.runtime.block_on(async {
                    let views: Vec<_> = plan.views.iter().map(|id| ctx.collection(*id)).collect();
                    let _ = self.engine.wait_for(&views, read.at).await;
                    let stream = run_query(&ctx, &plan, &read, params.to_vec()).await?;
                    collect(stream).await.map_err(SqlError::from)
                })?;
                for batch in &rows {
                    let types: Vec<_> =
                        batch.schema().fields().iter().map(|f| f.data_type().clone()).collect();
                    let said: Vec<_> =
                        plan.schema.fields().iter().map(|f| f.data_type().clone()).collect();
                    assert_eq!(types, said, "Describe says what Execute gives");
                }
                Ok(print(&rows))
            }
            Statement::Insert(_)
            | Statement::Update(_)
            | Statement::Delete(_)
            | Statement::Truncate { .. } => {
                let mut types = params.iter().map(|p| Some(p.data_type())).collect();
                let planned = crate::plan_dml(&self.context(), statement, &mut types)?;
                let result = self.change(statement, params)?;
                Ok(match result.returning {
                    Some((schema, rows)) => {
                        let said = planned.returning.expect("RETURNING is described");
                        assert_eq!(said.fields().len(), schema.fields().len());
                        format!("{} {}\n{}", result.tag, result.count, print(&rows))
                            .trim_end()
                            .to_string()
                    }
                    None => format!("{} {}", result.tag, result.count),
                })
            }
            Statement::CreateTable(create) => {
                let table = ddl::define_table(&self.context(), create)?;
                let id = self.catalog.next_id();
                let def = TableDef::new(
                    CollectionId(id.0),
                    relation_schema(&table.columns),
                    table.primary_key.clone(),
                );
                let kind = ObjectKind::Table(table.table()?);
                self.create(Object::new(id, &table.schema, &table.name, kind));
                self.commit(Change { create_tables: vec![def], ..Change::default() });
                Ok("CREATE TABLE".to_string())
            }
            Statement::CreateView(view) => self.create_view(view, false),
            Statement::CreateMaterializedView(view) => self.create_view(view, true),
            other => Err(SqlError::unsupported(format!("{other:?}"))),
        }
    }

    fn create_view(&mut self, create: &CreateView, materialized: bool) -> Result<String, SqlError> {
        let ctx = self.context();
        let id = self.catalog.next_id();
        let (schema, name) = ddl::target_name(&ctx, &create.name)?;
        let plan = plan_query(&ctx, &create.query, &mut Vec::new())?;
        let maintained =
            materialized.then(|| maintain::plan_view(&ctx, &create.query)).transpose()?;
        let columns = match &maintained {
            Some(maintained) => maintained.columns.clone(),
            None => plan
                .schema
                .fields()
                .iter()
                .enumerate()
                .map(|(n, f)| {
                    let known = tidemark_catalog::PgType::from_arrow(f.data_type());
                    let (ty, typmod) = known.expect("a known type");
                    let given = create.columns.get(n).map(parse::fold);
                    let name = given.unwrap_or_else(|| f.name().clone());
                    tidemark_catalog::Column { typmod, ..tidemark_catalog::Column::new(&name, ty) }
                })
                .collect(),
        };
        let view = View {
            sql: create.body.clone(),
            columns,
            depends_on: plan.depends_on.clone(),
            key: maintained.as_ref().and_then(|maintained| maintained.key.clone()),
            append_only: maintained.as_ref().is_some_and(|of| of.plan.append_only()),
            functions: vec![],
            version: 1,
            collection: None,
            widths: std::collections::BTreeMap::new(),
            names: std::collections::BTreeMap::new(),
            search_path: vec!["public".to_string()],
            time_zone: "UTC".to_string(),
            bindings: plan.bindings.clone(),
        };
        let kind = match materialized {
            true => ObjectKind::MaterializedView(view),
            false => ObjectKind::View(view),
        };
        self.create(Object::new(id, &schema, &name, kind));
        if let Some(maintained) = maintained {
            let def = ViewDef::new(CollectionId(id.0), maintained.plan, maintained.key);
            self.commit(Change { create_views: vec![def], ..Change::default() });
        }
        Ok("CREATE VIEW".to_string())
    }

    fn create(&mut self, object: Object) {
        let applied = Arc::make_mut(&mut self.catalog).apply(&Op::CreateObject(object));
        applied.expect("a valid definition");
    }

    fn commit(&self, change: Change) -> Timestamp {
        let (sender, done) = mpsc::channel();
        self.engine.submit(
            vec![],
            Box::new(move |_| Ok(change)),
            Box::new(move |result| drop(sender.send(result))),
        );
        done.recv().expect("an answer").expect("a commit")
    }

    fn change(&self, statement: &Statement, params: &[ScalarValue]) -> Result<DmlResult, SqlError> {
        let (ctx, statement, params) = (self.context(), statement.clone(), params.to_vec());
        let handle = self.runtime.handle().clone();
        let (slot, result) = mpsc::channel();
        let (sender, done) = mpsc::channel();
        self.engine.submit(
            vec![],
            Box::new(move |at| {
                let read = ReadView { now: at.now, ..ReadView::new(at.read) };
                let result = handle.block_on(run_dml(&ctx, &statement, &read, params));
                let writes = result.as_ref().map(|r| r.writes.clone()).map_err(Clone::clone);
                drop(slot.send(result));
                Ok(Change { writes: writes?, ..Change::default() })
            }),
            Box::new(move |result| drop(sender.send(result))),
        );
        let committed = done.recv().expect("an answer");
        let result = result.recv().expect("evaluated")?;
        committed.map_err(|e| crate::commit_error(&self.context(), e, &result.writes))?;
        Ok(result)
    }
}

/// Rows as psql's unaligned format prints them.
fn print(batches: &[RecordBatch]) -> String {
    let mut lines = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let values: Vec<String> = batch
                .columns()
                .iter()
                .map(|column| {
                    if column.is_null(row) {
                        return "~".to_string();
                    }
                    let mut text = String::new();
                    format_value(column.as_ref(), row, &mut text, &OutputSettings::default());
                    text
                })
                .collect();
            lines.push(values.join("|"));
        }
    }
    lines.join("\n")
}

/// Runs the cases of a file and reports all that differ; with TIDEMARK_REWRITE set it writes what
/// they give instead.
fn check_file(name: &str, text: &str, session: impl Fn() -> Session) {
    let mut given = String::new();
    let mut wrong = Vec::new();
    let mut current = session();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(first) = line.strip_prefix("> ") else {
            if line.starts_with("# ") {
                current = session();
            }
            given.push_str(&format!("{line}\n"));
            continue;
        };
        let mut statement = first.to_string();
        while let Some(more) = lines.next_if(|line| line.starts_with("  ")) {
            statement.push_str(&format!("\n{}", &more[2..]));
        }
        let mut expected = Vec::new();
        while let Some(row) = lines.next_if(|line| !line.starts_with("> ") && !line.is_empty()) {
            expected.push(row);
        }
        let shown = current.show(&statement);
        given.push_str(&format!("> {}\n", statement.replace('\n', "\n  ")));
        if !shown.is_empty() {
            given.push_str(&format!("{shown}\n"));
        }
        if shown != expected.join("\n") {
            let expected = expected.join("\n");
            wrong.push(format!("{statement}\n  expected: {expected}\n  got:      {shown}"));
        }
    }
    if std::env::var_os("TIDEMARK_REWRITE").is_some() {
        let path = format!("{}/src/tests/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(path, given).expect("the sources can be written");
        return;
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// A parameter's value from its text.
fn value(ty: DataType, text: &str) -> ScalarValue {
    crate::text_io::parse_text(&ty, text, &Default::default()).expect("a valid value")
}
