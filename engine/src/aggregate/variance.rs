//! var_pop, var_samp (variance), stddev_pop, stddev_samp (stddev): NULL over nothing, those of a
//! sample also over one value.
//!
//! Fixed formulas over exact sums: (n·Σx² − (Σx)²) / n², or / n(n−1), rounded once; a standard
//! deviation is the root of that. Of integers and numerics a quotient (see [`crate::decimal`]),
//! rounded half away from zero, of floats double precision, NaN where a value is not finite.

use arrow::datatypes::{DataType, Decimal128Type, Float64Type};
use num_bigint::BigInt;
use num_traits::{ToPrimitive, Zero};

use crate::decimal::{quotient_digits, quotient_over};

use super::exact::Exact;
use super::sum::{floats, integers};
use super::{
    Accumulator, AggregateFunction, CallTypes, PrimitiveOutput, Run, SweepInput, Swept,
    kept_states, sweep_states,
};
use crate::checkpoint::record::{Cursor, Stored};

pub(super) static VAR_POP: Variance = Variance::new("var_pop", &[], false, false);
pub(super) static VAR_SAMP: Variance = Variance::new("var_samp", &["variance"], true, false);
pub(super) static STDDEV_POP: Variance = Variance::new("stddev_pop", &[], false, true);
pub(super) static STDDEV_SAMP: Variance = Variance::new("stddev_samp", &["stddev"], true, true);

#[derive(Clone, Copy, Debug)]
pub(super) struct Variance {
    name: &'static str,
    aliases: &'static [&'static str],
    sample: bool,
    root: bool,
}

impl Variance {
    const fn new(
        name: &'static str,
        aliases: &'static [&'static str],
        sample: bool,
        root: bool,
    ) -> Self {
        Variance { name, aliases, sample, root }
    }

    /// What n·Σx² − (Σx)² is divided by; `None` where there are too few values.
    fn divisor(&self, count: i64) -> Option<BigInt> {
        let less = if self.sample { count - 1 } else { count };
        (count > 0 && less > 0).then(|| BigInt::from(count) * less)
    }
}

impl AggregateFunction for Variance {
    fn name(&self) -> &'static str {
        self.name
    }

    fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }

    fn return_type(&self, arguments: &[DataType]) -> Option<DataType> {
        match arguments {
            [DataType::Float32 | DataType::Float64] => Some(DataType::Float64),
            [DataType::Int64] => quotient_over(&DataType::Int32),
            [number] => quotient_over(number),
            _ => None,
        }
    }

    fn can_fail(&self) -> bool {
        true
    }

    fn passes_over_nulls(&self) -> bool {
        true
    }

    fn accumulator_of(&self, call: &CallTypes<'_>) -> Box<dyn Accumulator> {
        let output = self.return_type(call.arguments).expect("a type it is defined for");
        let own = match &call.arguments[0] {
            DataType::Decimal128(_, own) => *own,
            _ => 0,
        };
        Box::new(Moments { function: *self, states: Vec::new(), own, output })
    }
}

#[derive(Clone, Debug, Default)]
struct State {
    count: i64,
    /// Values that are NaN or infinite, in none of the sums.
    special: i64,
    sum: Exact,
    squares: Exact,
}

impl Stored for State {
    fn put(&self, out: &mut Vec<u8>) {
        [self.count, self.special].put(out);
        self.sum.put(out);
        self.squares.put(out);
    }

    fn take(from: &mut Cursor<'_>) -> Option<Self> {
        let [count, special] = Stored::take(from)?;
        Some(State { count, special, sum: Stored::take(from)?, squares: Stored::take(from)? })
    }
}

impl State {
    fn add_float(&mut self, value: f64, diff: i64) {
        self.count += diff;
        if value.is_finite() {
            self.sum.add_float(value, diff);
            self.squares.add_product(value, value, diff);
        } else {
            self.special += diff;
        }
    }

    fn add_integer(&mut self, value: i128, diff: i64) {
        self.count += diff;
        self.sum.add_integer(value, diff);
        self.squares.add_square(value, diff);
    }

    /// n·Σx² − (Σx)².
    fn centered(&self) -> Exact {
        Exact::centered(self.count, &self.squares, &self.sum, &self.sum)
    }
}

struct Moments {
    function: Variance,
    states: Vec<State>,
    /// Digits behind the point of the argument, and of the result.
    own: i8,
    output: DataType,
}

impl Accumulator for Moments {
    fn resize(&mut self, groups: usize) {
        self.states.resize(groups, State::default());
    }

    fn sweep(&mut self, input: &SweepInput<'_>, runs: &[Run]) -> Swept {
        let (function, own) = (self.function, self.own);
        match self.output {
            DataType::Decimal128(_, scale) => {
                let values = integers(&input.arguments[0]);
                sweep_states::<_, PrimitiveOutput<Decimal128Type>>(
                    &mut self.states,
                    input,
                    runs,
                    &self.output,
                    |state, row, diff| state.add_integer(values(row), diff),
                    |state| numeric(function, state, own, scale),
                )
            }
            _ => {
                let values = floats(&input.arguments[0]);
                sweep_states::<_, PrimitiveOutput<Float64Type>>(
                    &mut self.states,
                    input,
                    runs,
                    &self.output,
                    |state, row, diff| state.add_float(values(row), diff),
                    |state| float(function, state),
                )
            }
        }
    }

    fn bytes(&self) -> usize {
        size_of_val(&self.states[..])
    }

    fn clear(&mut self, group: u32) {
        self.states[group as usize] = State::default();
    }

    kept_states!();
}

fn float(function: Variance, state: &State) -> Result<Option<f64>, String> {
    let Some(divisor) = function.divisor(state.count) else { return Ok(None) };
    if state.special != 0 {
        return Ok(Some(f64::NAN));
    }
    let variance = state.centered().over(&divisor).round();
    match variance.is_finite() {
        true => Ok(Some(if function.root { variance.sqrt() } else { variance })),
        false => Err("value out of range: overflow".to_string()),
    }
}

/// The result as a whole number of its last digit, the `scale`-th; the argument has `own`.
fn numeric(function: Variance, state: &State, own: i8, scale: i8) -> Result<Option<i128>, String> {
    let Some(divisor) = function.divisor(state.count) else { return Ok(None) };
    let centered = state.centered().whole();
    // In units of 10^-2·own, and of as many as are left of a divisor that has none.
    let digits = quotient_digits(magnitude(&centered, 2 * own), magnitude(&divisor, 0)).min(scale);
    let variance = match i64::from(digits) - 2 * i64::from(own) {
        more @ 0.. => half_up(centered * BigInt::from(10).pow(more as u32), divisor),
        less => half_up(centered, divisor * BigInt::from(10).pow(less.unsigned_abs() as u32)),
    };
    let result = match function.root {
        // In quarters of a square unit, whose root is in halves.
        true => {
            let quarters: BigInt = variance * BigInt::from(10).pow(u32::from(digits as u8)) * 4;
            (quarters.sqrt() + 1) / 2
        }
        false => variance,
    } * BigInt::from(10).pow(u32::from((scale - digits) as u8));
    debug_assert!(result >= BigInt::zero(), "squares are not negative");
    let result = result.to_i128().filter(|v| v.unsigned_abs() < 10u128.pow(38));
    result.map(Some).ok_or_else(|| "numeric field overflow".to_string())
}

fn half_up(dividend: BigInt, divisor: BigInt) -> BigInt {
    (dividend * 2 + &divisor) / (divisor * 2)
}

/// A number's first 30 digits, which tell its weight, and their scale.
fn magnitude(value: &BigInt, mut scale: i8) -> (u128, i8) {
    const LIMIT: u128 = 10u128.pow(30);
    let mut value = value.clone();
    loop {
        match value.to_u128().filter(|value| *value < LIMIT) {
            Some(value) => return (value, scale),
            None => (value, scale) = (value / 10, scale - 1),
        }
    }
}
