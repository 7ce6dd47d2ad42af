//! A fixed length of time: what `retention = '90 days'` says.
//!
//! Law      it is written as Postgres prints the interval of so many days and microseconds, and
//!          what is written reads back as the same length; longer than nothing
//! Missing  months and years, which have no fixed length

use std::fmt;

use serde::{Deserialize, Serialize};

const SECOND: u64 = 1_000_000;
const DAY: u64 = 24 * 60 * 60 * SECOND;

/// Microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Length(pub u64);

impl Length {
    /// Whole days, and microseconds beside them.
    pub fn days_and_us(self) -> (u64, u64) {
        (self.0 / DAY, self.0 % DAY)
    }
}

impl From<Length> for std::time::Duration {
    fn from(length: Length) -> Self {
        std::time::Duration::from_micros(length.0)
    }
}

/// `90 days`, `1 day 02:30:00`, `00:00:00.5`.
impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, us) = self.days_and_us();
        match days {
            0 => {}
            1 => f.write_str("1 day")?,
            days => write!(f, "{days} days")?,
        }
        if us == 0 && days > 0 {
            return Ok(());
        }
        let (seconds, fraction) = (us / SECOND, us % SECOND);
        let space = if days > 0 { " " } else { "" };
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        write!(f, "{space}{hours:02}:{minutes:02}:{:02}", seconds % 60)?;
        if fraction > 0 {
            f.write_str(format!(".{fraction:06}").trim_end_matches('0'))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_look_like_intervals() {
        let shown = |us: u64| Length(us).to_string();
        assert_eq!(shown(90 * DAY), "90 days");
        assert_eq!(shown(DAY), "1 day");
        assert_eq!(shown(DAY + 9_000 * SECOND), "1 day 02:30:00");
        assert_eq!(shown(500_000), "00:00:00.5");
    }
}
