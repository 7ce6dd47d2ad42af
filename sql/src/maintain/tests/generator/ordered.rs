//! Random queries of the first rows of an order, and of window functions.

use rand::Rng;
use rand::seq::IndexedRandom;

use super::{Generator, Scope, Type};

impl Generator {
    /// A query with ORDER BY and LIMIT, DISTINCT ON, or windows.
    pub fn ordered_query(&mut self) -> String {
        match self.random.random_range(0..4) {
            0 => self.limited(),
            1 => self.distinct_on(),
            _ => self.windowed(),
        }
    }

    fn limited(&mut self) -> String {
        let types = self.types();
        let body = self.select(&types);
        let order: Vec<String> = (1..=types.len())
            .filter(|_| self.random.random_bool(0.7))
            .map(|column| format!("{column}{}", ["", " DESC", " NULLS FIRST"][column % 3]))
            .collect();
        let order = match order.is_empty() {
            true => String::new(),
            false => format!(" ORDER BY {}", order.join(", ")),
        };
        let limit = self.random.random_range(0..4);
        let offset = if self.one_in(3) { " OFFSET 1" } else { "" };
        format!("{body}{order} LIMIT {limit}{offset}")
    }

    fn distinct_on(&mut self) -> String {
        let (from, scope, guards) = self.from(1);
        let filter = self.filter(&scope, guards);
        // Not bare literals: in ORDER BY those are places.
        let key = format!("({} + 0)", self.leaf(&scope, Type::Int));
        let value = format!("({} || '')", self.leaf(&scope, Type::Text));
        let by = self.leaf(&scope, Type::Bigint);
        format!(
            "SELECT DISTINCT ON ({key}) {key} AS c0, {value} AS c1, {by} AS c2 FROM {from}{filter} \
             ORDER BY {key}, {by} DESC, {value}"
        )
    }

    /// Windows over a whole table with a key, so that orders by it are total.
    fn windowed(&mut self) -> String {
        let scope: Scope = ["k", "v", "s"]
            .into_iter()
            .zip([Type::Int, Type::Bigint, Type::Text])
            .map(|(name, ty)| (format!("a.{name}"), ty))
            .collect();
        let filter = self.filter(&scope, vec![]);
        let calls = self.random.random_range(1..3);
        let calls: Vec<String> =
            (0..calls).map(|n| format!("{} AS w{n}", self.window_call(&scope))).collect();
        let body = format!("SELECT a.id, a.k, {} FROM t a{filter}", calls.join(", "));
        match self.one_in(4) {
            true => format!(
                "SELECT * FROM (SELECT a.id, row_number() OVER \
                 (PARTITION BY a.k ORDER BY a.v, a.id) AS n FROM t a{filter}) x WHERE n <= 2"
            ),
            false => body,
        }
    }

    fn window_call(&mut self, scope: &Scope) -> String {
        let partition = if self.one_in(2) { "PARTITION BY a.k " } else { "" };
        let by = self.pick(&["a.v", "a.s DESC", "a.v NULLS FIRST", "a.k"]);
        let ordered = format!("{partition}ORDER BY {by}");
        let total = format!("{ordered}, a.id");
        let value = self.leaf(scope, Type::Bigint);
        match self.random.random_range(0..9) {
            0 => format!("row_number() OVER ({total})"),
            1 => format!("rank() OVER ({ordered})"),
            2 => format!("dense_rank() OVER ({ordered})"),
            3 => format!("lag({value}, 1, 7) OVER ({total})"),
            4 => format!("lead({value}) OVER ({total})"),
            5 => format!("first_value({value}) OVER ({total})"),
            6 => format!("count({value}) OVER ({ordered})"),
            7 => {
                let start = self.pick(&["UNBOUNDED PRECEDING", "1 PRECEDING", "CURRENT ROW"]);
                let end = self.pick(&["CURRENT ROW", "2 FOLLOWING", "UNBOUNDED FOLLOWING"]);
                format!("sum({value}) OVER ({total} ROWS BETWEEN {start} AND {end})")
            }
            _ => {
                let name = ["min", "max", "count"].choose(&mut self.random).expect("names");
                format!("{name}({value}) OVER ({partition})")
            }
        }
    }
}
