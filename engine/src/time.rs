//! Time, multiplicity and identity: the plain numbers that everything else is written in.
//!
//! A `Timestamp` is an arrival time: microseconds since the Unix epoch, issued by the one `Clock`
//! and never twice for two different states. A `Diff` is the signed multiplicity of an update. Ids
//! are given out by whoever owns the namespace (the catalog for collections, a relation for its
//! rows) and are never used again.

use std::fmt;

use serde::{Deserialize, Serialize};

pub mod clock;

pub use clock::{Begun, Clock, ClockError, ManualClock, SystemClock, WallClock};

/// An arrival time: microseconds since 1970-01-01 00:00:00 UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Before every commit.
    pub const MIN: Timestamp = Timestamp(0);
    /// Later than every commit; as the end of a row: it is still there.
    pub const MAX: Timestamp = Timestamp(u64::MAX);

    /// The next instant, one microsecond later. Panics at the end of time.
    pub fn next(self) -> Timestamp {
        Timestamp(self.0 + 1)
    }

    /// The instant before, one microsecond earlier; `MIN` stays.
    pub fn before(self) -> Timestamp {
        Timestamp(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Timestamp {
    /// `2026-06-10 12:00:00.000001Z`, or the bare number where no calendar reaches.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, day_us) = (self.0 / 86_400_000_000, self.0 % 86_400_000_000);
        if days > 2_932_896 {
            return write!(f, "{}", self.0); // past the year 9999
        }
        let (year, month, day) = civil_from_days(days);
        let (seconds, us) = (day_us / 1_000_000, day_us % 1_000_000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{us:06}Z")
    }
}

/// Year, month, day of a day number since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level
/// Date Algorithms", `civil_from_days`, for days from the epoch on).
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + u64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

/// The signed multiplicity of an update: +1 a row appears, −1 one goes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Diff(pub i64);

/// A table, view or other changing multiset of rows. The catalog's object of the same number.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct CollectionId(pub u64);

impl fmt::Display for CollectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One stored row of a relation, stable while the row lives and never used for another.
///
/// Bits 48–62 hold the shard of the relation, the lower 48 count its rows in order of arrival. Bit
/// 63 is never set here: it marks rows that are not stored yet.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct RowId(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_print_as_utc() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01 00:00:00.000000Z");
        assert_eq!(Timestamp(1_781_092_800_000_001).to_string(), "2026-06-10 12:00:00.000001Z");
        assert_eq!(Timestamp(951_782_400_000_000).to_string(), "2000-02-29 00:00:00.000000Z");
        assert_eq!(Timestamp::MAX.to_string(), u64::MAX.to_string());
    }
}
