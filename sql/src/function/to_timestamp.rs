//! `to_timestamp(seconds)`, and `to_timestamp`, `to_date`, `to_number` by a template.
//!
//! Law: the templates are those of `to_char`, read backwards: numbers of a fixed width where the
//! template has no separator, separators match any run of blanks and punctuation.

use datafusion::logical_expr::ScalarUDF;

use crate::error::SqlError;
use crate::text_io::datetime::calendar::{
    DAY, HOUR, JULIAN_EPOCH, MINUTE, MONTHS, SECOND, WEEKDAYS, days_from_civil, days_in_month,
    iso_week_start,
};
use crate::text_io::numeric;

use super::body::{Date, Float8, Num, Numeric, Text, Timestamptz, fn1, fn2};
use super::scalar::Scalar;
use super::to_char::template::{Pattern, Token, tokens};

pub fn functions() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("to_timestamp")
            .overload(fn1::<Float8, Timestamptz>(from_seconds))
            .overload(fn2::<Text, Text, Timestamptz>(|text, template| {
                let (days, micros) = read(text, template)?.finish(text)?;
                days.checked_mul(DAY)
                    .and_then(|day| day.checked_add(micros))
                    .ok_or_else(super::date_arithmetic::timestamp_out_of_range)
            }))
            .udf(),
        Scalar::new("to_date")
            .overload(fn2::<Text, Text, Date>(|text, template| {
                let (days, _) = read(text, template)?.finish(text)?;
                i32::try_from(days).map_err(|_| out_of_range(text))
            }))
            .udf(),
        Scalar::new("to_number").overload(fn2::<Text, Text, Numeric>(to_number)).udf(),
    ]
}

fn from_seconds(seconds: f64) -> Result<i64, SqlError> {
    let micros = (seconds * 1e6).round_ties_even();
    match micros.abs() < 9.2e18 {
        true => Ok(micros as i64),
        false => {
            let message = format!("timestamp out of range: \"{seconds}\"");
            Err(SqlError::new("22008", message))
        }
    }
}

fn out_of_range(text: &str) -> SqlError {
    SqlError::new("22008", format!("date/time field value out of range: \"{text}\""))
}

#[derive(Debug, Default)]
struct Found {
    year: Option<i64>,
    iso_year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    week: Option<i64>,
    iso_week: Option<i64>,
    iso_day: Option<i64>,
    julian: Option<i64>,
    century: Option<i64>,
    bc: bool,
    hour: i64,
    hour12: bool,
    pm: Option<bool>,
    minute: i64,
    second: i64,
    micros: i64,
    zone: i64,
}

fn is_separator(c: char) -> bool {
    !c.is_alphanumeric()
}

fn read(text: &str, template: &str) -> Result<Found, SqlError> {
    let mut found = Found::default();
    let mut rest = text.trim_start();
    let tokens = tokens(template);
    for (i, token) in tokens.iter().enumerate() {
        match token {
            Token::Literal(c) if is_separator(*c) => {
                rest = match rest.chars().next() {
                    Some(first) if is_separator(first) && first != '-' && first != '+' => {
                        rest[first.len_utf8()..].trim_start()
                    }
                    Some(first) if first == *c => rest[first.len_utf8()..].trim_start(),
                    _ => rest,
                };
            }
            Token::Literal(_) => {
                rest = rest.chars().next().map_or(rest, |first| &rest[first.len_utf8()..]);
            }
            Token::Pattern { pattern, .. } => {
                if rest.is_empty() {
                    break;
                }
                // A number runs on unless another number follows at once.
                let adjacent = matches!(tokens.get(i + 1), Some(Token::Pattern { .. }));
                rest = rest.trim_start_matches(|c: char| c.is_whitespace());
                rest = found.take(*pattern, rest, adjacent)?;
            }
        }
    }
    Ok(found)
}

/// A number of at most `digits` digits (any, when 0), and what follows.
fn number(rest: &str, digits: usize, pattern: &str) -> Result<(i64, usize, usize), SqlError> {
    let signed = usize::from(rest.starts_with(['-', '+']));
    let length = rest[signed..].bytes().take_while(u8::is_ascii_digit).count();
    let length = if digits > 0 { length.min(digits) } else { length };
    let end = signed + length;
    let value = rest[..end].parse().map_err(|_| {
        let shown: String = rest.chars().take(digits.max(1)).collect();
        SqlError::new("22007", format!("invalid value \"{shown}\" for \"{pattern}\""))
            .with_detail("Value must be an integer.")
    })?;
    Ok((value, end, length))
}

fn name(
    rest: &str,
    names: &[&str],
    short: bool,
    pattern: &str,
) -> Result<(usize, usize), SqlError> {
    let starts = |name: &str| rest.get(..name.len()).is_some_and(|h| h.eq_ignore_ascii_case(name));
    let found = names.iter().position(|name| starts(if short { &name[..3] } else { name }));
    match found {
        Some(at) => Ok((at, if short { 3 } else { names[at].len() })),
        None => {
            let shown: String = rest.chars().take_while(|c| c.is_alphabetic()).collect();
            Err(SqlError::new("22007", format!("invalid value \"{shown}\" for \"{pattern}\""))
                .with_detail(
                    "The given value did not match any of the allowed values for this field.",
                ))
        }
    }
}

impl Found {
    fn take<'a>(
        &mut self,
        pattern: Pattern,
        rest: &'a str,
        adjacent: bool,
    ) -> Result<&'a str, SqlError> {
        let width = |digits: usize| if adjacent { digits } else { 0 };
        let put =
            |slot: &mut Option<i64>, digits: usize, shown: &str| -> Result<&'a str, SqlError> {
                let (value, end, _) = number(rest, digits, shown)?;
                *slot = Some(value);
                Ok(&rest[end..])
            };
        let set = |slot: &mut i64, digits: usize, shown: &str| -> Result<&'a str, SqlError> {
            let (value, end, _) = number(rest, digits, shown)?;
            *slot = value;
            Ok(&rest[end..])
        };
        match pattern {
            Pattern::Year(digits) => self.year_of(rest, digits, adjacent),
            Pattern::IsoYear(digits) => put(&mut self.iso_year, width(digits.into()), "IYYY"),
            Pattern::YearComma => {
                let (thousands, end, _) = number(rest, 0, "Y,YYY")?;
                let tail = rest[end..].trim_start_matches(',');
                let (ones, end, _) = number(tail, 3, "Y,YYY")?;
                self.year = Some(thousands * 1_000 + ones);
                Ok(&tail[end..])
            }
            Pattern::Month => put(&mut self.month, 2, "MM"),
            Pattern::MonthName(_) | Pattern::MonthShort(_) => {
                let short = matches!(pattern, Pattern::MonthShort(_));
                let (at, end) = name(rest, &MONTHS, short, if short { "MON" } else { "MONTH" })?;
                self.month = Some(at as i64 + 1);
                Ok(&rest[end..])
            }
            Pattern::DayName(_) | Pattern::DayShort(_) => {
                let short = matches!(pattern, Pattern::DayShort(_));
                let (_, end) = name(rest, &WEEKDAYS, short, if short { "DY" } else { "DAY" })?;
                Ok(&rest[end..])
            }
            Pattern::Day => put(&mut self.day, 2, "DD"),
            Pattern::DayOfYear | Pattern::IsoDayOfYear => put(&mut self.day_of_year, 3, "DDD"),
            Pattern::WeekOfYear => put(&mut self.week, 2, "WW"),
            Pattern::IsoWeek => put(&mut self.iso_week, 2, "IW"),
            Pattern::IsoDayOfWeek => put(&mut self.iso_day, 1, "ID"),
            Pattern::Julian => put(&mut self.julian, 0, "J"),
            Pattern::Century => put(&mut self.century, 2, "CC"),
            Pattern::Hour24 => set(&mut self.hour, 2, "HH24"),
            Pattern::Hour12 => {
                self.hour12 = true;
                set(&mut self.hour, 2, "HH12")
            }
            Pattern::Minute => set(&mut self.minute, 2, "MI"),
            Pattern::Second => set(&mut self.second, 2, "SS"),
            Pattern::SecondOfDay => {
                let (value, end, _) = number(rest, 5, "SSSS")?;
                (self.hour, self.minute, self.second) =
                    (value / 3_600, value / 60 % 60, value % 60);
                Ok(&rest[end..])
            }
            Pattern::Millisecond => self.fraction(rest, 3),
            Pattern::Microsecond => self.fraction(rest, 6),
            Pattern::Fraction(digits) => self.fraction(rest, digits.into()),
            Pattern::Meridian { dotted, .. } => {
                self.pm = Some(rest.starts_with(['p', 'P']));
                Ok(rest.get(if dotted { 4 } else { 2 }..).unwrap_or(""))
            }
            Pattern::Era { dotted, .. } => {
                self.bc = rest.starts_with(['b', 'B']);
                Ok(rest.get(if dotted { 4 } else { 2 }..).unwrap_or(""))
            }
            Pattern::ZoneHour => {
                let (value, end, _) = number(rest, 2, "TZH")?;
                self.zone += value * HOUR;
                Ok(&rest[end..])
            }
            Pattern::ZoneMinute => {
                let (value, end, _) = number(rest, 2, "TZM")?;
                let sign = if self.zone < 0 { -1 } else { 1 };
                self.zone += sign * value * MINUTE;
                Ok(&rest[end..])
            }
            Pattern::Quarter | Pattern::DayOfWeek | Pattern::WeekOfMonth => {
                let (_, end, _) = number(rest, 1, "Q")?;
                Ok(&rest[end..])
            }
            Pattern::MonthRoman(_) | Pattern::ZoneName(_) | Pattern::ZoneOffset => {
                Err(SqlError::unsupported("this template pattern is not supported for input"))
            }
        }
    }

    /// A year of fewer digits is near 2020.
    fn year_of<'a>(
        &mut self,
        rest: &'a str,
        digits: u8,
        adjacent: bool,
    ) -> Result<&'a str, SqlError> {
        let (value, end, length) = number(rest, if adjacent { digits.into() } else { 0 }, "YYYY")?;
        let near = |value: i64| match (digits, value) {
            (4, _) => value,
            (_, 0..=69) if length < 3 => value + 2_000,
            (_, 70..=99) if length < 3 => value + 1_900,
            (_, 100..=519) if length == 3 => value + 2_000,
            (_, 520..=999) if length == 3 => value + 1_000,
            _ => value,
        };
        self.year = Some(near(value));
        Ok(&rest[end..])
    }

    fn fraction<'a>(&mut self, rest: &'a str, digits: usize) -> Result<&'a str, SqlError> {
        let (value, end, length) = number(rest, digits, "US")?;
        let unit = 10i64.pow(6 - (length.min(6)) as u32);
        self.micros = value * unit;
        Ok(&rest[end..])
    }

    /// Days since 1970 and microseconds of the day, in UTC.
    fn finish(&self, text: &str) -> Result<(i64, i64), SqlError> {
        let mut hour = self.hour;
        if self.hour12 || self.pm.is_some() {
            if !(1..=12).contains(&hour) {
                let message = format!("hour \"{hour}\" is invalid for the 12-hour clock");
                let hint = "Use the 24-hour clock, or give an hour between 1 and 12.";
                return Err(SqlError::new("22007", message).with_hint(hint));
            }
            hour = hour % 12 + if self.pm == Some(true) { 12 } else { 0 };
        }
        if !(0..=23).contains(&hour) || self.minute > 59 || self.second > 59 {
            return Err(out_of_range(text));
        }
        let micros =
            hour * HOUR + self.minute * MINUTE + self.second * SECOND + self.micros - self.zone;
        Ok((self.days(text)?, micros))
    }

    fn days(&self, text: &str) -> Result<i64, SqlError> {
        if let Some(julian) = self.julian {
            return Ok(julian - JULIAN_EPOCH);
        }
        if let (Some(year), Some(week)) = (self.iso_year, self.iso_week) {
            return Ok(iso_week_start(year, week) + self.iso_day.unwrap_or(1) - 1);
        }
        let year = match (self.year, self.century) {
            (Some(year), _) => year,
            (None, Some(century)) => century * 100 - 99,
            (None, None) => 0,
        };
        let year = match (self.bc, year) {
            (true, year) => 1 - year,
            // A year never given is 1 BC.
            (false, year) => year,
        };
        if let Some(day) = self.day_of_year {
            return Ok(days_from_civil(year, 1, 1) + day - 1);
        }
        if let Some(week) = self.week {
            return Ok(days_from_civil(year, 1, 1) + (week - 1) * 7);
        }
        let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
            return Err(out_of_range(text));
        }
        Ok(days_from_civil(year, month, day))
    }
}

/// The digits, sign and point of the text; the template says what may stand between them.
fn to_number(text: &str, template: &str) -> Result<Num, SqlError> {
    let mut digits = String::new();
    let brackets = text.contains('<') && template.to_ascii_uppercase().contains("PR");
    let negative = text.contains('-') || brackets;
    if negative {
        digits.push('-');
    }
    digits.extend(text.chars().filter(|c| c.is_ascii_digit() || *c == '.'));
    let value = numeric::parse(&digits, numeric::PRECISION_MAX, numeric::SCALE_UNCONSTRAINED)
        .map_err(|_| {
            SqlError::new("22P02", format!("invalid input syntax for type numeric: \"{text}\""))
        })?;
    Ok(Num { value, scale: numeric::SCALE_UNCONSTRAINED })
}
