//! COPY in JSON: an object a line, its members the columns' values.
//!
//! Law      a value is read as the text format reads what it stands for: a string its contents, a
//!          number or boolean as it is written, null NULL; an array, in an array column, its
//!          elements likewise; in a jsonb column any value itself. What is written reads back as
//!          the same row: numbers (NaN and infinities in quotes), booleans, arrays and jsonb as
//!          JSON has them, everything else as the text that it is printed as
//! Members  one that is absent is NULL. One that is no column's is refused, unless the COPY names
//!          its columns: then these are all that is wanted
//! Lines    empty ones are passed over
//! Errors   22P04 for a line that is no object, 22P02 and the like of the types; with their line

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use bytes::{BufMut, BytesMut};
use memchr::memchr;
use pgwire::api::results::FieldFormat;
use serde_json::{Map, Value};
use tidemark_catalog::PgType;
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::text_io::{InputSettings, OutputSettings};

use super::Column;
use super::options::Options;
use super::reader::{ReadRows, Sink};
use super::text::{Target, shortened};
use crate::wire::encode::ColumnEncoder;
use crate::wire::parameter::receive::valid_text;

/// Reads lines of JSON.
pub struct JsonReader {
    relation: String,
    columns: Vec<(Column, Target)>,
    names: HashSet<String>,
    /// Members that are no column's are nobody's.
    ignore_others: bool,
    /// The line read last, from 1.
    line: u64,
    scratch: String,
}

impl JsonReader {
    pub fn new(
        relation: &str,
        columns: Vec<Column>,
        options: &Options,
        input: &InputSettings,
    ) -> Result<JsonReader, SqlError> {
        let names = columns.iter().map(|column| column.name.clone()).collect();
        let columns = columns.into_iter().map(|column| {
            let target = Target::new(&column, input)?;
            Ok((column, target))
        });
        Ok(JsonReader {
            relation: relation.to_owned(),
            columns: columns.collect::<Result<_, SqlError>>()?,
            names,
            ignore_others: options.names_columns,
            line: 0,
            scratch: String::new(),
        })
    }

    fn row(&mut self, line: &str) -> Result<(), SqlError> {
        let object: Map<String, Value> = serde_json::from_str(line).map_err(|error| {
            let message = "a line is no JSON object";
            let error = SqlError::new(state::BAD_COPY_FILE_FORMAT, message)
                .with_detail(format!("{error}."));
            self.in_line(error, line)
        })?;
        let unknown = object.keys().find(|name| !self.names.contains(*name));
        if let (false, Some(name)) = (self.ignore_others, unknown) {
            let (table, message) = (&self.relation, format!("\"{name}\" is no column"));
            let error = SqlError::new(state::UNDEFINED_COLUMN, message)
                .with_hint(format!("COPY {table} (column, …) takes the named columns only."));
            return Err(self.in_line(error, line));
        }
        for (column, target) in &mut self.columns {
            let value = object.get(&column.name).unwrap_or(&Value::Null);
            self.scratch.clear();
            let text = text_of(value, column.ty, &mut self.scratch);
            if let Err(error) = target.append(text) {
                let shown =
                    text.map_or("null input".into(), |text| format!("\"{}\"", shortened(text)));
                let (relation, line, name) = (&self.relation, self.line, &column.name);
                let context = format!("COPY {relation}, line {line}, column {name}: {shown}");
                return Err(error.with_context(context));
            }
        }
        Ok(())
    }

    fn in_line(&self, error: SqlError, line: &str) -> SqlError {
        let shown = shortened(line);
        error.with_context(format!("COPY {}, line {}: \"{shown}\"", self.relation, self.line))
    }
}

impl ReadRows for JsonReader {
    fn read(&mut self, bytes: &[u8], at_end: bool, sink: &mut Sink) -> Result<usize, SqlError> {
        let mut used = 0;
        while !sink.is_full() {
            let rest = &bytes[used..];
            let (length, next) = match memchr(b'\n', rest) {
                Some(length) => (length, length + 1),
                None if at_end && !rest.is_empty() => (rest.len(), rest.len()),
                None => break,
            };
            self.line += 1;
            let line = valid_text(&rest[..length]).map_err(|error| {
                error.with_context(format!("COPY {}, line {}", self.relation, self.line))
            })?;
            if !line.trim().is_empty() {
                self.row(line)?;
                sink.lines.push(self.line);
            }
            used += next;
            sink.bytes += next;
        }
        Ok(used)
    }

    fn take(&mut self) -> Vec<ArrayRef> {
        self.columns.iter_mut().map(|(_, target)| target.finish()).collect()
    }
}

/// What the text format has for a value in a column of this type; `None` is NULL.
fn text_of<'a>(value: &'a Value, ty: PgType, scratch: &'a mut String) -> Option<&'a str> {
    match (value, ty) {
        (Value::Null, _) => return None,
        (Value::String(text), ty) if ty != PgType::Jsonb => return Some(text),
        (Value::Array(items), PgType::Array(element)) => array_literal(items, *element, scratch),
        (value, _) => scratch.push_str(&value.to_string()),
    }
    Some(scratch)
}

/// `{1,"two",NULL}`: elements that hold more than letters and digits are quoted.
fn array_literal(items: &[Value], element: PgType, out: &mut String) {
    out.push('{');
    for (number, item) in items.iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        if let (Value::Array(nested), true) = (item, element != PgType::Jsonb) {
            array_literal(nested, element, out);
            continue;
        }
        match text_of(item, element, &mut String::new()) {
            None => out.push_str("NULL"),
            Some(text) => {
                out.push('"');
                for character in text.chars() {
                    if matches!(character, '"' | '\\') {
                        out.push('\\');
                    }
                    out.push(character);
                }
                out.push('"');
            }
        }
    }
    out.push('}');
}

/// A column of a batch on its way out.
pub struct JsonColumn<'a> {
    /// `"name":`
    member: String,
    value: JsonValue<'a>,
}

enum JsonValue<'a> {
    Bool(ColumnEncoder<'a>),
    Number(ColumnEncoder<'a>),
    /// JSON already.
    Json(ColumnEncoder<'a>),
    Text(ColumnEncoder<'a>),
    List(&'a ListArray, Box<JsonValue<'a>>),
}

impl<'a> JsonColumn<'a> {
    /// Errors: 0A000 for an Arrow type that stands for no PostgreSQL type.
    pub fn new(
        name: &str,
        array: &'a ArrayRef,
        settings: &OutputSettings,
    ) -> Result<Self, SqlError> {
        let member = format!("{}:", Value::from(name));
        Ok(JsonColumn { member, value: JsonValue::new(array, settings)? })
    }

    /// Appends the member.
    pub fn write(&mut self, row: usize, scratch: &mut BytesMut, out: &mut BytesMut) {
        out.put_slice(self.member.as_bytes());
        self.value.write(row, scratch, out);
    }
}

impl<'a> JsonValue<'a> {
    fn new(array: &'a ArrayRef, settings: &OutputSettings) -> Result<Self, SqlError> {
        let text = |array| ColumnEncoder::new(array, FieldFormat::Text, settings);
        let ty = PgType::from_arrow(array.data_type()).map(|(ty, _)| ty);
        Ok(match ty {
            Some(PgType::Bool) => JsonValue::Bool(text(array)?),
            Some(
                PgType::Int2
                | PgType::Int4
                | PgType::Int8
                | PgType::Float4
                | PgType::Float8
                | PgType::Numeric
                | PgType::Oid,
            ) => JsonValue::Number(text(array)?),
            Some(PgType::Jsonb) => JsonValue::Json(text(array)?),
            Some(PgType::Array(_)) if array.as_list_opt::<i32>().is_some() => {
                let list = array.as_list::<i32>();
                JsonValue::List(list, Box::new(JsonValue::new(list.values(), settings)?))
            }
            _ => JsonValue::Text(text(array)?),
        })
    }

    fn write(&mut self, row: usize, scratch: &mut BytesMut, out: &mut BytesMut) {
        let (encoder, kind) = match self {
            JsonValue::List(list, _) if list.is_null(row) => return out.put_slice(b"null"),
            JsonValue::List(list, items) => {
                let offsets = list.value_offsets();
                out.put_u8(b'[');
                for (number, item) in (offsets[row]..offsets[row + 1]).enumerate() {
                    if number > 0 {
                        out.put_u8(b',');
                    }
                    items.write(item as usize, scratch, out);
                }
                return out.put_u8(b']');
            }
            JsonValue::Bool(encoder) => (encoder, Kind::Bool),
            JsonValue::Number(encoder) => (encoder, Kind::Number),
            JsonValue::Json(encoder) => (encoder, Kind::Json),
            JsonValue::Text(encoder) => (encoder, Kind::Text),
        };
        if encoder.is_null(row) {
            return out.put_slice(b"null");
        }
        scratch.clear();
        encoder.encode(row, scratch);
        match kind {
            Kind::Bool => out.put_slice(if scratch[..] == *b"t" { b"true" } else { b"false" }),
            Kind::Number if scratch.last().is_some_and(u8::is_ascii_digit) => {
                out.put_slice(scratch);
            }
            Kind::Json => out.put_slice(scratch),
            Kind::Number | Kind::Text => {
                let text = String::from_utf8_lossy(scratch);
                out.put_slice(Value::from(text.as_ref()).to_string().as_bytes());
            }
        }
    }
}

enum Kind {
    Bool,
    Number,
    Json,
    Text,
}
