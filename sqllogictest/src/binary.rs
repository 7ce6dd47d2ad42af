//! Binary values as the text PostgreSQL prints.
//!
//! Law: `text(v)` over the extended protocol is what the same value is as text over the simple one,
//! in a session with time zone UTC, DateStyle ISO and IntervalStyle postgres. Written from
//! PostgreSQL's `*send` and `*out` functions alone: sharing code with the server would only prove
//! that the server agrees with itself.

use std::fmt::Write;

use tokio_postgres::types::{FromSql, Kind, Type};

type Decoded<T> = Result<T, String>;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
/// Days from 1970-01-01 to 2000-01-01, PostgreSQL's epoch.
const POSTGRES_EPOCH_DAYS: i64 = 10_957;

/// A value as it came, of any type.
pub struct Raw<'a> {
    ty: Type,
    bytes: &'a [u8],
}

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(
        ty: &Type,
        bytes: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Raw { ty: ty.clone(), bytes })
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// The value as text, or what is wrong with its bytes.
pub fn text(raw: &Raw<'_>) -> Decoded<String> {
    value(&raw.ty, raw.bytes).map_err(|e| format!("binary {}: {e}", raw.ty.name()))
}

fn value(ty: &Type, bytes: &[u8]) -> Decoded<String> {
    if let Kind::Array(element) = ty.kind() {
        return match *ty {
            Type::INT2_VECTOR | Type::OID_VECTOR => Ok(elements(element, bytes)?.join(" ")),
            _ => array(element, bytes),
        };
    }
    match *ty {
        Type::BOOL => Ok(if bytes == [1] { "t" } else { "f" }.to_owned()),
        Type::INT2 => Ok(i16::from_be_bytes(fixed(bytes)?).to_string()),
        Type::INT4 => Ok(i32::from_be_bytes(fixed(bytes)?).to_string()),
        Type::INT8 => Ok(i64::from_be_bytes(fixed(bytes)?).to_string()),
        Type::OID => Ok(u32::from_be_bytes(fixed(bytes)?).to_string()),
        Type::FLOAT4 => Ok(float4(f32::from_be_bytes(fixed(bytes)?))),
        Type::FLOAT8 => Ok(float8(f64::from_be_bytes(fixed(bytes)?))),
        Type::NUMERIC => numeric(bytes),
        Type::BYTEA => Ok(format!("\\x{}", hex(bytes))),
        Type::DATE => Ok(date(i32::from_be_bytes(fixed(bytes)?))),
        Type::TIME => Ok(time(i64::from_be_bytes(fixed(bytes)?))),
        Type::TIMESTAMP => Ok(timestamp(i64::from_be_bytes(fixed(bytes)?), "")),
        Type::TIMESTAMPTZ => Ok(timestamp(i64::from_be_bytes(fixed(bytes)?), "+00")),
        Type::INTERVAL => interval(bytes),
        Type::UUID => uuid(bytes),
        Type::JSONB => match bytes.split_first() {
            Some((1, json)) => utf8(json),
            _ => Err("jsonb must begin with version 1".to_owned()),
        },
        Type::VOID => Ok(String::new()),
        // `charout`: the zero byte prints as nothing.
        Type::CHAR if bytes == [0] => Ok(String::new()),
        _ => utf8(bytes),
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> Decoded<[u8; N]> {
    bytes.try_into().map_err(|_| format!("{} bytes instead of {N}", bytes.len()))
}

fn utf8(bytes: &[u8]) -> Decoded<String> {
    String::from_utf8(bytes.to_vec()).map_err(|e| e.to_string())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}

fn uuid(bytes: &[u8]) -> Decoded<String> {
    let hex = hex(&fixed::<16>(bytes)?);
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

/// `float8out` with the shortest digits: scientific below 1e-4 and from 1e15 on.
fn float8(x: f64) -> String {
    special(x).unwrap_or_else(|| shortest(&format!("{x:e}"), 15))
}

/// `float4out`: scientific from 1e6 on.
fn float4(x: f32) -> String {
    special(f64::from(x)).unwrap_or_else(|| shortest(&format!("{x:e}"), 6))
}

fn special(x: f64) -> Option<String> {
    if x.is_nan() {
        return Some("NaN".to_owned());
    }
    x.is_infinite().then(|| if x > 0.0 { "Infinity" } else { "-Infinity" }.to_owned())
}

/// From Rust's `-1.25e-7` to PostgreSQL's spelling of the same digits.
fn shortest(scientific: &str, exponent_max: i32) -> String {
    let (mantissa, exponent) = scientific.split_once('e').expect("{:e} prints an e");
    let exponent: i32 = exponent.parse().expect("{:e} prints a whole exponent");
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    if !(-4..exponent_max).contains(&exponent) {
        let direction = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{mantissa}e{direction}{:02}", exponent.abs());
    }
    let digits = mantissa.replace('.', "");
    if exponent < 0 {
        return format!("{sign}0.{}{digits}", "0".repeat(exponent.unsigned_abs() as usize - 1));
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        return format!("{sign}{digits}{}", "0".repeat(whole - digits.len()));
    }
    format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
}

/// Base-10000 digits, the first weighing 10000^weight, then cut to `scale` decimals.
fn numeric(bytes: &[u8]) -> Decoded<String> {
    let word = |i: usize| -> Decoded<i16> {
        let pair = bytes.get(2 * i..2 * i + 2).ok_or("numeric is cut short")?;
        Ok(i16::from_be_bytes(fixed(pair)?))
    };
    let (count, weight, sign, scale) = (word(0)?, word(1)?, word(2)? as u16, word(3)?);
    let sign = match sign {
        0x0000 => "",
        0x4000 => "-",
        0xC000 => return Ok("NaN".to_owned()),
        0xD000 => return Ok("Infinity".to_owned()),
        0xF000 => return Ok("-Infinity".to_owned()),
        other => return Err(format!("numeric sign {other:#x}")),
    };
    if bytes.len() != 8 + 2 * count as usize {
        return Err(format!("numeric of {count} digits in {} bytes", bytes.len()));
    }
    let digit = |power: i16| -> Decoded<i16> {
        let index = weight - power;
        if (0..count).contains(&index) { word(4 + index as usize) } else { Ok(0) }
    };
    let mut text = digit(weight.max(0))?.to_string();
    for power in (0..weight.max(0)).rev() {
        text.push_str(&format!("{:04}", digit(power)?));
    }
    let mut decimals = String::new();
    let mut power = -1;
    while decimals.len() < scale as usize {
        decimals.push_str(&format!("{:04}", digit(power)?));
        power -= 1;
    }
    decimals.truncate(scale as usize);
    let point = if scale > 0 { "." } else { "" };
    Ok(format!("{sign}{text}{point}{decimals}"))
}

fn date(days: i32) -> String {
    match days {
        i32::MAX => "infinity".to_owned(),
        i32::MIN => "-infinity".to_owned(),
        days => {
            let (date, era) = civil(i64::from(days));
            format!("{date}{era}")
        }
    }
}

fn timestamp(micros: i64, zone: &str) -> String {
    match micros {
        i64::MAX => "infinity".to_owned(),
        i64::MIN => "-infinity".to_owned(),
        micros => {
            let (date, era) = civil(micros.div_euclid(MICROS_PER_DAY));
            format!("{date} {}{zone}{era}", time(micros.rem_euclid(MICROS_PER_DAY)))
        }
    }
}

/// The date that many days after 2000-01-01, and ` BC` where it belongs.
/// Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
fn civil(days: i64) -> (String, &'static str) {
    let shifted = days + POSTGRES_EPOCH_DAYS + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if year > 0 {
        (format!("{year:04}-{month:02}-{day:02}"), "")
    } else {
        (format!("{:04}-{month:02}-{day:02}", 1 - year), " BC")
    }
}

fn time(micros: i64) -> String {
    let seconds = micros / MICROS_PER_SECOND;
    let fraction = fraction(micros % MICROS_PER_SECOND);
    format!("{:02}:{:02}:{:02}{fraction}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn fraction(micros: i64) -> String {
    match micros {
        0 => String::new(),
        micros => format!(".{micros:06}").trim_end_matches('0').to_owned(),
    }
}

/// `EncodeInterval`, style postgres: after a negative part the next positive one shows its sign.
fn interval(bytes: &[u8]) -> Decoded<String> {
    let bytes: [u8; 16] = fixed(bytes)?;
    let micros = i64::from_be_bytes(fixed(&bytes[..8])?);
    let days = i32::from_be_bytes(fixed(&bytes[8..12])?);
    let months = i32::from_be_bytes(fixed(&bytes[12..])?);
    let mut text = String::new();
    let mut after_negative = false;
    for (n, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if n == 0 {
            continue;
        }
        let plural = if n == 1 { "" } else { "s" };
        let sign = if after_negative && n > 0 { "+" } else { "" };
        write!(text, "{sign}{n} {unit}{plural} ").expect("a String takes everything");
        after_negative = n < 0;
    }
    if micros != 0 || text.is_empty() {
        let sign = match micros {
            micros if micros < 0 => "-",
            _ if after_negative => "+",
            _ => "",
        };
        let magnitude = micros.unsigned_abs() as i64;
        write!(text, "{sign}{}", time(magnitude)).expect("a String takes everything");
    }
    Ok(text.trim_end().to_owned())
}

fn array(element: &Type, bytes: &[u8]) -> Decoded<String> {
    let dimensions = be_i32(bytes, 0)?;
    let values = elements(element, bytes)?;
    if dimensions == 0 {
        return Ok("{}".to_owned());
    }
    let lengths: Vec<usize> = (0..dimensions as usize)
        .map(|d| be_i32(bytes, 12 + 8 * d).map(|n| n as usize))
        .collect::<Decoded<_>>()?;
    Ok(nested(&lengths, &values))
}

fn nested(lengths: &[usize], values: &[String]) -> String {
    let Some((&length, inner)) = lengths.split_first() else {
        return values[0].clone();
    };
    let step = values.len() / length;
    let parts: Vec<String> = values.chunks(step).map(|chunk| nested(inner, chunk)).collect();
    format!("{{{}}}", parts.join(","))
}

/// The elements in order, quoted where `array_out` quotes them.
fn elements(element: &Type, bytes: &[u8]) -> Decoded<Vec<String>> {
    let dimensions = be_i32(bytes, 0)? as usize;
    let mut at = 12 + 8 * dimensions;
    let mut values = Vec::new();
    while at < bytes.len() {
        let length = be_i32(bytes, at)?;
        at += 4;
        if length < 0 {
            values.push("NULL".to_owned());
            continue;
        }
        let end = at + length as usize;
        let inner = bytes.get(at..end).ok_or("array element is cut short")?;
        values.push(quoted(value(element, inner)?));
        at = end;
    }
    Ok(values)
}

fn quoted(text: String) -> String {
    let special = |c: char| c.is_ascii_whitespace() || matches!(c, '"' | '\\' | '{' | '}' | ',');
    if !text.is_empty() && !text.eq_ignore_ascii_case("null") && !text.contains(special) {
        return text;
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn be_i32(bytes: &[u8], at: usize) -> Decoded<i32> {
    let four = bytes.get(at..at + 4).ok_or("array is cut short")?;
    Ok(i32::from_be_bytes(fixed(four)?))
}
