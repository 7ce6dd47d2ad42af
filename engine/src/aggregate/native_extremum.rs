//! Extrema of values of a fixed width, kept as they are: min and max of numbers, dates and times.
//!
//! Law      the least (or greatest) value of the group; NaN is the greatest float, −0 is 0
//! State    each distinct value with its count, in order; of values that never leave, one

use std::marker::PhantomData;

use arrow::array::{ArrowPrimitiveType, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};

use super::{
    Accumulator, PrimitiveOutput, Run, SweepInput, Swept, kept_states, sweep_states, update_states,
};
use crate::checkpoint::record::{Cursor, Stored};
use crate::state::ordered_counts::{Counted, OrderedCounts};

/// Empty state for the extremum of a column of this type, if it is one of these.
pub(super) fn of_type(
    ty: &DataType,
    greatest: bool,
    append_only: bool,
) -> Option<Box<dyn Accumulator>> {
    macro_rules! of {
        ($ty:ty) => {
            Some(boxed::<$ty>(ty, greatest, append_only))
        };
    }
    match ty {
        DataType::Int16 => of!(Int16Type),
        DataType::Int32 => of!(Int32Type),
        DataType::Int64 => of!(Int64Type),
        DataType::Float32 => of!(Float32Type),
        DataType::Float64 => of!(Float64Type),
        DataType::Decimal128(..) => of!(Decimal128Type),
        DataType::Date32 => of!(Date32Type),
        DataType::Time64(TimeUnit::Microsecond) => of!(Time64MicrosecondType),
        DataType::Timestamp(TimeUnit::Microsecond, _) => of!(TimestampMicrosecondType),
        _ => None,
    }
}

fn boxed<T>(ty: &DataType, greatest: bool, append_only: bool) -> Box<dyn Accumulator>
where
    T: ArrowPrimitiveType<Native: Ranked>,
{
    fn of<T, S>(ty: &DataType) -> Box<dyn Accumulator>
    where
        T: ArrowPrimitiveType<Native: Ranked>,
        S: Best<<T::Native as Ranked>::Rank> + 'static,
    {
        Box::new(Extrema::<T, S> { states: Vec::new(), kept: 0, ty: ty.clone(), of: PhantomData })
    }
    type Rank<T> = <<T as ArrowPrimitiveType>::Native as Ranked>::Rank;
    match (append_only, greatest) {
        (true, false) => of::<T, Only<Rank<T>, false>>(ty),
        (true, true) => of::<T, Only<Rank<T>, true>>(ty),
        (false, false) => of::<T, All<Rank<T>, false>>(ty),
        (false, true) => of::<T, All<Rank<T>, true>>(ty),
    }
}

/// A value with a total order, that of its rank.
trait Ranked: Copy {
    type Rank: Copy + Ord + Send + Stored + 'static;

    fn rank(self) -> Self::Rank;
    fn of_rank(rank: Self::Rank) -> Self;
}

macro_rules! ranked_as_it_is {
    ($($ty:ty),*) => {$(
        impl Ranked for $ty {
            type Rank = $ty;

            fn rank(self) -> $ty {
                self
            }

            fn of_rank(rank: $ty) -> $ty {
                rank
            }
        }
    )*};
}

ranked_as_it_is!(i16, i32, i64, i128);

/// The bits of a float as an integer of the same order, and back (IEEE 754, 5.10).
macro_rules! ranked_by_bits {
    ($ty:ty, $bits:ty, $sign:literal) => {
        impl Ranked for $ty {
            type Rank = $bits;

            fn rank(self) -> $bits {
                let one = if self.is_nan() { <$ty>::NAN } else { self + 0.0 };
                let bits = one.to_bits() as $bits;
                bits ^ (bits >> $sign & <$bits>::MAX)
            }

            fn of_rank(rank: $bits) -> $ty {
                <$ty>::from_bits((rank ^ (rank >> $sign & <$bits>::MAX)) as _)
            }
        }
    };
}

ranked_by_bits!(f32, i32, 31);
ranked_by_bits!(f64, i64, 63);

/// What keeps a group's values.
trait Best<R>: Clone + Default + Send + Stored {
    fn add(&mut self, rank: R, diff: i64);
    fn best(&self) -> Option<R>;

    /// What it takes in memory beside itself.
    fn bytes(&self) -> usize {
        0
    }
}

/// Of values that never leave, the one that counts.
#[derive(Clone)]
struct Only<R, const GREATEST: bool>(Option<R>);

impl<R, const GREATEST: bool> Default for Only<R, GREATEST> {
    fn default() -> Self {
        Only(None)
    }
}

impl<R: Copy + Ord + Send + Stored, const GREATEST: bool> Best<R> for Only<R, GREATEST> {
    fn add(&mut self, rank: R, _: i64) {
        self.0 = match self.0 {
            None => Some(rank),
            Some(kept) if GREATEST => Some(kept.max(rank)),
            Some(kept) => Some(kept.min(rank)),
        };
    }

    fn best(&self) -> Option<R> {
        self.0
    }
}

impl<R: Stored, const GREATEST: bool> Stored for Only<R, GREATEST> {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn take(from: &mut Cursor<'_>) -> Option<Self> {
        Stored::take(from).map(Only)
    }
}

impl<R: Copy + Ord + Stored, const GREATEST: bool> Stored for All<R, GREATEST> {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn take(from: &mut Cursor<'_>) -> Option<Self> {
        Stored::take(from).map(All)
    }

    fn is_small(&self) -> bool {
        self.0.is_small()
    }
}

impl<R: Stored> Stored for Rank<R> {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn take(from: &mut Cursor<'_>) -> Option<Self> {
        R::take(from).map(Rank)
    }
}

/// Values that come and go.
#[derive(Clone)]
struct All<R, const GREATEST: bool>(OrderedCounts<Rank<R>>);

#[derive(Clone, Copy)]
struct Rank<R>(R);

impl<R: Copy + Ord> Counted for Rank<R> {
    type Borrowed = R;

    fn borrowed(&self) -> &R {
        &self.0
    }

    fn of(borrowed: &R) -> Self {
        Rank(*borrowed)
    }

    fn heap_bytes(_: &R) -> usize {
        0
    }
}

impl<R, const GREATEST: bool> Default for All<R, GREATEST> {
    fn default() -> Self {
        All(OrderedCounts::default())
    }
}

impl<R: Copy + Ord + Send + Stored, const GREATEST: bool> Best<R> for All<R, GREATEST> {
    fn add(&mut self, rank: R, diff: i64) {
        self.0.add(&rank, diff);
    }

    fn best(&self) -> Option<R> {
        if GREATEST { self.0.last().copied() } else { self.0.first().copied() }
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

/// The states of the groups.
struct Extrema<T, S> {
    states: Vec<S>,
    /// What they take in memory beside themselves.
    kept: usize,
    ty: DataType,
    of: PhantomData<fn() -> T>,
}

impl<T, S> Accumulator for Extrema<T, S>
where
    T: ArrowPrimitiveType<Native: Ranked>,
    S: Best<<T::Native as Ranked>::Rank>,
{
    fn resize(&mut self, groups: usize) {
        self.states.resize(groups, S::default());
    }

    fn sweep(&mut self, input: &SweepInput<'_>, runs: &[Run]) -> Swept {
        let values = input.arguments[0].as_primitive::<T>().values();
        let kept = &mut self.kept;
        sweep_states::<_, PrimitiveOutput<T>>(
            &mut self.states,
            input,
            runs,
            &self.ty,
            |state, row, diff| {
                let before = state.bytes();
                state.add(values[row].rank(), diff);
                *kept = *kept + state.bytes() - before;
            },
            |state| Ok(state.best().map(T::Native::of_rank)),
        )
    }

    fn update(&mut self, input: &SweepInput<'_>) {
        let values = input.arguments[0].as_primitive::<T>().values();
        let kept = &mut self.kept;
        update_states(&mut self.states, input, |state, row, diff| {
            let before = state.bytes();
            state.add(values[row].rank(), diff);
            *kept = *kept + state.bytes() - before;
        });
    }

    fn bytes(&self) -> usize {
        size_of_val(&self.states[..]) + self.kept
    }

    fn clear(&mut self, group: u32) {
        let cleared = std::mem::take(&mut self.states[group as usize]);
        self.kept -= cleared.bytes();
    }

    kept_states!(kept: S::bytes);
}
