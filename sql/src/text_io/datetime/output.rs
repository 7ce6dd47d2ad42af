//! Dates and times printed in ISO style: `2026-06-10 12:00:00.5+00`, `0044-03-15 BC`.

use std::fmt::Write;

use super::calendar::{DAY, HOUR, MINUTE, SECOND, civil_from_days};
use super::zone::Zone;

/// `days` since 1970-01-01.
pub fn format_date(days: i32, out: &mut String) {
    let bc = push_date(i64::from(days), out);
    push_era(bc, out);
}

/// Microseconds since midnight.
pub fn format_time(micros: i64, out: &mut String) {
    let (hour, minute, second) = (micros / HOUR, micros / MINUTE % 60, micros / SECOND % 60);
    write!(out, "{hour:02}:{minute:02}:{second:02}").expect("writing to a String");
    push_fraction(micros % SECOND, out);
}

/// Microseconds since 1970-01-01 00:00.
pub fn format_timestamp(micros: i64, out: &mut String) {
    let bc = push_date(micros.div_euclid(DAY), out);
    out.push(' ');
    format_time(micros.rem_euclid(DAY), out);
    push_era(bc, out);
}

/// Microseconds since 1970-01-01 00:00 UTC, shown in `zone` with its offset.
pub fn format_timestamptz(micros: i64, zone: &Zone, out: &mut String) {
    let offset = zone.offset_at(micros);
    let local = micros.saturating_add(offset * SECOND);
    let bc = push_date(local.div_euclid(DAY), out);
    out.push(' ');
    format_time(local.rem_euclid(DAY), out);
    push_offset(offset, out);
    push_era(bc, out);
}

/// `+00`, `+05:30`, `-00:25:21`.
pub fn push_offset(seconds: i64, out: &mut String) {
    let sign = if seconds < 0 { '-' } else { '+' };
    let east = seconds.abs();
    write!(out, "{sign}{:02}", east / 3_600).expect("writing to a String");
    if east % 3_600 != 0 {
        write!(out, ":{:02}", east / 60 % 60).expect("writing to a String");
    }
    if east % 60 != 0 {
        write!(out, ":{:02}", east % 60).expect("writing to a String");
    }
}

/// Up to six digits, trailing zeros left off.
pub fn push_fraction(micros: i64, out: &mut String) {
    if micros != 0 {
        write!(out, ".{micros:06}").expect("writing to a String");
        out.truncate(out.trim_end_matches('0').len());
    }
}

fn push_date(days: i64, out: &mut String) -> bool {
    let (year, month, day) = civil_from_days(days);
    let bc = year <= 0;
    let year = if bc { 1 - year } else { year };
    write!(out, "{year:04}-{month:02}-{day:02}").expect("writing to a String");
    bc
}

fn push_era(bc: bool, out: &mut String) {
    if bc {
        out.push_str(" BC");
    }
}
