//! psql's catalog queries plan and run over a table with a key, another table, a view and a materialized view.

use super::Session;

const QUERIES: &str = include_str!("psql.sql");

fn session() -> Session {
    let mut session = Session::new();
    session.run(
        "create table orders (id int primary key, amt numeric(10,2) not null, ts timestamptz default now(), note varchar(20));
         create table plain (a text, b bytea, c int[]);
         create view vo as select id, amt from orders where amt > 1;
         create materialized view mvo as select note, count(*) as n from orders group by note;
         insert into orders values (1, 2.50, '2024-01-01', 'x'), (2, 0.50, '2024-01-02', 'x')",
    );
    session
}

#[test]
fn every_query_of_psql_runs() {
    let mut session = session();
    let mut failed = Vec::new();
    for query in QUERIES.split("\n;\n").map(str::trim).filter(|query| !query.is_empty()) {
        let query = query.replace("16384", "16385").replace("16398", "16387").replace("16402", "16388");
        let shown = session.show(&query);
        if shown.starts_with("ERROR") {
            failed.push(format!("{query}\n  {shown}"));
        }
    }
    assert!(failed.is_empty(), "{}:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn relations_are_listed_and_described() {
    let mut session = session();
    super::check(
        &mut session,
        &[
            (
                "SELECT c.relname, c.relkind FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.relkind IN ('r','v','m') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'tidemark') ORDER BY 1",
                "mvo|m\norders|r\nplain|r\nvo|v",
            ),
            (
                "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, \
                 (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true) FROM pg_catalog.pg_attrdef d \
                  WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef) \
                 FROM pg_catalog.pg_attribute a WHERE a.attrelid = 'orders'::regclass AND a.attnum > 0 ORDER BY a.attnum",
                "id|integer|t|\namt|numeric(10,2)|t|\nts|timestamp with time zone|f|now()\nnote|character varying(20)|f|",
            ),
            ("SELECT 'vo'::pg_catalog.regclass::pg_catalog.oid", "16387"),
            ("SELECT 'vo'::regclass, c.oid::regclass FROM pg_class c WHERE relname = 'mvo'", "vo|mvo"),
            ("SELECT 'nope'::regclass", "ERROR 42P01: relation \"nope\" does not exist"),
        ],
    );
}
