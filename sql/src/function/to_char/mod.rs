//! `to_char`: dates, times, intervals and numbers by a template.
//!
//! Law: the patterns of [`template`] and [`number`] print what PostgreSQL prints in locale C.
//! Not here: `V` (0A000), and translated names (`TM`).

pub mod number;
pub mod template;

use std::cell::RefCell;
use std::fmt::Write;
use std::rc::Rc;

use datafusion::logical_expr::ScalarUDF;

use crate::error::SqlError;
use crate::text_io::datetime::calendar::{
    Civil, DAY, HOUR, JULIAN_EPOCH, MINUTE, MONTHS, SECOND, WEEKDAYS, civil, days_from_civil,
    iso_week, iso_week_start, weekday,
};
use crate::text_io::{interval, numeric};

use super::body::{
    Date, Float4, Float8, Int4, Int8, Interval, Numeric, Text, Timestamp, Timestamptz, fn2,
};
use super::scalar::Scalar;
use template::{Case, Pattern, Token, tokens};

pub fn functions() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("to_char")
            .overload(fn2::<Timestamp, Text, Text>(timestamp))
            .overload(fn2::<Timestamptz, Text, Text>(|t, f| timestamp_in(t, f, "UTC")))
            .overload(fn2::<Date, Text, Text>(|d, f| timestamp_in(i64::from(d) * DAY, f, "UTC")))
            .overload(fn2::<Interval, Text, Text>(|i, f| {
                let micros = interval::micros(i);
                let months = i64::from(i.months);
                let at = Civil {
                    year: months / 12,
                    month: months % 12,
                    day: i.days.into(),
                    hour: micros / HOUR,
                    minute: micros / MINUTE % 60,
                    second: micros / SECOND % 60,
                    micros: micros % SECOND,
                    days: 0,
                };
                print(&at, f, "", true)
            }))
            .overload(fn2::<Int4, Text, Text>(|n, f| number::format(&n.to_string(), f)))
            .overload(fn2::<Int8, Text, Text>(|n, f| number::format(&n.to_string(), f)))
            .overload(fn2::<Numeric, Text, Text>(|n, f| {
                let mut digits = String::new();
                numeric::format_full(n.value, n.scale, &mut digits);
                number::format(&digits, f)
            }))
            .overload(fn2::<Float8, Text, Text>(floating))
            .overload(fn2::<Float4, Text, Text>(|x, f| floating(x.into(), f)))
            .udf(),
    ]
}

/// A float with as many digits after the point as the template shows.
fn floating(value: f64, template: &str) -> Result<String, SqlError> {
    if let Some(places) = number::scientific_places(template) {
        return Ok(number::scientific_float(value, places));
    }
    let digits = number::fraction_digits(template).min(15);
    number::format(&format!("{value:.digits$}"), template)
}

/// A timestamp without a zone.
pub fn timestamp(micros: i64, template: &str) -> Result<String, SqlError> {
    timestamp_in(micros, template, "")
}

fn timestamp_in(micros: i64, template: &str, zone: &str) -> Result<String, SqlError> {
    print(&civil(micros), template, zone, false)
}

/// A template taken apart.
type Parsed = (String, Rc<[Token]>);

thread_local! {
    /// The last template: nearly always the same for all rows.
    static LAST: RefCell<Parsed> = RefCell::new((String::new(), Rc::default()));
}

fn parsed(template: &str) -> Rc<[Token]> {
    LAST.with_borrow_mut(|(last, parsed)| {
        if last != template {
            *parsed = tokens(template).into();
            template.clone_into(last);
        }
        Rc::clone(parsed)
    })
}

fn print(at: &Civil, template: &str, zone: &str, span: bool) -> Result<String, SqlError> {
    let mut out = String::with_capacity(template.len() * 2);
    for token in parsed(template).iter() {
        match *token {
            Token::Literal(c) => out.push(c),
            Token::Pattern { pattern, fill, ordinal } => {
                let start = out.len();
                field(pattern, at, fill, zone, span, &mut out)?;
                if let Some(case) = ordinal {
                    push_ordinal(start, case, &mut out);
                }
            }
        }
    }
    Ok(out)
}

/// `st`, `nd`, `rd`, `th` after the number written from `start`.
fn push_ordinal(start: usize, case: Case, out: &mut String) {
    let number: String = out[start..].chars().filter(char::is_ascii_digit).collect();
    let teen = number.len() > 1 && number.as_bytes()[number.len() - 2] == b'1';
    let suffix = match number.chars().last() {
        Some('1') if !teen => "st",
        Some('2') if !teen => "nd",
        Some('3') if !teen => "rd",
        _ => "th",
    };
    out.push_str(&case.apply(suffix));
}

/// A number with at least `width` digits, unless filling is off.
fn push(out: &mut String, value: i64, width: usize, fill: bool) {
    let width = if fill { width } else { 0 };
    if value < 0 {
        out.push('-');
    }
    write!(out, "{:0width$}", value.unsigned_abs()).expect("writing to a string");
}

/// A name, padded to nine characters as Postgres does, unless filling is off.
fn push_name(out: &mut String, name: &str, case: Case, width: usize, fill: bool) {
    let name = case.apply(name);
    let width = if fill { width } else { 0 };
    out.push_str(&format!("{name:<width$}"));
}

fn counted(year: i64) -> i64 {
    if year > 0 { year } else { 1 - year }
}

fn roman(month: i64) -> &'static str {
    const ROMAN: [&str; 12] =
        ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];
    ROMAN[((month + 11) % 12) as usize]
}

fn field(
    pattern: Pattern,
    at: &Civil,
    fill: bool,
    zone: &str,
    span: bool,
    out: &mut String,
) -> Result<(), SqlError> {
    let hour12 = match at.hour % 12 {
        0 if !span || at.hour != 0 => 12,
        hour => hour,
    };
    let year = if span { at.year } else { counted(at.year) };
    let iso_year = || counted(iso_week(at.days).0);
    match pattern {
        Pattern::Hour12 => push(out, if span && at.hour % 12 == 0 { 12 } else { hour12 }, 2, fill),
        Pattern::Hour24 => push(out, at.hour, 2, fill),
        Pattern::Minute => push(out, at.minute, 2, fill),
        Pattern::Second => push(out, at.second, 2, fill),
        Pattern::SecondOfDay => push(out, at.hour * 3_600 + at.minute * 60 + at.second, 0, fill),
        Pattern::Millisecond => push(out, at.micros / 1_000, 3, true),
        Pattern::Microsecond => push(out, at.micros, 6, true),
        Pattern::Fraction(digits) => {
            push(out, at.micros / 10i64.pow(6 - u32::from(digits)), digits.into(), true);
        }
        Pattern::Meridian { dotted, case } => {
            let word = match (at.hour.rem_euclid(24) >= 12, dotted) {
                (false, false) => "AM",
                (false, true) => "A.M.",
                (true, false) => "PM",
                (true, true) => "P.M.",
            };
            out.push_str(&case.apply(word));
        }
        Pattern::Era { dotted, case } => {
            let word = match (at.year > 0, dotted) {
                (true, false) => "AD",
                (true, true) => "A.D.",
                (false, false) => "BC",
                (false, true) => "B.C.",
            };
            out.push_str(&case.apply(word));
        }
        Pattern::YearComma => out.push_str(&format!("{},{:03}", year / 1_000, year % 1_000)),
        Pattern::Year(digits) => year_digits(year, digits, fill, out),
        Pattern::IsoYear(digits) => year_digits(iso_year(), digits, fill, out),
        Pattern::MonthName(case) => {
            push_name(out, MONTHS[((at.month + 11) % 12) as usize], case, 9, fill);
        }
        Pattern::MonthShort(case) => {
            out.push_str(&case.apply(&MONTHS[((at.month + 11) % 12) as usize][..3]));
        }
        Pattern::Month => push(out, at.month, 2, fill),
        Pattern::MonthRoman(case) => push_name(out, roman(at.month), case, 4, fill),
        Pattern::DayName(case) => {
            push_name(out, WEEKDAYS[weekday(at.days) as usize], case, 9, fill);
        }
        Pattern::DayShort(case) => {
            out.push_str(&case.apply(&WEEKDAYS[weekday(at.days) as usize][..3]));
        }
        Pattern::DayOfYear => {
            push(out, at.days - days_from_civil(at.year, 1, 1) + 1, 3, fill);
        }
        Pattern::IsoDayOfYear => {
            let (year, _) = iso_week(at.days);
            push(out, at.days - iso_week_start(year, 1) + 1, 3, fill);
        }
        Pattern::Day => push(out, at.day, 2, fill),
        Pattern::DayOfWeek => push(out, weekday(at.days) + 1, 1, fill),
        Pattern::IsoDayOfWeek => push(out, (weekday(at.days) + 6) % 7 + 1, 1, fill),
        Pattern::WeekOfMonth => push(out, (at.day - 1) / 7 + 1, 1, fill),
        Pattern::WeekOfYear => {
            push(out, (at.days - days_from_civil(at.year, 1, 1)) / 7 + 1, 2, fill);
        }
        Pattern::IsoWeek => push(out, iso_week(at.days).1, 2, fill),
        Pattern::Century => push(out, (year - 1) / 100 + 1, 2, fill),
        Pattern::Julian => push(out, at.days + JULIAN_EPOCH, 0, fill),
        Pattern::Quarter => push(out, (at.month - 1) / 3 + 1, 1, fill),
        Pattern::ZoneName(case) => out.push_str(&case.apply(zone)),
        Pattern::ZoneHour | Pattern::ZoneOffset => out.push_str("+00"),
        Pattern::ZoneMinute => out.push_str("00"),
    }
    Ok(())
}

fn year_digits(year: i64, digits: u8, fill: bool, out: &mut String) {
    if digits == 4 {
        return push(out, year, 4, fill);
    }
    push(out, year % 10i64.pow(digits.into()), digits.into(), fill);
}
