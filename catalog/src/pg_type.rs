//! The types: one table of what Tidemark knows of each Postgres type.
//!
//! Law      a type's oid, array oid, name, length, category and I/O functions are PostgreSQL 15's;
//!          `from_oid(t.oid()) == t`, and `from_arrow(t.to_arrow(m))` is `t` for every type a
//!          user's column can have, except those that share an Arrow type with a plainer one
//!          (`varchar`, `bpchar`, `name` and `"char"` come back as `text`, `reg*` as `oid`)
//! Missing  domains, enums, ranges, composite types, `timetz`, `bit`, `money`, geometry; a name
//!          that is not in the table is an unknown type
//!
//! `arrow.rs` holds the Arrow side, `name.rs` the SQL spellings (`format_type` and back).

mod arrow;
mod name;
#[cfg(test)]
mod tests;

pub use arrow::{NUMERIC_PLAIN_SCALE, NUMERIC_PRECISION_MAX, NUMERIC_QUOTIENT_PRECISION};
pub use name::TypeNameError;

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::object::Oid;

/// A Postgres type without its modifier: a column's `(PgType, typmod)` is the whole type, typmod −1
/// meaning none. An array is one type whatever its dimensions; arrays of arrays don't exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PgType {
    Bool,
    Bytea,
    /// `"char"`, one byte: Postgres' own catalogs use it for small enumerations.
    Char,
    Name,
    Int8,
    Int2,
    Int2Vector,
    Int4,
    Regproc,
    Text,
    Oid,
    Xid,
    OidVector,
    Json,
    PgNodeTree,
    Float4,
    Float8,
    Unknown,
    Inet,
    Aclitem,
    /// `char(n)`, blank-padded.
    Bpchar,
    Varchar,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Interval,
    Numeric,
    Regprocedure,
    Regoper,
    Regoperator,
    Regclass,
    Regtype,
    Record,
    Cstring,
    Any,
    AnyArray,
    Void,
    Trigger,
    Internal,
    AnyElement,
    Uuid,
    PgLsn,
    PgNdistinct,
    PgDependencies,
    Jsonb,
    Regnamespace,
    Regrole,
    Regcollation,
    PgMcvList,
    /// `element[]`; make it with [`PgType::array`], or as `PgType::Array(&PgType::Int4)`.
    Array(&'static PgType),
}

/// The collation of every collatable column: `default`, which compares bytes.
const DEFAULT_COLLATION: Oid = Oid(100);
/// The collation of `name`: `C`, the same order under another name.
const C_COLLATION: Oid = Oid(950);

/// What Postgres' catalogs say of a scalar type.
struct Scalar {
    ty: PgType,
    /// typname with the array's underscore in front; the scalar's own name starts after it.
    array_name: &'static str,
    oid: Oid,
    array_oid: Oid,
    len: i16,
    category: char,
    /// Oids of the input, output, receive and send functions; 0 where Postgres has none.
    io: [Oid; 4],
}

/// One scalar of the table; `oids` are the type's and its array type's (0: no array type).
const fn t(
    ty: PgType,
    array_name: &'static str,
    oids: [u32; 2],
    len: i16,
    category: char,
    io: [u32; 4],
) -> Scalar {
    let io = [Oid(io[0]), Oid(io[1]), Oid(io[2]), Oid(io[3])];
    Scalar { ty, array_name, oid: Oid(oids[0]), array_oid: Oid(oids[1]), len, category, io }
}

#[rustfmt::skip] // one line per type, as a table
const SCALARS: &[Scalar] = &[
    t(PgType::Bool, "_bool", [16, 1000], 1, 'B', [1242, 1243, 2436, 2437]),
    t(PgType::Bytea, "_bytea", [17, 1001], -1, 'U', [1244, 31, 2412, 2413]),
    t(PgType::Char, "_char", [18, 1002], 1, 'Z', [1245, 33, 2434, 2435]),
    t(PgType::Name, "_name", [19, 1003], 64, 'S', [34, 35, 2422, 2423]),
    t(PgType::Int8, "_int8", [20, 1016], 8, 'N', [460, 461, 2408, 2409]),
    t(PgType::Int2, "_int2", [21, 1005], 2, 'N', [38, 39, 2404, 2405]),
    t(PgType::Int2Vector, "_int2vector", [22, 1006], -1, 'A', [40, 41, 2410, 2411]),
    t(PgType::Int4, "_int4", [23, 1007], 4, 'N', [42, 43, 2406, 2407]),
    t(PgType::Regproc, "_regproc", [24, 1008], 4, 'N', [44, 45, 2444, 2445]),
    t(PgType::Text, "_text", [25, 1009], -1, 'S', [46, 47, 2414, 2415]),
    t(PgType::Oid, "_oid", [26, 1028], 4, 'N', [1798, 1799, 2418, 2419]),
    t(PgType::Xid, "_xid", [28, 1011], 4, 'U', [50, 51, 2440, 2441]),
    t(PgType::OidVector, "_oidvector", [30, 1013], -1, 'A', [54, 55, 2420, 2421]),
    t(PgType::Json, "_json", [114, 199], -1, 'U', [321, 322, 323, 324]),
    t(PgType::PgNodeTree, "_pg_node_tree", [194, 0], -1, 'Z', [195, 196, 197, 198]),
    t(PgType::Float4, "_float4", [700, 1021], 4, 'N', [200, 201, 2424, 2425]),
    t(PgType::Float8, "_float8", [701, 1022], 8, 'N', [214, 215, 2426, 2427]),
    t(PgType::Unknown, "_unknown", [705, 0], -2, 'X', [109, 110, 2416, 2417]),
    t(PgType::Inet, "_inet", [869, 1041], -1, 'I', [910, 911, 2496, 2497]),
    t(PgType::Aclitem, "_aclitem", [1033, 1034], 12, 'U', [1031, 1032, 0, 0]),
    t(PgType::Bpchar, "_bpchar", [1042, 1014], -1, 'S', [1044, 1045, 2430, 2431]),
    t(PgType::Varchar, "_varchar", [1043, 1015], -1, 'S', [1046, 1047, 2432, 2433]),
    t(PgType::Date, "_date", [1082, 1182], 4, 'D', [1084, 1085, 2468, 2469]),
    t(PgType::Time, "_time", [1083, 1183], 8, 'D', [1143, 1144, 2470, 2471]),
    t(PgType::Timestamp, "_timestamp", [1114, 1115], 8, 'D', [1312, 1313, 2474, 2475]),
    t(PgType::Timestamptz, "_timestamptz", [1184, 1185], 8, 'D', [1150, 1151, 2476, 2477]),
    t(PgType::Interval, "_interval", [1186, 1187], 16, 'T', [1160, 1161, 2478, 2479]),
    t(PgType::Numeric, "_numeric", [1700, 1231], -1, 'N', [1701, 1702, 2460, 2461]),
    t(PgType::Regprocedure, "_regprocedure", [2202, 2207], 4, 'N', [2212, 2213, 2446, 2447]),
    t(PgType::Regoper, "_regoper", [2203, 2208], 4, 'N', [2214, 2215, 2448, 2449]),
    t(PgType::Regoperator, "_regoperator", [2204, 2209], 4, 'N', [2216, 2217, 2450, 2451]),
    t(PgType::Regclass, "_regclass", [2205, 2210], 4, 'N', [2218, 2219, 2452, 2453]),
    t(PgType::Regtype, "_regtype", [2206, 2211], 4, 'N', [2220, 2221, 2454, 2455]),
    t(PgType::Record, "_record", [2249, 2287], -1, 'P', [2290, 2291, 2402, 2403]),
    t(PgType::Cstring, "_cstring", [2275, 1263], -2, 'P', [2292, 2293, 2500, 2501]),
    t(PgType::Any, "_any", [2276, 0], 4, 'P', [2294, 2295, 0, 0]),
    t(PgType::AnyArray, "_anyarray", [2277, 0], -1, 'P', [2296, 2297, 2502, 2503]),
    t(PgType::Void, "_void", [2278, 0], 4, 'P', [2298, 2299, 3120, 3121]),
    t(PgType::Trigger, "_trigger", [2279, 0], 4, 'P', [2300, 2301, 0, 0]),
    t(PgType::Internal, "_internal", [2281, 0], 8, 'P', [2304, 2305, 0, 0]),
    t(PgType::AnyElement, "_anyelement", [2283, 0], 4, 'P', [2312, 2313, 0, 0]),
    t(PgType::Uuid, "_uuid", [2950, 2951], 16, 'U', [2952, 2953, 2961, 2962]),
    t(PgType::PgLsn, "_pg_lsn", [3220, 3221], 8, 'U', [3229, 3230, 3238, 3239]),
    t(PgType::PgNdistinct, "_pg_ndistinct", [3361, 0], -1, 'Z', [3355, 3356, 3357, 3358]),
    t(PgType::PgDependencies, "_pg_dependencies", [3402, 0], -1, 'Z', [3404, 3405, 3406, 3407]),
    t(PgType::Jsonb, "_jsonb", [3802, 3807], -1, 'U', [3806, 3804, 3805, 3803]),
    t(PgType::Regnamespace, "_regnamespace", [4089, 4090], 4, 'N', [4084, 4085, 4087, 4088]),
    t(PgType::Regrole, "_regrole", [4096, 4097], 4, 'N', [4098, 4092, 4094, 4095]),
    t(PgType::Regcollation, "_regcollation", [4191, 4192], 4, 'N', [4193, 4194, 4196, 4197]),
    t(PgType::PgMcvList, "_pg_mcv_list", [5017, 0], -1, 'Z', [5018, 5019, 5020, 5021]),
];

/// Input, output, receive and send of every array type.
const ARRAY_IO: [Oid; 4] = [Oid(750), Oid(751), Oid(2400), Oid(2401)];

static BY_TYPE: LazyLock<HashMap<PgType, &'static Scalar>> =
    LazyLock::new(|| SCALARS.iter().map(|scalar| (scalar.ty, scalar)).collect());

static BY_OID: LazyLock<HashMap<Oid, PgType>> =
    LazyLock::new(|| PgType::all().map(|ty| (ty.oid(), ty)).collect());

static BY_TYPNAME: LazyLock<HashMap<&'static str, PgType>> =
    LazyLock::new(|| PgType::all().map(|ty| (ty.name(), ty)).collect());

impl PgType {
    /// Every type, scalars in order of their oids, each followed by its array type.
    pub fn all() -> impl Iterator<Item = PgType> {
        SCALARS.iter().flat_map(|scalar| [Some(scalar.ty), scalar.ty.array()]).flatten()
    }

    pub fn from_oid(oid: Oid) -> Option<PgType> {
        BY_OID.get(&oid).copied()
    }

    /// By pg_type's own name (`int4`, `_int4`), exactly; [`PgType::parse`] takes what SQL says.
    pub fn from_typname(name: &str) -> Option<PgType> {
        BY_TYPNAME.get(name).copied()
    }

    /// pg_type.typname: `int4`, and `_int4` for its array.
    pub fn name(self) -> &'static str {
        match self {
            PgType::Array(element) => element.scalar().array_name,
            scalar => &scalar.scalar().array_name[1..],
        }
    }

    pub fn oid(self) -> Oid {
        match self {
            PgType::Array(element) => element.scalar().array_oid,
            scalar => scalar.scalar().oid,
        }
    }

    /// The array type over this one; none over arrays and over most pseudo-types.
    pub fn array(self) -> Option<PgType> {
        match self {
            PgType::Array(_) => None,
            scalar => {
                let scalar = scalar.scalar();
                (scalar.array_oid != Oid::NONE).then_some(PgType::Array(&scalar.ty))
            }
        }
    }

    /// What an array holds. The two vectors count as arrays, as they do for subscripting.
    pub fn element(self) -> Option<PgType> {
        match self {
            PgType::Array(element) => Some(*element),
            PgType::Int2Vector => Some(PgType::Int2),
            PgType::OidVector => Some(PgType::Oid),
            _ => None,
        }
    }

    /// The array type's oid, 0 when there is none.
    pub fn array_oid(self) -> Oid {
        self.array().map_or(Oid::NONE, PgType::oid)
    }

    /// pg_type.typlen: bytes, −1 for variable length, −2 for a C string.
    pub fn typlen(self) -> i16 {
        match self {
            PgType::Array(_) => -1,
            scalar => scalar.scalar().len,
        }
    }

    /// pg_type.typcategory: `N` numeric, `S` string, `D` date and time, `A` array, `P` pseudo, …
    pub fn category(self) -> char {
        match self {
            PgType::Array(PgType::Record) => 'P',
            PgType::Array(_) => 'A',
            scalar => scalar.scalar().category,
        }
    }

    /// Preferred in its category when Postgres has to choose one.
    pub fn is_preferred(self) -> bool {
        use PgType::{Bool, Float8, Inet, Interval, Oid, Text, Timestamptz};
        matches!(self, Bool | Float8 | Inet | Interval | Oid | Text | Timestamptz)
    }

    /// pg_type.typtype: `b` base or `p` pseudo.
    pub fn typtype(self) -> char {
        if matches!(self.category(), 'P' | 'X') { 'p' } else { 'b' }
    }

    pub fn is_by_value(self) -> bool {
        matches!(self.typlen(), 1 | 2 | 4 | 8)
    }

    /// pg_type.typalign.
    pub fn align(self) -> char {
        match (self, self.typlen()) {
            (PgType::Array(element), _) if element.align() == 'd' => 'd',
            (PgType::Record | PgType::AnyArray | PgType::Interval, _) => 'd',
            (PgType::Name | PgType::Uuid, _) | (_, 1 | -2) => 'c',
            (_, 2) => 's',
            (_, 8) => 'd',
            _ => 'i',
        }
    }

    /// pg_type.typstorage.
    pub fn storage(self) -> char {
        match self {
            PgType::Numeric | PgType::Inet => 'm',
            PgType::Int2Vector | PgType::OidVector => 'p',
            other if other.typlen() == -1 => 'x',
            _ => 'p',
        }
    }

    /// pg_type.typcollation, 0 for what does not compare as text.
    pub fn collation(self) -> Oid {
        match self {
            PgType::Array(element) => element.collation(),
            PgType::Name => C_COLLATION,
            PgType::Char => Oid::NONE,
            other if matches!(other.category(), 'S' | 'Z') => DEFAULT_COLLATION,
            _ => Oid::NONE,
        }
    }

    /// Oids of the input, output, receive and send functions (0: none).
    pub fn io_functions(self) -> [Oid; 4] {
        match self {
            PgType::Array(_) => ARRAY_IO,
            scalar => scalar.scalar().io,
        }
    }

    /// Oids of the typmod input and output functions (0: the type takes no modifier).
    pub fn typmod_functions(self) -> [Oid; 2] {
        match self {
            PgType::Array(element) => element.typmod_functions(),
            PgType::Interval => [Oid(2903), Oid(2904)],
            PgType::Timestamp => [Oid(2905), Oid(2906)],
            PgType::Timestamptz => [Oid(2907), Oid(2908)],
            PgType::Time => [Oid(2909), Oid(2910)],
            PgType::Bpchar => [Oid(2913), Oid(2914)],
            PgType::Varchar => [Oid(2915), Oid(2916)],
            PgType::Numeric => [Oid(2917), Oid(2918)],
            _ => [Oid::NONE, Oid::NONE],
        }
    }

    fn scalar(self) -> &'static Scalar {
        BY_TYPE.get(&self).expect("every variant but Array has its line in SCALARS")
    }
}

/// As pg_type.typname: the list of ops keeps types by name.
impl Serialize for PgType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for PgType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        PgType::from_typname(&name)
            .ok_or_else(|| D::Error::custom(format!("type \"{name}\" does not exist")))
    }
}
