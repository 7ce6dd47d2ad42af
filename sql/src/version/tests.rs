//! Closures of versions, over a catalog whose ops are applied at times told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use expect_test::{Expect, expect};
use tidemark_catalog::{ObjectKind, Op, PgType, Table};
use tidemark_engine::{Engine, EngineConfig, LogConfig};

use super::*;
use crate::Settings;

const T: ObjectId = ObjectId(1);
const V: ObjectId = ObjectId(2);
const W: ObjectId = ObjectId(3);

struct Fixture {
    context: PlanContext,
    _data: tempfile::TempDir,
}

fn view(sql: &str, columns: &[&str], name: &str, reads: ObjectId, width: usize) -> View {
    View {
        sql: sql.to_owned(),
        columns: columns.iter().map(|name| Column::new(name, PgType::Int4)).collect(),
        depends_on: vec![reads],
        append_only: false,
        key: None,
        functions: vec![],
        version: 0,
        collection: None,
        search_path: vec!["public".to_owned()],
        time_zone: "UTC".to_owned(),
        bindings: BTreeMap::from([(name.to_owned(), reads)]),
        widths: BTreeMap::from([(reads, width)]),
        names: BTreeMap::new(),
    }
}

fn object(id: ObjectId, name: &str, kind: ObjectKind) -> Object {
    Object::new(id, "public", name, kind)
}

/// `t (a, b)`; `v` since 20, again since 50 with a column more; `w` over `v` since 30 with all its
/// columns, again since 50.
fn fixture() -> Fixture {
    let columns = vec![Column::new("a", PgType::Int4), Column::new("b", PgType::Int4)];
    let t = Table::new(columns);
    let v1 = ObjectKind::MaterializedView(view("SELECT a FROM t", &["a"], "t", T, 2));
    let v2 = view("SELECT a + b AS a, b FROM t", &["a", "b"], "t", T, 2);
    let v2 = ObjectKind::MaterializedView(View { collection: Some(ObjectId(4)), ..v2 });
    let w = || object(W, "w", ObjectKind::View(view("SELECT * FROM v", &["a"], "v", V, 1)));
    let ops = [
        (10, Op::CreateObject(object(T, "t", ObjectKind::Table(t)))),
        (20, Op::CreateObject(object(V, "v", v1))),
        (30, Op::CreateObject(w())),
        (50, Op::ReplaceObject(object(V, "v", v2))),
        (50, Op::ReplaceObject(w())),
    ];
    let mut catalog = Catalog::new();
    for (at, op) in &ops {
        catalog.apply_at(op, CommitTime(*at)).expect("the script is right");
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

impl Fixture {
    /// The closure's plan, by each of these selections.
    fn expanded(&self, id: ObjectId, by: &[VersionSelection], expected: Expect) {
        let session = session_state(&self.context);
        let texts = by.iter().map(|which| {
            match Resolver::new(&self.context, &session).expand_at(id, *which) {
                Ok(plan) => plan.display_indent().to_string(),
                Err(error) => SqlError::from(error).message,
            }
        });
        let texts: BTreeSet<String> = texts.collect();
        expected.assert_eq(&texts.into_iter().collect::<Vec<_>>().join("\n or\n"));
    }
}

fn at(time: u64) -> VersionSelection {
    VersionSelection::InForce(CommitTime(time))
}

#[test]
fn a_closure_is_what_everything_below_was() {
    let fixture = fixture();
    let (first, second) = (VersionSelection::Number(1), VersionSelection::Number(2));
    fixture.expanded(
        V,
        &[first, at(49), at(5)],
        expect![[r#"
        Projection: a, Int32(NULL) AS b
          Projection: t.a AS a
            Projection: t.a
              TableScan: t"#]],
    );
    fixture.expanded(
        V,
        &[second, at(50), VersionSelection::Current],
        expect![[r#"
        Projection: a AS a, t.b AS b
          Projection: t.a + t.b AS a, t.b
            TableScan: t"#]],
    );
    fixture.expanded(
        W,
        &[first, at(49), at(5)],
        expect![[r#"
            Projection: v.a AS a
              Projection: v.a
                SubqueryAlias: v
                  PlainView
                    Projection: t.a AS a
                      Projection: t.a
                        TableScan: t"#]],
    );
    fixture.expanded(
        W,
        &[second, at(50), VersionSelection::Current],
        expect![[r#"
            Projection: v.a AS a
              Projection: v.a
                SubqueryAlias: v
                  Projection: a
                    PlainView
                      Projection: a AS a, t.b AS b
                        Projection: t.a + t.b AS a, t.b
                          TableScan: t"#]],
    );
    fixture.expanded(
        W,
        &[VersionSelection::Number(3)],
        expect![[r#"version 3 of "w" does not exist"#]],
    );
}

#[test]
fn what_is_read_across_versions_is_told() {
    let catalog = fixture().context.catalog;
    let told = |which, from, to| {
        let (from, to) = (CommitTime(from), CommitTime(to));
        let spans = spans(&catalog, W, which, from, to).expect("there are such versions");
        let span =
            |span: &DefinitionSpan| format!("{} [{}, {})", span.number, span.from.0, span.until.0);
        let spans: Vec<String> = spans.iter().map(span).collect();
        let notices = notices(&catalog, W, which, from, to);
        let notices: Vec<String> = notices.into_iter().map(|notice| notice.message).collect();
        format!("{}\n{}", spans.join(" "), notices.join("\n"))
    };
    expect![[r#"
        1 [49, 50)
    "#]]
    .assert_eq(&told(at(49), 49, 49));
    expect![[r#"
        1 [40, 50)
    "#]]
    .assert_eq(&told(at(40), 40, 49));
    expect![[r#"
        1 [40, 50) 2 [50, 51)
        view "w" is read across versions 1 to 2"#]]
    .assert_eq(&told(at(40), 40, 50));
    expect![[r#"
        1 [5, 50) 2 [50, 61)
        view "w" did not exist then: its version 1 answers
        view "w" is read across versions 1 to 2"#]]
    .assert_eq(&told(at(5), 5, 60));
    expect![[r#"
        2 [5, 61)
    "#]]
    .assert_eq(&told(VersionSelection::Current, 5, 60));
}
