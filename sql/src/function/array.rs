//! Array functions with Postgres' results: lengths, positions, appending, `array_to_string`, `@>`.
//!
//! Arrays have one dimension and begin at 1. Law: an element equals another when both are NULL or
//! their values are the same; an empty array has no length, no bounds and no dimensions (NULL).

use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::array::{
    Array, ArrayRef, BooleanArray, Int32Array, Int32Builder, ListArray, ListBuilder, StringBuilder,
    new_empty_array, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::interleave;
use arrow::datatypes::DataType;
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ScalarUDF;

use crate::error::SqlError;
use crate::text_io::{OutputSettings, TextColumn};

use super::cast::cast_array;
use super::scalar::{Call, Overload, Scalar, Ty, columns, list, variadic};
use super::type_name;

pub fn functions() -> Vec<ScalarUDF> {
    let mut all = measures();
    all.extend(made());
    all.extend(tests());
    all
}

fn int4(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    Ok(DataType::Int32)
}

fn boolean(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    Ok(DataType::Boolean)
}

fn text(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    Ok(DataType::Utf8)
}

/// The array among the arguments, or an array of the first argument's type.
fn array_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    let found = types.iter().find(|ty| matches!(ty, DataType::List(_)));
    Ok(found.cloned().unwrap_or_else(|| list(types[0].clone())))
}

/// The wider of two element types.
fn concat_type(
    types: &[DataType],
    constants: &[Option<&ScalarValue>],
) -> Result<DataType, SqlError> {
    let element = |ty: &DataType| match ty {
        DataType::List(field) => field.data_type().clone(),
        other => other.clone(),
    };
    match (element(&types[0]), element(&types[1])) {
        (DataType::Int16 | DataType::Int32, DataType::Int64)
        | (DataType::Int64, DataType::Int16 | DataType::Int32) => Ok(list(DataType::Int64)),
        (DataType::Null, other) | (other, DataType::Null) => Ok(list(other)),
        (a, b) if a == b || b == DataType::Utf8 => Ok(list(a)),
        (DataType::Utf8, b) => Ok(list(b)),
        _ => array_type(types, constants),
    }
}

fn measures() -> Vec<ScalarUDF> {
    let length = |array: &ListArray, row: usize| -> Option<i32> {
        Some(array.value_length(row)).filter(|length| *length > 0)
    };
    let dimension = |call: &Call<'_>, row: usize| -> bool {
        let dimension = cast_array(&call.args[1], &DataType::Int32);
        dimension.is_ok_and(|d| {
            let d = d.as_primitive::<arrow::datatypes::Int32Type>();
            d.is_valid(row) && d.value(row) == 1
        })
    };
    let by_dimension = move |of: fn(i32) -> i32| {
        columns(&[Ty::AnyArray, Ty::Int4], int4, move |call| {
            per_array(call, |array, row| {
                length(array, row).filter(|_| dimension(call, row)).map(of)
            })
        })
    };
    vec![
        Scalar::new("array_length").overload(by_dimension(|n| n)).udf(),
        Scalar::new("array_upper").overload(by_dimension(|n| n)).udf(),
        Scalar::new("array_lower").overload(by_dimension(|_| 1)).udf(),
        Scalar::new("cardinality")
            .overload(columns(&[Ty::AnyArray], int4, |call| {
                per_array(call, |array, row| Some(array.value_length(row)))
            }))
            .udf(),
        Scalar::new("array_ndims")
            .overload(columns(&[Ty::AnyArray], int4, move |call| {
                per_array(call, |array, row| length(array, row).map(|_| 1))
            }))
            .udf(),
        Scalar::new("array_dims")
            .overload(columns(&[Ty::AnyArray], text, move |call| {
                let array = call.args[0].as_list::<i32>();
                let mut builder = StringBuilder::new();
                for row in 0..call.rows {
                    let length = length(array, row).filter(|_| array.is_valid(row));
                    builder.append_option(length.map(|n| format!("[1:{n}]")));
                }
                Ok(Arc::new(builder.finish()))
            }))
            .udf(),
        Scalar::new("num_nulls")
            .overload(variadic(&[Ty::Any], int4, |call| Ok(nulls(call, true))))
            .udf(),
        Scalar::new("num_nonnulls")
            .overload(variadic(&[Ty::Any], int4, |call| Ok(nulls(call, false))))
            .udf(),
        position(),
        positions(),
    ]
}

/// How many of the arguments are NULL, or are not.
fn nulls(call: &Call<'_>, wanted: bool) -> ArrayRef {
    let count = |row: usize| call.args.iter().filter(|arg| is_null(arg, row) == wanted).count();
    Arc::new((0..call.rows).map(|row| count(row) as i32).collect::<Int32Array>())
}

fn is_null(array: &ArrayRef, row: usize) -> bool {
    *array.data_type() == DataType::Null || array.is_null(row)
}

fn per_array(
    call: &Call<'_>,
    of: impl Fn(&ListArray, usize) -> Option<i32>,
) -> Result<ArrayRef, SqlError> {
    let array = call.args[0].as_list::<i32>();
    let value = |row| if array.is_valid(row) { of(array, row) } else { None };
    Ok(Arc::new((0..call.rows).map(value).collect::<Int32Array>()))
}

/// Elements in a form that compares by bytes.
struct Comparable {
    converter: RowConverter,
}

impl Comparable {
    fn new(element: &DataType) -> Result<Self, SqlError> {
        Ok(Comparable { converter: RowConverter::new(vec![SortField::new(element.clone())])? })
    }

    fn rows(&self, values: &ArrayRef) -> Result<Rows, SqlError> {
        Ok(self.converter.convert_columns(std::slice::from_ref(values))?)
    }
}

/// The elements of an array's row.
fn range(array: &ListArray, row: usize) -> std::ops::Range<usize> {
    let offsets = array.value_offsets();
    offsets[row] as usize..offsets[row + 1] as usize
}

fn element_type(array: &ArrayRef) -> DataType {
    match array.data_type() {
        DataType::List(field) => field.data_type().clone(),
        other => other.clone(),
    }
}

fn position() -> ScalarUDF {
    let body = |call: &Call<'_>| -> Result<ArrayRef, SqlError> {
        let array = call.args[0].as_list::<i32>();
        let wanted = cast_array(&call.args[1], &element_type(&call.args[0]))?;
        let from = match call.args.get(2) {
            Some(from) => Some(cast_array(from, &DataType::Int32)?),
            None => None,
        };
        let comparable = Comparable::new(&element_type(&call.args[0]))?;
        let (values, wanted) = (comparable.rows(array.values())?, comparable.rows(&wanted)?);
        let find = |row: usize| -> Option<i32> {
            let start = match &from {
                Some(from) => {
                    let from = from.as_primitive::<arrow::datatypes::Int32Type>();
                    usize::try_from(from.value(row) - 1).unwrap_or(0)
                }
                None => 0,
            };
            let elements = range(array, row);
            let first = elements.start;
            let mut elements = elements.skip(start);
            elements.find(|at| values.row(*at) == wanted.row(row)).map(|at| (at - first) as i32 + 1)
        };
        let found = (0..call.rows).map(|row| if array.is_valid(row) { find(row) } else { None });
        Ok(Arc::new(found.collect::<Int32Array>()))
    };
    Scalar::new("array_position")
        .overload(columns(&[Ty::AnyArray, Ty::Any], int4, body))
        .overload(columns(&[Ty::AnyArray, Ty::Any, Ty::Int4], int4, body))
        .udf()
}

/// `array_positions(a, x)`: where x stands, in order.
fn positions() -> ScalarUDF {
    let body = |call: &Call<'_>| -> Result<ArrayRef, SqlError> {
        let array = call.args[0].as_list::<i32>();
        let wanted = cast_array(&call.args[1], &element_type(&call.args[0]))?;
        let comparable = Comparable::new(&element_type(&call.args[0]))?;
        let (values, wanted) = (comparable.rows(array.values())?, comparable.rows(&wanted)?);
        let mut builder = ListBuilder::new(Int32Builder::new());
        for row in 0..call.rows {
            let elements = range(array, row);
            let first = elements.start;
            let found = elements.filter(|at| values.row(*at) == wanted.row(row));
            found.for_each(|at| builder.values().append_value((at - first) as i32 + 1));
            builder.append(array.is_valid(row));
        }
        Ok(Arc::new(builder.finish()))
    };
    let of_int4 = |_: &[DataType], _: &[Option<&ScalarValue>]| Ok(list(DataType::Int32));
    Scalar::new("array_positions").overload(columns(&[Ty::AnyArray, Ty::Any], of_int4, body)).udf()
}

/// Every row's array built by `write`, which pushes (source, index) pairs of elements; false: NULL.
fn build(
    call: &Call<'_>,
    sources: &[ArrayRef],
    mut write: impl FnMut(usize, &mut Vec<(usize, usize)>) -> bool,
) -> Result<ArrayRef, SqlError> {
    let DataType::List(field) = call.returns else {
        return Err(SqlError::internal("an array function that returns no array"));
    };
    let (mut picks, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..call.rows {
        let before = picks.len();
        valid.push(write(row, &mut picks));
        lengths.push(picks.len() - before);
    }
    let sources: Vec<&dyn Array> = sources.iter().map(AsRef::as_ref).collect();
    let values = match picks.is_empty() {
        true => new_empty_array(field.data_type()),
        false => interleave(&sources, &picks)?,
    };
    let offsets = OffsetBuffer::from_lengths(lengths);
    let nulls = NullBuffer::from(valid);
    Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, values, Some(nulls))?))
}

/// The arguments with arrays as their elements, all of the result's element type.
fn sources(call: &Call<'_>) -> Result<Vec<ArrayRef>, SqlError> {
    let element = match call.returns {
        DataType::List(field) => field.data_type().clone(),
        other => other.clone(),
    };
    let values = call.args.iter().map(|array| match array.data_type() {
        DataType::List(_) => cast_array(array.as_list::<i32>().values(), &element),
        _ => cast_array(array, &element),
    });
    values.collect()
}

/// The parts one after another, a bare value counting as an array of one. A NULL array counts as
/// none; all NULL is NULL.
fn concatenate(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let sources = sources(call)?;
    build(call, &sources, |row, picks| {
        let mut any = false;
        for (i, array) in call.args.iter().enumerate() {
            match array.data_type() {
                DataType::List(_) if array.is_null(row) => {}
                DataType::List(_) => {
                    any = true;
                    picks.extend(range(array.as_list(), row).map(|at| (i, at)));
                }
                DataType::Null => {}
                _ => {
                    any = true;
                    picks.push((i, row));
                }
            }
        }
        any
    })
}

/// `array_append(NULL, x)` is an array of x; the element may be NULL.
fn append(call: &Call<'_>, array_first: bool) -> Result<ArrayRef, SqlError> {
    let sources = sources(call)?;
    let (array, element) = if array_first { (0, 1) } else { (1, 0) };
    build(call, &sources, |row, picks| {
        if !array_first {
            picks.push((element, row));
        }
        if call.args[array].is_valid(row)
            && matches!(call.args[array].data_type(), DataType::List(_))
        {
            picks.extend(range(call.args[array].as_list(), row).map(|at| (array, at)));
        }
        if array_first {
            picks.push((element, row));
        }
        true
    })
}

fn remove(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let sources = sources(call)?;
    let comparable = Comparable::new(&element_type(&call.args[0]))?;
    let (values, gone) = (comparable.rows(&sources[0])?, comparable.rows(&sources[1])?);
    let array = call.args[0].as_list::<i32>();
    build(call, &sources, |row, picks| {
        let kept = range(array, row).filter(|at| values.row(*at) != gone.row(row));
        picks.extend(kept.map(|at| (0, at)));
        array.is_valid(row)
    })
}

fn replace(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let sources = sources(call)?;
    let comparable = Comparable::new(&element_type(&call.args[0]))?;
    let (values, old) = (comparable.rows(&sources[0])?, comparable.rows(&sources[1])?);
    let array = call.args[0].as_list::<i32>();
    build(call, &sources, |row, picks| {
        picks.extend(range(array, row).map(|at| match values.row(at) == old.row(row) {
            true => (2, row),
            false => (0, at),
        }));
        array.is_valid(row)
    })
}

fn element(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    match &types[0] {
        DataType::List(field) => Ok(field.data_type().clone()),
        other => Err(SqlError::new(
            "42804",
            format!(
                "cannot subscript type {} because it does not support subscripting",
                type_name(other)
            ),
        )),
    }
}

/// `a[i]`: NULL outside of the bounds.
fn subscript(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let array = call.args[0].as_list::<i32>();
    let index = cast_array(&call.args[1], &DataType::Int32)?;
    let index = index.as_primitive::<arrow::datatypes::Int32Type>();
    let nothing = new_null_array(call.returns, 1);
    let picks: Vec<(usize, usize)> = (0..call.rows)
        .map(|row| {
            let valid = array.is_valid(row) && index.is_valid(row);
            let at = usize::try_from(index.value(row)).ok().and_then(|i| i.checked_sub(1));
            let elements = range(array, row);
            match at.filter(|at| valid && *at < elements.len()) {
                Some(at) => (0, elements.start + at),
                None => (1, 0),
            }
        })
        .collect();
    Ok(interleave(&[array.values().as_ref(), nothing.as_ref()], &picks)?)
}

/// `a[from:to]`: the elements whose places are between these.
fn slice(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let array = call.args[0].as_list::<i32>();
    let bound = |at: usize| cast_array(&call.args[at], &DataType::Int32);
    let (from, to) = (bound(1)?, bound(2)?);
    let (from, to) = (
        from.as_primitive::<arrow::datatypes::Int32Type>(),
        to.as_primitive::<arrow::datatypes::Int32Type>(),
    );
    let sources = [Arc::clone(array.values())];
    build(call, &sources, |row, picks| {
        let valid = array.is_valid(row) && from.is_valid(row) && to.is_valid(row);
        if valid {
            let elements = range(array, row);
            let first = usize::try_from(from.value(row) - 1).unwrap_or(0);
            let last = usize::try_from(to.value(row)).unwrap_or(0).min(elements.len());
            picks.extend((first..last).map(|at| (0, elements.start + at)));
        }
        valid
    })
}

/// `trim_array(a, n)`: without the last n elements.
fn trim(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let array = call.args[0].as_list::<i32>();
    let count = cast_array(&call.args[1], &DataType::Int32)?;
    let count = count.as_primitive::<arrow::datatypes::Int32Type>();
    let sources = [Arc::clone(array.values())];
    for row in (0..call.rows).filter(|row| array.is_valid(*row) && count.is_valid(*row)) {
        let length = array.value_length(row);
        if !(0..=length).contains(&count.value(row)) {
            let message = format!("number of elements to trim must be between 0 and {length}");
            return Err(SqlError::new("2202E", message));
        }
    }
    build(call, &sources, |row, picks| {
        let valid = array.is_valid(row) && count.is_valid(row);
        if valid {
            let elements = range(array, row);
            let end = elements.end - count.value(row) as usize;
            picks.extend((elements.start..end).map(|at| (0, at)));
        }
        valid
    })
}

fn to_string(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let array = call.args[0].as_list::<i32>();
    let elements = TextColumn::new(array.values().as_ref(), &OutputSettings::default())?;
    let separator = call.args[1].as_string::<i32>();
    let null = call.args.get(2).map(|null| null.as_string::<i32>());
    let mut builder = StringBuilder::new();
    let mut out = String::new();
    for row in 0..call.rows {
        if array.is_null(row) || separator.is_null(row) {
            builder.append_null();
            continue;
        }
        out.clear();
        let mut first = true;
        for at in range(array, row) {
            let start = out.len();
            if !first {
                out.push_str(separator.value(row));
            }
            let null = null.filter(|null| null.is_valid(row)).map(|null| null.value(row));
            match (array.values().is_null(at), null) {
                (false, _) => _ = elements.write(at, &mut out),
                (true, Some(null)) => out.push_str(null),
                (true, None) => {
                    out.truncate(start);
                    continue;
                }
            }
            first = false;
        }
        builder.append_value(&out);
    }
    Ok(Arc::new(builder.finish()))
}

fn made() -> Vec<ScalarUDF> {
    let append_overload = |args: &[Ty], first: bool| -> Overload {
        columns(args, concat_type, move |call| append(call, first))
    };
    vec![
        Scalar::new("array_append")
            .alias("list_append")
            .overload(append_overload(&[Ty::AnyArray, Ty::Any], true))
            .overload(append_overload(&[Ty::Any, Ty::Any], true))
            .udf(),
        Scalar::new("array_prepend")
            .alias("list_prepend")
            .overload(append_overload(&[Ty::Any, Ty::AnyArray], false))
            .overload(append_overload(&[Ty::Any, Ty::Any], false))
            .udf(),
        Scalar::new("array_cat")
            .overload(columns(&[Ty::Any, Ty::Any], concat_type, concatenate))
            .udf(),
        Scalar::new("array_concat_op")
            .overload(columns(&[Ty::Any, Ty::Any], concat_type, concatenate))
            .udf(),
        Scalar::new("array_remove")
            .overload(columns(&[Ty::AnyArray, Ty::Any], array_type, remove))
            .udf(),
        Scalar::new("array_replace")
            .overload(columns(&[Ty::AnyArray, Ty::Any, Ty::Any], array_type, replace))
            .udf(),
        Scalar::new("trim_array")
            .overload(columns(&[Ty::AnyArray, Ty::Int4], array_type, trim))
            .udf(),
        Scalar::new("array_between")
            .overload(columns(&[Ty::AnyArray, Ty::Int4, Ty::Int4], array_type, slice))
            .udf(),
        Scalar::new("array_subscript")
            .overload(columns(&[Ty::AnyArray, Ty::Int4], element, subscript))
            .udf(),
        Scalar::new("array_to_string")
            .overload(columns(&[Ty::AnyArray, Ty::Text], text, to_string))
            .overload(columns(&[Ty::AnyArray, Ty::Text, Ty::Text], text, to_string))
            .udf(),
        Scalar::new("pg_array")
            .overload(variadic(&[Ty::Any], array_type, |call| {
                let sources = sources(call)?;
                build(call, &sources, |row, picks| {
                    picks.extend((0..call.args.len()).map(|i| (i, row)));
                    true
                })
            }))
            .udf(),
    ]
}

/// `width_bucket(x, thresholds)`: after how many of the thresholds, which rise, x stands.
pub fn bucket(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let array = call.args[1].as_list::<i32>();
    let common = wider(call.args[0].data_type(), &element_type(&call.args[1]));
    let (operand, thresholds) =
        (cast_array(&call.args[0], &common)?, cast_array(array.values(), &common)?);
    let (operand, thresholds) = (one_zero(operand), one_zero(thresholds));
    let comparable = Comparable::new(&common)?;
    let (operands, rows) = (comparable.rows(&operand)?, comparable.rows(&thresholds)?);
    let find = |row: usize| -> Result<Option<i32>, SqlError> {
        if array.is_null(row) || is_null(&operand, row) {
            return Ok(None);
        }
        let elements = range(array, row);
        if elements.clone().any(|at| is_null(&thresholds, at)) {
            return Err(SqlError::new("22004", "thresholds array must not contain NULLs"));
        }
        let (mut low, mut high) = (elements.start, elements.end);
        while low < high {
            let middle = low.midpoint(high);
            match operands.row(row) < rows.row(middle) {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        Ok(Some((low - elements.start) as i32))
    };
    let found = (0..call.rows).map(find).collect::<Result<Int32Array, SqlError>>()?;
    Ok(Arc::new(found))
}

/// −0 as 0.
fn one_zero(array: ArrayRef) -> ArrayRef {
    use arrow::datatypes::Float64Type;
    match array.as_primitive_opt::<Float64Type>() {
        Some(floats) => Arc::new(floats.unary::<_, Float64Type>(|x| x + 0.0)),
        None => array,
    }
}

/// The type in which two types of numbers compare; of others the second.
fn wider(one: &DataType, other: &DataType) -> DataType {
    match (one, other) {
        (one, other) if one.is_floating() || other.is_floating() => DataType::Float64,
        (one, other) if one == other => one.clone(),
        (one, other) if !one.is_numeric() || !other.is_numeric() => other.clone(),
        (DataType::Decimal128(..), _) | (_, DataType::Decimal128(..)) => Ty::Numeric.data_type(),
        _ => DataType::Int64,
    }
}

/// Elements of two arrays compared; NULL elements equal nothing.
fn compare(
    call: &Call<'_>,
    holds: impl Fn(&[OwnedRow], &[OwnedRow], bool, bool) -> bool,
) -> Result<ArrayRef, SqlError> {
    let (a, b) = (call.args[0].as_list::<i32>(), call.args[1].as_list::<i32>());
    let element = element_type(&call.args[0]);
    let comparable = Comparable::new(&element)?;
    let b_values = cast_array(b.values(), &element)?;
    let (a_rows, b_rows) = (comparable.rows(a.values())?, comparable.rows(&b_values)?);
    let owned = |list: &ListArray, values: &ArrayRef, rows: &Rows, row: usize| {
        let elements = range(list, row);
        let valid = elements.clone().filter(|at| values.is_valid(*at));
        let kept: Vec<OwnedRow> = valid.map(|at| rows.row(at).owned()).collect();
        let nulls = kept.len() < elements.len();
        (kept, nulls)
    };
    let results = (0..call.rows).map(|row| {
        if a.is_null(row) || b.is_null(row) {
            return None;
        }
        let (left, left_nulls) = owned(a, a.values(), &a_rows, row);
        let (right, right_nulls) = owned(b, &b_values, &b_rows, row);
        Some(holds(&left, &right, left_nulls, right_nulls))
    });
    Ok(Arc::new(results.collect::<BooleanArray>()))
}

fn tests() -> Vec<ScalarUDF> {
    let args = [Ty::AnyArray, Ty::AnyArray];
    vec![
        Scalar::new("array_contains")
            .overload(columns(&args, boolean, |call| {
                compare(call, |a, b, _, b_nulls| !b_nulls && b.iter().all(|x| a.contains(x)))
            }))
            .udf(),
        Scalar::new("array_contained")
            .overload(columns(&args, boolean, |call| {
                compare(call, |a, b, a_nulls, _| !a_nulls && a.iter().all(|x| b.contains(x)))
            }))
            .udf(),
        Scalar::new("array_overlap")
            .overload(columns(&args, boolean, |call| {
                compare(call, |a, b, _, _| b.iter().any(|x| a.contains(x)))
            }))
            .udf(),
    ]
}
