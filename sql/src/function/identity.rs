//! Who and where: `version()`, `current_user`, `current_database()`, `current_setting()`, …
//!
//! Law: the answer is the session's ([`SessionInfo`]). Not promised: `set_config` checks its
//! arguments and gives back the value; the change itself is the coordinator's to make.

use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::array::{
    Array, ArrayRef, BooleanArray, Int32Array, Int64Array, ListBuilder, StringArray, StringBuilder,
    new_null_array,
};
use arrow::datatypes::{DataType, Int32Type};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ScalarUDF;
use tidemark_catalog::system::functions as system;

use crate::context::Connections;
use crate::error::SqlError;

use super::scalar::{Call, Overload, Scalar, Ty, columns, list};
use super::session::SessionInfo;

/// What `version()` says; clients read the number after the name.
pub const VERSION: &str = concat!(
    "PostgreSQL 15.9 (Tidemark ",
    env!("CARGO_PKG_VERSION"),
    ") on x86_64-pc-linux-gnu, 64-bit"
);

fn text(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    Ok(DataType::Utf8)
}

fn texts(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    Ok(list(DataType::Utf8))
}

fn int4(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    Ok(DataType::Int32)
}

fn int8(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    Ok(DataType::Int64)
}

fn boolean(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    Ok(DataType::Boolean)
}

/// One text for all rows.
fn constant(of: impl Fn(&SessionInfo) -> Option<String> + Send + Sync + 'static) -> Overload {
    columns(&[], text, move |call| {
        let value = of(call.session()?);
        Ok(Arc::new((0..call.rows).map(|_| value.as_deref()).collect::<StringArray>()))
    })
}

pub fn functions() -> Vec<ScalarUDF> {
    let mut all = names();
    all.extend(settings());
    all.extend(server());
    all
}

fn names() -> Vec<ScalarUDF> {
    let user = |name| Scalar::new(name).stable().overload(constant(|s| Some(s.user.clone()))).udf();
    vec![
        user("current_user"),
        user("session_user"),
        user("current_role"),
        user("user"),
        user("system_user"),
        Scalar::new("current_database")
            .alias("current_catalog")
            .stable()
            .overload(constant(|s| Some(s.database.clone())))
            .udf(),
        Scalar::new("current_schema")
            .stable()
            .overload(constant(|s| system::current_schema(&s.catalog, &s.search_path())))
            .udf(),
        Scalar::new("current_schemas")
            .stable()
            .overload(columns(&[Ty::Bool], texts, |call| {
                let session = call.session()?;
                let implicit = call.args[0].as_boolean();
                let mut builder = ListBuilder::new(StringBuilder::new());
                for row in 0..call.rows {
                    let implicit = implicit.is_valid(row) && implicit.value(row);
                    let path = session.search_path();
                    let names = system::current_schemas(&session.catalog, &path, implicit);
                    builder.append_value(names.into_iter().map(Some));
                }
                Ok(Arc::new(builder.finish()))
            }))
            .udf(),
        Scalar::new("version")
            .overload(columns(&[], text, |call| {
                Ok(Arc::new(StringArray::from(vec![VERSION; call.rows])))
            }))
            .udf(),
    ]
}

/// A setting's value; 42704 when nobody knows it, unless `missing_ok`.
fn current_setting(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let session = call.session()?;
    let names = call.args[0].as_string::<i32>();
    let missing_ok = call.args.get(1).map(|array| array.as_boolean());
    let values = (0..call.rows).map(|row| {
        if names.is_null(row) {
            return Ok(None);
        }
        let lenient = missing_ok.is_some_and(|ok| ok.is_valid(row) && ok.value(row));
        match session.settings.get(names.value(row)) {
            None if lenient => Ok(None),
            _ => session.settings.show(names.value(row)).map(Some),
        }
    });
    Ok(Arc::new(values.collect::<Result<StringArray, SqlError>>()?))
}

fn set_config(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let names = call.args[0].as_string::<i32>();
    let values = call.args[1].as_string::<i32>();
    let mut settings = call.session()?.settings.clone();
    let results = (0..call.rows).map(|row| {
        if names.is_null(row) {
            return Err(SqlError::new("22004", "SET requires parameter name"));
        }
        let name = names.value(row);
        match values.is_valid(row) {
            true => settings.set(name, values.value(row)).map(drop)?,
            false => settings.reset(name).map(drop)?,
        }
        settings.show(name).map(Some)
    });
    Ok(Arc::new(results.collect::<Result<StringArray, SqlError>>()?))
}

fn settings() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("current_setting")
            .stable()
            .overload(columns(&[Ty::Text], text, current_setting))
            .overload(columns(&[Ty::Text, Ty::Bool], text, current_setting))
            .udf(),
        Scalar::new("set_config")
            .volatile()
            .overload(columns(&[Ty::Text, Ty::Text, Ty::Bool], text, set_config))
            .udf(),
    ]
}

fn null_text(name: &'static str) -> ScalarUDF {
    let nothing = |call: &Call<'_>| Ok(new_null_array(&DataType::Utf8, call.rows));
    Scalar::new(name).stable().overload(columns(&[], text, nothing)).udf()
}

fn false_of(name: &'static str, args: &[Ty]) -> ScalarUDF {
    let no = |call: &Call<'_>| -> Result<ArrayRef, SqlError> {
        Ok(Arc::new(BooleanArray::from(vec![false; call.rows])))
    };
    Scalar::new(name).stable().overload(columns(args, boolean, no)).udf()
}

fn server() -> Vec<ScalarUDF> {
    let number = |call: &Call<'_>, name: &str| -> Result<i32, SqlError> {
        let value = call.session()?.settings.get(name);
        Ok(value.and_then(|value| value.parse().ok()).unwrap_or(0))
    };
    vec![
        Scalar::new("pg_backend_pid")
            .stable()
            .overload(columns(&[], int4, move |call| {
                // The server forces this setting when a session begins.
                let pid = number(call, "tidemark.backend_pid")?;
                Ok(Arc::new(Int32Array::from(vec![pid; call.rows])))
            }))
            .udf(),
        Scalar::new("txid_current")
            .alias("pg_current_xact_id")
            .stable()
            .overload(columns(&[], int8, |call| {
                let version = call.session()?.catalog.version() as i64;
                Ok(Arc::new(Int64Array::from(vec![version; call.rows])))
            }))
            .udf(),
        null_text("inet_server_addr"),
        null_text("inet_client_addr"),
        Scalar::new("inet_server_port")
            .stable()
            .overload(columns(&[], int4, |call| Ok(new_null_array(&DataType::Int32, call.rows))))
            .udf(),
        Scalar::new("inet_client_port")
            .stable()
            .overload(columns(&[], int4, |call| Ok(new_null_array(&DataType::Int32, call.rows))))
            .udf(),
        false_of("pg_is_in_recovery", &[]),
        false_of("pg_is_wal_replay_paused", &[]),
        Scalar::new("pg_conf_load_time")
            .stable()
            .overload(
                columns(&[], text, |call| {
                    Ok(new_null_array(&super::scalar::timestamptz(), call.rows))
                })
                .returns_type(super::scalar::timestamptz()),
            )
            .udf(),
        void("pg_advisory_unlock_all", &[]),
        void("pg_advisory_lock", &[Ty::Int8]),
        true_of("pg_advisory_unlock", &[Ty::Int8]),
        true_of("pg_try_advisory_lock", &[Ty::Int8]),
        to_connection("pg_cancel_backend", |connections, pid| connections.cancel(pid)),
        to_connection("pg_terminate_backend", |connections, pid| connections.terminate(pid)),
    ]
}

/// What is done to the connection of a number; false if there is none.
fn to_connection(name: &'static str, act: fn(&dyn Connections, i32) -> bool) -> ScalarUDF {
    let acted = move |call: &Call<'_>| -> Result<ArrayRef, SqlError> {
        let connections = call.session()?.connections.clone();
        let act = |pid| connections.as_ref().is_some_and(|all| act(all.as_ref(), pid));
        let pids = call.args[0].as_primitive::<Int32Type>();
        let done = pids.iter().map(|pid| pid.map(act));
        Ok(Arc::new(done.collect::<BooleanArray>()))
    };
    Scalar::new(name).volatile().overload(columns(&[Ty::Int4], boolean, acted)).udf()
}

/// Functions called for an effect that there is none of here.
fn void(name: &'static str, args: &[Ty]) -> ScalarUDF {
    let empty = |call: &Call<'_>| -> Result<ArrayRef, SqlError> {
        Ok(Arc::new(StringArray::from(vec![""; call.rows])))
    };
    Scalar::new(name).volatile().overload(columns(args, text, empty)).udf()
}

fn true_of(name: &'static str, args: &[Ty]) -> ScalarUDF {
    let yes = |call: &Call<'_>| -> Result<ArrayRef, SqlError> {
        Ok(Arc::new(BooleanArray::from(vec![true; call.rows])))
    };
    Scalar::new(name).volatile().overload(columns(args, boolean, yes)).udf()
}
