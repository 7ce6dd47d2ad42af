//! Random subqueries: in predicates, as values, and LATERAL.

use rand::Rng;
use rand::seq::IndexedRandom;

use super::{Generator, Scope, TABLES, Type, has};

impl Generator {
    /// EXISTS, IN, and comparisons with ANY and ALL.
    pub(super) fn asking(&mut self, scope: &Scope) -> String {
        let not = if self.one_in(2) { "NOT " } else { "" };
        let ty = self.comparable(scope);
        match self.random.random_range(0..5) {
            0 | 1 => format!("{not}EXISTS ({})", self.body(scope, None)),
            2 | 3 => {
                let sought = self.expr(scope, ty, 0);
                format!("{sought} {not}IN ({})", self.body(scope, Some(ty)))
            }
            _ => {
                let sought = self.expr(scope, ty, 0);
                let op = self.pick(&["<", "<=", ">", ">=", "=", "<>"]);
                let quantifier = self.pick(&["ANY", "ALL"]);
                format!("{sought} {op} {quantifier} ({})", self.body(scope, Some(ty)))
            }
        }
    }

    /// A subquery of one row, if a value of the type can come of one.
    pub(super) fn scalar_subquery(&mut self, scope: &Scope, ty: Type) -> Option<String> {
        let (from, inner, filter) = self.correlated(scope);
        self.nesting += 1;
        let value = match ty {
            Type::Bigint => Some("count(*)".to_owned()),
            Type::Bool | Type::Numeric => None,
            ty => {
                let name = if self.one_in(2) { "min" } else { "max" };
                Some(format!("{name}({})", self.expr(&inner, ty, 0)))
            }
        };
        self.nesting -= 1;
        let having = if self.one_in(5) { " HAVING count(*) <> 1" } else { "" };
        value.map(|value| format!("(SELECT {value} FROM {from}{filter}{having})"))
    }

    /// A LATERAL item of FROM, and its columns.
    pub(super) fn lateral(&mut self, scope: &Scope, alias: &str) -> (String, Scope) {
        let (from, inner, filter) = self.correlated(scope);
        self.nesting += 1;
        let own = |ty: Type, n: usize| (format!("{alias}.c{n}"), ty);
        let (body, columns) = match self.one_in(2) {
            true => {
                let value = self.expr(&inner, Type::Int, 0);
                (format!("SELECT count(*) AS c0, max({value}) AS c1"), [Type::Bigint, Type::Int])
            }
            false => {
                let (a, b) = (self.expr(&inner, Type::Int, 0), self.expr(&inner, Type::Text, 0));
                (format!("SELECT {a} AS c0, {b} AS c1"), [Type::Int, Type::Text])
            }
        };
        self.nesting -= 1;
        let scope = columns.into_iter().enumerate().map(|(n, ty)| own(ty, n)).collect();
        let body = format!("({body} FROM {from}{filter}) {alias}");
        let text = match self.one_in(2) {
            true => format!(" CROSS JOIN LATERAL {body}"),
            false => format!(" LEFT JOIN LATERAL {body} ON true"),
        };
        (text, scope)
    }

    /// A subquery of one column of that type; of any, if nobody asks.
    fn body(&mut self, scope: &Scope, ty: Option<Type>) -> String {
        let (from, inner, filter) = self.correlated(scope);
        self.nesting += 1;
        let value = match ty {
            Some(ty) => self.expr(&inner, ty, 0),
            None => "1".to_owned(),
        };
        self.nesting -= 1;
        match (self.random.random_range(0..8), ty) {
            (0, Some(ty)) => {
                let (other, inner, other_filter) = self.correlated(scope);
                let operation = self.pick(&["UNION ALL", "UNION", "EXCEPT", "INTERSECT"]);
                let value_there = self.leaf(&inner, ty);
                let other = format!("SELECT {value_there} FROM {other}{other_filter}");
                format!("SELECT {value} FROM {from}{filter} {operation} {other}")
            }
            (1, Some(_)) => format!("SELECT DISTINCT {value} FROM {from}{filter}"),
            (2, Some(Type::Int | Type::Bigint | Type::Text)) => {
                format!("SELECT max({value}) FROM {from}{filter} HAVING count(*) <> 2")
            }
            (3, Some(Type::Int | Type::Text)) => {
                format!("SELECT {value} FROM {from}{filter} GROUP BY 1 HAVING count(*) < 3")
            }
            _ => format!("SELECT {value} FROM {from}{filter}"),
        }
    }

    /// A relation under a name of its own, its columns behind those of the outer query, and a WHERE
    /// that mostly correlates it.
    fn correlated(&mut self, scope: &Scope) -> (String, Scope, String) {
        self.aliases += 1;
        let alias = format!("x{}", self.aliases);
        let (name, columns) = *TABLES.choose(&mut self.random).expect("tables");
        let own: Scope =
            columns.iter().map(|&(name, ty)| (format!("{alias}.{name}"), ty)).collect();
        let mut conjuncts = Vec::new();
        if !self.one_in(3) {
            conjuncts.extend(self.equality(scope, &own));
        }
        // The inner columns more often than the outer ones.
        let inner: Scope = own.iter().chain(&own).chain(scope).cloned().collect();
        self.nesting += 1;
        if self.one_in(2) {
            conjuncts.push(self.predicate(&inner, 1));
        }
        self.nesting -= 1;
        let filter = match conjuncts.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", conjuncts.join(" AND ")),
        };
        (format!("{name} {alias}"), own, filter)
    }

    fn comparable(&mut self, scope: &Scope) -> Type {
        const TYPES: [Type; 4] = [Type::Int, Type::Bigint, Type::Text, Type::Date];
        let known: Vec<Type> = TYPES.into_iter().filter(|ty| has(scope, *ty)).collect();
        known.choose(&mut self.random).copied().unwrap_or(Type::Int)
    }
}
