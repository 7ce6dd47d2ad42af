//! What queries mean: names, types, operators, errors.

use arrow::datatypes::DataType;

use super::{Session, check, value};
use crate::{parse, plan_query};

fn session() -> Session {
    let mut session = Session::new();
    session.run(
        "create table t (id int primary key, a int, b text, n numeric(10,2), f float8, ts timestamptz, d date, ok bool, big bigint, small smallint);
         insert into t values
           (1, 10, 'x', 1.50, 1.5, '2024-01-01 10:00+00', '2024-01-01', true, 9223372036854775807, 1),
           (2, 20, 'y', 2.25, 2.5, '2024-01-02 10:00+00', '2024-01-02', false, 2, 2),
           (3, null, null, null, null, null, null, null, null, null);
         create table u (id int primary key, t_id int, name text);
         insert into u values (1, 1, 'one'), (2, 1, 'uno'), (3, 2, 'two'), (4, null, 'none');
         create view v as select id, a * 2 as double from t where a is not null;
         create view vv (k) as select id from v",
    );
    session
}

#[test]
fn literals_and_operators() {
    check(
        &mut Session::new(),
        &[
            ("select 1, 1.5, 'x', true, null", "1|1.5|x|t|"),
            ("select 1, 1, 'a' as x, 2 as x", "1|1|a|2"),
            ("select 7 / 2, -7 / 2, 7 % 3, 7.0 / 2", "3|-3|1|3.5000000000000000"),
            ("select 1 / 0", "ERROR 22012: division by zero"),
            ("select 2147483647 + 1", "ERROR 22003: integer out of range"),
            ("select 2147483648 + 1", "2147483649"),
            ("select 9223372036854775807 + 1", "ERROR 22003: bigint out of range"),
            ("select 1 + '2', '3' * 2", "3|6"),
            ("select 1 + 'x'", "ERROR 22P02: invalid input syntax for type integer: \"x\""),
            ("select '1' || 'a', 1 || 'a', null || 'a'", "1a|1a|"),
            ("select 0.1 + 0.2, 1.10 * 2, 10 / 4.0", "0.3|2.20|2.5000000000000000"),
            ("select 1 = 1.0, 'a' < 'b', 1 <> 2", "t|t|t"),
            ("select 'a'::text = 1", "ERROR 42883: operator does not exist: text = integer"),
            ("select (1, 2) = (1, 2), (1, 2) < (1, 3), (1, 2) in ((1, 2), (3, 4))", "t|t|t"),
            ("select 5 between 1 and '10', 3 in (1, '3')", "t|t"),
            ("select null is null, null = null, not null", "t||"),
            ("select 'abc' like 'a%', 'abc' ~ '^a', 'abc' !~ 'x', 'ABC' ilike 'a%', 'abc' ~* 'B'", "t|t|t|t|t"),
            ("select case when true then 'a' else 'b' end, case 1 when 2 then 'x' end", "a|"),
            ("select coalesce(null, 1), nullif(1, 1), greatest(1, 3, 2), least(3, '1')", "1||3|1"),
            ("select 2 ^ 3, abs(-5), round(2.5), round(-2.567, 2), mod(7, 3)", "8|5|3|-2.57|1"),
            ("select 'x' where 1", "ERROR 42804: argument of WHERE must be type boolean, not type integer"),
            ("select true and 1", "ERROR 42804: argument of AND must be type boolean, not type integer"),
            ("select e'a\\nb', $$x'y$$, 'it''s'", "a\nb|x'y|it's"),
            ("select current_user, current_database(), current_schema()", "me|db|public"),
            ("select date '2024-02-28' + 2, date '2024-03-01' - date '2024-02-01'", "2024-03-01|29"),
            ("select timestamp '2024-01-31 00:00' + interval '1 month', interval '90 minutes'", "2024-02-29 00:00:00|01:30:00"),
            ("select timestamptz '2024-01-01 00:00+00' - interval '30 minutes'", "2023-12-31 23:30:00+00"),
            ("select interval '1' day, interval '1 day 02:00'", "1 day|1 day 02:00:00"),
            ("select extract(year from date '2024-05-06'), date_trunc('month', timestamp '2024-05-06 10:00')", "2024|2024-05-01 00:00:00"),
            ("select now() = current_timestamp, now()::date = current_date", "t|t"),
            ("select 'abc' collate \"C\", 'x' collate pg_catalog.default", "abc|x"),
            ("select 'abc' collate \"de_DE\"", "ERROR 0A000: collation \"de_DE\" is not supported: text compares by bytes"),
            ("select 1 operator(pg_catalog.+) 2", "3"),
            ("select pg_catalog.lower('ABC')", "abc"),
            ("select nope(1)", "ERROR 42883 at 8: function nope does not exist"),
            ("select 'x'::varchar(1) || 1, sum(1) over (rows between 1 preceding and current row)", "x1|1"),
            ("select 1 as \"Weird Name\" order by \"Weird Name\"", "1"),
            ("select '{1,2}'::int[], array[1,2,3], array['a','b']", "{1,2}|{1,2,3}|{a,b}"),
            ("select 2 = any('{1,2}'), 2 = any(array[1,3]), 5 <> all('{1,2}'), (array[1,2])[1]", "t|f|t|1"),
            ("select array(select x from (values (2), (1)) v(x) order by 1), array(select 1 where false)", "{1,2}|{}"),
            ("select '{\"a\": 1}'::jsonb -> 'a', '{\"a\": \"x\"}'::jsonb ->> 'a'", "1|x"),
            ("select 'a' similar to 'a|b'", "t"),
        ],
    );
}

#[test]
fn casts() {
    check(
        &mut Session::new(),
        &[
            ("select '42'::int, 42::text, true::text, '1'::bool, 't'::boolean", "42|42|true|t|t"),
            ("select 'x'::int", "ERROR 22P02: invalid input syntax for type integer: \"x\""),
            ("select 2.5::int, 3.5::int, -2.5::int, 2.5::float8::int, 3.5::float8::int", "3|4|-3|2|4"),
            ("select 1e10::int", "ERROR 22003: integer out of range"),
            ("select 40000::smallint", "ERROR 22003: smallint out of range"),
            ("select 1.005::numeric(10,2), 12345.678::numeric(6,1)", "1.01|12345.7"),
            ("select 123456.7::numeric(5,1)", "ERROR 22003: numeric field overflow (A field with precision 5, scale 1 must round to an absolute value less than 10^4.)"),
            ("select 'abcdef'::varchar(3), 'ab'::char(4) || '|', 5::varchar", "abc|ab  ||5"),
            ("select '2024-01-02'::date, '2024-01-02 03:04:05.678'::timestamp, '2024-01-02 03:04+02'::timestamptz", "2024-01-02|2024-01-02 03:04:05.678|2024-01-02 01:04:00+00"),
            ("select '2024-13-02'::date", "ERROR 22008: date/time field value out of range: \"2024-13-02\""),
            ("select 'now'::int", "ERROR 22P02: invalid input syntax for type integer: \"now\""),
            ("select '\\x6162'::bytea, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", "\\x6162|a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            ("select '{\"b\":1, \"a\": [1, 2]}'::jsonb", "{\"a\": [1, 2], \"b\": 1}"),
            ("select true::date", "ERROR 42846: cannot cast type boolean to date"),
            ("select cast(1 as nope)", "ERROR 42704: type \"nope\" does not exist"),
            ("select 1::bigint, 1::oid, 1.5::real, '1.5'::double precision", "1|1|1.5|1.5"),
            ("select 'a'::name, 'r'::\"char\", '1 day'::interval, '10:11'::time", "a|r|1 day|10:11:00"),
        ],
    );
}

#[test]
fn relations_joins_and_aggregates() {
    check(
        &mut session(),
        &[
            ("select id, a, b, n, f, d, ok from t order by id", "1|10|x|1.50|1.5|2024-01-01|t\n2|20|y|2.25|2.5|2024-01-02|f\n3||||||"),
            ("select * from vv order by k desc", "2\n1"),
            ("select double from v where id = 2", "40"),
            ("select t.id, u.name from t join u on u.t_id = t.id order by 1, 2", "1|one\n1|uno\n2|two"),
            ("select t.id, u.id from t left join u on u.t_id = t.id order by 1, 2", "1|1\n1|2\n2|3\n3|"),
            ("select *, id from t where id = 1 and false", ""),
            ("select t.*, u.* from t, u where t.id = u.t_id and u.id = 3", "2|20|y|2.25|2.5|2024-01-02 10:00:00+00|2024-01-02|f|2|2|3|2|two"),
            ("select x.id, x.id from (select id, id from t) x(id, other) where x.id = 1", "1|1"),
            ("select count(*), count(a), sum(a), avg(a), min(b), max(n) from t", "3|2|30|15.0000000000000000|x|2.25"),
            ("select count(*), count(*) from t", "3|3"),
            ("select b, count(*) from t group by b order by b nulls last", "x|1\ny|1\n|1"),
            ("select b from t group by a", "ERROR 42803 at 8: column \"t.b\" must appear in the GROUP BY clause or be used in an aggregate function"),
            ("select sum(big) from t", "9223372036854775809"),
            ("select avg(n), sum(f) from t", "1.8750000000000000|4"),
            ("select count(*) filter (where ok) from t having count(*) > 1", "1"),
            ("select a from t order by a desc limit 1", ""),
            ("select a from t order by a desc nulls last limit 1 offset 1", "10"),
            ("select id from t fetch first 1 row only", "1"),
            ("select distinct ok from t order by 1", "f\nt\n"),
            ("select id from t union select t_id from u order by 1", "1\n2\n3\n"),
            ("select id from t except select t_id from u", "3"),
            ("select 1 union all select 'x'", "ERROR 22P02: invalid input syntax for type integer: \"x\""),
            ("values (1, 'a'), (2, 'b')", "1|a\n2|b"),
            ("table u", "1|1|one\n2|1|uno\n3|2|two\n4||none"),
            ("with w as (select id from t where id < 3) select count(*) from w", "2"),
            ("with recursive r(n) as (select 1 union all select n + 1 from r where n < 5) select sum(n) from r", "15"),
            ("select id, row_number() over (order by id desc) from t order by 1", "1|3\n2|2\n3|1"),
            ("select s from generate_series(1, 3) s", "1\n2\n3"),
            ("select * from unnest(array[1,2]) as x", "1\n2"),
            ("select string_agg(name, ',' order by id) from u", "one,uno,two,none"),
            ("select array_agg(id order by id) from u", "{1,2,3,4}"),
            ("select ok, d + 1 from t where ts > '2024-01-01 12:00' and ts < now()", "f|2024-01-03"),
            ("select id from t where d = '2024-01-02'", "2"),
            ("select id from t where id = '2' and n = '2.25'", "2"),
            ("select id from t where id in (1, 3) order by id", "1\n3"),
            ("select id from t tablesample system (10)", "ERROR 0A000: TABLESAMPLE is not supported"),
            ("select id from t for update", "1\n2\n3"),
        ],
    );
}

#[test]
fn subqueries() {
    check(
        &mut session(),
        &[
            ("select (select max(id) from u)", "4"),
            ("select id, (select count(*) from u where u.t_id = t.id) from t order by 1", "1|2\n2|1\n3|0"),
            ("select id, (select name from u where u.t_id = t.id and u.id = 3) from t order by 1", "1|\n2|two\n3|"),
            ("select (select name from u where u.t_id = t.id) from t", "ERROR 21000: more than one row returned by a subquery used as an expression"),
            ("select (select id from u)", "ERROR 21000: more than one row returned by a subquery used as an expression"),
            ("select id from t where exists (select 1 from u where u.t_id = t.id) order by 1", "1\n2"),
            ("select id from t where not exists (select 1 from u where u.t_id = t.id)", "3"),
            ("select id from t where id in (select t_id from u) order by 1", "1\n2"),
            ("select id from t where id not in (select t_id from u)", ""),
            ("select id from t where id not in (select t_id from u where t_id is not null)", "3"),
            ("select id, id in (select t_id from u) from t order by 1", "1|t\n2|t\n3|"),
            ("select id, exists (select 1 from u where u.t_id = t.id) from t order by 1", "1|t\n2|t\n3|f"),
            ("select id from t where a > 15 or exists (select 1 from u where u.t_id = t.id and name = 'uno') order by 1", "1\n2"),
            ("select id, array(select name from u where u.t_id = t.id order by name) from t order by id", "1|{one,uno}\n2|{two}\n3|{}"),
            ("select id from t where (select count(*) from u where u.t_id > t.id) > 0", "1"),
            ("select id = any (select t_id from u where t_id is not null) from t order by id", "t\nt\nf"),
        ],
    );
}

#[test]
fn names_that_do_not_exist() {
    check(
        &mut session(),
        &[
            ("select * from nope", "ERROR 42P01 at 15: relation \"nope\" does not exist"),
            ("select * from s.nope", "ERROR 42P01 at 15: relation \"s.nope\" does not exist"),
            ("select nope from t", "ERROR 42703 at 8: column \"nope\" does not exist"),
            ("select t.nope from t", "ERROR 42703 at 8: column t.nope does not exist"),
            ("select id from t, u", "ERROR 42702 at 8: column reference \"id\" is ambiguous"),
            ("select x.id from t", "ERROR 42P01 at 8: missing FROM-clause entry for table \"x\""),
            ("select * from other.public.t", "ERROR 0A000 at 15: cross-database references are not implemented: \"other.public.t\""),
            ("select id from db.public.t where id = 1", "1"),
            ("select id from public.t where t.id = 1", "1"),
            ("select sum(id, 2) from t", "ERROR 42883: function sum(integer, integer) does not exist"),
            ("select id from t where sum(id) > 1", "ERROR 42803: aggregate functions are not allowed in WHERE"),
        ],
    );
}

#[test]
fn column_names_are_postgres_own() {
    let session = session();
    let text = "select 1, 'a', id, t.a, count(*), count(*), sum(a)::text, '1'::int, case when true then 1 end, \
                coalesce(a, 1), id + 1, array[1], now(), current_date, (select max(id) from u), date '2024-01-01', a as x \
                from t group by id, a";
    let statement = parse(text).expect("valid").remove(0).statement;
    let crate::Statement::Query(query) = statement else { panic!("a query") };
    let plan = plan_query(&session.context(), &query, &mut Vec::new()).expect("plans");
    let names: Vec<&str> = plan.schema.fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(
        names,
        [
            "?column?", "?column?", "id", "a", "count", "count", "sum", "int4", "case", "coalesce",
            "?column?", "array", "now", "current_date", "max", "date", "x"
        ]
    );
}

#[test]
fn parameters_have_types_and_values() {
    let mut session = session();
    let types = |text: &str| {
        let statement = parse(text).expect("valid").remove(0).statement;
        let crate::Statement::Query(query) = statement else { panic!("a query") };
        let mut types = Vec::new();
        plan_query(&session.context(), &query, &mut types).expect(text).parameters
    };
    assert_eq!(types("select $1"), [DataType::Utf8]);
    assert_eq!(types("select $1::int, $2 + 1"), [DataType::Int32, DataType::Int32]);
    assert_eq!(types("select id from t where id = $1 and b like $2 limit $3"), [DataType::Int32, DataType::Utf8, DataType::Int64]);
    assert_eq!(types("select id from t where id = any($1)"), [DataType::new_list(DataType::Int32, true)]);
    assert_eq!(types("select id from t where n between $1 and $2"), [DataType::Decimal128(10, 2), DataType::Decimal128(10, 2)]);
    let three = [value(DataType::Int32, "2")];
    assert_eq!(session.show_with("select id, b from t where id = $1", &three), "2|y");
    assert_eq!(session.show_with("select $1 + 1", &three), "3");
    let list = [value(DataType::new_list(DataType::Int32, true), "{1,3}")];
    assert_eq!(session.show_with("select id from t where id = any($1) order by 1", &list), "1\n3");
}
