//! A scalar function as Postgres knows it: a name with overloads, chosen by the types of the call.
//!
//! Law: the overload whose arguments need the cheapest implicit casts is called, as in Postgres
//! (integers widen, then prefer double precision; dates become timestamptz before timestamp). No
//! overload is 42883 with Postgres' words. Wider than Postgres in one thing: text goes where any
//! type is asked for, since a quoted literal cannot be told from a text column here.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};
use datafusion::common::{Result as PlanResult, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use tidemark_catalog::PgType;

use crate::error::SqlError;
use crate::rewrite::bpchar;
use crate::text_io::numeric;

use super::session::SessionInfo;

/// What an argument may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ty {
    Bool,
    Int2,
    Int4,
    Int8,
    Numeric,
    Float4,
    Float8,
    Text,
    Bytea,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Interval,
    Uuid,
    Jsonb,
    Oid,
    TextArray,
    AnyArray,
    Any,
}

/// `timestamptz`.
pub fn timestamptz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))
}

/// `timestamp`.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

/// `interval`.
pub fn interval() -> DataType {
    DataType::Interval(IntervalUnit::MonthDayNano)
}

/// An array of `element`.
pub fn list(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", element, true)))
}

impl Ty {
    /// The Arrow type, `numeric` being the one without a type modifier.
    pub fn data_type(self) -> DataType {
        match self {
            Ty::Bool => DataType::Boolean,
            Ty::Int2 => DataType::Int16,
            Ty::Int4 => DataType::Int32,
            Ty::Int8 => DataType::Int64,
            Ty::Numeric => numeric::UNCONSTRAINED,
            Ty::Float4 => DataType::Float32,
            Ty::Float8 => DataType::Float64,
            Ty::Text => DataType::Utf8,
            Ty::Bytea => DataType::Binary,
            Ty::Date => DataType::Date32,
            Ty::Time => DataType::Time64(TimeUnit::Microsecond),
            Ty::Timestamp => timestamp(),
            Ty::Timestamptz => timestamptz(),
            Ty::Interval => interval(),
            Ty::Uuid => DataType::FixedSizeBinary(16),
            Ty::Jsonb => DataType::LargeUtf8,
            Ty::Oid => DataType::UInt32,
            Ty::TextArray | Ty::AnyArray => list(DataType::Utf8),
            Ty::Any => DataType::Null,
        }
    }

    /// The cost of passing `from`, and the type it is cast to; None where it cannot be passed.
    fn accept(self, from: &DataType) -> Option<(u32, DataType)> {
        let exact = match (self, from) {
            (Ty::Any, _) => return Some((30, from.clone())),
            (Ty::AnyArray, DataType::List(_)) => return Some((0, from.clone())),
            (Ty::Numeric, DataType::Decimal128(..)) => return Some((0, from.clone())),
            (Ty::Timestamptz, DataType::Timestamp(TimeUnit::Microsecond, Some(_))) => true,
            _ => self.data_type() == *from,
        };
        if exact {
            return Some((0, self.data_type()));
        }
        let cost = match (from, self) {
            (DataType::Null, _) => 1,
            (DataType::Int16, Ty::Int4) => 1,
            (DataType::Int16 | DataType::Int32, Ty::Int8) => 2,
            (DataType::Int16 | DataType::Int32 | DataType::Int64, Ty::Float8) => 4,
            (DataType::Int16 | DataType::Int32 | DataType::Int64, Ty::Numeric) => {
                return Some((5, integer_numeric(from)));
            }
            (DataType::Int16 | DataType::Int32 | DataType::Int64, Ty::Float4) => 6,
            (DataType::Decimal128(..), Ty::Float8) => 3,
            (DataType::Decimal128(..), Ty::Float4) => 6,
            (DataType::Float32, Ty::Float8) => 1,
            (DataType::Date32, Ty::Timestamptz) => 2,
            (DataType::Date32, Ty::Timestamp) => 3,
            (DataType::Timestamp(_, None), Ty::Timestamptz) => 2,
            (DataType::Time64(_), Ty::Interval) => 3,
            (DataType::Int16 | DataType::Int32 | DataType::Int64, Ty::Oid) => 7,
            (DataType::UInt32, Ty::Int8) => 3,
            (DataType::Utf8View, Ty::Text) => 1,
            // A bare integer is written as a bigint by the planner.
            (DataType::Int64, Ty::Int4) => 20,
            (DataType::Int64 | DataType::Int32, Ty::Int2) => 21,
            (DataType::Utf8, _) if self != Ty::AnyArray => 40,
            (DataType::List(_), Ty::TextArray) => 10,
            _ => return None,
        };
        Some((cost, self.data_type()))
    }
}

/// The numeric type that holds every value of an integer type.
pub fn integer_numeric(ty: &DataType) -> DataType {
    match ty {
        DataType::Int16 => DataType::Decimal128(5, 0),
        DataType::Int32 => DataType::Decimal128(10, 0),
        _ => DataType::Decimal128(19, 0),
    }
}

/// One call over a batch.
pub struct Call<'a> {
    /// As many rows each as the batch has, or one each when all were constants.
    pub args: &'a [ArrayRef],
    pub rows: usize,
    pub returns: &'a DataType,
    session: Option<&'a SessionInfo>,
}

impl Call<'_> {
    /// The session the statement runs in. XX000 where a plan is evaluated outside of any.
    pub fn session(&self) -> Result<&SessionInfo, SqlError> {
        self.session.ok_or_else(|| SqlError::internal("a session function outside of a session"))
    }
}

pub type Body = Arc<dyn Fn(&Call<'_>) -> Result<ArrayRef, SqlError> + Send + Sync>;

/// The result's type, given the argument types after casting and the constants among them.
pub type TypeOf = fn(&[DataType], &[Option<&ScalarValue>]) -> Result<DataType, SqlError>;

/// How the result's type follows from the call.
#[derive(Clone)]
pub enum Returns {
    Is(DataType),
    From(TypeOf),
}

/// One way to call a function.
#[derive(Clone)]
pub struct Overload {
    pub args: Vec<Ty>,
    /// The last argument may be repeated, or left out.
    pub variadic: bool,
    pub returns: Returns,
    /// NULL in, NULL out.
    pub strict: bool,
    pub body: Body,
}

impl Overload {
    /// The result's type follows from the arguments.
    pub fn returns(mut self, returns: TypeOf) -> Self {
        self.returns = Returns::From(returns);
        self
    }

    /// The result's type is this one.
    pub fn returns_type(mut self, ty: DataType) -> Self {
        self.returns = Returns::Is(ty);
        self
    }

    /// The total cost and the types to cast to.
    fn accept(&self, types: &[DataType]) -> Option<(u32, Vec<DataType>)> {
        let fixed = self.args.len() - usize::from(self.variadic);
        let right_count = match self.variadic {
            true => types.len() >= fixed,
            false => types.len() == fixed,
        };
        if !right_count {
            return None;
        }
        let mut total = u32::from(self.variadic);
        let mut cast = Vec::with_capacity(types.len());
        for (i, ty) in types.iter().enumerate() {
            let (cost, to) = self.args[i.min(self.args.len() - 1)].accept(ty)?;
            total += cost;
            cast.push(to);
        }
        Some((total, cast))
    }
}

/// A body over whole columns: for arguments and results of any type.
pub fn columns(
    args: &[Ty],
    returns: TypeOf,
    body: impl Fn(&Call<'_>) -> Result<ArrayRef, SqlError> + Send + Sync + 'static,
) -> Overload {
    Overload {
        args: args.to_vec(),
        variadic: false,
        returns: Returns::From(returns),
        strict: false,
        body: Arc::new(body),
    }
}

/// As [`columns`], the last argument repeated any number of times.
pub fn variadic(
    args: &[Ty],
    returns: TypeOf,
    body: impl Fn(&Call<'_>) -> Result<ArrayRef, SqlError> + Send + Sync + 'static,
) -> Overload {
    Overload { variadic: true, ..columns(args, returns, body) }
}

/// A function under construction, and the one DataFusion calls.
pub struct Scalar {
    name: &'static str,
    aliases: Vec<String>,
    overloads: Vec<Overload>,
    signature: Signature,
    /// Its results are of this type, with the length that the second argument says.
    of_length: Option<PgType>,
}

impl Scalar {
    pub fn new(name: &'static str) -> Self {
        Scalar {
            name,
            aliases: Vec::new(),
            overloads: Vec::new(),
            signature: Signature::user_defined(Volatility::Immutable),
            of_length: None,
        }
    }

    pub fn alias(mut self, alias: &str) -> Self {
        self.aliases.push(alias.to_string());
        self
    }

    pub fn overload(mut self, overload: Overload) -> Self {
        self.overloads.push(overload);
        self
    }

    /// The result's field says the length of its text.
    pub fn of_length(mut self, ty: PgType) -> Self {
        self.of_length = Some(ty);
        self
    }

    /// The same within a statement, as `now()` is.
    pub fn stable(mut self) -> Self {
        self.signature = Signature::user_defined(Volatility::Stable);
        self
    }

    /// Another value at every call.
    pub fn volatile(mut self) -> Self {
        self.signature = Signature::user_defined(Volatility::Volatile);
        self
    }

    pub fn udf(self) -> ScalarUDF {
        ScalarUDF::new_from_impl(self)
    }

    fn resolve(&self, types: &[DataType]) -> Result<(&Overload, Vec<DataType>), SqlError> {
        self.overloads
            .iter()
            .filter_map(|overload| overload.accept(types).map(|found| (overload, found)))
            .min_by_key(|(_, (cost, _))| *cost)
            .map(|(overload, (_, cast))| (overload, cast))
            .ok_or_else(|| self.undefined(types))
    }

    fn undefined(&self, types: &[DataType]) -> SqlError {
        let names: Vec<String> = types.iter().map(super::type_name).collect();
        let call = format!("{}({})", self.name, names.join(", "));
        SqlError::new("42883", format!("function {call} does not exist")).with_hint(
            "No function matches the given name and argument types. You might need to add \
             explicit type casts.",
        )
    }
}

impl std::fmt::Debug for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scalar").field("name", &self.name).finish_non_exhaustive()
    }
}

// A name is one function within a session.
impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Scalar {}

impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Scalar {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> PlanResult<Vec<DataType>> {
        // Without an overload return_type fails, whose error DataFusion passes on as it is.
        Ok(self.resolve(arg_types).map_or_else(|_| arg_types.to_vec(), |(_, cast)| cast))
    }

    fn return_type(&self, arg_types: &[DataType]) -> PlanResult<DataType> {
        let (overload, cast) = self.resolve(arg_types)?;
        let none = vec![None; cast.len()];
        Ok(overload.return_type(&cast, &none)?)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> PlanResult<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        let (overload, cast) = self.resolve(&types)?;
        let ty = overload.return_type(&cast, args.scalar_arguments)?;
        let field = Field::new(self.name, ty, true);
        let length = match args.scalar_arguments.get(1).copied().flatten() {
            Some(ScalarValue::Int32(Some(length))) => Some(*length),
            Some(ScalarValue::Int64(Some(length))) => i32::try_from(*length).ok(),
            _ => None,
        };
        Ok(Arc::new(match self.of_length.zip(length) {
            Some((ty, length)) => field.with_metadata(bpchar::mark(ty, length.saturating_add(4))),
            None => field,
        }))
    }

    fn is_strict(&self) -> bool {
        self.overloads.iter().all(|overload| overload.strict)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let types: Vec<DataType> = args.args.iter().map(ColumnarValue::data_type).collect();
        let (overload, _) = self.resolve(&types)?;
        let volatile = self.signature.volatility == Volatility::Volatile;
        let constant =
            !volatile && args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args
            .args
            .iter()
            .map(|arg| arg.to_array(rows))
            .collect::<PlanResult<Vec<ArrayRef>>>()?;
        let session = args.config_options.extensions.get::<SessionInfo>();
        let call = Call { args: &arrays, rows, returns: args.return_field.data_type(), session };
        let result = (overload.body)(&call)?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

impl Overload {
    fn return_type(
        &self,
        types: &[DataType],
        constants: &[Option<&ScalarValue>],
    ) -> Result<DataType, SqlError> {
        match &self.returns {
            Returns::Is(ty) => Ok(ty.clone()),
            Returns::From(from) => from(types, constants),
        }
    }
}
