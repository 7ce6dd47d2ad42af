//! Intervals that are summed, averaged, scaled and compared, by Postgres' rules.
//!
//! Months, days and time are summed each by itself, exactly; a sum out of range is an error. A
//! fraction of a month is days of which it has 30, a fraction of a day is time. In an order an
//! interval stands by its length, with months of 30 days and days of 24 hours.

use arrow::array::AsArray;
use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit};

use super::{Accumulator, PrimitiveOutput, Run, SweepInput, Swept, kept_states, sweep_states};
use crate::checkpoint::record::{Cursor, Stored};

const DAYS_PER_MONTH: f64 = 30.0;
const SECONDS_PER_DAY: f64 = 86_400.0;
const NS_PER_DAY: i128 = 86_400_000_000_000;
const NS_PER_US: i64 = 1000;

/// By how long it is, in nanoseconds.
pub(super) fn length_ns(interval: IntervalMonthDayNano) -> i128 {
    let days = i128::from(interval.months) * 30 + i128::from(interval.days);
    days * NS_PER_DAY + i128::from(interval.nanoseconds)
}

/// The states of sum(interval).
pub(super) fn sums() -> Box<dyn Accumulator> {
    Box::new(Intervals { states: Vec::new(), average: false })
}

/// The states of avg(interval).
pub(super) fn averages() -> Box<dyn Accumulator> {
    Box::new(Intervals { states: Vec::new(), average: true })
}

#[derive(Clone, Copy, Debug, Default)]
struct IntervalSum {
    count: i64,
    months: i128,
    days: i128,
    nanoseconds: i128,
}

impl Stored for IntervalSum {
    fn put(&self, out: &mut Vec<u8>) {
        (self.count, [self.months, self.days, self.nanoseconds]).put(out);
    }

    fn take(from: &mut Cursor<'_>) -> Option<Self> {
        let (count, [months, days, nanoseconds]) = Stored::take(from)?;
        Some(IntervalSum { count, months, days, nanoseconds })
    }
}

impl IntervalSum {
    fn add(&mut self, value: IntervalMonthDayNano, diff: i64) {
        self.count += diff;
        self.months += i128::from(value.months) * i128::from(diff);
        self.days += i128::from(value.days) * i128::from(diff);
        self.nanoseconds += i128::from(value.nanoseconds) * i128::from(diff);
    }

    fn total(&self) -> Result<IntervalMonthDayNano, String> {
        let months = i32::try_from(self.months).map_err(|_| out_of_range())?;
        let days = i32::try_from(self.days).map_err(|_| out_of_range())?;
        let nanoseconds = i64::try_from(self.nanoseconds).map_err(|_| out_of_range())?;
        Ok(IntervalMonthDayNano { months, days, nanoseconds })
    }
}

fn out_of_range() -> String {
    "interval out of range".to_string()
}

/// The interval divided by `divisor`.
fn divided(interval: IntervalMonthDayNano, divisor: f64) -> Result<IntervalMonthDayNano, String> {
    let part = |whole: f64| whole / divisor;
    of_parts(
        part(interval.months.into()),
        part(interval.days.into()),
        part(microseconds(interval.nanoseconds)),
    )
}

/// lo + (hi − lo) · fraction.
pub(super) fn between(
    lo: IntervalMonthDayNano,
    hi: IntervalMonthDayNano,
    fraction: f64,
) -> Result<IntervalMonthDayNano, String> {
    let mut gap = IntervalSum::default();
    gap.add(hi, 1);
    gap.add(lo, -1);
    let gap = gap.total()?;
    let step = of_parts(
        f64::from(gap.months) * fraction,
        f64::from(gap.days) * fraction,
        microseconds(gap.nanoseconds) * fraction,
    )?;
    let mut sum = IntervalSum::default();
    sum.add(lo, 1);
    sum.add(step, 1);
    sum.total()
}

fn microseconds(nanoseconds: i64) -> f64 {
    (nanoseconds / NS_PER_US) as f64
}

/// An interval of fields with fractions, in months, days and microseconds: Postgres' cascade
/// (`interval_div`), step for step.
fn of_parts(months: f64, days: f64, time: f64) -> Result<IntervalMonthDayNano, String> {
    let whole = |value: f64| match value.abs() < 2_147_483_648.0 {
        true => Ok(value.trunc() as i64),
        false => Err(out_of_range()),
    };
    let rounded = |value: f64| (value * 1e6).round_ties_even() / 1e6;
    let (whole_months, mut whole_days) = (whole(months)?, whole(days)?);
    let month_days = rounded((months - whole_months as f64) * DAYS_PER_MONTH);
    let mut seconds =
        rounded((days - whole_days as f64 + month_days - month_days.trunc()) * SECONDS_PER_DAY);
    if seconds.abs() >= SECONDS_PER_DAY {
        let more = (seconds / SECONDS_PER_DAY).trunc();
        whole_days += more as i64;
        seconds -= more * SECONDS_PER_DAY;
    }
    whole_days += month_days.trunc() as i64;
    let time = (time + seconds * 1e6).round_ties_even();
    if time.abs() > (i64::MAX / NS_PER_US) as f64 {
        return Err(out_of_range());
    }
    Ok(IntervalMonthDayNano {
        months: i32::try_from(whole_months).map_err(|_| out_of_range())?,
        days: i32::try_from(whole_days).map_err(|_| out_of_range())?,
        nanoseconds: (time as i64).checked_mul(NS_PER_US).ok_or_else(out_of_range)?,
    })
}

struct Intervals {
    states: Vec<IntervalSum>,
    average: bool,
}

impl Accumulator for Intervals {
    fn resize(&mut self, groups: usize) {
        self.states.resize(groups, IntervalSum::default());
    }

    fn sweep(&mut self, input: &SweepInput<'_>, runs: &[Run]) -> Swept {
        let values = input.arguments[0].as_primitive::<IntervalMonthDayNanoType>().values();
        let average = self.average;
        sweep_states::<_, PrimitiveOutput<IntervalMonthDayNanoType>>(
            &mut self.states,
            input,
            runs,
            &DataType::Interval(IntervalUnit::MonthDayNano),
            |sum, row, diff| sum.add(values[row], diff),
            |sum| match (sum.count, average) {
                (0, _) => Ok(None),
                (_, false) => sum.total().map(Some),
                (count, true) => divided(sum.total()?, count as f64).map(Some),
            },
        )
    }

    fn bytes(&self) -> usize {
        size_of_val(&self.states[..])
    }

    fn clear(&mut self, group: u32) {
        self.states[group as usize] = IntervalSum::default();
    }

    kept_states!();
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::IntervalMonthDayNano;

    use super::{between, divided};

    fn interval(months: i32, days: i32, seconds: i64) -> IntervalMonthDayNano {
        IntervalMonthDayNano::new(months, days, seconds * 1_000_000_000)
    }

    #[test]
    fn fractions_cascade_as_in_postgres() {
        // SELECT interval '1 month' / 4, interval '1 mon 1 day' / 2, interval '-1 day' / 3
        assert_eq!(divided(interval(1, 0, 0), 4.0), Ok(interval(0, 7, 43_200)));
        assert_eq!(divided(interval(1, 1, 0), 2.0), Ok(interval(0, 15, 43_200)));
        assert_eq!(divided(interval(0, -1, 0), 3.0), Ok(interval(0, 0, -28_800)));
        let middle = between(interval(0, 1, 0), interval(0, 4, 0), 0.5);
        assert_eq!(middle, Ok(interval(0, 2, 43_200)));
    }
}
