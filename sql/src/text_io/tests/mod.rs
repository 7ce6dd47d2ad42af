//! Input and output against what PostgreSQL 15 did with the same text (`cases.txt`), and laws that
//! hold for every value.

use std::fmt::Write;

use arrow::datatypes::{DataType, IntervalMonthDayNano};
use tidemark_catalog::PgType;

use super::{InputSettings, OutputSettings, column_parser, format_value, interval, jsonb};

/// Where we answer otherwise on purpose; each with its reason.
const DIFFERENT: &[(&str, &str, &str)] =
    &[("double precision", "0x1p3", "hexadecimal floats are not read")];

fn unescape(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\t", "\t")
}

fn escape(text: &str) -> String {
    text.replace('\n', "\\n").replace('\t', "\\t")
}

/// What reading and printing gives, in the words of `cases.txt`.
fn answer(ty: &DataType, input: &str) -> String {
    let settings = InputSettings::default();
    let mut parser = column_parser(ty, &settings, 1).expect("a type with a text form");
    if let Err(error) = parser.append(input) {
        assert_eq!(parser.len(), 0, "a failed append appends nothing");
        return format!("ERROR {}: {}", error.code, error.message);
    }
    let mut out = String::new();
    format_value(parser.finish().as_ref(), 0, &mut out, &OutputSettings::default());
    out
}

#[test]
fn agrees_with_postgres() {
    let mut wrong = String::new();
    for line in include_str!("cases.txt").lines().filter(|line| !line.starts_with('#')) {
        let mut parts = line.split(" ==> ");
        let (name, input) = (parts.next().expect("type"), parts.next().expect("input"));
        let expected = parts.next().unwrap_or("");
        if DIFFERENT.iter().any(|(ty, text, _)| *ty == name && *text == input) {
            continue;
        }
        let (ty, typmod) = PgType::parse(name).expect("a type we have");
        // Escapes of the file look like those of JSON, bytea and arrays; none of those has a
        // newline of its own.
        let raw = matches!(name, "jsonb" | "bytea") || name.ends_with("[]");
        let input = if raw && input != "\"a\\tb\"" { input.to_string() } else { unescape(input) };
        let got = escape(&answer(&ty.to_arrow(typmod), &input));
        if got != expected {
            writeln!(wrong, "{name} {input:?}\n    postgres {expected}\n    here     {got}")
                .expect("writing to a String");
        }
    }
    assert!(wrong.is_empty(), "differs from PostgreSQL:\n{wrong}");
}

#[test]
fn numeric_without_modifier_drops_zeros_and_quotients_keep_them() {
    assert_eq!(answer(&DataType::Decimal128(38, 20), "1.500"), "1.5");
    assert_eq!(answer(&DataType::Decimal128(38, 20), "100"), "100");
    assert_eq!(answer(&DataType::Decimal128(38, 20), "-0.000000000000001"), "-0.000000000000001");
    assert_eq!(answer(&DataType::Decimal128(37, 20), "2.5"), "2.5000000000000000");
}

#[test]
fn infinity_is_refused() {
    for ty in ["date", "timestamp", "timestamptz"] {
        let (ty, typmod) = PgType::parse(ty).expect("a type");
        assert!(answer(&ty.to_arrow(typmod), "infinity").starts_with("ERROR 0A000"));
        assert!(answer(&ty.to_arrow(typmod), "-infinity").starts_with("ERROR 0A000"));
        assert!(answer(&ty.to_arrow(typmod), "now").starts_with("ERROR 0A000"));
    }
}

#[test]
fn a_bad_list_leaves_the_rows_before_it() {
    let ty = DataType::new_list(DataType::Int32, true);
    let mut parser = column_parser(&ty, &InputSettings::default(), 2).expect("a list of integers");
    parser.append("{1,2}").expect("a list");
    parser.append("{3,4,x}").expect_err("x is no integer");
    parser.append_null();
    parser.append("{5}").expect("a list");
    let array = parser.finish();
    let mut out = String::new();
    for row in 0..array.len() {
        out.push(' ');
        if !format_value(array.as_ref(), row, &mut out, &OutputSettings::default()) {
            out.push_str("NULL");
        }
    }
    assert_eq!(out, " {1,2} NULL {5}");
}

#[test]
fn nested_lists_nest() {
    let ty = DataType::new_list(DataType::new_list(DataType::Utf8, true), true);
    assert_eq!(answer(&ty, r#"{{a,"b}"},{"",NULL}}"#), r#"{{a,"b}"},{"",NULL}}"#);
}

/// A small generator of numbers: the same at every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn floats_read_back() {
    let mut numbers = Numbers(42);
    let mut out = String::new();
    for _ in 0..20_000 {
        let value = f64::from_bits(numbers.next());
        out.clear();
        super::float::format_float8(value, &mut out);
        let back = super::float::parse_float8(&out).expect("what was printed");
        assert!(back == value || value.is_nan(), "{out}");
        let value = f32::from_bits(numbers.next() as u32);
        out.clear();
        super::float::format_float4(value, &mut out);
        let back = super::float::parse_float4(&out).expect("what was printed");
        assert!(back == value || value.is_nan(), "{out}");
    }
}

#[test]
fn intervals_read_back() {
    let mut numbers = Numbers(7);
    for _ in 0..20_000 {
        let part = |bits: u32, n: u64| (n % (1 << bits)) as i64 - (1 << (bits - 1));
        let months = part(16, numbers.next()) as i32;
        let days = part(20, numbers.next()) as i32;
        let micros = part(42, numbers.next());
        let value = IntervalMonthDayNano::new(months, days, micros * 1_000);
        let mut out = String::new();
        interval::format(value, &mut out);
        assert_eq!(interval::parse(&out).expect("what was printed"), value, "{out}");
    }
}

#[test]
fn timestamps_read_back() {
    let mut numbers = Numbers(9);
    for _ in 0..20_000 {
        let micros = (numbers.next() % 400_000_000_000_000_000) as i64 - 200_000_000_000_000_000;
        let mut out = String::new();
        super::datetime::format_timestamptz(micros, &super::Zone::Fixed(19_845), &mut out);
        let settings = InputSettings::default();
        let back = super::datetime::parse_timestamptz(&out, &settings);
        assert_eq!(back.expect("what was printed"), micros, "{out}");
    }
}

#[test]
fn canonical_json_is_its_own_canonical_form() {
    for text in [r#"{"b":[1,{"z":1,"aa":"\n"}],"a":1e-2}"#, r#"["\u001f",{}]"#] {
        let mut canonicalizer = jsonb::Canonicalizer::default();
        let (mut once, mut twice) = (String::new(), String::new());
        canonicalizer.append(text, &mut once).expect("json");
        canonicalizer.append(&once, &mut twice).expect("canonical json");
        assert_eq!(once, twice);
    }
}

#[test]
fn deep_json_is_refused() {
    let text = "[".repeat(100_000);
    let mut out = String::new();
    let error = jsonb::Canonicalizer::default().append(&text, &mut out).expect_err("too deep");
    assert_eq!(error.code, "54001");
}
