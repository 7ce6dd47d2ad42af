//! The columns of a subscription: when and by how much, then the relation's own.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tidemark_catalog::{Object, PgType};
use tidemark_engine::{Timestamp, Updates};

/// `_time timestamptz, _diff bigint`, with progress `_progress boolean`, and the data.
pub struct Layout {
    pub schema: SchemaRef,
    pub has_progress: bool,
    /// Which of the relation's columns there are.
    columns: Vec<usize>,
}

impl Layout {
    pub fn new(object: &Object, has_progress: bool) -> Layout {
        let mut fields = vec![
            Field::new("_time", PgType::Timestamptz.to_arrow(-1), false),
            Field::new("_diff", DataType::Int64, true),
        ];
        if has_progress {
            fields.push(Field::new("_progress", DataType::Boolean, false));
        }
        let mut columns = Vec::new();
        for (index, column) in object.columns().iter().enumerate() {
            if !column.is_dropped() {
                fields.push(Field::new(&column.name, column.ty.to_arrow(column.typmod), true));
                columns.push(index);
            }
        }
        Layout { schema: Arc::new(Schema::new(fields)), has_progress, columns }
    }

    /// Changes as rows.
    pub fn changes(&self, updates: &Updates) -> RecordBatch {
        let mut columns = vec![
            self.times(updates.times.iter().copied()),
            Arc::new(Int64Array::new(updates.diffs.clone(), None)) as ArrayRef,
        ];
        if self.has_progress {
            columns.push(Arc::new(BooleanArray::from(vec![false; updates.len()])));
        }
        columns.extend(self.columns.iter().map(|&index| Arc::clone(updates.data.column(index))));
        self.batch(columns)
    }

    /// The row that says that everything up to `at` is out.
    pub fn progress(&self, at: Timestamp) -> RecordBatch {
        let mut columns = vec![self.times([at.0])];
        for field in &self.schema.fields()[1..] {
            columns.push(match field.name().as_str() {
                "_progress" if columns.len() == 2 => Arc::new(BooleanArray::from(vec![true])),
                _ => new_null_array(field.data_type(), 1),
            });
        }
        self.batch(columns)
    }

    fn times(&self, times: impl IntoIterator<Item = u64>) -> ArrayRef {
        let times = times.into_iter().map(u64::cast_signed);
        let times = TimestampMicrosecondArray::from_iter_values(times);
        Arc::new(times.with_data_type(self.schema.field(0).data_type().clone()))
    }

    fn batch(&self, columns: Vec<ArrayRef>) -> RecordBatch {
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .expect("a relation's rows have the types of its columns")
    }
}
