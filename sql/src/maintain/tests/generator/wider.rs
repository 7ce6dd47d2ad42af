//! Random queries of what the others leave out: grouping sets, aggregates that are seldom used,
//! common tables and recursion, merged columns, time windows, functions in FROM, limits in
//! subqueries, frames, and scalar functions.

use rand::Rng;
use rand::seq::IndexedRandom;

use super::{Generator, Scope, Type, has};

impl Generator {
    pub fn wider_query(&mut self) -> String {
        match self.random.random_range(0..12) {
            0 | 1 => self.grouping_sets(),
            2 | 3 => self.seldom_aggregated(),
            4 => self.common_table(),
            5 => self.recursive(),
            6 => self.merged(),
            7 => self.time_window(),
            8 => self.function_in_from(),
            9 => self.limited_below(),
            10 => self.framed(),
            _ => self.scalars(),
        }
    }

    fn grouping_sets(&mut self) -> String {
        let (from, scope, guards) = self.from(1);
        let filter = self.filter(&scope, guards);
        let keys = [self.leaf(&scope, Type::Int), self.leaf(&scope, Type::Text)];
        // Not bare literals: in GROUP BY those are places.
        let [a, b] = [format!("({} + 0)", keys[0]), format!("({} || '')", keys[1])];
        let sets = match self.random.random_range(0..5) {
            0 => format!("GROUPING SETS (({a}, {b}), ({b}), ())"),
            1 => format!("GROUPING SETS (({a}), ({a}), ({b}, {a}))"),
            2 => format!("ROLLUP ({a}, {b})"),
            3 => format!("CUBE ({a}, {b})"),
            _ => format!("{a}, ROLLUP ({b})"),
        };
        let grouping = match self.one_in(2) {
            true => format!(", grouping({a}, {b}) AS g"),
            false => String::new(),
        };
        let call = self.call(&scope);
        let having = if self.one_in(4) { " HAVING count(*) > 1" } else { "" };
        format!(
            "SELECT {a} AS c0, {b} AS c1{grouping}, {call} AS c2, count(*) AS c3 \
             FROM {from}{filter} GROUP BY {sets}{having}"
        )
    }

    fn seldom_aggregated(&mut self) -> String {
        let (from, scope, guards) = self.from(1);
        let filter = self.filter(&scope, guards);
        let key = format!("({} + 0)", self.leaf(&scope, Type::Int));
        let calls = self.random.random_range(1..4);
        let calls: Vec<String> =
            (0..calls).map(|n| format!("{} AS c{n}", self.seldom_call(&scope))).collect();
        match self.one_in(3) {
            true => format!("SELECT {} FROM {from}{filter}", calls.join(", ")),
            false => {
                format!("SELECT {key} AS k, {} FROM {from}{filter} GROUP BY 1", calls.join(", "))
            }
        }
    }

    fn seldom_call(&mut self, scope: &Scope) -> String {
        let bigint = self.expr(scope, Type::Bigint, 1);
        let float = self.expr(scope, Type::Float, 1);
        let text = self.expr(scope, Type::Text, 1);
        let flag = self.expr(scope, Type::Bool, 1);
        let by = self.leaf(scope, Type::Date);
        let call = match self.random.random_range(0..16) {
            0 => format!("bool_and({flag})"),
            1 => {
                let name = self.pick(&["bit_and", "bit_or", "bit_xor"]);
                format!("{name}({bigint})")
            }
            2 => {
                const NAMES: &[&str] = &[
                    "corr",
                    "covar_pop",
                    "covar_samp",
                    "regr_slope",
                    "regr_intercept",
                    "regr_count",
                    "regr_r2",
                    "regr_avgx",
                    "regr_avgy",
                    "regr_sxx",
                    "regr_syy",
                    "regr_sxy",
                ];
                let (name, other) = (self.pick(NAMES), self.leaf(scope, Type::Float));
                format!("{name}({float}, {other})")
            }
            3 => {
                let name = self.pick(&["var_pop", "var_samp", "stddev_pop", "stddev_samp"]);
                format!("{name}({float})")
            }
            4 => {
                let name = self.pick(&["first_value", "last_value"]);
                format!("{name}({text} ORDER BY {by} DESC, {text})")
            }
            5 => format!("mode() WITHIN GROUP (ORDER BY {text})"),
            6 => format!("percentile_disc(0.5) WITHIN GROUP (ORDER BY {bigint} DESC)"),
            7 => format!("min_by({text}, {bigint})"),
            8 => format!("string_agg(DISTINCT {text}, '-' ORDER BY {text} DESC)"),
            9 => format!("array_agg(DISTINCT {bigint})"),
            10 => format!("array_agg({bigint} ORDER BY {by} NULLS FIRST, {bigint} DESC)"),
            11 => format!("approx_count_distinct({text})"),
            12 => format!("avg(DISTINCT {bigint})"),
            13 => format!("sum({bigint}) / count(*)"),
            14 => format!("string_agg({text}, {text})"),
            _ => format!("count(DISTINCT {text}) - count({text})"),
        };
        match self.one_in(4) && !call.contains(") / ") && !call.contains(") - ") {
            true => format!("{call} FILTER (WHERE {flag})"),
            false => call,
        }
    }

    /// A table of its own, read twice.
    fn common_table(&mut self) -> String {
        let types = [Type::Int, Type::Text];
        let body = self.select(&types);
        let (kind, kept) = (self.pick(&["JOIN", "LEFT JOIN", "FULL JOIN"]), self.one_in(2));
        let filter = if kept { " WHERE x.c1 IS NOT NULL OR y.c1 <> 'a'" } else { "" };
        format!(
            "WITH w AS ({body}) SELECT x.c0, x.c1, y.c1 AS c2 FROM w x {kind} w y \
             ON x.c0 = y.c0{filter}"
        )
    }

    fn recursive(&mut self) -> String {
        let scope: Scope = vec![("a.id".to_owned(), Type::Int), ("a.k".to_owned(), Type::Int)];
        let filter = self.filter(&scope, vec![]);
        match self.random.random_range(0..3) {
            0 => format!(
                "WITH RECURSIVE r AS (SELECT a.id, a.k FROM t a{filter} UNION \
                 SELECT r.id, b.k FROM r JOIN t b ON b.id = r.k) SELECT id, k FROM r"
            ),
            1 => format!(
                "WITH RECURSIVE r(id, n) AS (SELECT a.id, 1 FROM t a{filter} UNION ALL \
                 SELECT b.k, r.n + 1 FROM r JOIN t b ON b.id = r.id WHERE r.n < 3) \
                 SELECT id, n, count(*) AS c FROM r GROUP BY id, n"
            ),
            _ => format!(
                "WITH RECURSIVE r AS (SELECT a.k AS n FROM u a{filter} UNION \
                 SELECT b.k FROM r, u b WHERE b.id = r.n AND b.k IS NOT NULL) \
                 SELECT n, (SELECT max(d.day) FROM d WHERE d.k = r.n) AS day FROM r"
            ),
        }
    }

    /// USING and NATURAL, whose columns are of both sides.
    fn merged(&mut self) -> String {
        const JOINS: &[&str] = &["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"];
        let (one, two) = (self.pick(JOINS), self.pick(JOINS));
        match self.random.random_range(0..4) {
            0 => format!("SELECT k, a.v, b.w FROM t a {one} u b USING (k)"),
            1 => format!(
                "SELECT k, a.v, b.w, c.n FROM t a {one} u b USING (k) {two} totals c USING (k)"
            ),
            2 => format!("SELECT k, day, n FROM d NATURAL {one} totals"),
            _ => {
                format!("SELECT k, s, count(*) AS c FROM t a {one} u b USING (k, s) GROUP BY k, s")
            }
        }
    }

    fn time_window(&mut self) -> String {
        let minutes = self.random.random_range(1..5);
        let (relation, time) =
            *[("t", "ts"), ("recent", "ts")].choose(&mut self.random).expect("two");
        let rows = match self.one_in(2) {
            true => format!("tumble({relation}, {time}, INTERVAL '{minutes} minutes')"),
            false => format!(
                "hop({relation}, {time}, INTERVAL '2 minutes', INTERVAL '{} minutes')",
                2 * minutes
            ),
        };
        let filter = match self.one_in(2) {
            true => " WHERE window_end > now() - INTERVAL '6 minutes'",
            false => "",
        };
        match self.one_in(3) {
            true => format!(
                "SELECT date_trunc('minute', ts) AS c0, date_bin('3 minutes', ts, '2026-01-01Z') AS c1, \
                 count(*) AS c2 FROM {relation} GROUP BY 1, 2"
            ),
            false => format!(
                "SELECT k, window_start, window_end, count(*) AS c, sum(v) AS s FROM {rows}{filter} \
                 GROUP BY k, window_start, window_end"
            ),
        }
    }

    fn function_in_from(&mut self) -> String {
        let join = self.pick(&["CROSS JOIN", "LEFT JOIN"]);
        let on = if join == "LEFT JOIN" { " ON true" } else { "" };
        match self.random.random_range(0..5) {
            0 => format!(
                "SELECT a.id, g.n FROM t a {join} LATERAL generate_series(1, a.k) AS g(n){on}"
            ),
            1 => format!(
                "SELECT a.id, g.x, g.o FROM t a {join} LATERAL \
                 unnest(ARRAY[a.s, 'z', NULL]) WITH ORDINALITY AS g(x, o){on}"
            ),
            2 => {
                "SELECT a.k, x.name, count(*) AS c FROM t a JOIN (VALUES (0, 'none'), (1, 'one'), \
                  (1, 'eins'), (NULL, 'null')) AS x(k, name) ON x.k = a.k GROUP BY 1, 2"
                    .to_owned()
            }
            3 => "SELECT s, k FROM t WHERE (s, k) IN (SELECT b.s, b.k FROM u b) OR \
                  k NOT IN (SELECT d.k FROM d WHERE d.ok)"
                .to_owned(),
            _ => "SELECT unnest(x.vs) AS v, x.k FROM (SELECT k, array_agg(v ORDER BY id) AS vs \
                  FROM t GROUP BY k) x"
                .to_owned(),
        }
    }

    /// First rows of an order, in subqueries and with their equals.
    fn limited_below(&mut self) -> String {
        let scope: Scope = vec![
            ("a.id".to_owned(), Type::Int),
            ("a.k".to_owned(), Type::Int),
            ("a.s".to_owned(), Type::Text),
        ];
        let filter = self.filter(&scope, vec![]);
        let (n, order) =
            (self.random.random_range(1..3), self.pick(&["", " DESC", " NULLS FIRST"]));
        match self.random.random_range(0..5) {
            0 => format!(
                "SELECT a.id, (SELECT x.v FROM t x WHERE x.k = a.k ORDER BY x.v{order}, x.id LIMIT 1) \
                 AS v FROM u a{filter}"
            ),
            1 => format!(
                "SELECT a.id, x.id AS other, x.v FROM u a LEFT JOIN LATERAL (SELECT b.id, b.v \
                 FROM t b WHERE b.k = a.k ORDER BY b.v{order}, b.id LIMIT {n}) x ON true{filter}"
            ),
            2 => format!(
                "SELECT a.id, x.id AS other FROM u a CROSS JOIN LATERAL (SELECT b.id FROM t b \
                 WHERE b.k <> a.k OR b.s = a.s ORDER BY b.id{order} LIMIT {n} OFFSET 1) x{filter}"
            ),
            3 => format!(
                "SELECT a.id, a.k FROM t a{filter} ORDER BY a.k{order} FETCH FIRST {n} ROWS WITH TIES"
            ),
            _ => format!(
                "SELECT a.id FROM u a WHERE a.k IN (SELECT b.k FROM t b WHERE b.s = a.s \
                 ORDER BY b.id{order} LIMIT {n})"
            ),
        }
    }

    /// Windows whose rows the order of `id` makes total, and ranges over peers.
    fn framed(&mut self) -> String {
        let scope: Scope = vec![("a.v".to_owned(), Type::Bigint), ("a.s".to_owned(), Type::Text)];
        let partition = if self.one_in(2) { "PARTITION BY a.k " } else { "" };
        let call = match self.random.random_range(0..9) {
            0 => format!("percent_rank() OVER ({partition}ORDER BY a.v)"),
            1 => format!("cume_dist() OVER ({partition}ORDER BY a.s DESC)"),
            2 => format!("ntile(3) OVER ({partition}ORDER BY a.v, a.id)"),
            3 => format!("last_value(a.s) OVER ({partition}ORDER BY a.v DESC, a.id)"),
            4 => format!(
                "nth_value(a.v, 2) OVER ({partition}ORDER BY a.id ROWS BETWEEN UNBOUNDED PRECEDING \
                 AND UNBOUNDED FOLLOWING)"
            ),
            5 => {
                let (start, end) = (self.random.random_range(0..3), self.random.random_range(0..3));
                format!(
                    "sum(a.v) OVER ({partition}ORDER BY a.v RANGE BETWEEN {start} PRECEDING AND \
                     {end} FOLLOWING)"
                )
            }
            6 => format!(
                "count(*) OVER ({partition}ORDER BY a.ts RANGE BETWEEN INTERVAL '2 minutes' \
                 PRECEDING AND CURRENT ROW)"
            ),
            7 => {
                let n = self.random.random_range(0..3);
                format!(
                    "count(a.v) OVER ({partition}ORDER BY a.s GROUPS BETWEEN {n} PRECEDING AND 1 \
                     FOLLOWING)"
                )
            }
            _ => format!("avg(a.f) OVER ({partition}ORDER BY a.id ROWS 2 PRECEDING)"),
        };
        let filter = self.filter(&scope, vec![]);
        format!("SELECT a.id, {call} AS w FROM t a{filter}")
    }

    fn scalars(&mut self) -> String {
        let (from, scope, guards) = self.from(1);
        let filter = self.filter(&scope, guards);
        let calls: Vec<String> =
            (0..3).map(|n| format!("{} AS c{n}", self.scalar(&scope))).collect();
        format!("SELECT {} FROM {from}{filter}", calls.join(", "))
    }

    fn scalar(&mut self, scope: &Scope) -> String {
        let text = self.expr(scope, Type::Text, 1);
        let int = self.expr(scope, Type::Int, 1);
        let ts = self.leaf(scope, Type::Timestamptz);
        match self.random.random_range(0..14) {
            0 => format!("substring({text}, 1, 1)"),
            1 => format!("replace({text}, 'a', 'cc')"),
            2 => format!("length({text}) + {int}"),
            3 => format!("nullif({text}, 'a')"),
            4 => format!("greatest({int}, {}, 1)", self.leaf(scope, Type::Int)),
            5 => format!("abs({int} - 2) % 3"),
            6 => format!("extract(minute FROM {ts})"),
            7 => format!("to_char({ts}, 'HH24:MI:SS')"),
            8 => format!("{ts} + {int} * INTERVAL '1 minute'"),
            9 => format!("({text} LIKE 'a%' OR {text} ~ 'b$')"),
            10 => format!("round({}::numeric / 3, 2)", self.leaf(scope, Type::Numeric)),
            11 if has(scope, Type::Date) => format!("{} + 1", self.leaf(scope, Type::Date)),
            12 => format!("md5({text})"),
            _ => format!("concat({text}, {int}, NULL)"),
        }
    }
}
