//! Templates of numbers: `FM999,990.00`, `S9999`, `99PR`.
//!
//! `9` is a digit or a blank, `0` a digit, `,` and `G` group, `.` and `D` part, `S`, `MI`, `PL`,
//! `SG`, `PR` place the sign, `L` and `$` stand for no currency and a dollar, `FM` takes off
//! padding.

use crate::error::SqlError;

/// A template taken apart.
#[derive(Debug, Default)]
struct Template {
    before: Vec<Item>,
    after: Vec<Item>,
    point: bool,
    fill: bool,
    sign: Sign,
    ordinal: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Nine,
    Zero,
    Group,
    Text(String),
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// A minus, or a blank, right before the digits.
    #[default]
    Floating,
    /// `S` in front of the digits, at their end.
    Leading,
    Trailing,
    /// `MI` in front, at the end.
    MinusFirst,
    MinusLast,
    PlusFirst,
    PlusLast,
    EitherFirst,
    EitherLast,
    /// `<12>`
    Brackets,
}

fn read(template: &str) -> Result<Template, SqlError> {
    let mut t = Template { fill: true, ..Template::default() };
    let mut rest = template;
    while let Some(c) = rest.chars().next() {
        let two = rest.get(..2).unwrap_or("").to_ascii_uppercase();
        let digits = t.before.iter().any(|i| matches!(i, Item::Nine | Item::Zero));
        let seen = digits || t.point;
        let mut length = two.len();
        match two.as_str() {
            "FM" => t.fill = false,
            "MI" => t.sign = if seen { Sign::MinusLast } else { Sign::MinusFirst },
            "PL" => t.sign = if seen { Sign::PlusLast } else { Sign::PlusFirst },
            "SG" => t.sign = if seen { Sign::EitherLast } else { Sign::EitherFirst },
            "PR" => t.sign = Sign::Brackets,
            "TH" => t.ordinal = Some(rest.starts_with('T')),
            "EE" | "RN" => return Err(unsupported(&two)),
            _ => {
                length = c.len_utf8();
                one(c, seen, &mut rest, &mut t)?;
                if c == '"' {
                    continue;
                }
            }
        }
        rest = &rest[length..];
    }
    Ok(t)
}

fn one(c: char, seen: bool, rest: &mut &str, t: &mut Template) -> Result<(), SqlError> {
    let point = t.point;
    let item = match c {
        '9' => Item::Nine,
        '0' => Item::Zero,
        ',' | 'G' | 'g' => Item::Group,
        '.' | 'D' | 'd' if !point => {
            t.point = true;
            return Ok(());
        }
        'S' | 's' => {
            t.sign = if seen { Sign::Trailing } else { Sign::Leading };
            return Ok(());
        }
        'L' | 'l' => Item::Text(" ".to_string()),
        'V' | 'v' => return Err(unsupported("V")),
        '"' => {
            let end = rest[1..].find('"').map_or(rest.len(), |at| at + 2);
            let text = rest[1..end].trim_end_matches('"').to_string();
            *rest = &rest[end..];
            Item::Text(text)
        }
        c => Item::Text(c.to_string()),
    };
    if point {
        t.after.push(item)
    } else {
        t.before.push(item)
    }
    Ok(())
}

fn unsupported(pattern: &str) -> SqlError {
    SqlError::unsupported(format!("\"{pattern}\" in a number template is not supported"))
}

/// Digits after the point that a template shows.
pub fn fraction_digits(template: &str) -> usize {
    let digit = |i: &&Item| matches!(i, Item::Nine | Item::Zero);
    read(template).map_or(0, |t| t.after.iter().filter(digit).count())
}

/// Rounds decimal digits half away from zero to `places`; gives whole part (no leading zeros) and
/// fraction.
fn round(digits: &str, places: usize) -> (String, String) {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let keep = whole.len() + places;
    let up = all.get(keep).is_some_and(|digit| *digit >= b'5');
    all.resize(keep, b'0');
    let mut carry = up;
    for digit in all.iter_mut().rev() {
        if !carry {
            break;
        }
        carry = *digit == b'9';
        *digit = if carry { b'0' } else { *digit + 1 };
    }
    if carry {
        all.insert(0, b'1');
    }
    let split = all.len() - places;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&all[..split]).trim_start_matches('0').to_string(), text(&all[split..]))
}

/// Prints the decimal digits (`-1234.5`) by the template.
pub fn format(digits: &str, template: &str) -> Result<String, SqlError> {
    if let Some(places) = scientific_places(template) {
        return Ok(scientific(digits, places));
    }
    if let Some(at) = position(template, "RN") {
        return Ok(roman(digits, template, &template[at..at + 2]));
    }
    let t = read(template)?;
    let digit = |i: &&Item| matches!(i, Item::Nine | Item::Zero);
    let places = t.after.iter().filter(digit).count();
    let room = t.before.iter().filter(digit).count();
    let negative = digits.starts_with('-');
    let (whole, fraction) = round(digits.trim_start_matches('-'), places);
    let zero = whole.is_empty() && fraction.bytes().all(|b| b == b'0');
    let negative = negative && !zero;
    let overflow = whole.len() > room;
    let mut number = Number { t: &t, out: String::new(), signed: false, negative };
    number.whole(&whole, room, overflow);
    if t.point {
        number.out.push('.');
    }
    number.fraction(&fraction, overflow);
    number.finish(&whole);
    Ok(number.out)
}

/// Where a pattern stands in a template, in upper or lower case.
fn position(template: &str, pattern: &str) -> Option<usize> {
    template.to_ascii_uppercase().find(pattern)
}

/// Digits after the point of a template with `EEEE`.
pub fn scientific_places(template: &str) -> Option<usize> {
    position(template, "EEEE").map(|at| fraction_digits(&template[..at]))
}

/// ` 1.25e+03`, rounded half away from zero.
fn scientific(digits: &str, places: usize) -> String {
    let negative = digits.starts_with('-');
    let (whole, fraction) = digits
        .trim_start_matches('-')
        .split_once('.')
        .unwrap_or((digits.trim_start_matches('-'), ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0');
    let mut exponent = match significant.is_empty() {
        true => 0,
        false => whole.len() as i32 - 1 - (all.len() - significant.len()) as i32,
    };
    let first = significant.get(..1).unwrap_or("0");
    let (mut head, tail) =
        round(&format!("{first}.{}", significant.get(1..).unwrap_or("")), places);
    if head.len() > 1 {
        exponent += 1;
        head.truncate(1);
    }
    let head = if head.is_empty() { "0" } else { &head };
    exponential(negative, head, &tail, exponent)
}

/// A float with an exponent, its digits those of its exact value.
pub fn scientific_float(value: f64, places: usize) -> String {
    if !value.is_finite() {
        return format!(" #.{}", "#".repeat(places + 4));
    }
    let text = format!("{:.places$e}", value.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (head, tail) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    exponential(value.is_sign_negative(), head, tail, exponent.parse().unwrap_or(0))
}

fn exponential(negative: bool, head: &str, tail: &str, exponent: i32) -> String {
    let sign = if negative { '-' } else { ' ' };
    let point = if tail.is_empty() { "" } else { "." };
    let of_exponent = if exponent < 0 { '-' } else { '+' };
    format!("{sign}{head}{point}{tail}e{of_exponent}{:02}", exponent.abs())
}

/// From 1 to 3999, in the case of `pattern`; padded to 15 characters without `FM`.
fn roman(digits: &str, template: &str, pattern: &str) -> String {
    #[rustfmt::skip] // a table
    const NUMERALS: [(i32, &str); 13] = [
        (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"),
        (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
    ];
    const WIDTH: usize = 15;
    let (whole, _) = round(digits.trim_start_matches('-'), 0);
    let number = whole.parse().ok().filter(|n| !digits.starts_with('-') && (1..4000).contains(n));
    let Some(mut number) = number else { return "#".repeat(WIDTH) };
    let mut text = String::new();
    for (value, numeral) in NUMERALS {
        while number >= value {
            number -= value;
            text.push_str(numeral);
        }
    }
    if pattern.starts_with('r') {
        text.make_ascii_lowercase();
    }
    match position(template, "FM") {
        Some(_) => text,
        None => format!("{text:>WIDTH$}"),
    }
}

struct Number<'a> {
    t: &'a Template,
    out: String,
    signed: bool,
    negative: bool,
}

impl Number<'_> {
    /// The sign that stands right before the first digit.
    fn sign(&mut self) {
        if self.signed {
            return;
        }
        self.signed = true;
        let fill = self.t.fill;
        match self.t.sign {
            Sign::Floating | Sign::PlusFirst | Sign::PlusLast if self.negative => {
                self.out.push('-');
            }
            Sign::Floating | Sign::PlusFirst | Sign::PlusLast if fill => self.out.push(' '),
            Sign::Leading => self.out.push(if self.negative { '-' } else { '+' }),
            Sign::Brackets if self.negative => self.out.push('<'),
            Sign::Brackets if fill => self.out.push(' '),
            _ => {}
        }
    }

    fn whole(&mut self, whole: &str, room: usize, overflow: bool) {
        self.first();
        let first_zero = self
            .t
            .before
            .iter()
            .filter(|i| matches!(i, Item::Nine | Item::Zero))
            .position(|i| *i == Item::Zero)
            .unwrap_or(room);
        // Without digits before the point a bare 0 is shown only where none follow it.
        let bare = whole.is_empty() && !self.t.point && room > 0;
        let shown = if bare { 1 } else { whole.len() };
        let start = first_zero.min(room.saturating_sub(shown));
        let start = if overflow { 0 } else { start };
        let digits = whole.as_bytes();
        let mut at = 0;
        for item in &self.t.before.clone() {
            match item {
                Item::Nine | Item::Zero => {
                    if at >= start {
                        self.sign();
                        let from_end = room - at;
                        let digit = digits.len().checked_sub(from_end).map(|i| digits[i]);
                        let digit = digit.map_or('0', |d| d as char);
                        self.out.push(if overflow { '#' } else { digit });
                    } else if self.t.fill {
                        self.out.push(' ');
                    }
                    at += 1;
                }
                Item::Group if at > start => self.out.push(','),
                Item::Group if self.t.fill => self.out.push(' '),
                Item::Group => {}
                Item::Text(text) => self.out.push_str(text),
            }
        }
        self.sign();
    }

    fn fraction(&mut self, fraction: &str, overflow: bool) {
        let t = self.t;
        let positions = t.after.iter().filter(|i| matches!(i, Item::Nine | Item::Zero));
        let zeros = positions.enumerate().filter(|(_, i)| **i == Item::Zero);
        let last_zero = zeros.last().map_or(0, |(at, _)| at + 1);
        let significant = fraction.trim_end_matches('0').len().max(last_zero);
        let mut at = 0;
        for item in &t.after {
            match item {
                Item::Nine | Item::Zero => {
                    if t.fill || at < significant {
                        let digit = fraction.as_bytes()[at] as char;
                        self.out.push(if overflow { '#' } else { digit });
                    }
                    at += 1;
                }
                Item::Group => self.out.push(','),
                Item::Text(text) => self.out.push_str(text),
            }
        }
    }

    /// Signs that stand in front of everything.
    fn first(&mut self) {
        let blank = |fill: bool| if fill { " " } else { "" };
        let text = match self.t.sign {
            Sign::MinusFirst if self.negative => "-",
            Sign::PlusFirst if !self.negative => "+",
            Sign::EitherFirst => ["+", "-"][usize::from(self.negative)],
            Sign::MinusFirst | Sign::PlusFirst => blank(self.t.fill),
            _ => "",
        };
        self.out.push_str(text);
    }

    fn finish(&mut self, whole: &str) {
        let blank = |fill: bool| if fill { " " } else { "" };
        let text = match self.t.sign {
            Sign::MinusLast if self.negative => "-",
            Sign::PlusLast if !self.negative => "+",
            Sign::Trailing | Sign::EitherLast => ["+", "-"][usize::from(self.negative)],
            Sign::MinusLast | Sign::PlusLast => blank(self.t.fill),
            Sign::Brackets if self.negative => ">",
            Sign::Brackets => blank(self.t.fill),
            _ => "",
        };
        self.out.push_str(text);
        if let Some(upper) = self.t.ordinal.filter(|_| !self.negative) {
            let teen = whole.len() > 1 && whole.as_bytes()[whole.len() - 2] == b'1';
            let suffix = match whole.chars().last() {
                Some('1') if !teen => "st",
                Some('2') if !teen => "nd",
                Some('3') if !teen => "rd",
                _ => "th",
            };
            self.out.push_str(&if upper { suffix.to_uppercase() } else { suffix.to_string() });
        }
    }
}
