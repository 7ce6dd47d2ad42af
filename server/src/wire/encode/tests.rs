//! Encoders against PostgreSQL 15's output and send functions (`tests/send.txt`), and back.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::BytesMut;
use pgwire::api::results::FieldFormat;
use tidemark_catalog::PgType;
use tidemark_sql::text_io::{InputSettings, OutputSettings, column_parser};

use super::{ColumnEncoder, RowEncoder, fields, result_formats};
use crate::wire::parameter::receive;

fn encoded(array: &ArrayRef, format: FieldFormat) -> BytesMut {
    let mut encoder = ColumnEncoder::new(array, format, &OutputSettings::default());
    let mut out = BytesMut::new();
    encoder.as_mut().expect("a PostgreSQL type").encode(0, &mut out);
    out
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().map(|c| c.to_digit(16).expect("hex")).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

#[test]
fn values_as_postgres_sends_them_and_back() {
    for line in include_str!("tests/send.txt").lines().skip(1) {
        let (type_name, rest) = line.split_once('|').expect("type|text|hex");
        let (text, hex) = rest.rsplit_once('|').expect("type|text|hex");
        let (ty, typmod) = PgType::parse(type_name).expect("a known type");
        let data_type = ty.to_arrow(typmod);
        let mut parser = column_parser(&data_type, &InputSettings::default(), 1);
        let parser = parser.as_mut().expect("a type with a text form");
        parser.append(text).expect("PostgreSQL's text");
        let array = parser.finish();

        let printed = encoded(&array, FieldFormat::Text);
        let wire = if type_name == "bool" { &text[..1] } else { text };
        assert_eq!(String::from_utf8_lossy(&printed), wire, "{line}");

        assert_eq!(encoded(&array, FieldFormat::Binary), bytes(hex), "{line}");

        let mut column = receive::column(&data_type).expect("a type with a binary form");
        column.append(&bytes(hex)).expect("PostgreSQL's bytes");
        assert_eq!(&column.finish(), &array, "{line}");
    }
}

#[test]
fn a_row_is_a_message() {
    let schema = Schema::new(vec![
        Field::new("a", DataType::Int32, true),
        Field::new("b", DataType::Utf8, true),
        Field::new("c", DataType::Null, true),
    ]);
    let batch = RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(arrow::array::Int32Array::from(vec![None, Some(-7)])),
            Arc::new(arrow::array::StringArray::from(vec!["x", ""])),
            new_null_array(&DataType::Null, 2),
        ],
    );
    let batch = batch.expect("three columns");
    let formats = [FieldFormat::Binary, FieldFormat::Text, FieldFormat::Text];
    let mut rows = RowEncoder::new(&batch, &formats, &OutputSettings::default()).expect("types");
    let mut out = BytesMut::new();
    rows.data_row(0, &mut out);
    assert_eq!(&out[..], b"D\0\0\0\x13\0\x03\xff\xff\xff\xff\0\0\0\x01x\xff\xff\xff\xff");
    out.clear();
    rows.data_row(1, &mut out);
    assert_eq!(&out[..], b"D\0\0\0\x16\0\x03\0\0\0\x04\xff\xff\xff\xf9\0\0\0\0\xff\xff\xff\xff");
}

#[test]
fn columns_are_described_by_their_types() {
    let decimal = DataType::Decimal128(10, 2);
    let item = Arc::new(Field::new("item", DataType::Int32, true));
    let schema = Schema::new(vec![
        Field::new("n", decimal, true),
        Field::new("l", DataType::List(item), true),
        Field::new("u", DataType::Null, true),
    ]);
    let fields = fields(&schema, &[FieldFormat::Text; 3]).expect("known types");
    let seen = fields.iter();
    let seen = seen.map(|f| (f.name(), f.datatype().oid(), f.type_size(), f.type_modifier()));
    assert_eq!(
        seen.collect::<Vec<_>>(),
        [("n", 1700, -1, (10 << 16) + 2 + 4), ("l", 1007, -1, -1), ("u", 25, -1, -1)]
    );
    let unknown = Schema::new(vec![Field::new("x", DataType::Float16, true)]);
    let error = super::fields(&unknown, &[FieldFormat::Text]).expect_err("no such type");
    assert_eq!(error.code, "0A000");
}

#[test]
fn formats_of_a_bind_message() {
    let binary = FieldFormat::Binary;
    assert_eq!(result_formats(&[], 2), Ok(vec![FieldFormat::Text; 2]));
    assert_eq!(result_formats(&[1], 2), Ok(vec![binary; 2]));
    assert_eq!(result_formats(&[0, 1], 2), Ok(vec![FieldFormat::Text, binary]));
    assert_eq!(result_formats(&[0, 1], 3).expect_err("too few").code, "08P01");
    assert_eq!(result_formats(&[2], 1).expect_err("unknown").code, "22023");
}
