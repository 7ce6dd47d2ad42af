//! covar_pop(y, x), covar_samp, corr and the regr_ functions: over the pairs without a NULL.
//!
//! Postgres' formulas over Σ(x−x̄)², Σ(y−ȳ)² and Σ(x−x̄)(y−ȳ), each computed exactly and rounded
//! once. Double precision; regr_count is bigint, 0 over nothing, and the others are NULL there.

use arrow::datatypes::{DataType, Float64Type, Int64Type};
use num_bigint::BigInt;

use super::exact::Exact;
use super::exact_float::FloatSum;
use super::sum::floats;
use super::{
    Accumulator, AggregateFunction, CallTypes, PrimitiveOutput, Run, SweepInput, Swept,
    kept_states, sweep_required,
};
use crate::checkpoint::record::{Cursor, Stored};

macro_rules! functions {
    ($($constant:ident $name:literal $value:expr;)*) => {
        $(pub(super) static $constant: Covariance = Covariance { name: $name, value: $value };)*
    };
}

functions! {
    CORR "corr" Pairs::correlation;
    COVAR_POP "covar_pop" |pairs| pairs.sxy().map(|sxy| sxy / pairs.count as f64);
    COVAR_SAMP "covar_samp" |pairs| match pairs.count > 1 {
        true => pairs.sxy().map(|sxy| sxy / (pairs.count - 1) as f64),
        false => None,
    };
    REGR_AVGX "regr_avgx" |pairs| pairs.mean(&pairs.sum_x);
    REGR_AVGY "regr_avgy" |pairs| pairs.mean(&pairs.sum_y);
    REGR_COUNT "regr_count" |pairs| Some(pairs.count as f64);
    REGR_INTERCEPT "regr_intercept" Pairs::intercept;
    REGR_R2 "regr_r2" Pairs::determination;
    REGR_SLOPE "regr_slope" Pairs::slope;
    REGR_SXX "regr_sxx" Pairs::sxx;
    REGR_SXY "regr_sxy" Pairs::sxy;
    REGR_SYY "regr_syy" Pairs::syy;
}

#[derive(Debug)]
pub(super) struct Covariance {
    name: &'static str,
    value: fn(&Pairs) -> Option<f64>,
}

impl AggregateFunction for Covariance {
    fn name(&self) -> &'static str {
        self.name
    }

    fn return_type(&self, arguments: &[DataType]) -> Option<DataType> {
        let counts = self.name == REGR_COUNT.name;
        let result = if counts { DataType::Int64 } else { DataType::Float64 };
        (*arguments == [DataType::Float64, DataType::Float64]).then_some(result)
    }

    fn can_fail(&self) -> bool {
        self.name != REGR_COUNT.name
    }

    fn accumulator_of(&self, _call: &CallTypes<'_>) -> Box<dyn Accumulator> {
        let counts = self.name == REGR_COUNT.name;
        Box::new(Covariances { states: Vec::new(), counts, value: self.value })
    }
}

/// The sums over a group's pairs. The centered sums take the finite values alone: they are asked
/// for only where all are.
#[derive(Clone, Debug, Default)]
struct Pairs {
    count: i64,
    special_x: i64,
    special_y: i64,
    sum_x: FloatSum,
    sum_y: FloatSum,
    x: Exact,
    y: Exact,
    xx: Exact,
    yy: Exact,
    xy: Exact,
}

impl Stored for Pairs {
    fn put(&self, out: &mut Vec<u8>) {
        [self.count, self.special_x, self.special_y].put(out);
        [&self.sum_x, &self.sum_y].into_iter().for_each(|sum| sum.put(out));
        [&self.x, &self.y, &self.xx, &self.yy, &self.xy].into_iter().for_each(|sum| sum.put(out));
    }

    fn take(from: &mut Cursor<'_>) -> Option<Self> {
        let [count, special_x, special_y] = Stored::take(from)?;
        let [sum_x, sum_y] = Stored::take(from)?;
        let [x, y, xx, yy, xy] = Stored::take(from)?;
        Some(Pairs { count, special_x, special_y, sum_x, sum_y, x, y, xx, yy, xy })
    }
}

impl Pairs {
    fn add(&mut self, y: f64, x: f64, diff: i64) {
        self.count += diff;
        self.sum_x.add(x, diff);
        self.sum_y.add(y, diff);
        if x.is_finite() {
            self.x.add_float(x, diff);
            self.xx.add_product(x, x, diff);
        } else {
            self.special_x += diff;
        }
        if y.is_finite() {
            self.y.add_float(y, diff);
            self.yy.add_product(y, y, diff);
        } else {
            self.special_y += diff;
        }
        if x.is_finite() && y.is_finite() {
            self.xy.add_product(x, y, diff);
        }
    }

    fn centered(&self, special: i64, ab: &Exact, a: &Exact, b: &Exact) -> Option<f64> {
        match (self.count, special) {
            (0, _) => None,
            (count, 0) => Some(Exact::centered(count, ab, a, b).over(&BigInt::from(count)).round()),
            _ => Some(f64::NAN),
        }
    }

    /// Σ(x−x̄)².
    fn sxx(&self) -> Option<f64> {
        self.centered(self.special_x, &self.xx, &self.x, &self.x)
    }

    fn syy(&self) -> Option<f64> {
        self.centered(self.special_y, &self.yy, &self.y, &self.y)
    }

    fn sxy(&self) -> Option<f64> {
        let special = i64::from(self.special_x != 0 || self.special_y != 0);
        self.centered(special, &self.xy, &self.x, &self.y)
    }

    fn mean(&self, sum: &FloatSum) -> Option<f64> {
        (self.count != 0).then(|| sum.value() / self.count as f64)
    }

    fn correlation(&self) -> Option<f64> {
        let (sxx, syy, sxy) = (self.sxx()?, self.syy()?, self.sxy()?);
        (sxx != 0.0 && syy != 0.0).then(|| sxy / (sxx * syy).sqrt())
    }

    fn slope(&self) -> Option<f64> {
        let (sxx, sxy) = (self.sxx()?, self.sxy()?);
        (sxx != 0.0).then(|| sxy / sxx)
    }

    fn intercept(&self) -> Option<f64> {
        let (sxx, sxy) = (self.sxx()?, self.sxy()?);
        let (x, y) = (self.sum_x.value(), self.sum_y.value());
        (sxx != 0.0).then(|| (y - x * sxy / sxx) / self.count as f64)
    }

    /// The square of the correlation; 1 where y is constant.
    fn determination(&self) -> Option<f64> {
        let (sxx, syy, sxy) = (self.sxx()?, self.syy()?, self.sxy()?);
        match (sxx == 0.0, syy == 0.0) {
            (true, _) => None,
            (false, true) => Some(1.0),
            (false, false) => Some((sxy * sxy) / (sxx * syy)),
        }
    }
}

struct Covariances {
    states: Vec<Pairs>,
    /// Whether the value is a count.
    counts: bool,
    value: fn(&Pairs) -> Option<f64>,
}

impl Accumulator for Covariances {
    fn resize(&mut self, groups: usize) {
        self.states.resize(groups, Pairs::default());
    }

    fn sweep(&mut self, input: &SweepInput<'_>, runs: &[Run]) -> Swept {
        let (ys, xs) = (floats(&input.arguments[0]), floats(&input.arguments[1]));
        let value = self.value;
        match self.counts {
            true => sweep_required::<_, PrimitiveOutput<Int64Type>>(
                &mut self.states,
                input,
                runs,
                &[0, 1],
                &DataType::Int64,
                |pairs, _, diff| pairs.count += diff,
                |pairs| Ok(Some(pairs.count)),
            ),
            false => sweep_required::<_, PrimitiveOutput<Float64Type>>(
                &mut self.states,
                input,
                runs,
                &[0, 1],
                &DataType::Float64,
                |pairs, row, diff| pairs.add(ys(row), xs(row), diff),
                |pairs| checked(pairs, value(pairs)),
            ),
        }
    }

    fn bytes(&self) -> usize {
        size_of_val(&self.states[..])
    }

    fn clear(&mut self, group: u32) {
        self.states[group as usize] = Pairs::default();
    }

    kept_states!();
}

/// An infinity made of finite values is out of range. −0 is 0, a NaN one NaN (S8).
fn checked(pairs: &Pairs, value: Option<f64>) -> Result<Option<f64>, String> {
    let finite = pairs.special_x == 0 && pairs.special_y == 0;
    match value {
        Some(value) if finite && value.is_infinite() => {
            Err("value out of range: overflow".to_string())
        }
        Some(value) if value.is_nan() => Ok(Some(f64::NAN)),
        value => Ok(value.map(|value| value + 0.0)),
    }
}
