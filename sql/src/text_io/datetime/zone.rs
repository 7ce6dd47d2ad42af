//! Time zones: UTC, fixed offsets, and the names of the IANA database.
//!
//! Law: a local time that occurs twice is the one after the clocks were put back; one that is
//! skipped is read with the offset in force before it, as Postgres does both.

use std::str::FromStr;

use chrono::{Offset, TimeZone};

use super::calendar::SECOND;

/// Where local time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Zone {
    #[default]
    Utc,
    /// Seconds east of Greenwich.
    Fixed(i32),
    Named(chrono_tz::Tz),
}

/// Abbreviations people write, in seconds east of Greenwich.
const ABBREVIATIONS: &[(&str, i32)] = &[
    ("utc", 0),
    ("gmt", 0),
    ("z", 0),
    ("zulu", 0),
    ("ut", 0),
    ("wet", 0),
    ("west", 3_600),
    ("bst", 3_600),
    ("cet", 3_600),
    ("cest", 7_200),
    ("met", 3_600),
    ("mest", 7_200),
    ("eet", 7_200),
    ("eest", 10_800),
    ("msk", 10_800),
    ("jst", 32_400),
    ("kst", 32_400),
    ("sgt", 28_800),
    ("aest", 36_000),
    ("aedt", 39_600),
    ("awst", 28_800),
    ("nzst", 43_200),
    ("nzdt", 46_800),
    ("est", -18_000),
    ("edt", -14_400),
    ("cst", -21_600),
    ("cdt", -18_000),
    ("mst", -25_200),
    ("mdt", -21_600),
    ("pst", -28_800),
    ("pdt", -25_200),
    ("akst", -32_400),
    ("akdt", -28_800),
    ("hst", -36_000),
];

impl Zone {
    /// A zone by abbreviation, IANA name (in any case) or offset (`+05:30`).
    pub fn named(name: &str) -> Option<Zone> {
        let lower = name.to_ascii_lowercase();
        if let Some((_, east)) = ABBREVIATIONS.iter().find(|(known, _)| *known == lower) {
            return Some(if *east == 0 { Zone::Utc } else { Zone::Fixed(*east) });
        }
        if lower == "etc/utc" {
            return Some(Zone::Utc);
        }
        let exact = chrono_tz::Tz::from_str(name).ok();
        let mut variants = chrono_tz::TZ_VARIANTS.iter().copied();
        let any_case = || variants.find(|zone| zone.name().eq_ignore_ascii_case(name));
        match exact.or_else(any_case) {
            Some(zone) => Some(Zone::Named(zone)),
            None => Zone::offset(name),
        }
    }

    /// `+HH`, `-HH:MM`, `+HHMM`, `+HH:MM:SS`.
    pub fn offset(text: &str) -> Option<Zone> {
        let (sign, rest) = match text.as_bytes().first()? {
            b'+' => (1, &text[1..]),
            b'-' => (-1, &text[1..]),
            _ => return None,
        };
        let number = |s: &str| match s.bytes().all(|b| b.is_ascii_digit()) {
            true => i32::from_str(s).ok(),
            false => None,
        };
        let mut parts = rest.split(':');
        let first = parts.next()?;
        let (hours, mut minutes) = match first.len() {
            1 | 2 => (number(first)?, 0),
            3 | 4 => {
                let (hours, minutes) = first.split_at_checked(first.len() - 2)?;
                (number(hours)?, number(minutes)?)
            }
            _ => return None,
        };
        if let Some(part) = parts.next() {
            minutes = number(part)?;
        }
        let seconds = parts.next().map_or(Some(0), number)?;
        let valid = parts.next().is_none() && hours < 16 && minutes < 60 && seconds < 60;
        let east = sign * (hours * 3_600 + minutes * 60 + seconds);
        valid.then_some(if east == 0 { Zone::Utc } else { Zone::Fixed(east) })
    }

    /// Seconds east of Greenwich at an instant (microseconds since 1970 UTC).
    pub fn offset_at(&self, utc: i64) -> i64 {
        match self {
            Zone::Utc => 0,
            Zone::Fixed(east) => i64::from(*east),
            Zone::Named(zone) => match chrono::DateTime::from_timestamp_micros(utc) {
                Some(time) => {
                    let offset = zone.offset_from_utc_datetime(&time.naive_utc());
                    i64::from(offset.fix().local_minus_utc())
                }
                None => 0,
            },
        }
    }

    /// Local microseconds of an instant.
    pub fn to_local(&self, utc: i64) -> Option<i64> {
        utc.checked_add(self.offset_at(utc) * SECOND)
    }

    /// The instant of a local time.
    pub fn to_utc(&self, local: i64) -> Option<i64> {
        match self {
            Zone::Utc => Some(local),
            Zone::Fixed(east) => local.checked_sub(i64::from(*east) * SECOND),
            Zone::Named(_) => {
                // The offset a day before holds unless a change lies between.
                let day = super::calendar::DAY;
                let before = self.offset_at(local.checked_sub(day)?) * SECOND;
                let after = self.offset_at(local.checked_add(day)?) * SECOND;
                let early = local.checked_sub(before)?;
                let late = local.checked_sub(after)?;
                let holds = |utc: i64| self.offset_at(utc) * SECOND == local - utc;
                Some(if holds(late) { late } else { early })
            }
        }
    }

    /// The name as `SHOW timezone` says it.
    pub fn name(&self) -> String {
        match self {
            Zone::Utc => "UTC".to_string(),
            Zone::Named(zone) => zone.name().to_string(),
            Zone::Fixed(east) => {
                let sign = if *east < 0 { '-' } else { '+' };
                let minutes = east.abs() / 60;
                format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        }
    }
}
