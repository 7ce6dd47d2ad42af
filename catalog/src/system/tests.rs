//! Every relation is built and held against its own columns; the ones that say something are shown
//! over one small catalog.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::display::array_value_to_string;
use expect_test::{Expect, expect};

use super::{
    Activity, Backfill, MemoryPart, Past, Quarantined, RowCount, SYSTEM_TABLES, Setting,
    SettingKind, SystemContext, ViewProgress, find, find_oid,
};
use crate::catalog::Catalog;
use crate::length::Length;
use crate::object::{Column, CommitTime, Object, ObjectId, ObjectKind, Table, View};
use crate::op::{CommentTarget, Op};
use crate::pg_type::PgType;

/// Microseconds of 2026-06-10 12:00 UTC.
const NOON: u64 = 1_781_092_800_000_000;

fn column(name: &str, ty: PgType, typmod: i32) -> Column {
    Column { typmod, ..Column::new(name, ty) }
}

fn orders() -> Op {
    let mut id = column("id", PgType::Int4, -1);
    id.not_null = true;
    let price = PgType::numeric_typmod(10, 2).expect("in range");
    let mut price = column("price", PgType::Numeric, price);
    price.default = Some("0".to_owned());
    let note = PgType::length_typmod(20).expect("in range");
    let columns = vec![
        id,
        price,
        column("note", PgType::Varchar, note),
        column("tags", PgType::Array(&PgType::Text), -1),
        column("at", PgType::Timestamptz, 3),
    ];
    let table = Table { primary_key: vec![0], ..Table::new(columns) };
    Op::CreateObject(Object::new(ObjectId(1), "public", "orders", ObjectKind::Table(table)))
}

fn view(id: u64, name: &str, sql: &str, reads: &[u64], materialized: bool) -> Object {
    let view = View {
        sql: sql.to_owned(),
        columns: vec![column("n", PgType::Int8, -1)],
        depends_on: reads.iter().copied().map(ObjectId).collect(),
        key: None,
        append_only: false,
        functions: vec![],
        version: 1,
        collection: None,
        widths: BTreeMap::new(),
        names: BTreeMap::new(),
        search_path: vec!["public".to_owned()],
        time_zone: "UTC".to_owned(),
        bindings: BTreeMap::new(),
    };
    let kind =
        if materialized { ObjectKind::MaterializedView(view) } else { ObjectKind::View(view) };
    Object::new(ObjectId(id), "public", name, kind)
}

pub(super) fn catalog() -> Catalog {
    let comment = |on, text: &str| Op::Comment { on, text: Some(text.to_owned()) };
    let ops = [
        orders(),
        Op::CreateObject(view(2, "order_count", "SELECT count(*) AS n FROM orders", &[1], true)),
        Op::CreateObject(view(3, "twice", "SELECT 2 * n AS n FROM order_count", &[2], false)),
        Op::CreateSchema { id: ObjectId(4), name: "s".to_owned() },
        Op::CreateObject(Object::new(
            ObjectId(5),
            "s",
            "Odd one",
            ObjectKind::Table(Table {
                primary_key: vec![1, 0],
                retention: Some(Length(86_400_000_000)),
                ttl: Some(Length(3_600_000_000)),
                ..Table::new(vec![column("a b", PgType::Text, -1), column("c", PgType::Int4, -1)])
            }),
        )),
        Op::ReplaceObject(view(2, "", "SELECT count(id) AS n FROM orders", &[1], true)),
        comment(CommentTarget::Object(ObjectId(1)), "what people bought"),
        comment(CommentTarget::Column(ObjectId(1), 1), "in euros"),
    ];
    let mut catalog = Catalog::new();
    for (second, op) in (0u64..).zip(&ops) {
        catalog.apply_at(op, CommitTime(NOON + second * 1_000_000)).expect("a right script");
    }
    catalog
}

fn context() -> SystemContext {
    let time = CommitTime(NOON);
    SystemContext {
        catalog: Arc::new(catalog()),
        user: "ada".to_owned(),
        database: "shop".to_owned(),
        now: time,
        settings: vec![Setting {
            name: "TimeZone".to_owned(),
            value: "UTC".to_owned(),
            default: "UTC".to_owned(),
            description: "the session's time zone".to_owned(),
            kind: SettingKind::Enum(vec!["UTC".to_owned()]),
        }],
        activity: vec![Activity {
            pid: 7,
            user: "ada".to_owned(),
            database: "shop".to_owned(),
            state: "active".to_owned(),
            connected_at: time,
            query_since: Some(time),
            query: "SELECT 1".to_owned(),
            client_port: Some(50_000),
            ..Activity::default()
        }],
        backfills: vec![Backfill {
            pid: Some(7),
            kind: "point-in-time join",
            relation: "totals".to_owned(),
            started_at: time,
            times: Some((CommitTime(NOON - 5), CommitTime(NOON - 3))),
            progress: Some((10, 40)),
            unit: "rows",
            rows: None,
        }],
        views: vec![ViewProgress {
            id: ObjectId(2),
            upper: CommitTime(NOON + 1),
            lag_us: 1500,
            next_expiry: Some(CommitTime(NOON + 1_000_000)),
        }],
        sources: vec![],
        checkpoints: vec![],
        memory: vec![MemoryPart {
            of: Some(ObjectId(2)),
            name: "Aggregate".to_owned(),
            rows: Some(3),
            bytes: Some(96),
            page_faults: Some(1),
            hit_rate: Some(0.75),
        }],
        row_counts: vec![RowCount { id: ObjectId(1), rows: 3 }],
        pasts: vec![Past {
            id: ObjectId(1),
            is_open: true,
            readable_from: Some(CommitTime(NOON)),
            last_changed: Some(CommitTime(NOON + 5_000_000)),
        }],
        quarantine: vec![Quarantined {
            view: ObjectId(2),
            operator: "Project".to_owned(),
            row: "(1,0)".to_owned(),
            error: "division by zero".to_owned(),
            time,
        }],
    }
}

fn cell(batch: &RecordBatch, column: &str, row: usize) -> String {
    let array = batch.column_by_name(column).unwrap_or_else(|| panic!("no column {column}"));
    if array.is_null(row) {
        return "∅".to_owned();
    }
    array_value_to_string(array, row).expect("every type can be shown")
}

/// The chosen columns of the rows in which `key` has one of `values`; all rows if `key` is empty.
fn shown(table: &str, columns: &[&str], key: &str, values: &[&str]) -> String {
    let (schema, name) = table.split_once('.').expect("schema.name");
    let batch = find(schema, name).expect("it is in the list").rows(&context());
    let wanted = |row: &usize| key.is_empty() || values.contains(&cell(&batch, key, *row).as_str());
    let line = |row: usize| {
        let cells: Vec<String> = columns.iter().map(|name| cell(&batch, name, row)).collect();
        cells.join(" | ") + "\n"
    };
    (0..batch.num_rows()).filter(wanted).map(line).collect()
}

fn check(table: &str, columns: &[&str], key: (&str, &[&str]), expected: Expect) {
    expected.assert_eq(&shown(table, columns, key.0, key.1));
}

const ALL: (&str, &[&str]) = ("", &[]);

#[test]
fn every_relation_keeps_to_its_columns() {
    for table in SYSTEM_TABLES {
        for context in [context(), SystemContext::default()] {
            let batch = table.rows(&context);
            assert_eq!(batch.schema(), table.arrow_schema(), "{table:?}");
        }
        let names: HashSet<&str> = table.columns().iter().map(|column| column.name).collect();
        assert_eq!(names.len(), table.columns().len(), "{table:?} has a column twice");
    }
}

#[test]
fn every_relation_is_found_by_name_and_oid() {
    let mut oids = BTreeSet::new();
    for table in SYSTEM_TABLES {
        assert!(oids.insert(table.oid), "{table:?} shares its oid");
        assert!(table.oid.is_system());
        assert!(crate::catalog::is_system_schema(table.schema));
        let by_name = find(table.schema, table.name).expect("it is in the list");
        let by_oid = find_oid(table.oid).expect("it is in the list");
        assert_eq!((by_name.oid, by_oid.oid), (table.oid, table.oid));
    }
}

/// A join by oid between two relations finds its other side.
#[test]
fn oids_lead_somewhere() {
    let column = |table: &str, column: &str| -> BTreeSet<String> {
        let rows = shown(&format!("pg_catalog.{table}"), &[column], "", &[]);
        rows.lines().filter(|oid| *oid != "0").map(str::to_owned).collect()
    };
    let leads = |table: &str, name: &str, to: &str, key: &str| {
        let lost: Vec<_> = column(table, name).difference(&column(to, key)).cloned().collect();
        assert!(lost.is_empty(), "{table}.{name} → {to}.{key}: {lost:?}");
    };
    leads("pg_class", "relnamespace", "pg_namespace", "oid");
    leads("pg_class", "relam", "pg_am", "oid");
    leads("pg_class", "relowner", "pg_roles", "oid");
    leads("pg_attribute", "attrelid", "pg_class", "oid");
    leads("pg_attribute", "atttypid", "pg_type", "oid");
    leads("pg_attribute", "attcollation", "pg_collation", "oid");
    leads("pg_attrdef", "adrelid", "pg_class", "oid");
    leads("pg_index", "indexrelid", "pg_class", "oid");
    leads("pg_index", "indrelid", "pg_class", "oid");
    leads("pg_constraint", "conindid", "pg_index", "indexrelid");
    leads("pg_rewrite", "ev_class", "pg_class", "oid");
    leads("pg_type", "typelem", "pg_type", "oid");
    leads("pg_type", "typarray", "pg_type", "oid");
    leads("pg_aggregate", "aggfnoid", "pg_proc", "oid");
    leads("pg_proc", "prolang", "pg_language", "oid");
    for function in ["typinput", "typoutput", "typreceive", "typsend", "typmodin", "typmodout"] {
        leads("pg_type", function, "pg_proc", "oid");
    }
    leads("pg_type", "typsubscript", "pg_proc", "oid");
    leads("pg_type", "typanalyze", "pg_proc", "oid");
    leads("pg_am", "amhandler", "pg_proc", "oid");
    leads("pg_opclass", "opcintype", "pg_type", "oid");
}

const MINE: (&str, &[&str]) = ("relnamespace", &["2200", "16388"]);

#[test]
fn pg_class_lists_relations_and_their_indexes() {
    let columns = [
        "oid",
        "relname",
        "relkind",
        "relam",
        "reltuples",
        "relnatts",
        "relhasindex",
        "relhasrules",
        "relreplident",
    ];
    check(
        "pg_catalog.pg_class",
        &columns,
        MINE,
        expect![[r#"
        16385 | orders | r | 2 | 3.0 | 5 | true | false | d
        536887297 | orders_pkey | i | 403 | -1.0 | 1 | false | false | n
        16386 | order_count | m | 2 | -1.0 | 1 | false | true | d
        16387 | twice | v | 0 | -1.0 | 1 | false | true | n
        16389 | Odd one | r | 2 | -1.0 | 2 | true | false | d
        536887301 | Odd one_pkey | i | 403 | -1.0 | 2 | false | false | n
    "#]],
    );
    let itself = ("relname", ["pg_class", "views"].as_slice());
    check(
        "pg_catalog.pg_class",
        &columns[..3],
        itself,
        expect![[r#"
        1259 | pg_class | r
        13483 | views | v
        15001 | views | v
    "#]],
    );
}

#[test]
fn pg_attribute_lists_columns_of_tables_and_indexes() {
    let columns = [
        "attname",
        "atttypid",
        "attnum",
        "atttypmod",
        "attlen",
        "attndims",
        "attnotnull",
        "atthasdef",
        "attcollation",
        "attidentity",
    ];
    let orders = ("attrelid", ["16385"].as_slice());
    check(
        "pg_catalog.pg_attribute",
        &columns,
        orders,
        expect![[r#"
        id | 23 | 1 | -1 | 4 | 0 | true | false | 0 | 
        price | 1700 | 2 | 655366 | -1 | 0 | false | true | 0 | 
        note | 1043 | 3 | 24 | -1 | 0 | false | false | 100 | 
        tags | 1009 | 4 | -1 | -1 | 1 | false | false | 100 | 
        at | 1184 | 5 | 3 | 8 | 0 | false | false | 0 | 
    "#]],
    );
    let index = ("attrelid", ["536887301"].as_slice());
    check(
        "pg_catalog.pg_attribute",
        &columns[..3],
        index,
        expect![[r#"
            c | 23 | 1
            a b | 25 | 2
        "#]],
    );
    let itself = ("attrelid", ["2615"].as_slice());
    check(
        "pg_catalog.pg_attribute",
        &columns[..7],
        itself,
        expect![[r#"
            oid | 26 | 1 | -1 | 4 | 0 | true
            nspname | 19 | 2 | -1 | 64 | 0 | true
            nspowner | 26 | 3 | -1 | 4 | 0 | true
            nspacl | 1034 | 4 | -1 | -1 | 1 | false
        "#]],
    );
    check(
        "pg_catalog.pg_attrdef",
        &["adrelid", "adnum", "adbin"],
        ALL,
        expect![[r#"
            16385 | 2 | 0
        "#]],
    );
}

#[test]
fn keys_are_indexes_and_constraints() {
    let columns = ["indexrelid", "indrelid", "indkey", "indclass", "indoption", "indisprimary"];
    check(
        "pg_catalog.pg_index",
        &columns,
        ALL,
        expect![[r#"
        536887297 | 16385 | [1] | [1978] | [0] | true
        536887301 | 16389 | [2, 1] | [1978, 3126] | [0, 0] | true
    "#]],
    );
    let columns = ["oid", "conname", "contype", "conrelid", "conindid", "conkey", "confkey"];
    check(
        "pg_catalog.pg_constraint",
        &columns,
        ALL,
        expect![[r#"
        1073758209 | orders_pkey | p | 16385 | 536887297 | [1] | ∅
        1073758213 | Odd one_pkey | p | 16389 | 536887301 | [2, 1] | ∅
    "#]],
    );
    let columns = ["tablename", "indexname", "indexdef"];
    check(
        "pg_catalog.pg_indexes",
        &columns,
        ("schemaname", &["s"]),
        expect![[r#"
        Odd one | Odd one_pkey | CREATE UNIQUE INDEX "Odd one_pkey" ON s."Odd one" USING btree (c, "a b")
    "#]],
    );
}

#[test]
fn views_stand_on_what_they_read() {
    let columns = ["classid", "objid", "refclassid", "refobjid", "deptype"];
    check(
        "pg_catalog.pg_depend",
        &columns,
        ALL,
        expect![[r#"
        2606 | 1073758209 | 1259 | 16385 | a
        1259 | 536887297 | 2606 | 1073758209 | i
        2618 | 1610629122 | 1259 | 16386 | i
        2618 | 1610629122 | 1259 | 16385 | n
        2618 | 1610629123 | 1259 | 16387 | i
        2618 | 1610629123 | 1259 | 16386 | n
        2606 | 1073758213 | 1259 | 16389 | a
        1259 | 536887301 | 2606 | 1073758213 | i
    "#]],
    );
    check(
        "pg_catalog.pg_rewrite",
        &["oid", "rulename", "ev_class"],
        ALL,
        expect![[r#"
            1610629122 | _RETURN | 16386
            1610629123 | _RETURN | 16387
        "#]],
    );
    check(
        "pg_catalog.pg_views",
        &["schemaname", "viewname", "definition"],
        ALL,
        expect![[r#"
            public | twice |  SELECT 2 * n AS n FROM order_count;
        "#]],
    );
    let columns = ["matviewname", "matviewowner", "definition"];
    check(
        "pg_catalog.pg_matviews",
        &columns,
        ALL,
        expect![[r#"
        order_count | ada |  SELECT count(id) AS n FROM orders;
    "#]],
    );
    let columns = ["view_name", "table_schema", "table_name"];
    check(
        "information_schema.view_table_usage",
        &columns,
        ALL,
        expect![[r#"
            twice | public | order_count
        "#]],
    );
}

#[test]
fn the_session_is_shown_as_it_came() {
    check(
        "pg_catalog.pg_database",
        &["oid", "datname", "encoding"],
        ALL,
        expect![[r#"
            5 | shop | 6
        "#]],
    );
    check(
        "pg_catalog.pg_roles",
        &["oid", "rolname", "rolsuper"],
        ALL,
        expect![[r#"
            10 | ada | true
        "#]],
    );
    check(
        "pg_catalog.pg_namespace",
        &["oid", "nspname"],
        ALL,
        expect![[r#"
            13207 | information_schema
            11 | pg_catalog
            2200 | public
            16388 | s
            15000 | tidemark
        "#]],
    );
    let columns = ["name", "setting", "vartype", "enumvals", "source"];
    check(
        "pg_catalog.pg_settings",
        &columns,
        ALL,
        expect![[r#"
        TimeZone | UTC | enum | [UTC] | default
    "#]],
    );
    let columns = ["pid", "usename", "client_addr", "query_start", "xact_start", "state", "query"];
    check(
        "pg_catalog.pg_stat_activity",
        &columns,
        ALL,
        expect![[r#"
        7 | ada | ∅ | 2026-06-10T12:00:00Z | ∅ | active | SELECT 1
    "#]],
    );
    let columns = ["relname", "n_live_tup", "seq_scan"];
    check(
        "pg_catalog.pg_stat_user_tables",
        &columns,
        ALL,
        expect![[r#"
            orders | 3 | ∅
            order_count | ∅ | ∅
            Odd one | ∅ | ∅
        "#]],
    );
    let columns = ["objoid", "classoid", "objsubid", "description"];
    check(
        "pg_catalog.pg_description",
        &columns,
        ALL,
        expect![[r#"
            11 | 2615 | 0 | system catalog schema
            2200 | 2615 | 0 | standard public schema
            15000 | 2615 | 0 | Tidemark's own relations
            16385 | 1259 | 0 | what people bought
            16385 | 1259 | 2 | in euros
        "#]],
    );
}

#[test]
fn information_schema_tells_the_standards_story() {
    let mine = ("table_schema", ["public", "s"].as_slice());
    let columns = ["table_catalog", "table_schema", "table_name", "table_type"];
    check(
        "information_schema.tables",
        &columns,
        mine,
        expect![[r#"
        shop | public | orders | BASE TABLE
        shop | public | twice | VIEW
        shop | s | Odd one | BASE TABLE
    "#]],
    );
    let columns = [
        "table_name",
        "column_name",
        "ordinal_position",
        "column_default",
        "is_nullable",
        "data_type",
        "character_maximum_length",
        "numeric_precision",
        "numeric_scale",
        "datetime_precision",
        "udt_name",
    ];
    check(
        "information_schema.columns",
        &columns,
        mine,
        expect![[r#"
        orders | id | 1 | ∅ | NO | integer | ∅ | 32 | 0 | ∅ | int4
        orders | price | 2 | 0 | YES | numeric | ∅ | 10 | 2 | ∅ | numeric
        orders | note | 3 | ∅ | YES | character varying | 20 | ∅ | ∅ | ∅ | varchar
        orders | tags | 4 | ∅ | YES | ARRAY | ∅ | ∅ | ∅ | ∅ | _text
        orders | at | 5 | ∅ | YES | timestamp with time zone | ∅ | ∅ | ∅ | 3 | timestamptz
        twice | n | 1 | ∅ | YES | bigint | ∅ | 64 | 0 | ∅ | int8
        Odd one | a b | 1 | ∅ | YES | text | ∅ | ∅ | ∅ | ∅ | text
        Odd one | c | 2 | ∅ | YES | integer | ∅ | 32 | 0 | ∅ | int4
    "#]],
    );
    let columns = ["constraint_name", "table_name", "constraint_type"];
    check(
        "information_schema.table_constraints",
        &columns,
        mine,
        expect![[r#"
            orders_pkey | orders | PRIMARY KEY
            Odd one_pkey | Odd one | PRIMARY KEY
            2200_16385_1_not_null | orders | CHECK
        "#]],
    );
    let columns = ["constraint_name", "column_name", "ordinal_position"];
    check(
        "information_schema.key_column_usage",
        &columns,
        mine,
        expect![[r#"
            orders_pkey | id | 1
            Odd one_pkey | c | 1
            Odd one_pkey | a b | 2
        "#]],
    );
    check(
        "information_schema.schemata",
        &["schema_name", "schema_owner"],
        ALL,
        expect![[r#"
            information_schema | ada
            pg_catalog | ada
            public | ada
            s | ada
            tidemark | ada
        "#]],
    );
}

#[test]
fn tidemark_tells_its_own() {
    let columns = ["id", "view_name", "materialized", "version", "valid_from", "valid_to"];
    check(
        "tidemark.views",
        &columns,
        ALL,
        expect![[r#"
            2 | order_count | true | 1 | 2026-06-10T12:00:01Z | 2026-06-10T12:00:05Z
            2 | order_count | true | 2 | 2026-06-10T12:00:05Z | ∅
            3 | twice | false | 1 | 2026-06-10T12:00:02Z | ∅
        "#]],
    );
    let columns = ["view_name", "version", "upper", "lag_ms", "next_expiry"];
    check(
        "tidemark.views",
        &columns,
        ALL,
        expect![[r#"
        order_count | 1 | ∅ | ∅ | ∅
        order_count | 2 | 2026-06-10T12:00:00.000001Z | 1.5 | 2026-06-10T12:00:01Z
        twice | 1 | ∅ | ∅ | ∅
    "#]],
    );
    let columns = ["view_name", "version", "definition"];
    check(
        "tidemark.views",
        &columns,
        ALL,
        expect![[r#"
        order_count | 1 | SELECT count(*) AS n FROM orders
        order_count | 2 | SELECT count(id) AS n FROM orders
        twice | 1 | SELECT 2 * n AS n FROM order_count
    "#]],
    );
    let columns = ["id", "schema_name", "table_name", "row_count", "primary_key"];
    check(
        "tidemark.tables",
        &columns,
        ALL,
        expect![[r#"
        1 | public | orders | 3 | [id]
        5 | s | Odd one | ∅ | [c, a b]
    "#]],
    );
    let columns = ["view", "operator", "row", "error", "time"];
    check(
        "tidemark.quarantine",
        &columns,
        ALL,
        expect![[r#"
        order_count | Project | (1,0) | division by zero | 2026-06-10T12:00:00Z
    "#]],
    );
}
