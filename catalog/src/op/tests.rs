//! Records: written, read, and refused when they are not ours.

use std::collections::BTreeMap;

use expect_test::expect;

use super::{CommentTarget, Op};
use crate::function::{Argument, Function, FunctionBody, Volatility};
use crate::object::{Column, Object, ObjectId, ObjectKind, Table, View};
use crate::pg_type::PgType;

fn table() -> Object {
    let mut id = Column::new("id", PgType::Int4);
    id.not_null = true;
    let mut price = Column::new("price", PgType::Numeric);
    price.typmod = PgType::numeric_typmod(10, 2).expect("in range");
    price.default = Some("0".to_owned());
    let tags = Column::new("tags", PgType::Array(&PgType::Text));
    let kind = ObjectKind::Table(Table {
        primary_key: vec![0],
        primary_key_name: Some("orders_pkey".to_owned()),
        ..Table::new(vec![id, price, tags])
    });
    let mut object = Object::new(ObjectId(1), "public", "orders", kind);
    object.comment = Some("what people bought".to_owned());
    object.column_comments = BTreeMap::from([(1, "in euros".to_owned())]);
    object
}

fn view() -> Object {
    let view = View {
        sql: "SELECT count(*) AS n FROM orders".to_owned(),
        columns: vec![Column::new("n", PgType::Int8)],
        depends_on: vec![ObjectId(1)],
        key: Some(vec![]),
        append_only: false,
        functions: vec![],
        version: 1,
        collection: None,
        widths: BTreeMap::new(),
        names: BTreeMap::new(),
        search_path: vec!["public".to_owned()],
        time_zone: "UTC".to_owned(),
        bindings: BTreeMap::from([("orders".to_owned(), ObjectId(1))]),
    };
    Object::new(ObjectId(2), "public", "order_count", ObjectKind::MaterializedView(view))
}

fn function() -> Function {
    Function {
        id: ObjectId(4),
        schema: "public".to_owned(),
        name: "net".to_owned(),
        arguments: vec![
            Argument { name: Some("price".to_owned()), ty: PgType::Numeric },
            Argument { name: None, ty: PgType::Int4 },
        ],
        returns: PgType::Numeric,
        body: FunctionBody::Query("SELECT price - $2".to_owned()),
        strict: true,
        volatility: Volatility::Immutable,
        search_path: vec!["public".to_owned()],
    }
}

#[test]
fn every_op_is_read_as_it_was_written() {
    let ops = [
        Op::CreateSchema { id: ObjectId(3), name: "s".to_owned() },
        Op::DropSchema { name: "s".to_owned() },
        Op::RenameSchema { name: "s".to_owned(), to: "t".to_owned() },
        Op::CreateObject(table()),
        Op::CreateObject(view()),
        Op::ReplaceObject(view()),
        Op::DropObject(ObjectId(2)),
        Op::Rename { id: ObjectId(1), to: "sales".to_owned() },
        Op::CreateFunction(function()),
        Op::ReplaceFunction(function()),
        Op::DropFunction(ObjectId(4)),
        Op::Comment { on: CommentTarget::Schema("s".to_owned()), text: None },
        Op::Comment { on: CommentTarget::Object(ObjectId(1)), text: Some("x".to_owned()) },
        Op::Comment { on: CommentTarget::Column(ObjectId(1), 2), text: Some("y".to_owned()) },
    ];
    for op in ops {
        assert_eq!(Op::from_bytes(&op.to_bytes()), Ok(op));
    }
}

/// Bytes that lie in logs: if this changes, the format version does.
#[test]
fn the_record_stays_readable() {
    let bytes = Op::CreateObject(table()).to_bytes();
    let record = String::from_utf8(bytes).expect("JSON is UTF-8");
    expect![[r#"{"format":1,"op":{"CreateObject":{"id":1,"schema":"public","name":"orders","kind":{"Table":{"columns":[{"name":"id","ty":"int4","typmod":-1,"not_null":true,"default":null},{"name":"price","ty":"numeric","typmod":655366,"not_null":false,"default":"0"},{"name":"tags","ty":"_text","typmod":-1,"not_null":false,"default":null}],"primary_key":[0],"primary_key_name":"orders_pkey"}},"comment":"what people bought","column_comments":{"1":"in euros"}}}}"#]].assert_eq(&record);
    let view = String::from_utf8(Op::ReplaceObject(view()).to_bytes()).expect("JSON is UTF-8");
    expect![[r#"{"format":1,"op":{"ReplaceObject":{"id":2,"schema":"public","name":"order_count","kind":{"MaterializedView":{"sql":"SELECT count(*) AS n FROM orders","columns":[{"name":"n","ty":"int8","typmod":-1,"not_null":false,"default":null}],"depends_on":[1],"key":[],"version":1,"search_path":["public"],"time_zone":"UTC","bindings":{"orders":1}}}}}}"#]].assert_eq(&view);
    let function = String::from_utf8(Op::CreateFunction(function()).to_bytes());
    expect![[r#"{"format":1,"op":{"CreateFunction":{"id":4,"schema":"public","name":"net","arguments":[{"name":"price","ty":"numeric"},{"ty":"int4"}],"returns":"numeric","body":{"Query":"SELECT price - $2"},"strict":true,"volatility":"Immutable","search_path":["public"]}}}"#]].assert_eq(&function.expect("JSON is UTF-8"));
}

#[test]
fn records_of_no_format_or_a_newer_one_are_refused() {
    let error = |bytes: &[u8]| Op::from_bytes(bytes).expect_err("unreadable").to_string();
    expect![
        "catalog record is unreadable: catalog record has format 2, this program reads up to 1"
    ]
    .assert_eq(&error(br#"{"format":2,"op":{"Teleport":7}}"#));
    expect!["catalog record is unreadable: EOF while parsing a string at line 1 column 23"]
        .assert_eq(&error(b"{\"format\":1,\"op\":{\"Drop"));
    expect!["catalog record is unreadable: unknown variant `Teleport`, expected one of `CreateSchema`, `DropSchema`, `RenameSchema`, `CreateObject`, `ReplaceObject`, `DropObject`, `Rename`, `DropColumn`, `RenameColumn`, `KeepHistory`, `Comment`, `CreateFunction`, `ReplaceFunction`, `DropFunction` at line 1 column 28"].assert_eq(&error(br#"{"format":1,"op":{"Teleport":7}}"#));
}
