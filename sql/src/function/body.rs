//! Bodies of scalar functions: closures over one row; columns are read and built around them.
//!
//! `fn2::<Text, Int4, Text>(|s, n| ..)` is the overload `(text, integer) -> text`. Law: a row with
//! a NULL argument gives NULL without calling the body, unless that argument is [`Opt`]; a body may
//! give NULL by returning [`Opt`]; its error is the error of the batch.

use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::array::{
    Array, ArrayRef, BinaryArray, BinaryBuilder, BooleanArray, BooleanBuilder, Decimal128Array,
    Decimal128Builder, FixedSizeBinaryArray, FixedSizeBinaryBuilder, LargeStringArray,
    LargeStringBuilder, ListArray, ListBuilder, PrimitiveArray, PrimitiveBuilder, StringArray,
    StringBuilder,
};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType,
    TimestampMicrosecondType, UInt32Type, i256,
};

use crate::error::SqlError;
use crate::text_io::numeric;

use super::scalar::{Call, Overload, Returns, Ty};

/// A type as a body receives it.
pub trait Arg: 'static {
    const TY: Ty;
    const NULLABLE: bool = false;
    type Reader<'a>;
    type Item<'a>;
    fn reader(array: &ArrayRef) -> Self::Reader<'_>;
    fn item<'a>(reader: &Self::Reader<'a>, row: usize) -> Self::Item<'a>;
}

/// A type as a body gives it back.
pub trait Ret: 'static {
    const TY: Ty;
    type Item;
    type Builder;
    fn builder(rows: usize, ty: &DataType) -> Self::Builder;
    fn append(builder: &mut Self::Builder, item: Self::Item) -> Result<(), SqlError>;
    fn append_null(builder: &mut Self::Builder);
    fn finish(builder: Self::Builder) -> ArrayRef;
}

/// An argument, or a result, that may be NULL.
pub struct Opt<T>(std::marker::PhantomData<T>);

impl<T: Arg> Arg for Opt<T> {
    const TY: Ty = T::TY;
    const NULLABLE: bool = true;
    type Reader<'a> = (&'a ArrayRef, T::Reader<'a>);
    type Item<'a> = Option<T::Item<'a>>;

    fn reader(array: &ArrayRef) -> Self::Reader<'_> {
        (array, T::reader(array))
    }

    fn item<'a>((array, reader): &Self::Reader<'a>, row: usize) -> Self::Item<'a> {
        array.is_valid(row).then(|| T::item(reader, row))
    }
}

impl<T: Ret> Ret for Opt<T> {
    const TY: Ty = T::TY;
    type Item = Option<T::Item>;
    type Builder = T::Builder;

    fn builder(rows: usize, ty: &DataType) -> Self::Builder {
        T::builder(rows, ty)
    }

    fn append(builder: &mut Self::Builder, item: Self::Item) -> Result<(), SqlError> {
        match item {
            Some(item) => T::append(builder, item),
            None => {
                T::append_null(builder);
                Ok(())
            }
        }
    }

    fn append_null(builder: &mut Self::Builder) {
        T::append_null(builder);
    }

    fn finish(builder: Self::Builder) -> ArrayRef {
        T::finish(builder)
    }
}

macro_rules! primitive {
    ($($marker:ident $ty:ident $native:ty,)*) => {$(
        pub struct $marker;

        impl Arg for $marker {
            const TY: Ty = Ty::$marker;
            type Reader<'a> = &'a PrimitiveArray<$ty>;
            type Item<'a> = $native;

            fn reader(array: &ArrayRef) -> Self::Reader<'_> {
                array.as_primitive()
            }

            fn item<'a>(reader: &Self::Reader<'a>, row: usize) -> Self::Item<'a> {
                reader.value(row)
            }
        }

        impl Ret for $marker {
            const TY: Ty = Ty::$marker;
            type Item = $native;
            type Builder = PrimitiveBuilder<$ty>;

            fn builder(rows: usize, ty: &DataType) -> Self::Builder {
                PrimitiveBuilder::with_capacity(rows).with_data_type(ty.clone())
            }

            fn append(builder: &mut Self::Builder, item: Self::Item) -> Result<(), SqlError> {
                builder.append_value(item);
                Ok(())
            }

            fn append_null(builder: &mut Self::Builder) {
                builder.append_null();
            }

            fn finish(mut builder: Self::Builder) -> ArrayRef {
                Arc::new(builder.finish())
            }
        }
    )*};
}

primitive! {
    Int2 Int16Type i16,
    Int4 Int32Type i32,
    Int8 Int64Type i64,
    Float4 Float32Type f32,
    Float8 Float64Type f64,
    Date Date32Type i32,
    Time Time64MicrosecondType i64,
    Timestamp TimestampMicrosecondType i64,
    Timestamptz TimestampMicrosecondType i64,
    Interval IntervalMonthDayNanoType IntervalMonthDayNano,
    Oid UInt32Type u32,
}

macro_rules! built {
    ($($marker:ident, $builder:ty, $item:ty, |$rows:ident| $new:expr,
        |$b:ident, $i:ident| $add:expr;)*) => {$(
        impl Ret for $marker {
            const TY: Ty = Ty::$marker;
            type Item = $item;
            type Builder = $builder;

            fn builder($rows: usize, _: &DataType) -> Self::Builder {
                $new
            }

            fn append($b: &mut Self::Builder, $i: Self::Item) -> Result<(), SqlError> {
                $add;
                Ok(())
            }

            fn append_null(builder: &mut Self::Builder) {
                builder.append_null();
            }

            fn finish(mut builder: Self::Builder) -> ArrayRef {
                Arc::new(builder.finish())
            }
        }
    )*};
}

built! {
    Bool, BooleanBuilder, bool, |rows| BooleanBuilder::with_capacity(rows),
        |b, i| b.append_value(i);
    Text, StringBuilder, String, |rows| StringBuilder::with_capacity(rows, rows * 8),
        |b, i| b.append_value(i);
    Jsonb, LargeStringBuilder, String,
        |rows| LargeStringBuilder::with_capacity(rows, rows * 16), |b, i| b.append_value(i);
    Bytea, BinaryBuilder, Vec<u8>, |rows| BinaryBuilder::with_capacity(rows, rows * 8),
        |b, i| b.append_value(i);
    Uuid, FixedSizeBinaryBuilder, [u8; 16],
        |rows| FixedSizeBinaryBuilder::with_capacity(rows, 16),
        |b, i| b.append_value(i).expect("a uuid is 16 bytes");
    TextArray, ListBuilder<StringBuilder>, Vec<Option<String>>,
        |rows| ListBuilder::with_capacity(StringBuilder::new(), rows), |b, i| b.append_value(i);
}

macro_rules! borrowed {
    ($($marker:ident $array:ident $item:ty, $read:expr;)*) => {$(
        pub struct $marker;

        impl Arg for $marker {
            const TY: Ty = Ty::$marker;
            type Reader<'a> = &'a $array;
            type Item<'a> = $item;

            fn reader(array: &ArrayRef) -> Self::Reader<'_> {
                let read: fn(&ArrayRef) -> &$array = $read;
                read(array)
            }

            fn item<'a>(reader: &Self::Reader<'a>, row: usize) -> Self::Item<'a> {
                reader.value(row)
            }
        }
    )*};
}

borrowed! {
    Bool BooleanArray bool, |a| a.as_boolean();
    Text StringArray &'a str, |a| a.as_string();
    Jsonb LargeStringArray &'a str, |a| a.as_string();
    Bytea BinaryArray &'a [u8], |a| a.as_binary();
    Uuid FixedSizeBinaryArray &'a [u8], |a| a.as_fixed_size_binary();
}

pub struct TextArray;

impl Arg for TextArray {
    const TY: Ty = Ty::TextArray;
    type Reader<'a> = (&'a ListArray, &'a StringArray);
    type Item<'a> = Vec<Option<&'a str>>;

    fn reader(array: &ArrayRef) -> Self::Reader<'_> {
        let list = array.as_list::<i32>();
        (list, list.values().as_string())
    }

    fn item<'a>((list, values): &Self::Reader<'a>, row: usize) -> Self::Item<'a> {
        let offsets = list.value_offsets();
        (offsets[row]..offsets[row + 1])
            .map(|at| values.is_valid(at as usize).then(|| values.value(at as usize)))
            .collect()
    }
}

/// A numeric: `value` divided by 10 to the `scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Num {
    pub value: i128,
    pub scale: i8,
}

pub struct Numeric;

impl Arg for Numeric {
    const TY: Ty = Ty::Numeric;
    type Reader<'a> = (&'a Decimal128Array, i8);
    type Item<'a> = Num;

    fn reader(array: &ArrayRef) -> Self::Reader<'_> {
        let array: &Decimal128Array = array.as_primitive();
        (array, array.scale())
    }

    fn item<'a>((array, scale): &Self::Reader<'a>, row: usize) -> Self::Item<'a> {
        Num { value: array.value(row), scale: *scale }
    }
}

pub struct NumericBuilder {
    builder: Decimal128Builder,
    precision: u8,
    scale: i8,
}

/// A result is rounded to the scale of the function's return type.
impl Ret for Numeric {
    const TY: Ty = Ty::Numeric;
    type Item = Num;
    type Builder = NumericBuilder;

    fn builder(rows: usize, ty: &DataType) -> Self::Builder {
        let DataType::Decimal128(precision, scale) = *ty else {
            unreachable!("a numeric function returns a numeric")
        };
        let builder = Decimal128Builder::with_capacity(rows).with_data_type(ty.clone());
        NumericBuilder { builder, precision, scale }
    }

    fn append(b: &mut Self::Builder, item: Num) -> Result<(), SqlError> {
        let value = numeric::to_type(item.value, item.scale, b.precision, b.scale)?;
        b.builder.append_value(value);
        Ok(())
    }

    fn append_null(builder: &mut Self::Builder) {
        builder.builder.append_null();
    }

    fn finish(mut builder: Self::Builder) -> ArrayRef {
        Arc::new(builder.builder.finish())
    }
}

/// A numeric that no [`Num`] may hold before it is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WideNum {
    pub value: i256,
    pub scale: i8,
}

/// A result of arithmetic: exact until it is rounded to the scale of the function's return type.
pub struct WideNumeric;

impl Ret for WideNumeric {
    const TY: Ty = Ty::Numeric;
    type Item = WideNum;
    type Builder = NumericBuilder;

    fn builder(rows: usize, ty: &DataType) -> Self::Builder {
        Numeric::builder(rows, ty)
    }

    fn append(b: &mut Self::Builder, item: WideNum) -> Result<(), SqlError> {
        let value = numeric::wide_to_type(item.value, item.scale, b.precision, b.scale)?;
        b.builder.append_value(value);
        Ok(())
    }

    fn append_null(builder: &mut Self::Builder) {
        Numeric::append_null(builder);
    }

    fn finish(builder: Self::Builder) -> ArrayRef {
        Numeric::finish(builder)
    }
}

macro_rules! arity {
    ($($name:ident: $($arg:ident $reader:ident $index:tt),*;)*) => {$(
        /// An overload with this many arguments.
        pub fn $name<$($arg: Arg,)* R: Ret>(
            body: impl for<'a> Fn($($arg::Item<'a>),*) -> Result<R::Item, SqlError>
                + Send + Sync + 'static,
        ) -> Overload {
            let run = move |call: &Call<'_>| -> Result<ArrayRef, SqlError> {
                let mut builder = R::builder(call.rows, call.returns);
                $(let $reader = $arg::reader(&call.args[$index]);)*
                for row in 0..call.rows {
                    if $((!$arg::NULLABLE && call.args[$index].is_null(row)))||* {
                        R::append_null(&mut builder);
                        continue;
                    }
                    let item = body($($arg::item(&$reader, row)),*)?;
                    R::append(&mut builder, item)?;
                }
                Ok(R::finish(builder))
            };
            Overload {
                args: vec![$($arg::TY),*],
                variadic: false,
                returns: Returns::Is(R::TY.data_type()),
                strict: $(!$arg::NULLABLE)&&*,
                body: Arc::new(run),
            }
        }
    )*};
}

arity! {
    fn1: A a 0;
    fn2: A a 0, B b 1;
    fn3: A a 0, B b 1, C c 2;
    fn4: A a 0, B b 1, C c 2, D d 3;
    fn5: A a 0, B b 1, C c 2, D d 3, E e 4;
    fn6: A a 0, B b 1, C c 2, D d 3, E e 4, F f 5;
    fn7: A a 0, B b 1, C c 2, D d 3, E e 4, F f 5, G g 6;
}

/// An overload without arguments, evaluated for every row.
pub fn fn0<R: Ret>(
    body: impl Fn() -> Result<R::Item, SqlError> + Send + Sync + 'static,
) -> Overload {
    let run = move |call: &Call<'_>| -> Result<ArrayRef, SqlError> {
        let mut builder = R::builder(call.rows, call.returns);
        for _ in 0..call.rows {
            R::append(&mut builder, body()?)?;
        }
        Ok(R::finish(builder))
    };
    Overload {
        args: Vec::new(),
        variadic: false,
        returns: Returns::Is(R::TY.data_type()),
        strict: false,
        body: Arc::new(run),
    }
}
