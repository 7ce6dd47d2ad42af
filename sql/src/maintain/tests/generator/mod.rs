//! Random queries and random rows, of everything a materialized view maintains.
//!
//! Law: the same seed gives the same query and rows. Values come from small domains, so that keys
//! meet, groups are shared, and rows repeat; a third of what may be NULL is.

mod ordered;
mod subquery;
mod wider;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::SchemaRef;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// 2026-03-31 12:00 UTC: the end of a month, so that calendars matter.
pub const START_US: u64 = 1_774_958_400_000_000;
pub const MINUTE_US: i64 = 60_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Int,
    Bigint,
    Float,
    Numeric,
    Text,
    Timestamptz,
    Timestamp,
    Date,
    Bool,
}

/// A column that an expression may name.
type Scope = Vec<(String, Type)>;

const TABLES: &[(&str, &[(&str, Type)])] = &[
    (
        "t",
        &[
            ("id", Type::Int),
            ("k", Type::Int),
            ("v", Type::Bigint),
            ("f", Type::Float),
            ("s", Type::Text),
            ("ts", Type::Timestamptz),
        ],
    ),
    (
        "u",
        &[
            ("id", Type::Int),
            ("k", Type::Int),
            ("w", Type::Numeric),
            ("s", Type::Text),
            ("at", Type::Timestamp),
        ],
    ),
    ("d", &[("k", Type::Int), ("day", Type::Date), ("ok", Type::Bool)]),
    (
        "recent",
        &[("id", Type::Int), ("k", Type::Int), ("v", Type::Bigint), ("ts", Type::Timestamptz)],
    ),
    ("totals", &[("k", Type::Int), ("n", Type::Bigint)]),
];

pub struct Generator {
    random: StdRng,
    /// Whether expressions may fail.
    fallible: bool,
    /// Subqueries around the expression, and relations named in subqueries so far.
    nesting: u32,
    aliases: u32,
}

impl Generator {
    pub fn new(seed: u64, fallible: bool) -> Self {
        Generator { random: StdRng::seed_from_u64(seed), fallible, nesting: 0, aliases: 0 }
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.random.random_range(0..n) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from.choose(&mut self.random).expect("something to choose from")
    }

    pub fn query(&mut self) -> String {
        match self.random.random_range(0..10) {
            0 => {
                let types = self.types();
                self.set_operation(&types)
            }
            1..=4 => {
                let types = self.types();
                self.select(&types)
            }
            _ => self.grouped(),
        }
    }

    fn set_operation(&mut self, types: &[Type]) -> String {
        const OPERATIONS: &[&str] =
            &["UNION ALL", "UNION", "INTERSECT", "INTERSECT ALL", "EXCEPT", "EXCEPT ALL"];
        let operation = self.pick(OPERATIONS);
        format!("{} {operation} {}", self.select(types), self.select(types))
    }

    fn types(&mut self) -> Vec<Type> {
        const ALL: [Type; 9] = [
            Type::Int,
            Type::Bigint,
            Type::Float,
            Type::Numeric,
            Type::Text,
            Type::Timestamptz,
            Type::Timestamp,
            Type::Date,
            Type::Bool,
        ];
        let n = self.random.random_range(1..4);
        (0..n).map(|_| *ALL.choose(&mut self.random).expect("types")).collect()
    }

    /// `SELECT [DISTINCT] … AS c0, …` of these types.
    fn select(&mut self, types: &[Type]) -> String {
        let (from, scope, guards) = self.from(2);
        let exprs: Vec<String> = types
            .iter()
            .enumerate()
            .map(|(i, &ty)| format!("{} AS c{i}", self.expr(&scope, ty, 2)))
            .collect();
        let distinct = if self.one_in(5) { "DISTINCT " } else { "" };
        let filter = self.filter(&scope, guards);
        format!("SELECT {distinct}{} FROM {from}{filter}", exprs.join(", "))
    }

    fn grouped(&mut self) -> String {
        let (from, scope, guards) = self.from(2);
        let keys = self.random.random_range(0..3);
        let keys: Vec<String> = (0..keys)
            .map(|_| {
                let ty = *[Type::Int, Type::Text, Type::Date, Type::Bool]
                    .choose(&mut self.random)
                    .expect("types");
                self.expr(&scope, ty, 1)
            })
            .collect();
        let calls = self.random.random_range(1..4);
        let calls: Vec<String> = match self.one_in(8) {
            true => vec![self.distinct_call(&scope)],
            false => (0..calls).map(|_| self.call(&scope)).collect(),
        };
        let columns = keys.iter().cloned().chain(calls.iter().cloned()).enumerate();
        let columns: Vec<String> = columns.map(|(i, expr)| format!("{expr} AS c{i}")).collect();
        let filter = self.filter(&scope, guards);
        let places: Vec<String> = (1..=keys.len()).map(|i| i.to_string()).collect();
        let group = match places.is_empty() {
            true => String::new(),
            false => format!(" GROUP BY {}", places.join(", ")),
        };
        let having = match self.random.random_range(0..6) {
            0 => " HAVING count(*) > 1".to_owned(),
            1 if has(&scope, Type::Timestamptz) => {
                let ts = self.leaf(&scope, Type::Timestamptz);
                format!(" HAVING max({ts}) > now() - INTERVAL '4 minutes'")
            }
            _ => String::new(),
        };
        format!("SELECT {} FROM {from}{filter}{group}{having}", columns.join(", "))
    }

    fn call(&mut self, scope: &Scope) -> String {
        const NUMBERS: [Type; 4] = [Type::Int, Type::Bigint, Type::Float, Type::Numeric];
        let number = *NUMBERS.choose(&mut self.random).expect("types");
        let call = match self.random.random_range(0..12) {
            0 => "count(*)".to_owned(),
            1 => format!("count({})", self.expr(scope, Type::Text, 1)),
            2 => format!("sum({})", self.expr(scope, number, 1)),
            3 => format!("avg({})", self.expr(scope, number, 1)),
            4 => format!("bool_or({})", self.expr(scope, Type::Bool, 1)),
            5 => format!("variance({})", self.expr(scope, number, 1)),
            6 => format!("string_agg({}, ',')", self.expr(scope, Type::Text, 1)),
            7 => {
                let (value, by) = (self.expr(scope, number, 1), self.expr(scope, Type::Date, 1));
                format!("array_agg({value} ORDER BY {by} DESC)")
            }
            8 => {
                let (value, by) = (self.expr(scope, Type::Text, 1), self.expr(scope, number, 1));
                format!("max_by({value}, {by})")
            }
            9 => {
                let value = self.expr(scope, Type::Bigint, 1);
                format!("percentile_cont(0.3) WITHIN GROUP (ORDER BY {value})")
            }
            n => {
                let ordered = [Type::Text, Type::Timestamptz, Type::Date, number];
                let ty = *ordered.choose(&mut self.random).expect("types");
                let name = if n == 10 { "min" } else { "max" };
                format!("{name}({})", self.expr(scope, ty, 1))
            }
        };
        match self.one_in(4) {
            true => format!("{call} FILTER (WHERE {})", self.expr(scope, Type::Bool, 2)),
            false => call,
        }
    }

    fn distinct_call(&mut self, scope: &Scope) -> String {
        let name = self.pick(&["count", "sum", "avg", "array_agg", "bit_xor", "stddev"]);
        let argument = self.expr(scope, Type::Bigint, 1);
        let filter = match self.one_in(3) {
            true => format!(" FILTER (WHERE {})", self.expr(scope, Type::Bool, 1)),
            false => String::new(),
        };
        format!("{name}(DISTINCT {argument}){filter}")
    }

    /// FROM items, the columns they bring, and predicates for WHERE that join them.
    fn from(&mut self, depth: u32) -> (String, Scope, Vec<String>) {
        let relations = [1, 1, 1, 2, 2, 3].choose(&mut self.random).copied().expect("numbers");
        let (mut text, mut scope, mut guards) = (String::new(), Scope::new(), Vec::new());
        for i in 0..relations {
            let alias = ["a", "b", "c"][i];
            if i > 0 && i + 1 == relations && self.nesting < 2 && self.one_in(6) {
                let (lateral, own) = self.lateral(&scope, alias);
                text.push_str(&lateral);
                scope.extend(own);
                continue;
            }
            let (relation, columns) = self.relation(depth);
            let own: Scope =
                columns.into_iter().map(|(name, ty)| (format!("{alias}.{name}"), ty)).collect();
            if i == 0 {
                text = format!("{relation} {alias}");
                scope = own;
                continue;
            }
            let equal = self.equality(&scope, &own);
            scope.extend(own);
            match (equal, self.random.random_range(0..4)) {
                (Some(equal), 0) => {
                    // A comma binds less than JOIN: what follows it could not name what is before.
                    let product = if i + 1 == relations { "," } else { " CROSS JOIN" };
                    text.push_str(&format!("{product} {relation} {alias}"));
                    guards.push(equal);
                }
                (equal, n) => {
                    let join = self.pick(&["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
                    let more = match &equal {
                        Some(_) if n > 1 => None,
                        _ => Some(self.expr(&scope, Type::Bool, 1)),
                    };
                    let on: Vec<String> = equal.into_iter().chain(more).collect();
                    text.push_str(&format!(" {join} {relation} {alias} ON {}", on.join(" AND ")));
                }
            }
        }
        (text, scope, guards)
    }

    fn relation(&mut self, depth: u32) -> (String, Scope) {
        if depth > 0 && self.one_in(4) {
            let types = self.types();
            let columns = types.iter().enumerate().map(|(i, &ty)| (format!("c{i}"), ty)).collect();
            return (format!("({})", self.select(&types)), columns);
        }
        let (name, columns) = TABLES.choose(&mut self.random).expect("tables");
        let columns = columns.iter().map(|&(name, ty)| (name.to_owned(), ty)).collect();
        ((*name).to_owned(), columns)
    }

    fn equality(&mut self, left: &Scope, right: &Scope) -> Option<String> {
        if self.one_in(10) {
            return None;
        }
        let pairs: Vec<(String, String)> = left
            .iter()
            .flat_map(|(l, lt)| {
                let alike = right.iter().filter(move |(_, rt)| {
                    lt == rt
                        || matches!((lt, rt), (Type::Int, Type::Bigint) | (Type::Bigint, Type::Int))
                });
                alike.map(move |(r, _)| (l.clone(), r.clone()))
            })
            .collect();
        let (l, r) = pairs.choose(&mut self.random)?.clone();
        Some(match self.one_in(3) {
            true => format!("{r} = {l}"),
            false => format!("{l} = {r}"),
        })
    }

    fn filter(&mut self, scope: &Scope, mut conjuncts: Vec<String>) -> String {
        for _ in 0..[0, 0, 1, 1, 2].choose(&mut self.random).copied().expect("numbers") {
            conjuncts.push(self.expr(scope, Type::Bool, 2));
        }
        if self.one_in(3)
            && let Some(predicate) = self.temporal(scope)
        {
            conjuncts.push(predicate);
        }
        match conjuncts.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", conjuncts.join(" AND ")),
        }
    }

    /// A comparison with now(), if there is a time to compare.
    fn temporal(&mut self, scope: &Scope) -> Option<String> {
        let times: Vec<&(String, Type)> = scope
            .iter()
            .filter(|(_, ty)| matches!(ty, Type::Timestamptz | Type::Timestamp | Type::Date))
            .collect();
        let (column, ty) = (*times.choose(&mut self.random)?).clone();
        let op = self.pick(&["<", "<=", ">", ">=", "=", "<>"]);
        let minutes = self.random.random_range(0..8);
        Some(match (ty, self.random.random_range(0..8)) {
            (Type::Date, 0) => format!("{column} {op} current_date"),
            (Type::Date, 1) => format!("current_date - {column} {op} 1"),
            (Type::Date, 2) => format!("{column} {op} date_trunc('month', now())::date"),
            (Type::Date, _) => format!("current_date - 1 {op} {column}"),
            (Type::Timestamp, 0) => {
                format!(
                    "{column} BETWEEN localtimestamp - INTERVAL '{minutes} min' AND localtimestamp"
                )
            }
            (Type::Timestamp, _) => {
                format!("{column} {op} localtimestamp - INTERVAL '{minutes} min'")
            }
            (_, 0) => format!("{column} {op} now()"),
            (_, 1) => format!("now() - INTERVAL '{minutes} minutes' {op} {column}"),
            (_, 2) => format!("{column} + INTERVAL '{minutes} minutes' {op} now()"),
            (_, 3) => format!("now() - {column} {op} INTERVAL '{minutes} minutes'"),
            (_, 4) => format!("date_trunc('minute', {column}) {op} date_trunc('minute', now())"),
            (_, 5) => {
                format!("{column} NOT BETWEEN now() - INTERVAL '{minutes} minutes' AND now()")
            }
            (_, 6) => format!("{column}::date {op} current_date"),
            _ => format!("{column} > now() - INTERVAL '{minutes} minutes' AND {column} <= now()"),
        })
    }

    fn leaf(&mut self, scope: &Scope, ty: Type) -> String {
        let columns: Vec<&str> =
            scope.iter().filter(|(_, of)| *of == ty).map(|(name, _)| name.as_str()).collect();
        match columns.is_empty() || self.one_in(6) {
            true => self.literal(ty),
            false => self.pick(&columns).to_owned(),
        }
    }

    fn literal(&mut self, ty: Type) -> String {
        let n = self.random.random_range(0..4);
        match ty {
            Type::Int => n.to_string(),
            Type::Bigint => format!("{n}::bigint"),
            Type::Float => format!("{n}.5::float8"),
            Type::Numeric => format!("{n}.25::numeric(10,2)"),
            Type::Text => format!("'{}'", ["a", "b", "ab", ""][n]),
            Type::Timestamptz => format!("'2026-03-31 12:0{n}:00Z'::timestamptz"),
            Type::Timestamp => format!("'2026-03-31 12:0{n}:00'::timestamp"),
            Type::Date => format!("'2026-03-3{}'::date", n.min(1)),
            Type::Bool => ["true", "false", "true", "NULL::boolean"][n].to_owned(),
        }
    }

    fn expr(&mut self, scope: &Scope, ty: Type, depth: u32) -> String {
        if depth == 0 {
            return match ty {
                Type::Bool => self.predicate(scope, 0),
                _ => self.leaf(scope, ty),
            };
        }
        if ty == Type::Bool {
            return self.predicate(scope, depth);
        }
        let below = depth - 1;
        if self.nesting < 2
            && self.one_in(12)
            && let Some(value) = self.scalar_subquery(scope, ty)
        {
            return value;
        }
        match (ty, self.random.random_range(0..8)) {
            (_, 0) => {
                let condition = self.expr(scope, Type::Bool, below);
                let (yes, no) = (self.expr(scope, ty, below), self.expr(scope, ty, below));
                format!("CASE WHEN {condition} THEN {yes} ELSE {no} END")
            }
            (_, 1) => format!("coalesce({}, {})", self.leaf(scope, ty), self.literal(ty)),
            (Type::Int, 2) => format!("({} + 1)", self.expr(scope, ty, below)),
            (Type::Bigint, 2) => {
                format!("({} + {})", self.expr(scope, Type::Int, below), self.leaf(scope, ty))
            }
            (Type::Bigint | Type::Int, 3) if self.fallible => {
                format!("({} / {})", self.leaf(scope, ty), self.leaf(scope, ty))
            }
            (Type::Float, 2) => format!("({} * 0.5)", self.expr(scope, ty, below)),
            (Type::Text, 2) => format!("({} || 'x')", self.expr(scope, ty, below)),
            (Type::Text, 3) => format!("upper({})", self.expr(scope, ty, below)),
            _ => self.leaf(scope, ty),
        }
    }

    fn predicate(&mut self, scope: &Scope, depth: u32) -> String {
        const COMPARED: [Type; 6] =
            [Type::Int, Type::Bigint, Type::Float, Type::Text, Type::Timestamptz, Type::Date];
        let below = depth.saturating_sub(1);
        let known: Vec<Type> = COMPARED.into_iter().filter(|ty| has(scope, *ty)).collect();
        let ty = known.choose(&mut self.random).copied().unwrap_or(Type::Int);
        if depth > 0 && self.nesting < 2 && self.one_in(6) {
            return self.asking(scope);
        }
        let choice = self.random.random_range(0..if depth == 0 { 4 } else { 10 });
        match choice {
            0 => format!("{} IS NOT NULL", self.leaf(scope, ty)),
            1 => self.leaf(scope, Type::Bool),
            2 | 3 => {
                let op = self.pick(&["<", "<=", ">", ">=", "=", "<>"]);
                format!("{} {op} {}", self.leaf(scope, ty), self.leaf(scope, ty))
            }
            4 => {
                let (l, r) = (self.predicate(scope, below), self.predicate(scope, below));
                format!("({l} OR {r})")
            }
            5 => {
                let (l, r) = (self.predicate(scope, below), self.predicate(scope, below));
                format!("({l} AND {r})")
            }
            6 => format!("NOT ({})", self.predicate(scope, below)),
            7 => {
                let (of, low) = (self.leaf(scope, ty), self.literal(ty));
                format!("{of} BETWEEN {low} AND {}", self.leaf(scope, ty))
            }
            8 => {
                let (a, b) = (self.literal(ty), self.literal(ty));
                format!("{} IN ({a}, {b})", self.leaf(scope, ty))
            }
            _ => match self.temporal(scope) {
                Some(comparison) => format!("({comparison})"),
                None => self.leaf(scope, Type::Bool),
            },
        }
    }

    /// Rows for a table's schema; the first column counts up if `with_id`.
    pub fn rows(&mut self, schema: &SchemaRef, with_id: bool, rows: usize) -> RecordBatch {
        use arrow::datatypes::DataType;
        let columns = schema.fields().iter().enumerate().map(|(i, field)| -> ArrayRef {
            if i == 0 && with_id {
                return Arc::new(Int32Array::from_iter_values(0..rows as i32));
            }
            let small = self.smalls(rows);
            match field.data_type() {
                DataType::Int32 => Arc::new(small.into_iter().collect::<Int32Array>()),
                DataType::Int64 => {
                    Arc::new(small.into_iter().map(|n| n.map(i64::from)).collect::<Int64Array>())
                }
                DataType::Float64 => {
                    let floats = [0.5, 1e16, -1e16, f64::NAN];
                    let float = |n: Option<i32>| n.map(|n| floats[n as usize]);
                    Arc::new(small.into_iter().map(float).collect::<Float64Array>())
                }
                DataType::Utf8 => {
                    let texts = ["a", "b", "ab", ""];
                    let text = |n: Option<i32>| n.map(|n| texts[n as usize]);
                    Arc::new(small.into_iter().map(text).collect::<StringArray>())
                }
                DataType::Boolean => {
                    let bools = small.into_iter().map(|n| n.map(|n| n % 2 == 0));
                    Arc::new(bools.collect::<BooleanArray>())
                }
                DataType::Date32 => {
                    let first = (START_US / 86_400_000_000) as i32 - 1;
                    Arc::new(
                        small.into_iter().map(|n| n.map(|n| first + n)).collect::<Date32Array>(),
                    )
                }
                DataType::Decimal128(precision, scale) => {
                    let cents = small.into_iter().map(|n| n.map(|n| i128::from(n) * 125));
                    let array = cents.collect::<Decimal128Array>();
                    Arc::new(array.with_precision_and_scale(*precision, *scale).expect("in range"))
                }
                DataType::Timestamp(_, zone) => {
                    let at = |n: i32| START_US as i64 + i64::from(n) * 2 * MINUTE_US;
                    let times = small.into_iter().map(|n| n.map(at));
                    let array = times.collect::<TimestampMicrosecondArray>();
                    Arc::new(array.with_timezone_opt(zone.clone()))
                }
                other => unreachable!("no column of the fixture is {other}"),
            }
        });
        let columns: Vec<ArrayRef> = columns.collect();
        RecordBatch::try_new(schema.clone(), columns).expect("columns of the schema")
    }

    /// Numbers from 0 to 3; some are NULL.
    fn smalls(&mut self, rows: usize) -> Vec<Option<i32>> {
        (0..rows).map(|_| (!self.one_in(5)).then(|| self.random.random_range(0..4))).collect()
    }

    /// A time at which to look: often one at which something changes.
    pub fn instant(&mut self) -> u64 {
        let steps = self.random.random_range(-2..14i64);
        let near = [-1, 0, 0, 1].choose(&mut self.random).copied().expect("numbers");
        let day = if self.one_in(5) { 86_400_000_000 / 2 } else { 0 };
        (START_US as i64 + steps * MINUTE_US + near + day) as u64
    }
}

fn has(scope: &Scope, ty: Type) -> bool {
    scope.iter().any(|(_, of)| *of == ty)
}
