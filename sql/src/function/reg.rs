//! Names of catalog objects and their oids, both ways: what casts to and from `regclass`,
//! `regtype`, `regproc`, `regnamespace`, `regrole` and `regcollation` call, and `to_regclass` and
//! its like.
//!
//! The types themselves are `oid` here (UInt32), so a cast is written by the planner as a call:
//! `'t'::regclass` is `regclass_in('t')`, `oid::regclass::text` is `regclass_out(oid)`.

use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::array::{Array, StringArray, UInt32Array};
use arrow::datatypes::{DataType, UInt32Type};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ScalarUDF;
use tidemark_catalog::Oid;
use tidemark_catalog::system::functions as system;

use crate::error::SqlError;

use super::scalar::{Scalar, Ty, columns};
use super::session::SessionInfo;

fn text(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    Ok(DataType::Utf8)
}

fn oid(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    Ok(DataType::UInt32)
}

type Input = fn(&SessionInfo, &str) -> Result<Option<Oid>, system::RegError>;
type Output = fn(&SessionInfo, Oid) -> String;

fn input(name: &'static str, read: Input) -> ScalarUDF {
    let overload = columns(&[Ty::Text], oid, move |call| {
        let session = call.session()?;
        let oids = call.args[0].as_string::<i32>().iter().map(|text| match text {
            Some(text) => {
                let found = read(session, text);
                found.map(|oid| oid.map(|oid| oid.0)).map_err(failed)
            }
            None => Ok(None),
        });
        Ok(Arc::new(oids.collect::<Result<UInt32Array, SqlError>>()?))
    });
    Scalar::new(name).stable().overload(overload).udf()
}

fn output(name: &'static str, print: Output) -> ScalarUDF {
    let overload = columns(&[Ty::Oid], text, move |call| {
        let session = call.session()?;
        let oids = call.args[0].as_primitive::<UInt32Type>();
        let names = (0..call.rows).map(|row| {
            let oid = oids.is_valid(row).then(|| Oid(oids.value(row)))?;
            Some(if oid == Oid::NONE { "-".to_string() } else { print(session, oid) })
        });
        Ok(Arc::new(names.collect::<StringArray>()))
    });
    Scalar::new(name).stable().overload(overload).udf()
}

fn failed(error: system::RegError) -> SqlError {
    SqlError::new(error.code, error.message)
}

pub fn functions() -> Vec<ScalarUDF> {
    vec![
        input("regclass_in", |s, t| system::regclass_in(&s.catalog, t, &s.search_path()).map(Some)),
        input("regtype_in", |_, t| system::regtype_in(t).map(Some)),
        input("regproc_in", |s, t| system::regproc_in(&s.catalog, t, &s.search_path()).map(Some)),
        input("regnamespace_in", |s, t| system::regnamespace_in(&s.catalog, t).map(Some)),
        input("regrole_in", |s, t| system::regrole_in(&s.user, t).map(Some)),
        input("regcollation_in", |_, t| system::regcollation_in(t).map(Some)),
        input("to_regclass", |s, t| Ok(system::to_regclass(&s.catalog, t, &s.search_path()))),
        input("to_regtype", |_, t| Ok(system::to_regtype(t))),
        input("to_regproc", |s, t| Ok(system::to_regproc(&s.catalog, t, &s.search_path()))),
        input("to_regnamespace", |s, t| Ok(system::to_regnamespace(&s.catalog, t))),
        input("to_regrole", |s, t| Ok(system::to_regrole(&s.user, t))),
        output("regclass_out", |s, oid| system::regclass_out(&s.catalog, oid, &s.search_path())),
        output("regtype_out", |_, oid| system::regtype_out(oid)),
        output("regproc_out", |s, oid| system::regproc_out(&s.catalog, oid, &s.search_path())),
        output("regnamespace_out", |s, oid| system::regnamespace_out(&s.catalog, oid)),
        output("regrole_out", |s, oid| system::regrole_out(&s.user, oid)),
        output("regcollation_out", |_, oid| system::regcollation_out(oid)),
    ]
}
