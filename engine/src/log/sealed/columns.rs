//! Columns as sealed files have them: Parquet has no interval that holds a nanosecond, so one is a
//! struct of its three parts; everything else is as it is.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, IntervalMonthDayNanoArray, ListArray,
    StructArray,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, FieldRef, Fields, Int32Type, Int64Type, IntervalMonthDayNano,
    IntervalMonthDayNanoType, IntervalUnit,
};

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// How a file declares a column.
pub fn stored_field(field: &FieldRef) -> FieldRef {
    let ty = stored_type(field.data_type());
    match ty == *field.data_type() {
        true => Arc::clone(field),
        false => Arc::new(Field::new(field.name(), ty, field.is_nullable())),
    }
}

fn stored_type(ty: &DataType) -> DataType {
    match ty {
        ty if *ty == INTERVAL => DataType::Struct(interval_fields()),
        DataType::List(item) => DataType::List(stored_field(item)),
        ty => ty.clone(),
    }
}

fn interval_fields() -> Fields {
    let field = |name: &str, ty| Field::new(name, ty, false);
    let fields = [
        field("months", DataType::Int32),
        field("days", DataType::Int32),
        field("nanoseconds", DataType::Int64),
    ];
    fields.into_iter().collect()
}

/// A column as a file has it.
pub fn stored(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        ty if *ty == INTERVAL => {
            let values = column.as_primitive::<IntervalMonthDayNanoType>().values();
            let months: Int32Array = values.iter().map(|value| value.months).collect();
            let days: Int32Array = values.iter().map(|value| value.days).collect();
            let nanoseconds: Int64Array = values.iter().map(|value| value.nanoseconds).collect();
            let parts: Vec<ArrayRef> =
                vec![Arc::new(months), Arc::new(days), Arc::new(nanoseconds)];
            let nulls = column.nulls().cloned();
            Arc::new(StructArray::new(interval_fields(), parts, nulls))
        }
        DataType::List(item) => {
            let list = column.as_list::<i32>();
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            Arc::new(ListArray::new(stored_field(item), offsets, stored(list.values()), nulls))
        }
        _ => Arc::clone(column),
    }
}

/// A column of a file as the table has it.
pub fn restored(column: &ArrayRef, ty: &DataType) -> Result<ArrayRef, String> {
    match ty {
        ty if column.data_type() == ty => Ok(Arc::clone(column)),
        ty if *ty == INTERVAL && *column.data_type() == stored_type(ty) => {
            let parts = column.as_struct().columns();
            let months = parts[0].as_primitive::<Int32Type>().values();
            let days = parts[1].as_primitive::<Int32Type>().values();
            let nanoseconds = parts[2].as_primitive::<Int64Type>().values();
            let values = (0..column.len())
                .map(|i| IntervalMonthDayNano::new(months[i], days[i], nanoseconds[i]));
            let nulls = column.nulls().cloned();
            Ok(Arc::new(IntervalMonthDayNanoArray::new(values.collect(), nulls)))
        }
        DataType::List(item) if matches!(column.data_type(), DataType::List(_)) => {
            let list = column.as_list::<i32>();
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            let items = restored(list.values(), item.data_type())?;
            let list = ListArray::try_new(Arc::clone(item), offsets, items, nulls);
            Ok(Arc::new(list.map_err(|error| error.to_string())?))
        }
        ty => cast(column, ty).map_err(|error| error.to_string()),
    }
}
