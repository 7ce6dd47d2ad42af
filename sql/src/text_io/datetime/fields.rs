//! Splits a date or time into its fields, whatever order and spelling they came in.
//!
//! One pass over the text: digits begin a number, a time (`:`) or a date (`-`, `/`, `.`); letters
//! are a month, a weekday, an era, a zone or a special word; a sign after the time is an offset.
//! Two-digit years are 1970 to 2069. A date whose first number has at most two digits is month,
//! day, year.

use crate::error::SqlError;

use super::calendar::{DAY, MONTHS, WEEKDAYS, days_from_civil, days_in_month};
use super::zone::Zone;
use super::{InputSettings, micros_of};
use crate::text_io::fault;

/// What was found.
#[derive(Debug, Default, Clone)]
pub struct Fields {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    /// Day of the year, from `2026.161` or `2026-161`.
    day_of_year: Option<i64>,
    /// Days since 1970, from `J2460000`.
    julian: Option<i64>,
    bc: bool,
    pm: Option<bool>,
    /// Hour, minute, second, microseconds.
    pub time: Option<(i64, i64, i64, i64)>,
    pub zone: Option<Zone>,
    special: Option<Special>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Special {
    Epoch,
    Now,
    Today,
    Tomorrow,
    Yesterday,
    Infinity,
}

/// Reads all fields; `name` is the type for the message.
pub fn read(text: &str, name: &str) -> Result<Fields, SqlError> {
    let fields = Fields::default();
    let time_only = name == "time";
    let mut reader = Reader { text, rest: text, fields, loose: Vec::new(), time_only };
    reader.run().map_err(|fault| match fault {
        Fault::Syntax => fault::datetime_syntax(name, text),
        Fault::Range => fault::datetime_field(text),
        Fault::Displacement => {
            let message = format!("time zone displacement out of range: \"{text}\"");
            fault::error("22009", message)
        }
        Fault::Zone(zone) => fault::error("22023", format!("time zone \"{zone}\" not recognized")),
    })?;
    Ok(reader.fields)
}

enum Fault {
    Syntax,
    Range,
    Displacement,
    Zone(String),
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    fields: Fields,
    /// Bare numbers beside a month's name, in order.
    loose: Vec<(i64, usize)>,
    /// `123456` is a time, not a date.
    time_only: bool,
}

impl<'a> Reader<'a> {
    fn run(&mut self) -> Result<(), Fault> {
        loop {
            self.rest = self.rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
            match self.rest.chars().next() {
                None => break,
                Some('0'..='9') => self.number()?,
                Some('+' | '-') => self.offset()?,
                Some(c) if c.is_ascii_alphabetic() => self.word()?,
                Some(_) => return Err(Fault::Syntax),
            }
        }
        self.place_loose()
    }

    fn take(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c: char| !accept(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn number(&mut self) -> Result<(), Fault> {
        let digits = self.take(|c| c.is_ascii_digit());
        let mut after = self.rest.chars();
        let next = after.next();
        let following = after.next();
        match next {
            Some(':') => self.time(digits),
            Some(separator @ ('-' | '/' | '.'))
                if self.fields.month.is_none()
                    && self.fields.year.is_none()
                    && following.is_some_and(|c| c.is_ascii_alphanumeric()) =>
            {
                self.date(digits, separator)
            }
            _ => self.bare(digits),
        }
    }

    /// `hh:mm[:ss[.ffffff]]`
    fn time(&mut self, hours: &str) -> Result<(), Fault> {
        if self.fields.time.is_some() {
            return Err(Fault::Syntax);
        }
        self.rest = &self.rest[1..];
        let minutes = self.take(|c| c.is_ascii_digit());
        let mut seconds = "0";
        let mut micros = 0;
        if self.rest.starts_with(':') {
            self.rest = &self.rest[1..];
            seconds = self.take(|c| c.is_ascii_digit());
            if self.rest.starts_with('.') {
                micros = self.fraction()?;
            }
        }
        self.fields.time = Some((integer(hours)?, integer(minutes)?, integer(seconds)?, micros));
        Ok(())
    }

    /// `.ffffff` in microseconds, rounded.
    fn fraction(&mut self) -> Result<i64, Fault> {
        self.rest = &self.rest[1..];
        let digits = self.take(|c| c.is_ascii_digit());
        let mut micros = 0;
        for i in 0..6 {
            micros = micros * 10 + digits.as_bytes().get(i).map_or(0, |b| i64::from(b - b'0'));
        }
        // Half to even, as rint() does.
        let rest = digits.get(6..).unwrap_or("").trim_end_matches('0');
        let up = rest > "5" || (rest == "5" && micros % 2 == 1);
        Ok(micros + i64::from(up))
    }

    /// Three parts with one separator, the middle one perhaps a name.
    fn date(&mut self, first: &str, separator: char) -> Result<(), Fault> {
        self.rest = &self.rest[1..];
        let second = self.take(|c| c.is_ascii_alphanumeric());
        let third = match self.rest.strip_prefix(separator) {
            Some(rest) => {
                self.rest = rest;
                Some(self.take(|c| c.is_ascii_digit()))
            }
            None => None,
        };
        let Some(third) = third.filter(|t| !t.is_empty()) else {
            return self.ordinal_date(first, second);
        };
        if let Some(month) = month(second) {
            let (year, day) = if first.len() > 2 { (first, third) } else { (third, first) };
            return self.set_date(year, Some(month), "", day);
        }
        if first.len() > 2 {
            self.set_date(first, None, second, third)
        } else {
            self.set_date(third, None, first, second)
        }
    }

    /// `2026-161`, `2026.161`: the day of the year.
    fn ordinal_date(&mut self, year: &str, day: &str) -> Result<(), Fault> {
        if year.len() < 4 || day.len() != 3 {
            return Err(Fault::Syntax);
        }
        self.fields.year = Some(integer(year)?);
        self.fields.day_of_year = Some(integer(day)?);
        Ok(())
    }

    fn set_date(
        &mut self,
        year: &str,
        name: Option<i64>,
        month: &str,
        day: &str,
    ) -> Result<(), Fault> {
        self.fields.year = Some(full_year(year)?);
        self.fields.month = Some(name.map_or_else(|| integer(month), Ok)?);
        self.fields.day = Some(integer(day)?);
        Ok(())
    }

    /// `20260610`, `260610`, `120000` after a date, or a number beside a month's name.
    fn bare(&mut self, digits: &str) -> Result<(), Fault> {
        let dated = self.time_only || self.fields.year.is_some() && self.fields.day.is_some();
        let (two, four) = (digits.len().saturating_sub(2), digits.len().saturating_sub(4));
        match digits.len() {
            4 | 6 if dated && self.fields.time.is_none() => {
                let seconds = if digits.len() == 6 { &digits[4..] } else { "0" };
                let micros = match self.rest.starts_with('.') {
                    true => self.fraction()?,
                    false => 0,
                };
                let (hours, minutes) = (integer(&digits[..2])?, integer(&digits[2..4])?);
                self.fields.time = Some((hours, minutes, integer(seconds)?, micros));
                Ok(())
            }
            6 | 8.. if !dated && self.fields.month.is_none() => {
                self.set_date(&digits[..four], None, &digits[four..two], &digits[two..])
            }
            _ => {
                self.loose.push((integer(digits)?, digits.len()));
                Ok(())
            }
        }
    }

    fn offset(&mut self) -> Result<(), Fault> {
        if self.rest.eq_ignore_ascii_case("-infinity") {
            self.fields.special = Some(Special::Infinity);
            self.rest = "";
            return Ok(());
        }
        if self.fields.time.is_none() && self.fields.day.is_none() {
            return Err(Fault::Syntax);
        }
        let sign_and_digits = self.rest;
        self.rest = &self.rest[1..];
        let digits = self.take(|c| c.is_ascii_digit() || c == ':');
        let hours = digits.split(':').next().unwrap_or("");
        let far = hours.len() <= 2 && hours.parse().is_ok_and(|hours: i64| hours > 15);
        let wrong = if far { Fault::Displacement } else { Fault::Syntax };
        let zone = Zone::offset(&sign_and_digits[..=digits.len()]).ok_or(wrong)?;
        self.fields.zone = Some(zone);
        Ok(())
    }

    fn word(&mut self) -> Result<(), Fault> {
        let whole = self.rest;
        let word = self.take(|c| c.is_ascii_alphabetic());
        let digit_follows = self.rest.starts_with(|c: char| c.is_ascii_digit());
        match word {
            // ISO 8601, the only words in most loads: without the allocation below.
            "T" | "t" if digit_follows => return Ok(()),
            "Z" | "z" if self.fields.time.is_some() => {
                self.fields.zone = Some(Zone::Utc);
                return Ok(());
            }
            _ => {}
        }
        let lower = word.to_ascii_lowercase();
        match lower.as_str() {
            "am" => self.fields.pm = Some(false),
            "pm" => self.fields.pm = Some(true),
            "bc" => self.fields.bc = true,
            "ad" | "at" | "on" => {}
            "j" if digit_follows => {
                let day = self.take(|c| c.is_ascii_digit());
                self.fields.julian = Some(integer(day)? - super::calendar::JULIAN_EPOCH);
            }
            "epoch" => self.fields.special = Some(Special::Epoch),
            "now" => self.fields.special = Some(Special::Now),
            "today" => self.fields.special = Some(Special::Today),
            "tomorrow" => self.fields.special = Some(Special::Tomorrow),
            "yesterday" => self.fields.special = Some(Special::Yesterday),
            "infinity" => self.fields.special = Some(Special::Infinity),
            "allballs" => self.fields.time = Some((0, 0, 0, 0)),
            _ if weekday(&lower) => {
                self.rest = self.rest.trim_start_matches('.');
            }
            _ => match month(&lower) {
                Some(month) if self.fields.month.is_none() => {
                    self.fields.month = Some(month);
                    self.rest = self.rest.trim_start_matches(['.', '-']);
                }
                _ => return self.zone(whole),
            },
        }
        Ok(())
    }

    /// A zone by name: `America/New_York`, `CET`, `UTC+2` is not taken.
    fn zone(&mut self, whole: &'a str) -> Result<(), Fault> {
        if self.fields.time.is_none() && self.fields.day.is_none() {
            return Err(Fault::Syntax);
        }
        self.rest = whole;
        let name = self.take(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '+' | '-'));
        match Zone::named(name) {
            Some(zone) => self.fields.zone = Some(zone),
            None if name.contains('/') => return Err(Fault::Zone(name.to_lowercase())),
            None => return Err(Fault::Syntax),
        }
        Ok(())
    }

    /// Gives the bare numbers beside a month's name their places.
    fn place_loose(&mut self) -> Result<(), Fault> {
        for (value, digits) in std::mem::take(&mut self.loose) {
            if self.fields.month.is_none() {
                return Err(Fault::Syntax);
            }
            if self.fields.day.is_none() && digits <= 2 {
                self.fields.day = Some(value);
            } else if self.fields.year.is_none() {
                self.fields.year = Some(match digits {
                    1 | 2 => two_digit_year(value),
                    _ => value,
                });
            } else {
                return Err(Fault::Syntax);
            }
        }
        let empty = self.text.trim().is_empty();
        if empty { Err(Fault::Syntax) } else { Ok(()) }
    }
}

impl Fields {
    /// Microseconds since 1970 of `epoch`, `now`, `today` …; None when the text names none.
    pub fn special_days(&self, text: &str, input: &InputSettings) -> Result<Option<i64>, SqlError> {
        let Some(special) = self.special else { return Ok(None) };
        let clock = || {
            let needs = || fault::error("0A000", format!("\"{text}\" is not allowed here"));
            input.now.ok_or_else(needs)
        };
        let midnight = |days: i64| -> Result<i64, SqlError> {
            let local = input.zone.to_local(clock()?).ok_or_else(|| fault::datetime_field(text))?;
            Ok((local.div_euclid(DAY) + days) * DAY)
        };
        let micros = match special {
            Special::Epoch => 0,
            Special::Now => clock()?,
            Special::Today => midnight(0)?,
            Special::Tomorrow => midnight(1)?,
            Special::Yesterday => midnight(-1)?,
            Special::Infinity => {
                return Err(fault::error("0A000", "infinite dates and times are not supported"));
            }
        };
        Ok(Some(micros))
    }

    /// Days since 1970-01-01.
    pub fn days(&self, text: &str, name: &str) -> Result<i64, SqlError> {
        if let Some(days) = self.julian {
            return Ok(days);
        }
        let year = self.year.ok_or_else(|| fault::datetime_syntax(name, text))?;
        if year == 0 {
            return Err(fault::datetime_field(text));
        }
        let year = if self.bc { 1 - year } else { year };
        if let Some(day) = self.day_of_year {
            return Ok(days_from_civil(year, 1, 1) + day - 1);
        }
        let month = self.month.ok_or_else(|| fault::datetime_syntax(name, text))?;
        let day = self.day.ok_or_else(|| fault::datetime_syntax(name, text))?;
        if !(1..=12).contains(&month) {
            return Err(fault::datetime_field(text)
                .with_hint("Perhaps you need a different \"datestyle\" setting."));
        }
        if day < 1 || day > days_in_month(year, month) {
            return Err(fault::datetime_field(text));
        }
        if year > 5_874_897 {
            let what = name.split(' ').next().unwrap_or(name);
            return Err(fault::error("22008", format!("{what} out of range: \"{text}\"")));
        }
        Ok(days_from_civil(year, month, day))
    }

    /// Microseconds since midnight; midnight when no time was given.
    pub fn micros_of_day(&self, text: &str) -> Result<i64, SqlError> {
        let Some((hour, minute, second, micros)) = self.time else { return Ok(0) };
        let hour = match self.pm {
            Some(_) if !(1..=12).contains(&hour) => return Err(fault::datetime_field(text)),
            Some(true) if hour < 12 => hour + 12,
            Some(false) if hour == 12 => 0,
            _ => hour,
        };
        let total = micros_of(hour, minute, second, micros);
        if minute > 59 || second > 60 || total > DAY {
            return Err(fault::datetime_field(text));
        }
        Ok(total)
    }
}

fn integer(digits: &str) -> Result<i64, Fault> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault::Syntax);
    }
    if digits.len() > 9 { Err(Fault::Range) } else { digits.parse().map_err(|_| Fault::Range) }
}

fn full_year(digits: &str) -> Result<i64, Fault> {
    let year = integer(digits)?;
    Ok(if digits.len() <= 2 { two_digit_year(year) } else { year })
}

fn two_digit_year(year: i64) -> i64 {
    if year < 70 { year + 2_000 } else { year + 1_900 }
}

/// The month of a name or its first three letters (`sept` too).
fn month(word: &str) -> Option<i64> {
    let known = |name: &&str| {
        word.eq_ignore_ascii_case(name)
            || word.eq_ignore_ascii_case(&name[..3])
            || (word.eq_ignore_ascii_case("sept") && **name == *"September")
    };
    MONTHS.iter().position(known).map(|i| i as i64 + 1)
}

fn weekday(word: &str) -> bool {
    WEEKDAYS
        .iter()
        .any(|name| word.eq_ignore_ascii_case(name) || word.eq_ignore_ascii_case(&name[..3]))
        || matches!(word, "tues" | "weds" | "wednes" | "thur" | "thurs")
}
