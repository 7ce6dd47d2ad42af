//! A system relation's columns: each is a name, a Postgres type and the way to its value, in one
//! line, so that a relation reads like its documentation.
//!
//! Law      values fit their column's type; a column that isn't declared optional has no NULL (both
//!          asserted, and walked by a test for every relation)

use std::borrow::Borrow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array,
    IntervalMonthDayNanoArray, ListBuilder, PrimitiveBuilder, StringArray, StringBuilder,
    TimestampMicrosecondArray, UInt32Array, new_null_array,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float64Type, Int16Type, IntervalMonthDayNano, UInt32Type,
};

use crate::length::Length;
use crate::object::{CommitTime, Oid};
use crate::pg_type::PgType;

/// A column as pg_attribute describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemColumn {
    pub name: &'static str,
    pub ty: PgType,
    pub not_null: bool,
}

/// A column of a relation whose rows are `R`s.
pub(super) struct Column<R> {
    described: SystemColumn,
    source: Source<R>,
}

enum Source<R> {
    Row(for<'a> fn(&'a R) -> Value<'a>),
    Fixed(Value<'static>),
}

/// One value on its way into an Arrow array.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Oid(Oid),
    Text(&'a str),
    Owned(String),
    Char(char),
    Time(CommitTime),
    Interval(Length),
    Ints(Vec<i16>),
    Oids(Vec<Oid>),
    Texts(Vec<String>),
    Floats(Vec<f64>),
}

/// The row of a relation that is always empty.
pub(super) enum NoRow {}

/// NOT NULL, computed from the row.
pub(super) const fn column<R>(
    name: &'static str,
    ty: PgType,
    value: for<'a> fn(&'a R) -> Value<'a>,
) -> Column<R> {
    let described = SystemColumn { name, ty, not_null: true };
    Column { described, source: Source::Row(value) }
}

/// Nullable, computed from the row.
pub(super) const fn optional<R>(
    name: &'static str,
    ty: PgType,
    value: for<'a> fn(&'a R) -> Value<'a>,
) -> Column<R> {
    let described = SystemColumn { name, ty, not_null: false };
    Column { described, source: Source::Row(value) }
}

/// NOT NULL, the same in every row.
pub(super) const fn fixed<R>(name: &'static str, ty: PgType, value: Value<'static>) -> Column<R> {
    let described = SystemColumn { name, ty, not_null: true };
    Column { described, source: Source::Fixed(value) }
}

/// NULL in every row.
pub(super) const fn null<R>(name: &'static str, ty: PgType) -> Column<R> {
    let described = SystemColumn { name, ty, not_null: false };
    Column { described, source: Source::Fixed(Value::Null) }
}

/// NOT NULL, in a relation without rows.
pub(super) const fn declared(name: &'static str, ty: PgType) -> Column<NoRow> {
    let described = SystemColumn { name, ty, not_null: true };
    Column { described, source: Source::Fixed(Value::Null) }
}

/// The columns as pg_attribute has them.
pub(super) fn describe<R>(columns: &[Column<R>]) -> Vec<SystemColumn> {
    columns.iter().map(|column| column.described).collect()
}

/// One array per column.
pub(super) fn build<R, I>(columns: &[Column<R>], rows: I) -> Vec<ArrayRef>
where
    I: IntoIterator,
    I::Item: Borrow<R>,
{
    let rows: Vec<I::Item> = rows.into_iter().collect();
    columns.iter().map(|column| array(column, &rows)).collect()
}

/// The arrays of a relation without rows.
pub(super) fn no_rows(columns: &[Column<NoRow>]) -> Vec<ArrayRef> {
    build(columns, std::iter::empty::<NoRow>())
}

fn array<R, B: Borrow<R>>(column: &Column<R>, rows: &[B]) -> ArrayRef {
    let SystemColumn { name, ty, .. } = column.described;
    let data_type = ty.to_arrow(-1);
    match &column.source {
        Source::Fixed(Value::Null) => new_null_array(&data_type, rows.len()),
        Source::Fixed(value) => {
            fill(name, &data_type, std::iter::repeat_n(value.clone(), rows.len()))
        }
        Source::Row(value) => fill(name, &data_type, rows.iter().map(|row| value(row.borrow()))),
    }
}

fn fill<'a>(name: &str, data_type: &DataType, values: impl Iterator<Item = Value<'a>>) -> ArrayRef {
    /// One arm for each pair of Arrow array and the values that go into it.
    macro_rules! collect {
        ($array:ty, $($pattern:pat => $item:expr),+) => {
            Arc::new(values.map(|value| match value {
                Value::Null => None,
                $($pattern => Some($item),)+
                #[allow(unreachable_patterns, reason = "patterns differ from arm to arm")]
                other => misfit(name, &other),
            }).collect::<$array>())
        };
    }
    match data_type {
        DataType::Boolean => collect!(BooleanArray, Value::Bool(v) => v),
        DataType::Int16 => collect!(Int16Array, Value::Int(v) => narrow(name, v)),
        DataType::Int32 => collect!(Int32Array, Value::Int(v) => narrow(name, v)),
        DataType::Int64 => collect!(Int64Array, Value::Int(v) => v),
        DataType::Float32 => collect!(Float32Array, Value::Float(v) => v as f32),
        DataType::Float64 => collect!(Float64Array, Value::Float(v) => v),
        DataType::UInt32 => collect!(UInt32Array, Value::Oid(v) => v.0),
        DataType::Utf8 => collect!(StringArray,
            Value::Text(v) => v.to_owned(), Value::Owned(v) => v, Value::Char(v) => v.to_string()),
        DataType::Timestamp(_, zone) => {
            let microseconds = values.map(|value| match value {
                Value::Null => None,
                // "For ever" has no timestamp: it is NULL.
                Value::Time(v) => i64::try_from(v.0).ok(),
                other => misfit(name, &other),
            });
            let array: TimestampMicrosecondArray = microseconds.collect();
            Arc::new(array.with_timezone_opt(zone.clone()))
        }
        DataType::Interval(_) => collect!(IntervalMonthDayNanoArray,
            Value::Interval(v) => interval(name, v)),
        DataType::List(item) => match item.data_type() {
            DataType::Int16 => lists::<Int16Type>(values.map(|value| match value {
                Value::Null => None,
                Value::Ints(v) => Some(v),
                other => misfit(name, &other),
            })),
            DataType::UInt32 => lists::<UInt32Type>(values.map(|value| match value {
                Value::Null => None,
                Value::Oids(v) => Some(v.into_iter().map(|oid| oid.0).collect()),
                other => misfit(name, &other),
            })),
            DataType::Float64 => lists::<Float64Type>(values.map(|value| match value {
                Value::Null => None,
                Value::Floats(v) => Some(v),
                other => misfit(name, &other),
            })),
            DataType::Utf8 => text_lists(values.map(|value| match value {
                Value::Null => None,
                Value::Texts(v) => Some(v),
                other => misfit(name, &other),
            })),
            _ => nulls(name, data_type, values),
        },
        _ => nulls(name, data_type, values),
    }
}

fn interval(name: &str, length: Length) -> IntervalMonthDayNano {
    let (days, us) = length.days_and_us();
    let (days, us) = (narrow(name, as_int(days)), as_int(us));
    IntervalMonthDayNano::new(0, days, us * 1_000)
}

/// For ever is longer than anything.
fn as_int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn misfit(column: &str, value: &Value<'_>) -> ! {
    panic!("column {column}: {value:?} does not fit its type")
}

fn narrow<T: TryFrom<i64>>(name: &str, value: i64) -> T {
    T::try_from(value).unwrap_or_else(|_| panic!("column {name}: {value} is out of range"))
}

/// A column of a type that no system relation has a value of.
fn nulls<'a>(
    name: &str,
    data_type: &DataType,
    values: impl Iterator<Item = Value<'a>>,
) -> ArrayRef {
    let all_null = values.inspect(|value| {
        if *value != Value::Null {
            misfit(name, value)
        }
    });
    new_null_array(data_type, all_null.count())
}

fn lists<T: ArrowPrimitiveType>(values: impl Iterator<Item = Option<Vec<T::Native>>>) -> ArrayRef {
    let mut builder = ListBuilder::new(PrimitiveBuilder::<T>::new());
    for value in values {
        builder.append_option(value.map(|items| items.into_iter().map(Some)));
    }
    Arc::new(builder.finish())
}

fn text_lists(values: impl Iterator<Item = Option<Vec<String>>>) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for value in values {
        builder.append_option(value.map(|items| items.into_iter().map(Some)));
    }
    Arc::new(builder.finish())
}

impl<'a> Value<'a> {
    /// NULL for `None`.
    pub(super) fn or_null<T: Into<Value<'a>>>(value: Option<T>) -> Value<'a> {
        value.map_or(Value::Null, Into::into)
    }

    /// The standard's boolean.
    pub(super) fn yes_or_no(value: bool) -> Value<'static> {
        Value::Text(if value { "YES" } else { "NO" })
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<i16> for Value<'_> {
    fn from(value: i16) -> Self {
        Value::Int(i64::from(value))
    }
}

impl From<i32> for Value<'_> {
    fn from(value: i32) -> Self {
        Value::Int(i64::from(value))
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl From<Oid> for Value<'_> {
    fn from(value: Oid) -> Self {
        Value::Oid(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Value::Text(value)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(value: &'a String) -> Self {
        Value::Text(value)
    }
}

impl From<String> for Value<'_> {
    fn from(value: String) -> Self {
        Value::Owned(value)
    }
}

impl From<char> for Value<'_> {
    fn from(value: char) -> Self {
        Value::Char(value)
    }
}

impl From<Length> for Value<'_> {
    fn from(value: Length) -> Self {
        Value::Interval(value)
    }
}

impl From<CommitTime> for Value<'_> {
    fn from(value: CommitTime) -> Self {
        Value::Time(value)
    }
}
