//! Parameters as clients send them, good and bad. The values of every type in binary are proved
//! beside their encoders.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use tidemark_sql::error::SqlError;
use tidemark_sql::text_io::InputSettings;

use super::decode;

fn decoded(
    types: &[DataType],
    formats: &[i16],
    values: &[Option<&[u8]>],
) -> Result<Vec<ScalarValue>, SqlError> {
    decode(types, formats, values, &InputSettings::default())
}

fn message(types: &[DataType], formats: &[i16], values: &[Option<&[u8]>]) -> String {
    let error = decoded(types, formats, values).expect_err("no such value");
    format!("{} {}", error.code, error.message)
}

#[test]
fn text_and_binary_mix() {
    let types = [DataType::Int16, DataType::Utf8, DataType::Int64, DataType::Boolean];
    let values: [Option<&[u8]>; 4] = [Some(b"\0\x07"), Some("é".as_bytes()), Some(b" 12"), None];
    assert_eq!(
        decoded(&types, &[1, 0, 0, 1], &values),
        Ok(vec![
            ScalarValue::Int16(Some(7)),
            ScalarValue::Utf8(Some("é".to_owned())),
            ScalarValue::Int64(Some(12)),
            ScalarValue::Boolean(None),
        ])
    );
}

#[test]
fn a_parameter_nobody_typed_is_text() {
    assert_eq!(
        decoded(&[DataType::Null], &[], &[Some(b"x")]),
        Ok(vec![ScalarValue::Utf8(Some("x".to_owned()))])
    );
}

#[test]
fn numerics_take_their_columns_scale() {
    let bytes = b"\0\x02\0\0\0\0\0\x03\0\x01\x13\x8d"; // 1.5005, sent as 1.500
    assert_eq!(
        decoded(&[DataType::Decimal128(10, 3)], &[1], &[Some(bytes)]),
        Ok(vec![ScalarValue::Decimal128(Some(1501), 10, 3)])
    );
    let huge = b"\0\x01\0\x05\0\0\0\0\0\x01"; // 10^20
    let text = message(&[DataType::Decimal128(10, 2)], &[1], &[Some(huge)]);
    assert_eq!(text, "22003 numeric field overflow");
    let nan = b"\0\0\0\0\xc0\0\0\0";
    assert!(decoded(&[DataType::Decimal128(10, 2)], &[1], &[Some(nan)]).is_err());
}

#[test]
fn what_is_no_value_is_refused() {
    let int = [DataType::Int32];
    assert_eq!(
        message(&int, &[0], &[Some(b"x")]),
        "22P02 invalid input syntax for type integer: \"x\""
    );
    assert_eq!(
        message(&int, &[1], &[Some(b"\0\0\0\0\0")]),
        "22P03 incorrect binary data format in bind parameter 1"
    );
    assert_eq!(message(&int, &[1], &[Some(b"\0")]), "08P01 insufficient data left in message");
    assert_eq!(
        message(&[DataType::Utf8], &[0], &[Some(b"a\xffb")]),
        "22021 invalid byte sequence for encoding \"UTF8\": 0xff"
    );
    assert_eq!(
        message(&[DataType::Utf8], &[1], &[Some(b"a\0b")]),
        "22021 invalid byte sequence for encoding \"UTF8\": 0x00"
    );
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, None);
    let early = (i64::MIN + 1).to_be_bytes();
    assert_eq!(message(&[timestamp], &[1], &[Some(&early)]), "22008 timestamp out of range");
    assert_eq!(
        message(&[DataType::LargeUtf8], &[1], &[Some(b"\x02{}")]),
        "XX000 unsupported jsonb version number 2"
    );
}

#[test]
fn counts_must_agree() {
    let int = DataType::Int32;
    assert_eq!(
        message(std::slice::from_ref(&int), &[], &[None, None]),
        "08P01 bind message supplies 2 parameters, but 1 are required"
    );
    assert_eq!(
        message(&[int.clone(), int], &[0, 0, 0], &[None, None]),
        "08P01 bind message has 3 parameter formats but 2 parameters"
    );
}

#[test]
fn arrays_are_checked() {
    use std::sync::Arc;
    let item = Arc::new(arrow::datatypes::Field::new("item", DataType::Int32, true));
    let list = [DataType::List(item)];
    let array = |words: &[i32]| words.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<u8>>();
    let refused = |words: &[i32]| message(&list, &[1], &[Some(&array(words))]);
    assert_eq!(
        refused(&[1, 0, 25, 1, 1, 1, 0]),
        "42804 binary data has array element type 25 (text) instead of expected 23 (int4)"
    );
    assert_eq!(refused(&[2, 0, 23, 1, 1, 1, 1, 4, 7]).split(' ').next(), Some("0A000"));
    assert_eq!(
        refused(&[9, 0, 23]),
        "54000 number of array dimensions (9) exceeds the maximum allowed (6)"
    );
    assert_eq!(refused(&[1, 5, 23, 0, 1]), "22P03 invalid array flags");
    assert_eq!(refused(&[1, 0, 23, 1_000_000, 1]), "08P01 insufficient data left in message");
    assert_eq!(
        refused(&[1, 0, 23, 1, 1, 4, 7, 7]),
        "22P03 incorrect binary data format in bind parameter 1"
    );
}
