//! A Postgres type as Arrow holds it, and back.
//!
//! Law      one Arrow type stands for one Postgres type, so that a batch needs no metadata to be
//!          printed; the typmod matters for `numeric` alone
//! Missing  nothing is guessed: an Arrow type outside the list is `None`, and whoever made it casts
//!
//! | Postgres | Arrow |
//! |---|---|
//! | `numeric(p, s)` | `Decimal128(p, s)` |
//! | `numeric` | `Decimal128(38, 20)`, printed without trailing zeros |
//! | results of numeric `/`, `avg` | `Decimal128(37, 16…20)`, printed as quotients are |
//! | text and what is stored as text | `Utf8` |
//! | `jsonb`, `json` | `LargeUtf8`, in Postgres' output form of jsonb |
//! | `oid`, `reg*`, `xid` | `UInt32` |
//! | arrays, vectors | `List`, field `item`, nullable |
//! | `void`, `unknown` | `Null` |
//! | `record` of a result; no column of a table | `Struct` |

use std::sync::Arc;

use ::arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

use super::PgType;

/// Digits a `numeric` can hold.
pub const NUMERIC_PRECISION_MAX: u8 = 38;
/// Scale of `numeric` without a modifier.
pub const NUMERIC_PLAIN_SCALE: i8 = 20;
/// Precision that marks quotients and averages.
pub const NUMERIC_QUOTIENT_PRECISION: u8 = 37;

const UTC: &str = "+00:00";
/// Postgres' VARHDRSZ: lengths and precisions are stored with it added, so that 0 is never a
/// typmod.
const TYPMOD_OFFSET: i32 = 4;

impl PgType {
    /// The Arrow type of a column of this type. A numeric typmod must come from
    /// [`PgType::numeric_typmod`]; other types ignore theirs.
    pub fn to_arrow(self, typmod: i32) -> DataType {
        match self {
            PgType::Array(element) => list(element.to_arrow(typmod)),
            PgType::Int2Vector => list(DataType::Int16),
            PgType::OidVector => list(DataType::UInt32),
            PgType::Bool => DataType::Boolean,
            PgType::Int2 => DataType::Int16,
            PgType::Int4 => DataType::Int32,
            PgType::Int8 => DataType::Int64,
            PgType::Float4 => DataType::Float32,
            PgType::Float8 => DataType::Float64,
            PgType::Numeric => numeric(typmod),
            PgType::Bytea | PgType::PgNdistinct | PgType::PgDependencies | PgType::PgMcvList => {
                DataType::Binary
            }
            PgType::Date => DataType::Date32,
            PgType::Time => DataType::Time64(TimeUnit::Microsecond),
            PgType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            PgType::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
            PgType::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            PgType::Uuid => DataType::FixedSizeBinary(16),
            PgType::Jsonb | PgType::Json => DataType::LargeUtf8,
            PgType::Void | PgType::Trigger | PgType::Unknown => DataType::Null,
            PgType::Oid
            | PgType::Xid
            | PgType::Regproc
            | PgType::Regprocedure
            | PgType::Regoper
            | PgType::Regoperator
            | PgType::Regclass
            | PgType::Regtype
            | PgType::Regnamespace
            | PgType::Regrole
            | PgType::Regcollation => DataType::UInt32,
            PgType::Text
            | PgType::Varchar
            | PgType::Bpchar
            | PgType::Name
            | PgType::Char
            | PgType::PgNodeTree
            | PgType::Inet
            | PgType::Aclitem
            | PgType::PgLsn
            | PgType::Record
            | PgType::Cstring
            | PgType::Any
            | PgType::AnyArray
            | PgType::AnyElement
            | PgType::Internal => DataType::Utf8,
        }
    }

    /// The type and typmod an Arrow column is described with; `Null`, a bare `NULL` in a select
    /// list, is described as text as Postgres does. `None` for Arrow types no result may have.
    pub fn from_arrow(data_type: &DataType) -> Option<(PgType, i32)> {
        let ty = match data_type {
            DataType::Boolean => PgType::Bool,
            DataType::Int16 => PgType::Int2,
            DataType::Int32 => PgType::Int4,
            DataType::Int64 => PgType::Int8,
            DataType::Float32 => PgType::Float4,
            DataType::Float64 => PgType::Float8,
            DataType::Decimal128(precision, scale) => {
                return Some((PgType::Numeric, typmod_of_decimal(*precision, *scale)));
            }
            DataType::Utf8 | DataType::Null => PgType::Text,
            DataType::LargeUtf8 => PgType::Jsonb,
            DataType::Binary => PgType::Bytea,
            DataType::Date32 => PgType::Date,
            DataType::Time64(TimeUnit::Microsecond) => PgType::Time,
            DataType::Timestamp(TimeUnit::Microsecond, None) => PgType::Timestamp,
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => PgType::Timestamptz,
            DataType::Interval(IntervalUnit::MonthDayNano) => PgType::Interval,
            DataType::FixedSizeBinary(16) => PgType::Uuid,
            DataType::UInt32 => PgType::Oid,
            DataType::Struct(_) => PgType::Record,
            DataType::List(item) => {
                let (element, typmod) = PgType::from_arrow(item.data_type())?;
                return Some((element.array()?, typmod));
            }
            _ => return None,
        };
        Some((ty, -1))
    }

    /// The typmod of `numeric(precision, scale)`; `None` outside 1 ≤ precision ≤ 38 and
    /// 0 ≤ scale ≤ precision.
    pub fn numeric_typmod(precision: u8, scale: i8) -> Option<i32> {
        let scale = u8::try_from(scale).ok()?;
        let valid = (1..=NUMERIC_PRECISION_MAX).contains(&precision) && scale <= precision;
        valid.then(|| ((i32::from(precision) << 16) | i32::from(scale)) + TYPMOD_OFFSET)
    }

    /// Precision and scale of a numeric typmod, `None` for −1.
    pub fn numeric_parts(typmod: i32) -> Option<(u8, i8)> {
        let packed = typmod.checked_sub(TYPMOD_OFFSET).filter(|packed| *packed >= 0)?;
        Some((u8::try_from(packed >> 16).ok()?, i8::try_from(packed & 0x7ff).ok()?))
    }

    /// The typmod of `varchar(length)` or `char(length)`, length in characters.
    pub fn length_typmod(length: u32) -> Option<i32> {
        i32::try_from(length).ok()?.checked_add(TYPMOD_OFFSET)
    }

    /// The most characters a varchar or char of this typmod holds, `None` when unbounded.
    pub fn length_limit(typmod: i32) -> Option<usize> {
        usize::try_from(typmod.checked_sub(TYPMOD_OFFSET)?).ok()
    }
}

fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

fn numeric(typmod: i32) -> DataType {
    match PgType::numeric_parts(typmod) {
        Some((precision, scale)) => DataType::Decimal128(precision, scale),
        None => DataType::Decimal128(NUMERIC_PRECISION_MAX, NUMERIC_PLAIN_SCALE),
    }
}

/// Full precision is what expressions have, and quotients their own: Postgres shows no typmod on
/// those.
fn typmod_of_decimal(precision: u8, scale: i8) -> i32 {
    if precision >= NUMERIC_QUOTIENT_PRECISION {
        return -1;
    }
    PgType::numeric_typmod(precision, scale).unwrap_or(-1)
}
