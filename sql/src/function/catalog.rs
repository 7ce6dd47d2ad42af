//! What clients ask of the catalog: `pg_get_viewdef`, `format_type`, `pg_table_is_visible`,
//! `obj_description` and their like, over the plain functions of the catalog crate.

use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::array::{Array, ArrayRef, BooleanArray, StringArray, UInt32Array, new_null_array};
use arrow::datatypes::{DataType, Int32Type, UInt32Type};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ScalarUDF;
use tidemark_catalog::Oid;
use tidemark_catalog::system::functions as system;

use crate::error::SqlError;

use super::body::{Bool, Int4, Oid as OidArg, Opt, Text, fn1, fn2};
use super::scalar::{Call, Overload, Scalar, Ty, columns};
use super::session::SessionInfo;

fn text(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    Ok(DataType::Utf8)
}

fn boolean(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    Ok(DataType::Boolean)
}

fn oid(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    Ok(DataType::UInt32)
}

/// The first argument, an oid, in a row.
fn oid_at(call: &Call<'_>, row: usize) -> Option<Oid> {
    let oids = call.args[0].as_primitive::<UInt32Type>();
    oids.is_valid(row).then(|| Oid(oids.value(row)))
}

fn int_at(call: &Call<'_>, argument: usize, row: usize) -> Option<i32> {
    let numbers = call.args.get(argument)?.as_primitive::<Int32Type>();
    numbers.is_valid(row).then(|| numbers.value(row))
}

/// Text of an oid (and further arguments) in the session's catalog.
fn text_of(
    args: &[Ty],
    of: impl Fn(&SessionInfo, Oid, &Call<'_>, usize) -> Option<String> + Send + Sync + 'static,
) -> Overload {
    columns(args, text, move |call| {
        let session = call.session()?;
        let row = |row| oid_at(call, row).and_then(|oid| of(session, oid, call, row));
        Ok(Arc::new((0..call.rows).map(row).collect::<StringArray>()))
    })
}

/// A yes or no of an oid in the session's catalog.
fn test_of(of: impl Fn(&SessionInfo, Oid) -> Option<bool> + Send + Sync + 'static) -> Overload {
    columns(&[Ty::Oid], boolean, move |call| {
        let session = call.session()?;
        let row = |row| oid_at(call, row).and_then(|oid| of(session, oid));
        Ok(Arc::new((0..call.rows).map(row).collect::<BooleanArray>()))
    })
}

pub fn functions() -> Vec<ScalarUDF> {
    let mut all = definitions();
    all.extend(descriptions());
    all.extend(visibility());
    all
}

fn definitions() -> Vec<ScalarUDF> {
    let viewdef =
        |args: &[Ty]| text_of(args, |s, oid, _, _| system::pg_get_viewdef(&s.catalog, oid));
    let constraintdef =
        |args: &[Ty]| text_of(args, |s, oid, _, _| system::pg_get_constraintdef(&s.catalog, oid));
    vec![
        Scalar::new("format_type")
            .stable()
            .overload(fn2::<Opt<OidArg>, Opt<Int4>, Opt<Text>>(|oid, typmod| {
                Ok(oid.map(|oid| system::format_type(Oid(oid), typmod)))
            }))
            .udf(),
        Scalar::new("pg_get_viewdef")
            .stable()
            .overload(viewdef(&[Ty::Oid]))
            .overload(viewdef(&[Ty::Oid, Ty::Bool]))
            .udf(),
        Scalar::new("pg_get_constraintdef")
            .stable()
            .overload(constraintdef(&[Ty::Oid]))
            .overload(constraintdef(&[Ty::Oid, Ty::Bool]))
            .udf(),
        Scalar::new("pg_get_indexdef")
            .stable()
            .overload(text_of(&[Ty::Oid], |s, oid, _, _| {
                system::pg_get_indexdef(&s.catalog, oid, 0)
            }))
            .overload(text_of(&[Ty::Oid, Ty::Int4, Ty::Bool], |s, oid, call, row| {
                let definition = system::pg_get_indexdef(&s.catalog, oid, int_at(call, 1, row)?);
                let pretty = call.args[2].as_boolean();
                match pretty.is_valid(row) && pretty.value(row) {
                    true => definition.map(|text| text.replacen(" ON public.", " ON ", 1)),
                    false => definition,
                }
            }))
            .udf(),
        Scalar::new("pg_get_ruledef")
            .stable()
            .overload(text_of(&[Ty::Oid], |s, oid, _, _| system::pg_get_ruledef(&s.catalog, oid)))
            .overload(text_of(&[Ty::Oid, Ty::Bool], |s, oid, _, _| {
                system::pg_get_ruledef(&s.catalog, oid)
            }))
            .udf(),
        Scalar::new("pg_get_expr")
            .stable()
            .overload(fn2::<Text, Opt<OidArg>, Text>(|expr, _| Ok(system::pg_get_expr(expr))))
            .overload(super::body::fn3::<Text, Opt<OidArg>, Bool, Text>(|expr, _, _| {
                Ok(system::pg_get_expr(expr))
            }))
            .udf(),
        of_function("pg_get_function_result", system::pg_get_function_result),
        of_function("pg_get_function_arguments", system::pg_get_function_arguments),
        of_function("pg_get_function_identity_arguments", system::pg_get_function_arguments),
        nothing("pg_get_serial_sequence", &[&[Ty::Text, Ty::Text]]),
        nothing("pg_get_statisticsobjdef_columns", &[&[Ty::Oid]]),
        nothing("pg_get_triggerdef", &[&[Ty::Oid], &[Ty::Oid, Ty::Bool]]),
        nothing("pg_get_partkeydef", &[&[Ty::Oid]]),
        nothing("pg_get_functiondef", &[&[Ty::Oid]]),
        nothing("pg_get_partition_constraintdef", &[&[Ty::Oid]]),
        Scalar::new("pg_tablespace_location")
            .overload(fn1::<OidArg, Text>(|_| Ok(system::pg_tablespace_location().into())))
            .udf(),
    ]
}

fn of_function(name: &'static str, of: fn(Oid) -> Option<String>) -> ScalarUDF {
    let body = move |oid: u32| Ok(of(Oid(oid)));
    Scalar::new(name).stable().overload(fn1::<OidArg, Opt<Text>>(body)).udf()
}

/// What there is none of here: always NULL.
fn nothing(name: &'static str, overloads: &[&[Ty]]) -> ScalarUDF {
    let mut function = Scalar::new(name).stable();
    for args in overloads {
        let null = |call: &Call<'_>| Ok(new_null_array(&DataType::Utf8, call.rows));
        function = function.overload(columns(args, text, null));
    }
    function.udf()
}

fn descriptions() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("obj_description")
            .stable()
            .overload(text_of(&[Ty::Oid], |s, oid, _, _| {
                system::obj_description(&s.catalog, oid, None)
            }))
            .overload(text_of(&[Ty::Oid, Ty::Text], |s, oid, call, row| {
                let class = call.args[1].as_string::<i32>();
                let class = class.is_valid(row).then(|| class.value(row))?;
                system::obj_description(&s.catalog, oid, Some(class))
            }))
            .udf(),
        Scalar::new("col_description")
            .stable()
            .overload(text_of(&[Ty::Oid, Ty::Int4], |s, oid, call, row| {
                system::col_description(&s.catalog, oid, int_at(call, 1, row)?)
            }))
            .udf(),
        nothing("shobj_description", &[&[Ty::Oid, Ty::Text]]),
        Scalar::new("pg_get_userbyid")
            .stable()
            .overload(text_of(&[Ty::Oid], |s, oid, _, _| {
                Some(system::pg_get_userbyid(&s.user, oid))
            }))
            .udf(),
        Scalar::new("pg_encoding_to_char")
            .overload(fn1::<Int4, Text>(|e| Ok(system::pg_encoding_to_char(e).into())))
            .udf(),
        Scalar::new("pg_char_to_encoding")
            .overload(fn1::<Text, Int4>(|name| {
                let known = matches!(name.to_ascii_lowercase().as_str(), "utf8" | "utf-8");
                Ok(if known { 6 } else { -1 })
            }))
            .udf(),
    ]
}

fn visible(name: &'static str, of: fn(Oid) -> Option<bool>) -> ScalarUDF {
    Scalar::new(name).stable().overload(test_of(move |_, oid| of(oid))).udf()
}

fn visibility() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("pg_table_is_visible")
            .stable()
            .overload(test_of(|s, oid| {
                system::pg_table_is_visible(&s.catalog, oid, &s.search_path())
            }))
            .udf(),
        visible("pg_type_is_visible", system::pg_type_is_visible),
        visible("pg_function_is_visible", system::pg_function_is_visible),
        visible("pg_collation_is_visible", system::pg_collation_is_visible),
        visible("pg_operator_is_visible", |_| Some(true)),
        visible("pg_opclass_is_visible", |_| Some(true)),
        visible("pg_conversion_is_visible", |_| Some(true)),
        visible("pg_is_other_temp_schema", |_| Some(system::pg_is_other_temp_schema())),
        visible("pg_statistics_obj_is_visible", |_| Some(false)),
        Scalar::new("pg_relation_is_publishable")
            .stable()
            .overload(test_of(|s, oid| Some(system::pg_relation_is_publishable(&s.catalog, oid))))
            .udf(),
        Scalar::new("pg_my_temp_schema")
            .stable()
            .overload(columns(&[], oid, |call| {
                let none = system::pg_my_temp_schema().0;
                let oids: ArrayRef = Arc::new(UInt32Array::from(vec![none; call.rows]));
                Ok(oids)
            }))
            .udf(),
    ]
}
