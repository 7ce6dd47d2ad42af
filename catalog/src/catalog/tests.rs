//! Ops applied to catalogs, told as short scripts.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};

use super::{Catalog, Found};
use crate::error::CatalogError;
use crate::function::{Argument, Function, FunctionBody, Volatility};
use crate::object::{Column, CommitTime, Object, ObjectId, ObjectKind, Oid, Table, View};
use crate::op::{CommentTarget, Op};
use crate::pg_type::PgType;

fn path(schemas: &[&str]) -> Vec<String> {
    schemas.iter().map(|schema| (*schema).to_owned()).collect()
}

fn public() -> Vec<String> {
    path(&["public"])
}

/// A table with an integer key column `id`.
fn table(id: u64, schema: &str, name: &str) -> Op {
    let columns = vec![Column::new("id", PgType::Int4), Column::new("v", PgType::Text)];
    let table = Table { primary_key: vec![0], ..Table::new(columns) };
    Op::CreateObject(Object::new(ObjectId(id), schema, name, ObjectKind::Table(table)))
}

fn definition(sql: &str, columns: &[(&str, PgType)], reads: &[u64]) -> View {
    View {
        sql: sql.to_owned(),
        columns: columns.iter().map(|(name, ty)| Column::new(name, *ty)).collect(),
        depends_on: reads.iter().copied().map(ObjectId).collect(),
        key: None,
        append_only: false,
        functions: vec![],
        version: 0,
        collection: None,
        widths: BTreeMap::new(),
        names: BTreeMap::new(),
        search_path: public(),
        time_zone: "UTC".to_owned(),
        bindings: BTreeMap::new(),
    }
}

fn view_object(id: u64, name: &str, view: View) -> Object {
    Object::new(ObjectId(id), "public", name, ObjectKind::View(view))
}

fn view(id: u64, name: &str, reads: &[u64]) -> Op {
    let view = definition("SELECT 1 AS a", &[("a", PgType::Int4)], reads);
    Op::CreateObject(view_object(id, name, view))
}

fn catalog(ops: &[Op]) -> Catalog {
    let mut catalog = Catalog::new();
    for (at, op) in (1..).zip(ops) {
        catalog.apply_at(op, CommitTime(at * 10)).expect("the script is right");
    }
    catalog
}

fn refused(catalog: &Catalog, op: &Op, expected: Expect) {
    let mut copy = catalog.clone();
    let error = copy.apply(op).expect_err("this op is wrong");
    assert_eq!(copy, *catalog, "a refused op changes nothing");
    expected.assert_eq(&told(&error));
}

fn told(error: &CatalogError) -> String {
    let detail = error.detail().map(|detail| format!("\n{detail}")).unwrap_or_default();
    format!("{} {error}{detail}", error.sqlstate())
}

#[test]
fn names_are_found_along_the_search_path() {
    let catalog = catalog(&[
        Op::CreateSchema { id: ObjectId(1), name: "s".to_owned() },
        table(2, "public", "t"),
        table(3, "s", "t"),
        table(4, "public", "pg_class"),
    ]);
    let id = |schema, name, path: &[String]| catalog.resolve(schema, name, path).map(|o| o.id);
    assert_eq!(id(None, "t", &public()), Some(ObjectId(2)));
    assert_eq!(id(None, "t", &path(&["s", "public"])), Some(ObjectId(3)));
    assert_eq!(id(None, "t", &path(&["nowhere", "$user"])), None);
    assert_eq!(id(Some("s"), "t", &public()), Some(ObjectId(3)));
    assert_eq!(id(Some("s"), "T", &public()), None);
    // The system's comes first unless the path says otherwise.
    assert_eq!(id(None, "pg_class", &public()), None);
    assert_eq!(id(None, "pg_class", &path(&["public", "pg_catalog"])), Some(ObjectId(4)));
    let found = catalog.lookup(None, "pg_class", &public()).map(|found| found.oid());
    assert_eq!(found, Some(Oid(1259)));
    assert!(matches!(catalog.lookup(None, "t_pkey", &public()), Some(Found::PrimaryKeyIndex(_))));
    assert!(catalog.is_visible(ObjectId(2).oid(), &public()));
    assert!(!catalog.is_visible(ObjectId(3).oid(), &public()));
    assert!(!catalog.is_visible(ObjectId(3).oid(), &path(&["public", "s"])));
    assert_eq!(catalog.creation_schema(&path(&["nowhere", "s", "public"])), Some("s"));
    assert_eq!(catalog.next_id(), ObjectId(5));
}

fn crowded() -> Catalog {
    let schema = Op::CreateSchema { id: ObjectId(3), name: "s".to_owned() };
    catalog(&[table(1, "public", "t"), view(2, "v", &[1]), schema, table(4, "s", "t")])
}

#[test]
fn impossible_relations_are_refused_with_postgres_words() {
    let catalog = crowded();
    refused(&catalog, &table(9, "public", "t"), expect![[r#"42P07 relation "t" already exists"#]]);
    refused(
        &catalog,
        &table(9, "public", "t_pkey"),
        expect![[r#"42P07 relation "t_pkey" already exists"#]],
    );
    refused(
        &catalog,
        &table(9, "nowhere", "t"),
        expect![[r#"3F000 schema "nowhere" does not exist"#]],
    );
    refused(
        &catalog,
        &table(9, "pg_catalog", "t"),
        expect![[r#"
        42501 permission denied to create "pg_catalog.t"
        System catalog modifications are currently disallowed."#]],
    );
    refused(&catalog, &view(9, "w", &[77]), expect!["42P01 relation with id 77 does not exist"]);
    refused(
        &catalog,
        &Op::DropObject(ObjectId(77)),
        expect!["42P01 relation with id 77 does not exist"],
    );
    refused(
        &catalog,
        &Op::DropObject(ObjectId(1)),
        expect![[r#"
        2BP01 cannot drop table t because other objects depend on it
        view v depends on table t"#]],
    );
    refused(
        &catalog,
        &Op::Rename { id: ObjectId(1), to: "v".to_owned() },
        expect![[r#"42P07 relation "v" already exists"#]],
    );
    let on = CommentTarget::Column(ObjectId(1), 2);
    refused(
        &catalog,
        &Op::Comment { on, text: None },
        expect![[r#"42703 column 3 of relation "t" does not exist"#]],
    );
    let twice = [("a", PgType::Int4), ("a", PgType::Int4)];
    let twice = Op::CreateObject(view_object(9, "w", definition("", &twice, &[])));
    refused(&catalog, &twice, expect![[r#"42701 column "a" specified more than once"#]]);
}

#[test]
fn impossible_schemas_are_refused_with_postgres_words() {
    let catalog = crowded();
    let name = |name: &str| name.to_owned();
    refused(
        &catalog,
        &Op::DropSchema { name: name("s") },
        expect![[r#"
        2BP01 cannot drop schema s because other objects depend on it
        table s.t depends on schema s"#]],
    );
    refused(
        &catalog,
        &Op::DropSchema { name: name("pg_catalog") },
        expect![
            "2BP01 cannot drop schema pg_catalog because it is required by the database system"
        ],
    );
    refused(
        &catalog,
        &Op::CreateSchema { id: ObjectId(9), name: name("s") },
        expect![[r#"42P06 schema "s" already exists"#]],
    );
    refused(
        &catalog,
        &Op::CreateSchema { id: ObjectId(9), name: name("pg_x") },
        expect![[r#"
            42939 unacceptable schema name "pg_x"
            The prefix "pg_" is reserved for system schemas."#]],
    );
}

#[test]
fn a_primary_key_gets_a_free_name_and_keeps_it() {
    let mut catalog = catalog(&[table(1, "public", "t_pkey"), table(2, "public", "t")]);
    let key = |catalog: &Catalog| {
        let table = catalog.get(ObjectId(2)).and_then(Object::table).expect("made above");
        table.primary_key_name().map(str::to_owned)
    };
    assert_eq!(key(&catalog).as_deref(), Some("t_pkey1"));
    catalog.apply(&Op::Rename { id: ObjectId(2), to: "u".to_owned() }).expect("free");
    assert_eq!(key(&catalog).as_deref(), Some("t_pkey1"));
    assert!(catalog.resolve(None, "u", &public()).is_some());
    assert!(catalog.resolve(None, "t", &public()).is_none());
    catalog.apply(&Op::DropObject(ObjectId(2))).expect("nothing stands on it");
    assert!(catalog.lookup(None, "t_pkey1", &public()).is_none());
    assert_eq!(catalog.next_id(), ObjectId(3), "ids are never given twice");
}

#[test]
fn drops_go_from_the_leaves_to_the_roots() {
    let catalog = catalog(&[
        table(1, "public", "t"),
        view(2, "a", &[1]),
        view(3, "b", &[2]),
        view(4, "c", &[1, 3]),
        table(5, "public", "other"),
    ]);
    assert_eq!(catalog.dependents(ObjectId(1)), [ObjectId(2), ObjectId(4)]);
    assert_eq!(catalog.dependents_transitive(ObjectId(1)), [ObjectId(2), ObjectId(3), ObjectId(4)]);
    let drop = |roots: &[u64], cascade| {
        let roots: Vec<ObjectId> = roots.iter().copied().map(ObjectId).collect();
        catalog.plan_drop(&roots, cascade, &public())
    };
    let planned = drop(&[1], true).expect("cascade takes all");
    assert_eq!(planned.order, [ObjectId(4), ObjectId(3), ObjectId(2), ObjectId(1)]);
    expect![[r#"
        Some(
            (
                "drop cascades to 3 other objects",
                Some(
                    "drop cascades to view a\ndrop cascades to view b\ndrop cascades to view c",
                ),
            ),
        )
    "#]]
    .assert_debug_eq(&planned.notice());
    let mut after = catalog.clone();
    for id in planned.order {
        after.apply(&Op::DropObject(id)).expect("the order allows each");
    }
    assert_eq!(after.objects().count(), 1);

    expect![[r#"
        2BP01 cannot drop table t because other objects depend on it
        view a depends on table t
        view b depends on view a
        view c depends on table t"#]]
    .assert_eq(&told(&drop(&[1], false).expect_err("views stand on it")));
    expect![[r#"
        2BP01 cannot drop desired object(s) because other objects depend on them
        view b depends on view a
        view c depends on table t"#]]
    .assert_eq(&told(&drop(&[1, 2], false).expect_err("views stand on it")));
    assert_eq!(drop(&[3, 4], false).expect("both go").order, [ObjectId(4), ObjectId(3)]);
    assert_eq!(drop(&[5], true).expect("alone").notice(), None);
    let one = drop(&[3], true).expect("cascade").notice();
    assert_eq!(one, Some(("drop cascades to view c".to_owned(), None)));
}

#[test]
fn replaced_definitions_stay_as_versions() {
    let mut catalog =
        catalog(&[table(1, "public", "t"), table(2, "public", "u"), view(3, "v", &[1])]);
    let columns = [("a", PgType::Int4), ("b", PgType::Text)];
    let second = definition("SELECT 2 AS a, 'x' AS b", &columns, &[2]);
    let replace = Op::ReplaceObject(view_object(3, "ignored", second));
    catalog.apply_at(&replace, CommitTime(50)).expect("it adds a column");
    catalog.apply_at(&replace, CommitTime(60)).expect("saying the same again is allowed");

    let versions: Vec<String> = catalog
        .versions(ObjectId(3))
        .iter()
        .map(|v| format!("{} [{:?}, {:?}) {}", v.number, v.from, v.until, v.object.name))
        .collect();
    expect![[r#"
        [
            "1 [CommitTime(30), Some(CommitTime(50))) v",
            "2 [CommitTime(50), None) v",
        ]
    "#]]
    .assert_debug_eq(&versions);
    let number = |at| catalog.version_at(ObjectId(3), CommitTime(at)).map(|v| v.number);
    assert_eq!([number(0), number(30), number(49), number(50), number(99)], {
        [Some(1), Some(1), Some(1), Some(2), Some(2)]
    });
    assert!(catalog.version_numbered(ObjectId(3), 3).is_none());

    // Only the present definition is dropped with its table; the kept one says so first.
    assert_eq!(catalog.dependents(ObjectId(1)), []);
    assert_eq!(catalog.kept_versions_on(ObjectId(1)), [(ObjectId(3), 1)]);
    let error = catalog.plan_drop(&[ObjectId(1)], false, &public()).expect_err("kept version");
    expect![[r#"
        2BP01 cannot drop table t because other objects depend on it
        version 1 of view v depends on table t"#]]
    .assert_eq(&told(&error));
    let planned = catalog.plan_drop(&[ObjectId(1)], true, &public()).expect("cascade");
    assert_eq!(planned.order, [ObjectId(1)]);
    assert_eq!(planned.cascaded, ["version 1 of view v"]);
}

#[test]
fn a_replacement_below_makes_versions_above() {
    let at = CommitTime;
    let f = function(3, "public", "f", PgType::Int4);
    let mut uses_f = definition("SELECT f(id) AS a", &[("a", PgType::Int4)], &[1]);
    uses_f.functions = vec![ObjectId(3)];
    let above = |collection: Option<u64>| {
        let mut view = definition("SELECT a FROM v", &[("a", PgType::Int4)], &[4]);
        view.collection = collection.map(ObjectId);
        Object::new(ObjectId(5), "public", "w", ObjectKind::MaterializedView(view))
    };
    let mut catalog = catalog(&[
        table(1, "public", "t"),
        table(2, "public", "u"),
        Op::CreateFunction(f.clone()),
        Op::CreateObject(view_object(4, "v", uses_f.clone())),
        Op::CreateObject(above(None)),
    ]);
    assert_eq!(catalog.collection(ObjectId(5)), ObjectId(5));
    let again = Op::ReplaceObject(above(Some(6)));
    catalog.apply_at(&again, at(60)).expect("nothing is new");
    assert_eq!(catalog.versions(ObjectId(5)).len(), 1);
    assert_eq!(catalog.next_id(), ObjectId(6));

    let strict = Function { strict: true, ..f };
    for op in [Op::ReplaceFunction(strict), Op::ReplaceObject(view_object(4, "v", uses_f)), again] {
        catalog.apply_at(&op, at(70)).expect("each after what it stands on");
    }
    assert_eq!(catalog.version_at(ObjectId(4), at(69)).map(|v| v.number), Some(1));
    assert_eq!(catalog.version_at(ObjectId(5), at(70)).map(|v| v.number), Some(2));
    assert_eq!(catalog.collection(ObjectId(5)), ObjectId(6));
    assert_eq!(catalog.of_collection(ObjectId(6)).map(|object| object.id), Some(ObjectId(5)));
    assert_eq!(catalog.of_collection(ObjectId(5)), None);
    assert_eq!(catalog.next_id(), ObjectId(7));
    let strict = |time| catalog.function_at(ObjectId(3), at(time)).map(|f| f.strict);
    assert_eq!([strict(0), strict(69), strict(70)], [Some(false), Some(false), Some(true)]);
    assert_eq!(catalog.redefinitions(ObjectId(5)).into_iter().collect::<Vec<_>>(), [at(70)]);
}

#[test]
fn names_remember_who_had_them() {
    let mut catalog = catalog(&[table(1, "public", "t")]);
    catalog.apply_at(&Op::DropObject(ObjectId(1)), CommitTime(50)).expect("nothing stands on it");
    catalog.apply_at(&table(2, "public", "t"), CommitTime(60)).expect("the name is free");
    let rename = Op::Rename { id: ObjectId(2), to: "u".to_owned() };
    catalog.apply_at(&rename, CommitTime(70)).expect("the name is free");
    catalog.apply_at(&table(3, "public", "t"), CommitTime(80)).expect("the name is free");
    let now = catalog.get(ObjectId(3)).expect("just made");
    let holder = |at| catalog.former_holder(now, CommitTime(at)).map(|holder| holder.id.0);
    let holders: Vec<_> = [5, 10, 49, 50, 60, 69, 70, 80].map(holder).into_iter().collect();
    assert_eq!(holders, [None, Some(1), Some(1), None, Some(2), Some(2), None, None]);
}

#[test]
fn a_replacement_keeps_what_was_there() {
    let columns = [("a", PgType::Int4), ("b", PgType::Text)];
    let make = |columns: &[(&str, PgType)]| view_object(1, "v", definition("SELECT", columns, &[]));
    let catalog = catalog(&[Op::CreateObject(make(&columns))]);
    let check = |columns: &[(&str, PgType)], expected| {
        refused(&catalog, &Op::ReplaceObject(make(columns)), expected);
    };
    check(&[("a", PgType::Int4)], expect!["42P16 cannot drop columns from view"]);
    check(
        &[("a", PgType::Int4), ("c", PgType::Text)],
        expect![[r#"42P16 cannot change name of view column "b" to "c""#]],
    );
    check(
        &[("a", PgType::Int8), ("b", PgType::Text)],
        expect![[r#"42P16 cannot change data type of view column "a" from integer to bigint"#]],
    );
    let mut materialized = make(&columns);
    materialized.kind = ObjectKind::MaterializedView(definition("SELECT", &columns, &[]));
    refused(
        &catalog,
        &Op::ReplaceObject(materialized),
        expect![[r#"42809 "v" is not a materialized view"#]],
    );
}

#[test]
fn a_replacement_reads_nothing_that_reads_it() {
    let catalog = catalog(&[view(1, "a", &[]), view(2, "b", &[1]), view(3, "c", &[2])]);
    let columns = [("a", PgType::Int4)];
    for input in [1, 2, 3] {
        let onto = view_object(1, "a", definition("SELECT 2 AS a", &columns, &[input]));
        let expected = expect![[r#"42P17 infinite recursion detected in rules for relation "a""#]];
        refused(&catalog, &Op::ReplaceObject(onto), expected);
    }
}

#[test]
fn an_id_is_given_once() {
    let mut catalog = catalog(&[table(1, "public", "t")]);
    refused(&catalog, &table(1, "public", "u"), expect!["XX000 object id 1 was given before"]);
    catalog.apply(&Op::DropObject(ObjectId(1))).expect("nothing stands on it");
    refused(&catalog, &table(1, "public", "u"), expect!["XX000 object id 1 was given before"]);
}

#[test]
fn clones_do_not_see_what_comes_later() {
    let before = catalog(&[table(1, "public", "t")]);
    let mut after = before.clone();
    after.apply(&table(2, "public", "u")).expect("free");
    let text = Some("things".to_owned());
    let on = CommentTarget::Object(ObjectId(1));
    after.apply(&Op::Comment { on, text: text.clone() }).expect("exists");
    assert_eq!(after.get(ObjectId(1)).and_then(|object| object.comment.clone()), text);
    assert_eq!(before.get(ObjectId(1)).and_then(|object| object.comment.clone()), None);
    assert!(before.resolve(None, "u", &public()).is_none());
    assert_eq!((before.version(), after.version()), (1, 3));
    let staged = after.versions(ObjectId(2))[0].from;
    assert_eq!(staged, CommitTime::STAGED);
}

#[test]
fn a_schema_takes_its_objects_along() {
    let mut catalog =
        catalog(&[Op::CreateSchema { id: ObjectId(1), name: "s".to_owned() }, table(2, "s", "t")]);
    let rename = Op::RenameSchema { name: "s".to_owned(), to: "r".to_owned() };
    catalog.apply(&rename).expect("free");
    let found = catalog.resolve(Some("r"), "t", &[]).map(|object| object.schema.clone());
    assert_eq!(found.as_deref(), Some("r"));
    assert!(catalog.resolve(Some("s"), "t", &[]).is_none());
    assert_eq!(catalog.schema("r").map(|schema| schema.oid), Some(ObjectId(1).oid()));
}

/// `name(x type) RETURNS type`.
fn function(id: u64, schema: &str, name: &str, ty: PgType) -> Function {
    Function {
        id: ObjectId(id),
        schema: schema.to_owned(),
        name: name.to_owned(),
        arguments: vec![Argument { name: Some("x".to_owned()), ty }],
        returns: ty,
        body: FunctionBody::Expression("x".to_owned()),
        strict: false,
        volatility: Volatility::Volatile,
        search_path: public(),
    }
}

/// `public.f(integer)`, `s.f(text)`, and a view that uses the first.
fn with_functions() -> Catalog {
    let mut uses = definition("SELECT f(1) AS a", &[("a", PgType::Int4)], &[]);
    uses.functions = vec![ObjectId(2)];
    catalog(&[
        Op::CreateSchema { id: ObjectId(1), name: "s".to_owned() },
        Op::CreateFunction(function(2, "public", "f", PgType::Int4)),
        Op::CreateFunction(function(3, "s", "f", PgType::Text)),
        Op::CreateObject(view_object(4, "v", uses)),
    ])
}

#[test]
fn functions_have_names_of_their_own_along_the_search_path() {
    let mut catalog = with_functions();
    catalog.apply(&table(5, "public", "f")).expect("a relation may be called like a function");
    let id = |catalog: &Catalog, schema, path: &[String]| {
        catalog.resolve_function(schema, "f", path).map(|function| function.id)
    };
    assert_eq!(id(&catalog, None, &public()), Some(ObjectId(2)));
    assert_eq!(id(&catalog, None, &path(&["s", "public"])), Some(ObjectId(3)));
    assert_eq!(id(&catalog, Some("s"), &public()), Some(ObjectId(3)));
    assert_eq!(catalog.resolve_function(None, "g", &public()), None);
    assert_eq!(catalog.describe(ObjectId(3), &public()), "function s.f(text)");
    let rename = Op::RenameSchema { name: "s".to_owned(), to: "r".to_owned() };
    catalog.apply(&rename).expect("the name is free");
    assert_eq!(id(&catalog, Some("r"), &public()), Some(ObjectId(3)));
    assert_eq!(catalog.function(ObjectId(3)).map(|f| f.schema.as_str()), Some("r"));
}

#[test]
fn impossible_functions_are_refused() {
    let catalog = with_functions();
    let refuse = |op: Op, expected: Expect| refused(&catalog, &op, expected);
    refuse(
        Op::CreateFunction(function(9, "public", "f", PgType::Int4)),
        expect![[r#"42723 function "f" already exists with same argument types"#]],
    );
    refuse(
        Op::CreateFunction(function(9, "public", "f", PgType::Text)),
        expect!["0A000 there is a function f(integer) already: functions are not overloaded"],
    );
    refuse(
        Op::CreateFunction(function(9, "nowhere", "f", PgType::Int4)),
        expect![[r#"3F000 schema "nowhere" does not exist"#]],
    );
    refuse(
        Op::CreateFunction(function(9, "pg_catalog", "f", PgType::Int4)),
        expect![[r#"
        42501 permission denied to create "pg_catalog.f"
        System catalog modifications are currently disallowed."#]],
    );
    refuse(
        Op::CreateFunction(function(3, "public", "g", PgType::Int4)),
        expect!["XX000 object id 3 was given before"],
    );
    refuse(
        Op::ReplaceFunction(function(9, "public", "g", PgType::Int4)),
        expect!["42883 function with id 9 does not exist"],
    );
    let mut other = function(3, "s", "f", PgType::Text);
    other.returns = PgType::Int4;
    refuse(
        Op::ReplaceFunction(other),
        expect!["42P13 cannot change return type of existing function"],
    );
    let mut renamed = function(3, "s", "f", PgType::Text);
    renamed.arguments[0].name = Some("y".to_owned());
    refuse(
        Op::ReplaceFunction(renamed),
        expect![[r#"42P13 cannot change name of input parameter "x""#]],
    );
    refuse(
        Op::DropFunction(ObjectId(2)),
        expect![[r#"
        2BP01 cannot drop function f(integer) because other objects depend on it
        view v depends on function f(integer)"#]],
    );
    refuse(Op::DropFunction(ObjectId(9)), expect!["42883 function with id 9 does not exist"]);
    let mut lost = definition("SELECT g(1) AS a", &[("a", PgType::Int4)], &[]);
    lost.functions = vec![ObjectId(8)];
    refuse(
        Op::CreateObject(view_object(9, "w", lost)),
        expect!["42883 function with id 8 does not exist"],
    );
    refuse(
        Op::DropSchema { name: "s".to_owned() },
        expect![[r#"
        2BP01 cannot drop schema s because other objects depend on it
        function s.f(text) depends on schema s"#]],
    );
}

#[test]
fn a_cascade_from_a_function_takes_its_views() {
    let mut catalog = with_functions();
    let dropped = catalog.plan_drop(&[ObjectId(2)], true, &public()).expect("it cascades");
    assert_eq!(dropped.order, [ObjectId(4), ObjectId(2)]);
    assert_eq!(dropped.cascaded, ["view v"]);
    catalog.apply(&Op::DropObject(ObjectId(4))).expect("nothing stands on it");
    catalog.apply(&Op::DropFunction(ObjectId(2))).expect("nothing stands on it any more");
    assert_eq!(catalog.functions().map(|function| function.id).collect::<Vec<_>>(), [ObjectId(3)]);
    // The name is free for any signature.
    let again = Op::CreateFunction(function(5, "public", "f", PgType::Text));
    catalog.apply(&again).expect("the name is free");
}
