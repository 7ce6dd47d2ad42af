//! INSERT, UPDATE, DELETE and what they refuse.

use arrow::datatypes::DataType;

use super::{Session, check, value};

fn session() -> Session {
    let mut session = Session::new();
    session.run(
        "create table t (id int primary key, a int not null default 7, b varchar(3), n numeric(5,2));
         create table stamped (id int primary key, at timestamptz default now());
         create table plain (x int, y text default 'why');
         create table pair (k text, l int, v int, primary key (k, l))",
    );
    session
}

#[test]
fn insert() {
    check(
        &mut session(),
        &[
            ("insert into t values (1, 2, 'abc', 1.555)", "INSERT 0 1"),
            ("select * from t", "1|2|abc|1.56"),
            ("insert into stamped (id) values (1), (2) returning at = now()", "INSERT 0 2\nt\nt"),
            ("insert into t (id) values (2), (3)", "INSERT 0 2"),
            ("insert into t (id, a) values (4, default) returning id, a, a + 1 as next", "INSERT 0 1\n4|7|8"),
            ("insert into t (b, id) select 'x', id + 10 from t where id < 3 returning *", "INSERT 0 2\n11|7|x|\n12|7|x|"),
            ("insert into plain default values returning *", "INSERT 0 1\n|why"),
            ("insert into plain values ('5')", "INSERT 0 1"),
            ("insert into plain select 6, 7", "INSERT 0 1"),
            ("select * from plain order by x", "5|why\n6|7\n|why"),
            ("insert into t (id, a) values (1, 1)", "ERROR 23505: duplicate key value violates unique constraint \"t_pkey\" (Key (id)=(1) already exists.)"),
            ("insert into t (id, a) values (20, 1), (20, 2)", "ERROR 23505: duplicate key value violates unique constraint \"t_pkey\" (Key (id)=(20) already exists.)"),
            ("insert into t (id, a) values (21, null)", "ERROR 23502: null value in column \"a\" of relation \"t\" violates not-null constraint (Failing row contains (21, null, null, null).)"),
            ("insert into t (a) values (1)", "ERROR 23502: null value in column \"id\" of relation \"t\" violates not-null constraint (Failing row contains (null, 1, null, null).)"),
            ("insert into t (id, b) values (22, 'abcd')", "ERROR 22001: value too long for type character varying(3)"),
            ("insert into t (id, b) values (22, 'abc   ')", "INSERT 0 1"),
            ("insert into t (id, n) values (23, 1000)", "ERROR 22003: numeric field overflow (A field with precision 5, scale 2 must round to an absolute value less than 10^3.)"),
            ("insert into t (id) values ('x')", "ERROR 22P02: invalid input syntax for type integer: \"x\""),
            ("insert into t (id) values ('x'::text)", "ERROR 42804: column \"id\" is of type integer but expression is of type text"),
            ("insert into t (id) values (now())", "ERROR 42804: column \"id\" is of type integer but expression is of type timestamp with time zone"),
            ("insert into t (nope) values (1)", "ERROR 42703 at 16: column \"nope\" of relation \"t\" does not exist"),
            ("insert into t (id, id) values (1, 2)", "ERROR 42701: column \"id\" specified more than once"),
            ("insert into t (id, a) values (1)", "ERROR 42601: INSERT has more target columns than expressions"),
            ("insert into plain values (1, 'a', 3)", "ERROR 42601: INSERT has more expressions than target columns"),
            ("insert into nope values (1)", "ERROR 42P01 at 13: relation \"nope\" does not exist"),
            ("insert into plain values (1 + 1, upper('a')), (-3, 'b')", "INSERT 0 2"),
            ("insert into plain values (2.5), (1e0)", "INSERT 0 2"),
            ("insert into plain values (2147483648)", "ERROR 22003: integer out of range"),
            ("select x, y from plain where x < 4 order by x, y", "-3|b\n1|why\n2|A\n3|why"),
        ],
    );
}

#[test]
fn on_conflict() {
    check(
        &mut session(),
        &[
            ("insert into pair values ('a', 1, 1), ('a', 2, 2)", "INSERT 0 2"),
            ("insert into pair values ('a', 1, 9), ('b', 1, 3), ('b', 1, 4) on conflict do nothing", "INSERT 0 1"),
            ("insert into pair values ('a', 1, 9), ('c', 1, 3) on conflict (l, k) do update set v = pair.v + excluded.v returning *", "INSERT 0 2\na|1|10\nc|1|3"),
            ("insert into pair as p values ('a', 1, 9) on conflict (k, l) do update set v = excluded.v where p.v < 5 returning *", "INSERT 0 0"),
            ("insert into pair values ('z', 1, 9), ('z', 1, 8) on conflict (k, l) do update set v = excluded.v", "ERROR 21000: ON CONFLICT DO UPDATE command cannot affect row a second time"),
            ("insert into pair values ('a', 1, 9) on conflict (k) do nothing", "ERROR 42P10: there is no unique or exclusion constraint matching the ON CONFLICT specification"),
            ("insert into pair values ('a', 1, 9) on conflict do update set v = 1", "ERROR 42601: ON CONFLICT DO UPDATE requires inference specification or constraint name"),
            ("insert into pair values ('a', 1, 9) on conflict on constraint pair_pkey do update set v = default", "INSERT 0 1"),
            ("insert into pair values ('a', 2, 0) on conflict (k, l) do update set k = 'd', l = excluded.l + 1", "INSERT 0 1"),
            ("select * from pair order by k, l", "a|1|\nb|1|3\nc|1|3\nd|3|2"),
            ("insert into plain values (1, 'x') on conflict do nothing", "INSERT 0 1"),
        ],
    );
}

#[test]
fn update() {
    check(
        &mut session(),
        &[
            ("insert into t (id, a, b) values (1, 1, 'x'), (2, 2, 'y'), (3, 3, 'z')", "INSERT 0 3"),
            ("update t set a = a + 10 where id < 3", "UPDATE 2"),
            ("update t set (a, b) = (0, 'new') where id = 3 returning id, a, b", "UPDATE 1\n3|0|new"),
            ("update t as x set a = p.v, b = 'j' from (values (1, 100), (1, 200)) as p(id, v) where p.id = x.id returning x.id, x.a, x.b, p.v > 50", "UPDATE 1\n1|100|j|t"),
            ("update t set a = default, n = '1.5' where id = 2 returning *, a * 2", "UPDATE 1\n2|7|y|1.50|14"),
            ("update t set id = id + 1", "UPDATE 3"),
            ("update t set id = 4", "ERROR 23505: duplicate key value violates unique constraint \"t_pkey\" (Key (id)=(4) already exists.)"),
            ("update t set id = 3 where id = 2", "ERROR 23505: duplicate key value violates unique constraint \"t_pkey\" (Key (id)=(3) already exists.)"),
            ("update t set a = null where id = 4", "ERROR 23502: null value in column \"a\" of relation \"t\" violates not-null constraint (Failing row contains (4, null, new, null).)"),
            ("update t set a = 'x'", "ERROR 22P02: invalid input syntax for type integer: \"x\""),
            ("update t set a = b", "ERROR 42804: column \"a\" is of type integer but expression is of type text"),
            ("update t set nope = 1", "ERROR 42703 at 14: column \"nope\" of relation \"t\" does not exist"),
            ("update t set a = 1, a = 2", "ERROR 42601: multiple assignments to same column \"a\""),
            ("update t set a = nope", "ERROR 42703 at 18: column \"nope\" does not exist"),
            ("update t set a = (select count(*) from plain) where id = 4", "UPDATE 1"),
            ("update t set b = 'abcd' where id = 4", "ERROR 22001: value too long for type character varying(3)"),
            ("update t set a = 1 where false", "UPDATE 0"),
            ("select id, a, b from t order by id", "2|100|j\n3|7|y\n4|0|new"),
        ],
    );
}

#[test]
fn delete_and_truncate() {
    check(
        &mut session(),
        &[
            ("insert into t (id, a) values (1, 1), (2, 2), (3, 3), (4, 4)", "INSERT 0 4"),
            ("insert into plain values (2), (3)", "INSERT 0 2"),
            ("delete from t where id = 1 returning id, a", "DELETE 1\n1|1"),
            ("delete from t using plain p where p.x = t.id and p.x = 2 returning t.id, p.y", "DELETE 1\n2|why"),
            ("delete from t where exists (select 1 from plain where x = t.id)", "DELETE 1"),
            ("delete from t x returning *", "DELETE 1\n4|4||"),
            ("delete from nope", "ERROR 42P01 at 13: relation \"nope\" does not exist"),
            ("delete from pg_class", "ERROR 42501: permission denied: \"pg_class\" is a system catalog"),
            ("truncate t, plain", "TRUNCATE TABLE 0"),
            ("select count(*) from plain", "0"),
            ("insert into t (id) values (1)", "INSERT 0 1"),
        ],
    );
}

#[test]
fn parameters() {
    let mut session = session();
    let params = [value(DataType::Int32, "1"), value(DataType::Utf8, "abc")];
    assert_eq!(session.show_with("insert into t (id, b) values ($1, $2)", &params), "INSERT 0 1");
    let sum = "insert into t (id, b) values ($1 + 1, upper($2)) returning id, b";
    assert_eq!(session.show_with(sum, &params), "INSERT 0 1\n2|ABC");
    let up = "update t set b = $2 where id = $1 returning b";
    assert_eq!(session.show_with(up, &params), "UPDATE 1\nabc");
    assert_eq!(session.show_with("delete from t where id = $1 and b = $2", &params), "DELETE 1");
}

#[test]
fn defaults_are_checked_when_a_table_is_defined() {
    check(
        &mut session(),
        &[
            ("create table d1 (a int default 'x')", "ERROR 22P02: invalid input syntax for type integer: \"x\""),
            ("create table d2 (a int default now())", "ERROR 42804: column \"a\" is of type integer but default expression is of type timestamp with time zone"),
            ("create table d3 (a int default nope())", "ERROR 42883: function nope does not exist"),
            ("create table d4 (a int, a text)", "ERROR 42701: column \"a\" specified more than once"),
            ("create table d5 (a int primary key, b int primary key)", "ERROR 42P16: multiple primary keys for table \"d5\" are not allowed"),
            ("create table d6 (a nope)", "ERROR 42704: type \"nope\" does not exist"),
            ("create table d7 (a int check (a > 0))", "ERROR 0A000: CHECK constraints are not supported"),
            ("create table nope.d8 (a int)", "ERROR 3F000: schema \"nope\" does not exist"),
        ],
    );
}
