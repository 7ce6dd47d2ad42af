//! COPY against what PostgreSQL 15 did with the same input (`tests/from.txt`, `tests/to.txt`), cut
//! at every byte; and round trips of random rows.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use bytes::{Buf, BytesMut};
use proptest::prelude::*;
use tidemark_catalog::PgType;
use tidemark_sql::error::SqlError;
use tidemark_sql::parse::{CopyDirection, CopyHeader as Header};
use tidemark_sql::text_io::{InputSettings, OutputSettings};

use super::{Column, Format, Options, Reader, Writer};

/// A case of the golden files: its lines by their keys.
struct Case<'a> {
    name: &'a str,
    lines: Vec<(&'a str, &'a str)>,
}

impl<'a> Case<'a> {
    fn all(file: &'a str) -> Vec<Case<'a>> {
        let cases = file.split("\n## ").skip(1);
        let cases = cases.map(|case| {
            let (name, body) = case.split_once('\n').expect("a name and a body");
            let lines = body.lines().filter(|line| !line.is_empty());
            let lines = lines.map(|line| line.split_once(':').expect("key: value"));
            let lines = lines.map(|(key, value)| (key, value.strip_prefix(' ').unwrap_or(value)));
            Case { name, lines: lines.collect() }
        });
        cases.collect()
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.lines.iter().find(|line| line.0 == key).map(|line| line.1)
    }

    fn bytes(&self, key: &str) -> Vec<u8> {
        unescape(self.get(key).unwrap_or_else(|| panic!("{}: no {key}", self.name)))
    }

    fn columns(&self) -> Vec<Column> {
        let text = String::from_utf8(self.bytes("columns")).expect("names are text");
        columns(&text)
    }

    fn options(&self, direction: CopyDirection) -> Result<Options, SqlError> {
        let words = self.get("options").unwrap_or_default();
        let words: Vec<_> = words.split(' ').filter(|word| !word.is_empty()).collect();
        let mut options = match () {
            () if words.contains(&"format=csv") => Options::csv(),
            () if words.contains(&"format=binary") => Options::binary(),
            () => Options::text(),
        };
        for word in words {
            let (key, value) = word.split_once('=').expect("key=value");
            let value = String::from_utf8(unescape(value)).expect("options are text");
            let byte = value.as_bytes().first().copied();
            let names = || value.split(',').map(str::to_owned).filter(|name| name != "*");
            match key {
                "format" => {}
                "delimiter" => options.delimiter = byte.expect("a delimiter"),
                "null" => options.null = value,
                "header" if value == "match" => options.header = Header::Match,
                "header" => options.header = Header::Present,
                "quote" => {
                    options.quote = byte.expect("a quote");
                    options.escape = options.quote;
                }
                "escape" => options.escape = byte.expect("an escape"),
                "force_quote" => options.force_quote = Some(names().collect()),
                "force_null" => options.force_null = names().collect(),
                "force_not_null" => options.force_not_null = names().collect(),
                other => panic!("unknown option {other}"),
            }
        }
        options.check(direction)?;
        Ok(options)
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, (c == '\\').then(|| rest.next()).flatten()) {
            ('\\', Some('n')) => bytes.push(b'\n'),
            ('\\', Some('r')) => bytes.push(b'\r'),
            ('\\', Some('t')) => bytes.push(b'\t'),
            ('\\', Some('x')) => {
                let digits: String = rest.by_ref().take(2).collect();
                bytes.push(u8::from_str_radix(&digits, 16).expect("two hex digits"));
            }
            ('\\', _) => bytes.push(b'\\'),
            (c, _) => bytes.extend(c.to_string().bytes()),
        }
    }
    bytes
}

fn columns(text: &str) -> Vec<Column> {
    let columns = text.split(", ").filter(|column| !column.is_empty());
    let columns = columns.map(|column| {
        let (name, ty) = column.rsplit_once(' ').expect("name type");
        let (ty, typmod) = PgType::parse(ty).expect("a known type");
        Column { name: name.trim_matches('"').to_owned(), ty, typmod, implied: false }
    });
    columns.collect()
}

/// Reads pieces; the rows as one batch.
fn read<'a>(
    columns: &[Column],
    options: &Options,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<RecordBatch, SqlError> {
    let input = InputSettings::default();
    let mut reader = Reader::new("t", columns.to_vec(), options, &input)?;
    let mut rows = Vec::new();
    for piece in pieces {
        rows.extend(reader.feed(piece)?);
    }
    rows.extend(reader.finish()?);
    let batches: Vec<_> = rows.into_iter().map(|rows| rows.batch).collect();
    Ok(concat_batches(&reader.schema(), &batches).expect("the same columns"))
}

fn write(batch: &RecordBatch, options: &Options) -> Result<Vec<u8>, SqlError> {
    let mut writer = Writer::new(&batch.schema(), options, &OutputSettings::default())?;
    let mut out = BytesMut::new();
    writer.begin(&mut out);
    let mut rows = writer.batch(batch)?;
    while rows.write(&mut out) {}
    drop(rows);
    writer.end(&mut out);
    let mut data = Vec::new();
    while !out.is_empty() {
        assert_eq!(out.get_u8(), b'd');
        let length = out.get_u32() as usize - 4;
        data.extend_from_slice(&out.split_to(length));
    }
    Ok(data)
}

/// What the golden file says of a result.
fn shown(result: &Result<RecordBatch, SqlError>) -> String {
    match result {
        Ok(batch) => {
            let text = write(batch, &Options::text()).expect("every type can be written");
            String::from_utf8(text).expect("text is UTF-8")
        }
        Err(error) => {
            let mut text = format!("{} {}\n", error.code, error.message);
            for part in [&error.hint, &error.detail] {
                text.extend(part.iter().map(|part| format!("{part}\n")));
            }
            text.extend(error.context.iter().map(|context| format!("{context}\n")));
            text
        }
    }
}

fn expected(case: &Case<'_>) -> String {
    let mut text = String::new();
    for (key, value) in &case.lines {
        if matches!(*key, "options" | "columns" | "input") {
            continue;
        }
        let value = if matches!(*key, "row" | "context") {
            String::from_utf8(unescape(value)).expect("text")
        } else {
            (*value).to_owned()
        };
        text.push_str(&value);
        text.push('\n');
    }
    text
}

#[test]
fn reads_as_postgres_does_however_the_bytes_are_cut() {
    let mut wrong = Vec::new();
    for case in Case::all(include_str!("tests/from.txt")) {
        let (columns, input) = (case.columns(), case.bytes("input"));
        let options = match case.options(CopyDirection::FromStdin) {
            Ok(options) => options,
            Err(error) => {
                let (got, expected) = (shown(&Err(error)), expected(&case));
                if got != expected {
                    wrong.push(format!("{}\n got {got}\n not {expected}", case.name));
                }
                continue;
            }
        };
        let mut check = |how: String, result| {
            let (got, expected) = (shown(&result), expected(&case));
            if got != expected {
                wrong.push(format!("{} ({how})\n got {got}\n not {expected}", case.name));
            }
        };
        check("whole".to_owned(), read(&columns, &options, [input.as_slice()]));
        for cut in 0..=input.len() {
            let (first, second) = input.split_at(cut);
            check(format!("cut at {cut}"), read(&columns, &options, [first, second]));
        }
        check("byte by byte".to_owned(), read(&columns, &options, input.chunks(1)));
    }
    assert!(wrong.is_empty(), "{} wrong, the first:\n{}", wrong.len(), wrong[0]);
}

#[test]
fn writes_as_postgres_does() {
    for case in Case::all(include_str!("tests/to.txt")) {
        let batch = read(&case.columns(), &Options::text(), [case.bytes("input").as_slice()]);
        let batch = batch.expect("what COPY TO wrote");
        let options = case.options(CopyDirection::ToStdout);
        match options.and_then(|options| write(&batch, &options)) {
            Ok(written) => {
                let (written, expected) = (written, case.bytes("output"));
                assert_eq!(
                    String::from_utf8_lossy(&written),
                    String::from_utf8_lossy(&expected),
                    "{}",
                    case.name
                );
                assert_eq!(written, expected, "{}", case.name);
            }
            Err(error) => {
                let text = format!("{} {}", error.code, error.message);
                assert_eq!(Some(text.as_str()), case.get("error"), "{}", case.name);
            }
        }
    }
}

/// Rows of one column of each kind that matters to the formats, as COPY text.
const COLUMNS: &str = "a int4, b text, c numeric(10,2), d bytea, e int4[]";

fn text_value() -> impl Strategy<Value = Option<String>> {
    let piece = prop_oneof![
        Just("\\".to_owned()),
        Just("\"".to_owned()),
        Just("'".to_owned()),
        Just(",".to_owned()),
        Just("\t".to_owned()),
        Just("\n".to_owned()),
        Just("\r".to_owned()),
        Just("\\N".to_owned()),
        Just("\\.".to_owned()),
        Just(".".to_owned()),
        Just("é".to_owned()),
        Just("😀".to_owned()),
        "[a-z \u{1}-\u{1f}]{0,3}",
    ];
    proptest::option::of(proptest::collection::vec(piece, 0..5).prop_map(|parts| parts.concat()))
}

type Row = (Option<i32>, Option<String>, Option<i64>, Option<Vec<u8>>, Option<Vec<Option<i32>>>);

fn row() -> impl Strategy<Value = Row> {
    (
        any::<Option<i32>>(),
        text_value(),
        proptest::option::of(-9_999_999_999i64..9_999_999_999),
        any::<Option<Vec<u8>>>(),
        proptest::option::of(proptest::collection::vec(any::<Option<i32>>(), 0..4)),
    )
}

fn batch_of(rows: &[Row]) -> RecordBatch {
    use arrow::array::{ArrayRef, BinaryArray, Decimal128Array, Int32Array, StringArray};
    use arrow::array::{builder::ListBuilder, builder::PrimitiveBuilder, types::Int32Type};
    use std::sync::Arc;
    let decimals: Decimal128Array = rows.iter().map(|row| row.2.map(i128::from)).collect();
    let mut lists = ListBuilder::new(PrimitiveBuilder::<Int32Type>::new());
    for row in rows {
        lists.append_option(row.4.clone());
    }
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<Int32Array>()),
        Arc::new(rows.iter().map(|row| row.1.as_deref()).collect::<StringArray>()),
        Arc::new(decimals.with_precision_and_scale(10, 2).expect("in range")),
        Arc::new(rows.iter().map(|row| row.3.as_deref()).collect::<BinaryArray>()),
        Arc::new(lists.finish()),
    ];
    let input = InputSettings::default();
    let reader = Reader::new("t", columns(COLUMNS), &Options::text(), &input);
    let schema = reader.expect("known types").schema();
    RecordBatch::try_new(schema, arrays).expect("the columns of COLUMNS")
}

fn any_options() -> impl Strategy<Value = Options> {
    let csv = (prop_oneof![Just(b','), Just(b';'), Just(b'\t')], any::<[bool; 4]>());
    let csv = csv.prop_map(|(delimiter, [quote, escape, all, header])| Options {
        delimiter,
        quote: if quote { b'\'' } else { b'"' },
        escape: if escape {
            b'\\'
        } else if quote {
            b'\''
        } else {
            b'"'
        },
        force_quote: all.then(Vec::new),
        header: if header { Header::Present } else { Header::Absent },
        ..Options::csv()
    });
    prop_oneof![
        Just(Options::text()),
        Just(Options { delimiter: b',', null: "NULL".to_owned(), ..Options::text() }),
        csv,
        Just(Options::binary()),
    ]
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        rows in proptest::collection::vec(row(), 0..6),
        options in any_options(),
        piece in 1usize..40,
    ) {
        let batch = batch_of(&rows);
        let written = write(&batch, &options).expect("every type can be written");
        let options = Options { force_quote: None, ..options };
        let back = read(&columns(COLUMNS), &options, written.chunks(piece));
        prop_assert_eq!(back.expect("what was written"), batch);
    }

    #[test]
    fn no_input_panics(
        bytes in proptest::collection::vec(
            prop_oneof![4 => proptest::sample::select(&b"\\\"',\t\n\r.N1a"[..]), 1 => any::<u8>()],
            0..60,
        ),
        options in any_options(),
        piece in 1usize..20,
    ) {
        let whole = read(&columns("a text, b text"), &options, [bytes.as_slice()]);
        let pieces = read(&columns("a text, b text"), &options, bytes.chunks(piece));
        prop_assert_eq!(shown(&whole), shown(&pieces));
    }
}

#[test]
fn binary_input_that_is_none() {
    let options = Options::binary();
    let header = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".as_slice();
    let row = |bytes: &[u8]| [header, bytes].concat();
    let message = |bytes: &[u8]| {
        let columns = columns("a int4, b text");
        let error = read(&columns, &options, [bytes]).expect_err("no rows");
        let context = error.context.as_deref().unwrap_or("-").to_owned();
        format!("{} {} · {context}", error.code, error.message)
    };
    let cases: [(Vec<u8>, &str); 9] = [
        (b"1\tx\n".to_vec(), "22P04 COPY file signature not recognized · -"),
        (header[..13].to_vec(), "22P04 invalid COPY file header (missing flags) · -"),
        (
            b"PGCOPY\n\xff\r\n\0\0\x01\0\0\0\0\0\0".to_vec(),
            "22P04 invalid COPY file header (WITH OIDS) · -",
        ),
        (row(b"\0\x01"), "22P04 row field count is 1, expected 2 · COPY t, line 1"),
        (
            row(b"\0\x02\0\0\0\x04\0"),
            "22P04 unexpected EOF in COPY data · COPY t, line 1, column a",
        ),
        (row(b"\0\x02\xff\xff\xff\xfe"), "22P04 invalid field size · COPY t, line 1, column a"),
        (
            row(b"\0\x02\0\0\0\x05\0\0\0\0\0\xff\xff\xff\xff"),
            "22P03 incorrect binary data format · COPY t, line 1, column a",
        ),
        (
            row(b"\0\x02\0\0\0\x02\0\0\xff\xff\xff\xff"),
            "08P01 insufficient data left in message · COPY t, line 1, column a",
        ),
        (row(b"\xff\xffx"), "22P04 received copy data after EOF marker · COPY t, line 1"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(message(&bytes), expected);
    }
}

#[test]
fn formats_of_the_statement() {
    assert_eq!(Options::text().format, Format::Text);
    let options = Options { delimiter: b'\n', ..Options::text() };
    let error = options.check(CopyDirection::FromStdin).expect_err("no delimiter");
    assert_eq!(error.message, "COPY delimiter cannot be newline or carriage return");
}

/// `cargo test --release -p tidemark-server copy::tests::speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn speed() {
    let columns = columns("a int8, b int4, c float8, d timestamptz, e text");
    let mut line = String::new();
    for row in 0..200_000u64 {
        let fraction = row % 1000;
        line.push_str(&format!(
            "{row}\t{}\t{}.25\t2026-11-23 12:{:02}:{:02}.{fraction:03}+00\tuser {row}\n",
            row % 977,
            row % 31,
            row / 60 % 60,
            row % 60,
        ));
    }
    let start = std::time::Instant::now();
    let batch = read(&columns, &Options::text(), line.as_bytes().chunks(64 * 1024));
    let batch = batch.expect("well formed");
    let rate = |rows: usize, start: std::time::Instant| rows as f64 / start.elapsed().as_secs_f64();
    println!("text in    {:.2} M rows/s", rate(batch.num_rows(), start) / 1e6);
    for (name, options) in
        [("text", Options::text()), ("csv", Options::csv()), ("binary", Options::binary())]
    {
        let start = std::time::Instant::now();
        let written = write(&batch, &options).expect("every type can be written");
        println!("{name} out {:.2} M rows/s", rate(batch.num_rows(), start) / 1e6);
        let start = std::time::Instant::now();
        let back = read(&columns, &options, written.chunks(64 * 1024)).expect("what was written");
        println!("{name} in {:.2} M rows/s", rate(back.num_rows(), start) / 1e6);
    }
}
