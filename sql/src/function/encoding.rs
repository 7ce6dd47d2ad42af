//! `encode` and `decode` (hex, base64, escape), and hashes: `md5`, `sha224` … `sha512`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;
use datafusion::common::config::ConfigOptions;
use datafusion::functions::crypto;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use crate::error::SqlError;
use crate::text_io::bytea;

use super::body::{Bytea, Text, fn2};
use super::scalar::{Call, Scalar, Ty, columns};

pub fn functions() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("encode").overload(fn2::<Bytea, Text, Text>(encode)).udf(),
        Scalar::new("decode").overload(fn2::<Text, Text, Bytea>(decode)).udf(),
        Scalar::new("convert_from")
            .overload(fn2::<Bytea, Text, Text>(|bytes, encoding| {
                utf8(encoding)?;
                let text =
                    std::str::from_utf8(bytes).map_err(|error| invalid_utf8(bytes, error))?;
                Ok(text.into())
            }))
            .udf(),
        Scalar::new("convert_to")
            .overload(fn2::<Text, Text, Bytea>(|text, encoding| {
                utf8(encoding)?;
                Ok(text.as_bytes().into())
            }))
            .udf(),
        Scalar::new("md5")
            .overload(columns(&[Ty::Text], hex_type, md5))
            .overload(columns(&[Ty::Bytea], hex_type, md5))
            .udf(),
        hash("sha224", crypto::sha224),
        hash("sha256", crypto::sha256),
        hash("sha384", crypto::sha384),
        hash("sha512", crypto::sha512),
    ]
}

fn utf8(encoding: &str) -> Result<(), SqlError> {
    let known = ["utf8", "utf-8", "unicode"];
    if known.iter().any(|name| encoding.eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    Err(SqlError::unsupported(format!("encoding \"{encoding}\" is not supported")))
}

fn invalid_utf8(bytes: &[u8], error: std::str::Utf8Error) -> SqlError {
    let at = error.valid_up_to();
    let length = error.error_len().unwrap_or(bytes.len() - at);
    let shown: Vec<String> = bytes[at..at + length].iter().map(|b| format!("0x{b:02x}")).collect();
    let message = format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" "));
    SqlError::new("22021", message)
}

fn unknown(encoding: &str) -> SqlError {
    SqlError::new("22023", format!("unrecognized encoding: \"{encoding}\""))
}

fn encode(bytes: &[u8], encoding: &str) -> Result<String, SqlError> {
    let mut out = String::new();
    match encoding.to_ascii_lowercase().as_str() {
        "hex" => bytea::format_hex(bytes, &mut out),
        "escape" => bytea::format_escape(bytes, &mut out),
        "base64" => encode_base64(bytes, &mut out),
        _ => return Err(unknown(encoding)),
    }
    Ok(out)
}

fn decode(text: &str, encoding: &str) -> Result<Vec<u8>, SqlError> {
    let mut out = Vec::new();
    match encoding.to_ascii_lowercase().as_str() {
        "hex" => bytea::parse_hex(text, &mut out)?,
        "escape" => bytea::parse_escape(text, &mut out)?,
        "base64" => decode_base64(text, &mut out)?,
        _ => return Err(unknown(encoding)),
    }
    Ok(out)
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 2045: padded, a line break after each 76 characters.
fn encode_base64(bytes: &[u8], out: &mut String) {
    for (i, chunk) in bytes.chunks(3).enumerate() {
        if i > 0 && i % 19 == 0 {
            out.push('\n');
        }
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit) & 63) as usize;
            out.push(if digit <= chunk.len() { BASE64[index] as char } else { '=' });
        }
    }
}

fn decode_base64(text: &str, out: &mut Vec<u8>) -> Result<(), SqlError> {
    let invalid = |message: String| SqlError::new("22023", message);
    let (mut bits, mut digits, mut end) = (0u32, 0, 0);
    for c in text.chars().filter(|c| !crate::text_io::is_space(*c)) {
        if c == '=' {
            if end == 0 && digits < 2 {
                return Err(invalid("unexpected \"=\" while decoding base64 sequence".into()));
            }
            end += 1;
            continue;
        }
        let value = BASE64.iter().position(|digit| *digit as char == c);
        let Some(value) = value.filter(|_| end == 0) else {
            let message = format!("invalid symbol \"{c}\" found while decoding base64 sequence");
            return Err(invalid(message));
        };
        bits = bits << 6 | value as u32;
        digits += 1;
        if digits == 4 {
            out.extend_from_slice(&bits.to_be_bytes()[1..]);
            (bits, digits) = (0, 0);
        }
    }
    match (digits, end) {
        (0, 0) => Ok(()),
        (2, 2) => {
            out.push((bits >> 4) as u8);
            Ok(())
        }
        (3, 1) => {
            out.extend_from_slice(&[(bits >> 10) as u8, (bits >> 2) as u8]);
            Ok(())
        }
        _ => Err(invalid("invalid base64 end sequence".into())
            .with_hint("Input data is missing padding, is truncated, or is otherwise corrupted.")),
    }
}

fn hex_type(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    Ok(DataType::Utf8)
}

fn bytes_type(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    Ok(DataType::Binary)
}

/// Calls one of DataFusion's hashes, whose result types are its own.
fn digest(function: &ScalarUDF, array: &ArrayRef) -> Result<ArrayRef, SqlError> {
    let field = Arc::new(Field::new("x", array.data_type().clone(), true));
    let returns = function.return_type(&[array.data_type().clone()])?;
    let result = function.invoke_with_args(ScalarFunctionArgs {
        args: vec![ColumnarValue::Array(Arc::clone(array))],
        arg_fields: vec![field],
        number_rows: array.len(),
        return_field: Arc::new(Field::new("hash", returns, true)),
        config_options: Arc::new(ConfigOptions::default()),
    })?;
    Ok(result.into_array(array.len())?)
}

fn md5(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let hashed = digest(&crypto::md5(), &call.args[0])?;
    Ok(arrow::compute::cast(&hashed, &DataType::Utf8)?)
}

fn hash(name: &'static str, function: fn() -> Arc<ScalarUDF>) -> ScalarUDF {
    let body = move |call: &Call<'_>| -> Result<ArrayRef, SqlError> {
        let hashed = digest(&function(), &call.args[0])?;
        Ok(arrow::compute::cast(&hashed, &DataType::Binary)?)
    };
    Scalar::new(name).overload(columns(&[Ty::Bytea], bytes_type, body)).udf()
}
