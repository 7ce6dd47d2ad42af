//! Templates of dates and times, taken apart: `YYYY-MM-DD"T"HH24:MI:SS`.
//!
//! What is no pattern stands for itself; text in double quotes always does, and a backslash
//! before a quote. `FM` before a pattern takes off padding, `TH` and `th` after it add an
//! ordinal's ending.

/// How a word is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    Upper,
    Lower,
    /// As it is.
    Capital,
}

impl Case {
    pub fn apply(self, word: &str) -> String {
        match self {
            Case::Upper => word.to_uppercase(),
            Case::Lower => word.to_lowercase(),
            Case::Capital => word.to_string(),
        }
    }

    fn of(written: &str) -> Case {
        let mut chars = written.chars();
        let first = chars.next().is_some_and(char::is_uppercase);
        match (first, chars.next().is_some_and(char::is_uppercase)) {
            (true, true) => Case::Upper,
            (true, false) => Case::Capital,
            _ => Case::Lower,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    Hour12,
    Hour24,
    Minute,
    Second,
    SecondOfDay,
    Millisecond,
    Microsecond,
    Fraction(u8),
    Meridian { dotted: bool, case: Case },
    Era { dotted: bool, case: Case },
    YearComma,
    Year(u8),
    IsoYear(u8),
    MonthName(Case),
    MonthShort(Case),
    Month,
    MonthRoman(Case),
    DayName(Case),
    DayShort(Case),
    DayOfYear,
    IsoDayOfYear,
    Day,
    DayOfWeek,
    IsoDayOfWeek,
    WeekOfMonth,
    WeekOfYear,
    IsoWeek,
    Century,
    Julian,
    Quarter,
    ZoneName(Case),
    ZoneHour,
    ZoneMinute,
    ZoneOffset,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    Literal(char),
    Pattern {
        pattern: Pattern,
        /// Padded to its width.
        fill: bool,
        /// Followed by an ordinal's ending.
        ordinal: Option<Case>,
    },
}

/// A pattern as it was written, whose case may matter.
type Read = fn(&str) -> Pattern;

/// Patterns by their upper-case spelling, a longer one before its beginnings.
const PATTERNS: &[(&str, Read)] = &[
    ("SSSSS", |_| Pattern::SecondOfDay),
    ("Y,YYY", |_| Pattern::YearComma),
    ("MONTH", |s| Pattern::MonthName(Case::of(s))),
    ("HH24", |_| Pattern::Hour24),
    ("HH12", |_| Pattern::Hour12),
    ("SSSS", |_| Pattern::SecondOfDay),
    ("IYYY", |_| Pattern::IsoYear(4)),
    ("YYYY", |_| Pattern::Year(4)),
    ("IDDD", |_| Pattern::IsoDayOfYear),
    ("A.M.", |s| Pattern::Meridian { dotted: true, case: Case::of(s) }),
    ("P.M.", |s| Pattern::Meridian { dotted: true, case: Case::of(s) }),
    ("A.D.", |s| Pattern::Era { dotted: true, case: Case::of(s) }),
    ("B.C.", |s| Pattern::Era { dotted: true, case: Case::of(s) }),
    ("IYY", |_| Pattern::IsoYear(3)),
    ("YYY", |_| Pattern::Year(3)),
    ("MON", |s| Pattern::MonthShort(Case::of(s))),
    ("DAY", |s| Pattern::DayName(Case::of(s))),
    ("DDD", |_| Pattern::DayOfYear),
    ("TZH", |_| Pattern::ZoneHour),
    ("TZM", |_| Pattern::ZoneMinute),
    ("FF1", |_| Pattern::Fraction(1)),
    ("FF2", |_| Pattern::Fraction(2)),
    ("FF3", |_| Pattern::Fraction(3)),
    ("FF4", |_| Pattern::Fraction(4)),
    ("FF5", |_| Pattern::Fraction(5)),
    ("FF6", |_| Pattern::Fraction(6)),
    ("HH", |_| Pattern::Hour12),
    ("MI", |_| Pattern::Minute),
    ("SS", |_| Pattern::Second),
    ("MS", |_| Pattern::Millisecond),
    ("US", |_| Pattern::Microsecond),
    ("AM", |s| Pattern::Meridian { dotted: false, case: Case::of(s) }),
    ("PM", |s| Pattern::Meridian { dotted: false, case: Case::of(s) }),
    ("AD", |s| Pattern::Era { dotted: false, case: Case::of(s) }),
    ("BC", |s| Pattern::Era { dotted: false, case: Case::of(s) }),
    ("IY", |_| Pattern::IsoYear(2)),
    ("YY", |_| Pattern::Year(2)),
    ("MM", |_| Pattern::Month),
    ("RM", |s| Pattern::MonthRoman(Case::of(s))),
    ("DY", |s| Pattern::DayShort(Case::of(s))),
    ("DD", |_| Pattern::Day),
    ("ID", |_| Pattern::IsoDayOfWeek),
    ("WW", |_| Pattern::WeekOfYear),
    ("IW", |_| Pattern::IsoWeek),
    ("CC", |_| Pattern::Century),
    ("TZ", |s| Pattern::ZoneName(Case::of(s))),
    ("OF", |_| Pattern::ZoneOffset),
    ("I", |_| Pattern::IsoYear(1)),
    ("Y", |_| Pattern::Year(1)),
    ("D", |_| Pattern::DayOfWeek),
    ("W", |_| Pattern::WeekOfMonth),
    ("J", |_| Pattern::Julian),
    ("Q", |_| Pattern::Quarter),
];

/// Takes a template apart.
pub fn tokens(template: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = template;
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            rest = quoted(&rest[1..], &mut tokens);
            continue;
        }
        if let Some(after) = rest.strip_prefix("\\\"") {
            tokens.push(Token::Literal('"'));
            rest = after;
            continue;
        }
        let (fill, body) = match rest.get(..2).map(str::to_ascii_uppercase).as_deref() {
            Some("FM") => (false, &rest[2..]),
            Some("FX" | "TM") => (true, &rest[2..]),
            _ => (true, rest),
        };
        let found = PATTERNS.iter().find(|(spelling, _)| {
            body.get(..spelling.len()).is_some_and(|head| head.eq_ignore_ascii_case(spelling))
        });
        match found {
            Some((spelling, pattern)) => {
                let (written, after) = body.split_at(spelling.len());
                let ordinal = match after.get(..2) {
                    Some("TH") => Some(Case::Upper),
                    Some("th") => Some(Case::Lower),
                    _ => None,
                };
                rest = if ordinal.is_some() { &after[2..] } else { after };
                tokens.push(Token::Pattern { pattern: pattern(written), fill, ordinal });
            }
            None if body.len() < rest.len() => rest = body,
            None => {
                tokens.push(Token::Literal(c));
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    tokens
}

/// Everything up to the closing quote stands for itself.
fn quoted<'a>(text: &'a str, tokens: &mut Vec<Token>) -> &'a str {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return &text[at + 1..],
            '\\' => {
                if let Some((_, escaped)) = chars.next() {
                    tokens.push(Token::Literal(escaped));
                }
            }
            c => tokens.push(Token::Literal(c)),
        }
    }
    ""
}
