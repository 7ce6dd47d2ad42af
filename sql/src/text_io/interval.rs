//! `interval` as text: Postgres' own style out (`1 year 2 mons -3 days 04:05:06.7`), that style,
//! verbose, SQL standard (`1-2`, `3 4:05:06`) and ISO 8601 (`P1Y2M3DT4H5M6S`) in.
//!
//! An interval is months, days and nanoseconds (whole microseconds), each with its own sign.
//! Law: what is printed reads back as the same value. Not promised: times over 292 years (22008).

use std::fmt::Write;

use arrow::datatypes::IntervalMonthDayNano;

use crate::error::SqlError;

use super::datetime::calendar::{DAY, HOUR, MINUTE, SECOND};
use super::fault;

/// Months, days and microseconds while they are being added up.
#[derive(Debug, Default, Clone, Copy)]
struct Sum {
    months: i64,
    days: i64,
    micros: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Months(i64),
    Days(i64),
    Micros(i64),
}

/// Builds an interval; None when a part does not fit.
pub fn make(months: i64, days: i64, micros: i64) -> Option<IntervalMonthDayNano> {
    let months = i32::try_from(months).ok()?;
    let days = i32::try_from(days).ok()?;
    Some(IntervalMonthDayNano::new(months, days, micros.checked_mul(1_000)?))
}

/// The time part in microseconds.
pub fn micros(value: IntervalMonthDayNano) -> i64 {
    value.nanoseconds / 1_000
}

/// The whole length in microseconds, a month being 30 days and a day 24 hours: what intervals are
/// compared by.
pub fn span(value: IntervalMonthDayNano) -> i128 {
    let days = i128::from(value.months) * 30 + i128::from(value.days);
    days * i128::from(DAY) + i128::from(micros(value))
}

pub fn parse(text: &str) -> Result<IntervalMonthDayNano, SqlError> {
    let trimmed = text.trim_matches(super::is_space);
    let iso = trimmed.starts_with(['P', 'p']);
    let sum = if iso { parse_iso(trimmed) } else { parse_words(trimmed) };
    match sum {
        Ok(sum) => make(sum.months, sum.days, sum.micros).ok_or_else(|| out_of_range(text)),
        Err(Fault::Syntax) => Err(fault::datetime_syntax("interval", text)),
        Err(Fault::Field) => Err(fault::datetime_field(text)),
        Err(Fault::Range) => Err(out_of_range(text)),
    }
}

fn out_of_range(text: &str) -> SqlError {
    fault::error("22015", format!("interval field value out of range: \"{text}\""))
}

enum Fault {
    Syntax,
    /// 61 minutes.
    Field,
    Range,
}

/// A decimal number: sign, whole part, and the fraction in billionths.
#[derive(Debug, Clone, Copy)]
struct Number {
    negative: bool,
    whole: i64,
    billionths: i64,
}

impl Sum {
    /// Adds `number` of a unit; the fraction of a month goes to days, that of a day to time.
    fn add(&mut self, number: Number, unit: Unit) -> Result<(), Fault> {
        let sign = if number.negative { -1 } else { 1 };
        let (whole, billionths) = (sign * number.whole, sign * number.billionths);
        let scaled = |each: i64| whole.checked_mul(each).ok_or(Fault::Range);
        match unit {
            Unit::Micros(each) => {
                self.add_micros(scaled(each)?)?;
                self.add_fraction_of(each, billionths)
            }
            Unit::Days(each) => {
                self.days = self.days.checked_add(scaled(each)?).ok_or(Fault::Range)?;
                self.add_fraction_days(each * billionths)
            }
            Unit::Months(each) => {
                self.months = self.months.checked_add(scaled(each)?).ok_or(Fault::Range)?;
                if each == 1 {
                    return self.add_fraction_days(30 * billionths);
                }
                // Of a year and more, whole months count and the rest is rounded to one.
                self.months += divide_round(each * billionths, 1_000_000_000);
                Ok(())
            }
        }
    }

    fn add_fraction_days(&mut self, billionths: i64) -> Result<(), Fault> {
        self.days += billionths / 1_000_000_000;
        self.add_fraction_of(DAY, billionths % 1_000_000_000)
    }

    fn add_fraction_of(&mut self, micros: i64, billionths: i64) -> Result<(), Fault> {
        let product = i128::from(micros) * i128::from(billionths);
        let half = if product < 0 { -500_000_000 } else { 500_000_000 };
        self.add_micros(((product + half) / 1_000_000_000) as i64)
    }

    fn add_micros(&mut self, micros: i64) -> Result<(), Fault> {
        self.micros = self.micros.checked_add(micros).ok_or(Fault::Range)?;
        Ok(())
    }

    fn negate(&mut self) {
        *self = Sum { months: -self.months, days: -self.days, micros: -self.micros };
    }
}

fn divide_round(value: i64, divisor: i64) -> i64 {
    super::numeric::divide_round(value.into(), divisor.into()) as i64
}

/// `[@] {number unit | time | years-months} … [ago]`
fn parse_words(text: &str) -> Result<Sum, Fault> {
    let mut rest = text.trim_start_matches('@');
    let mut sum = Sum::default();
    let (mut seen, mut ago) = (Seen::default(), false);
    while !skip_space(&mut rest).is_empty() {
        if let Some(after) = strip_word(rest, "ago").filter(|_| seen.0 != 0) {
            ago = true;
            rest = after;
            continue;
        }
        parse_part(&mut rest, &mut sum, &mut seen)?;
    }
    if ago {
        sum.negate();
    }
    if seen.0 == 0 { Err(Fault::Syntax) } else { Ok(sum) }
}

fn strip_word<'a>(rest: &'a str, word: &str) -> Option<&'a str> {
    let head = rest.get(..word.len())?;
    head.eq_ignore_ascii_case(word).then(|| &rest[word.len()..])
}

fn skip_space<'a>(rest: &mut &'a str) -> &'a str {
    *rest = rest.trim_start_matches(|c: char| super::is_space(c) || c == ',');
    rest
}

/// One number with its unit. Each unit may stand once; `seen` are those that did.
fn parse_part(rest: &mut &str, sum: &mut Sum, seen: &mut Seen) -> Result<(), Fault> {
    let number = read_signed(rest)?;
    if rest.starts_with(':') {
        seen.note(&[Unit::Micros(HOUR), Unit::Micros(MINUTE), Unit::Micros(SECOND)])?;
        return parse_clock(number, rest, sum);
    }
    if rest.starts_with('-') && number.billionths == 0 {
        seen.note(&[Unit::Months(12), Unit::Months(1)])?;
        *rest = &rest[1..];
        let months = read_number(rest)?;
        if !rest.is_empty() && !rest.starts_with(super::is_space) {
            return Err(Fault::Syntax);
        }
        if months.whole > 11 {
            return Err(Fault::Range);
        }
        let months = Number { negative: number.negative, ..months };
        sum.add(number, Unit::Months(12))?;
        return sum.add(months, Unit::Months(1));
    }
    let after_space = skip_space(rest);
    let end = after_space.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after_space.len());
    let (word, tail) = after_space.split_at(end);
    if word.is_empty() {
        // A bare number is days before a time (`3 4:05`), seconds at the end.
        let clock = tail.trim_start_matches(['+', '-']).contains(':');
        let unit = if clock { Unit::Days(1) } else { Unit::Micros(SECOND) };
        if !clock && !tail.is_empty() {
            return Err(Fault::Syntax);
        }
        seen.note(&[unit])?;
        return sum.add(number, unit);
    }
    *rest = tail;
    let unit = unit(word).ok_or(Fault::Syntax)?;
    seen.note(&[unit])?;
    sum.add(number, unit)
}

/// `hh:mm[:ss[.f]]` after its hours; the sign of the hours is that of all.
fn parse_clock(hours: Number, rest: &mut &str, sum: &mut Sum) -> Result<(), Fault> {
    *rest = &rest[1..];
    let minutes = read_number(rest)?;
    let mut seconds = Number { negative: false, whole: 0, billionths: 0 };
    let sign = hours.negative;
    if rest.starts_with(':') {
        *rest = &rest[1..];
        seconds = read_number(rest)?;
    } else if minutes.billionths != 0 {
        // `mm:ss.f`
        sum.add(hours, Unit::Micros(MINUTE))?;
        return sum.add(Number { negative: sign, ..minutes }, Unit::Micros(SECOND));
    }
    if minutes.whole > 59 || seconds.whole > 60 {
        return Err(Fault::Field);
    }
    sum.add(hours, Unit::Micros(HOUR))?;
    sum.add(Number { negative: sign, ..minutes }, Unit::Micros(MINUTE))?;
    sum.add(Number { negative: sign, ..seconds }, Unit::Micros(SECOND))
}

/// A number whose sign may stand apart from it.
fn read_signed(rest: &mut &str) -> Result<Number, Fault> {
    let signed = rest.starts_with(['+', '-']);
    let unsigned = rest.get(1..).unwrap_or_default().trim_start_matches(super::is_space);
    if !signed || unsigned.starts_with(['+', '-']) {
        return read_number(rest);
    }
    let negative = rest.starts_with('-');
    *rest = unsigned;
    Ok(Number { negative, ..read_number(rest)? })
}

fn read_number(rest: &mut &str) -> Result<Number, Fault> {
    let negative = rest.starts_with('-');
    if rest.starts_with(['+', '-']) {
        *rest = &rest[1..];
    }
    let digits = |rest: &mut &str| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (taken, tail) = rest.split_at(end);
        *rest = tail;
        taken.len()
    };
    let start = *rest;
    let whole_len = digits(rest);
    let whole = match whole_len {
        0 => 0,
        _ => start[..whole_len].parse().map_err(|_| Fault::Range)?,
    };
    let mut billionths = 0;
    let mut fraction_len = 0;
    if rest.starts_with('.') {
        *rest = &rest[1..];
        let fraction = *rest;
        fraction_len = digits(rest);
        for i in 0..9 {
            let digit = fraction.as_bytes().get(i).filter(|_| i < fraction_len);
            billionths = billionths * 10 + digit.map_or(0, |b| i64::from(b - b'0'));
        }
    }
    if whole_len + fraction_len == 0 {
        return Err(Fault::Syntax);
    }
    Ok(Number { negative, whole, billionths })
}

/// Units by all their names.
const UNITS: &[(Unit, &[&str])] = &[
    (Unit::Micros(1), &["us", "usec", "usecs", "microsecond", "microseconds", "microsecon"]),
    (Unit::Micros(1_000), &["ms", "msec", "msecs", "millisecond", "milliseconds", "millisecon"]),
    (Unit::Micros(SECOND), &["s", "sec", "secs", "second", "seconds"]),
    (Unit::Micros(MINUTE), &["m", "min", "mins", "minute", "minutes"]),
    (Unit::Micros(HOUR), &["h", "hr", "hrs", "hour", "hours"]),
    (Unit::Days(1), &["d", "day", "days"]),
    (Unit::Days(7), &["w", "week", "weeks"]),
    (Unit::Months(1), &["mon", "mons", "month", "months"]),
    (Unit::Months(12), &["y", "yr", "yrs", "year", "years"]),
    (Unit::Months(120), &["dec", "decs", "decade", "decades"]),
    (Unit::Months(1_200), &["c", "cent", "century", "centuries"]),
    (Unit::Months(12_000), &["mil", "mils", "millennium", "millennia"]),
];

fn unit(word: &str) -> Option<Unit> {
    let named = |names: &[&str]| names.iter().any(|name| word.eq_ignore_ascii_case(name));
    UNITS.iter().find(|(_, names)| named(names)).map(|(unit, _)| *unit)
}

/// Which units have stood in the text, a bit each.
#[derive(Debug, Default)]
struct Seen(u16);

impl Seen {
    /// Notes units; an error if one of them stood before.
    fn note(&mut self, units: &[Unit]) -> Result<(), Fault> {
        for unit in units {
            let at =
                UNITS.iter().position(|(known, _)| known == unit).expect("a unit of the table");
            if self.0 & 1 << at != 0 {
                return Err(Fault::Syntax);
            }
            self.0 |= 1 << at;
        }
        Ok(())
    }
}

/// `P[nY][nM][nW][nD][T[nH][nM][nS]]`, each number with its own sign.
fn parse_iso(text: &str) -> Result<Sum, Fault> {
    let mut rest = &text[1..];
    let mut sum = Sum::default();
    let mut time = false;
    let mut any = false;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(['T', 't']) {
            time = true;
            rest = after;
            continue;
        }
        let number = read_number(&mut rest)?;
        let letter = rest.chars().next().ok_or(Fault::Syntax)?.to_ascii_uppercase();
        rest = &rest[1..];
        let unit = match (letter, time) {
            ('Y', false) => Unit::Months(12),
            ('M', false) => Unit::Months(1),
            ('W', false) => Unit::Days(7),
            ('D', false) => Unit::Days(1),
            ('H', true) => Unit::Micros(HOUR),
            ('M', true) => Unit::Micros(MINUTE),
            ('S', true) => Unit::Micros(SECOND),
            _ => return Err(Fault::Syntax),
        };
        sum.add(number, unit)?;
        any = true;
    }
    if any { Ok(sum) } else { Err(Fault::Syntax) }
}

pub fn format(value: IntervalMonthDayNano, out: &mut String) {
    let start = out.len();
    let mut before = false;
    let mut part = |count: i32, name: &str| {
        if count == 0 {
            return;
        }
        let space = if out.len() > start { " " } else { "" };
        let plus = if before && count > 0 { "+" } else { "" };
        let plural = if count == 1 { "" } else { "s" };
        write!(out, "{space}{plus}{count} {name}{plural}").expect("writing to a String");
        before = count < 0;
    };
    part(value.months / 12, "year");
    part(value.months % 12, "mon");
    part(value.days, "day");
    let micros = micros(value);
    let empty = out.len() == start;
    if micros == 0 && !empty {
        return;
    }
    let space = if empty { "" } else { " " };
    let sign = if micros < 0 {
        "-"
    } else if before {
        "+"
    } else {
        ""
    };
    write!(out, "{space}{sign}").expect("writing to a String");
    let micros = micros.unsigned_abs() as i64;
    super::datetime::format_time(micros, out);
}
