//! Statements as they are recognized, and what is said about those that are not.

use sqlparser::ast::{BinaryOperator, Expr};

use super::*;
use crate::error::state;

fn one(text: &str) -> Statement {
    let mut statements = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(statements.len(), 1, "{text}");
    statements.remove(0).statement
}

fn error(text: &str) -> SqlError {
    parse(text).map(|_| ()).expect_err(text)
}

#[test]
fn a_string_is_cut_into_statements() {
    let statements = parse(" select 1 ;; -- nothing\n select 'a;b' /* ; */; ").expect("valid");
    let texts: Vec<_> = statements.iter().map(|s| (s.text.as_str(), s.offset)).collect();
    assert_eq!(texts, [("select 1", 1), ("select 'a;b'", 25)]);
    assert!(parse(" -- only a comment").expect("valid").is_empty());
    assert!(parse("").expect("valid").is_empty());
}

#[test]
fn errors_point_at_the_token() {
    let e = error("select 1; selec 2");
    assert_eq!(e.message, "syntax error at or near \"selec\"");
    assert_eq!(e.position, Some(11));
    let e = error("select\n 1 frm t");
    assert_eq!(e.code, state::SYNTAX_ERROR);
    let e = error("select 1 +");
    assert_eq!(e.message, "syntax error at end of input");
    assert_eq!(e.position, Some(11));
    let e = error("create materialized view v");
    assert_eq!(e.message, "syntax error at end of input");
    let e = error("select 'abc");
    assert_eq!(e.message, "unterminated quoted string at or near \"'abc\"");
    assert_eq!(e.position, Some(8));
    assert_eq!(error("set x y").message, "syntax error at or near \"y\"");
}

#[test]
fn views_keep_their_body() {
    let Statement::CreateMaterializedView(view) =
        one("CREATE OR REPLACE MATERIALIZED VIEW IF NOT EXISTS a.\"B\" (x) AS\n  \
         SELECT 'ö' FROM t WITH NO DATA")
    else {
        panic!("not a materialized view")
    };
    assert!(view.or_replace && view.if_not_exists && !view.with_data);
    assert_eq!(view.body, "SELECT 'ö' FROM t");
    assert_eq!(view.columns.len(), 1);
}

#[test]
fn copy_in_both_spellings() {
    let csv = |text: &str| match one(text) {
        Statement::Copy(copy) => copy,
        other => panic!("{other:?}"),
    };
    let copy = csv("COPY  orders TO STDOUT csv");
    assert_eq!(copy.direction, CopyDirection::ToStdout);
    assert!(matches!(
        copy.format,
        CopyFormat::Csv { delimiter: ',', header: CopyHeader::Absent, .. }
    ));
    let copy =
        csv("copy t (a, b) from stdin with (format csv, header true, delimiter ';', null 'x')");
    assert!(matches!(&copy.format,
            CopyFormat::Csv { delimiter: ';', header: CopyHeader::Present, null, .. }
            if null == "x"));
    let copy = csv("copy (select 1) to stdout (format binary)");
    assert_eq!(copy.format, CopyFormat::Binary);
    assert_eq!(csv("copy t from stdin with null as ''").direction, CopyDirection::FromStdin);
    assert_eq!(error("copy t from program 'ls'").code, state::FEATURE_NOT_SUPPORTED);
    assert_eq!(error("copy t from stdin (bla 1)").code, state::SYNTAX_ERROR);
}

#[test]
fn every_kind_of_statement_is_recognized() {
    for text in [
        "begin isolation level serializable, read only",
        "start transaction",
        "commit and no chain",
        "end",
        "rollback to savepoint s",
        "abort",
        "savepoint s",
        "release s",
        "set search_path to a, \"B\"",
        "set local timezone = 'UTC'",
        "SET TIME ZONE 'UTC'",
        "set session characteristics as transaction isolation level read committed",
        "set transaction read only",
        "reset all",
        "reset timezone",
        "show transaction isolation level",
        "show all",
        "discard all",
        "declare c no scroll cursor with hold for select 1",
        "fetch forward 10 from c",
        "fetch all in c",
        "fetch -3 c",
        "move c",
        "close all",
        "prepare p (int, text) as select $1, $2",
        "execute p (1, 'x')",
        "deallocate prepare all",
        "explain (logical) select 1",
        "explain analyze verbose select 1",
        "explain create materialized view v as select 1",
        "explain analyze materialized view v",
        "explain (plan, analyze) for materialized view s.v",
        "drop materialized view if exists a, b cascade",
        "truncate table a, only b restart identity cascade",
        "alter table a rename to b",
        "comment on column a.b is 'x'",
        "comment on materialized view v is null",
        "refresh materialized view concurrently v with data",
        "lock table a in access exclusive mode",
        "listen x",
        "unlisten *",
        "vacuum analyze t",
        "create schema if not exists s",
        "create table t (a int primary key, b text not null default 'x')",
        "create table t as select 1 as a",
        "create unique index i on t (a)",
        "insert into t values (1, default) on conflict (a) do update set b = excluded.b \
         returning *",
        "update t set (a, b) = (1, 2) from u where t.a = u.a returning t.*",
        "delete from t using u where t.a = u.a",
        "values (1), (2)",
        "table t",
        "(select 1) union all (select 2)",
    ] {
        one(text);
    }
    one("create or replace function f(a int, double precision) returns text language sql as ''");
    one("drop function if exists f(int), s.g cascade");
    let procedure = "create procedure p() language sql as ''";
    assert_eq!(error(procedure).code, state::FEATURE_NOT_SUPPORTED);
    assert_eq!(error("grant all on t to me").code, state::FEATURE_NOT_SUPPORTED);
}

#[test]
fn monsters_are_refused() {
    let deep = format!("select {}1{}", "(".repeat(100_000), ")".repeat(100_000));
    assert_eq!(error(&deep).code, state::STATEMENT_TOO_COMPLEX);
    let long = format!("select 1{}", " + 1".repeat(100_000));
    assert_eq!(error(&long).code, state::STATEMENT_TOO_COMPLEX);
    for link in [" = 1", " between 1 and 2", " is null", " union select 1", " join t on a and b"] {
        let long = format!("select 1 from t where a{}", link.repeat(100_000));
        assert_eq!(error(&long).code, state::STATEMENT_TOO_COMPLEX, "{link}");
    }
    let large = format!("select '{}'", "x".repeat(100 << 20));
    assert_eq!(error(&large).code, state::PROGRAM_LIMIT_EXCEEDED);
    let many = "select 1;".repeat(3_000_000);
    assert_eq!(error(&many).code, state::PROGRAM_LIMIT_EXCEEDED);
}

#[test]
fn long_lists_of_alternatives_are_shallow() {
    fn depth(expr: &Expr) -> usize {
        match expr {
            Expr::BinaryOp { left, op: BinaryOperator::And | BinaryOperator::Or, right } => {
                1 + depth(left).max(depth(right))
            }
            _ => 0,
        }
    }
    for word in ["or", "and"] {
        let alternatives: Vec<String> =
            (0..5_000).map(|n| format!("a = {n} and b between {n} and 7 {word} c")).collect();
        let alternatives = alternatives.join(&format!(" {word} "));
        let text = format!("select 1 from t where {alternatives}");
        let Statement::Query(query) = one(&text) else { panic!("a query") };
        let select = query.body.as_select().expect("a SELECT");
        let condition = select.selection.as_ref().expect("a condition");
        assert!(depth(condition) < 200, "{}", depth(condition));
        assert!(condition.to_string().eq_ignore_ascii_case(&alternatives));
    }
    one(&format!("select 1{}", " union all select 2".repeat(900)));
}
