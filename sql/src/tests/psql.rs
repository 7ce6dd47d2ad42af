//! psql's catalog queries plan and run over a table with a key, another table, a view and a
//! materialized view.

use datafusion::scalar::ScalarValue;

use super::Session;
use crate::{Statement, parse, plan_query};

const QUERIES: &str = include_str!("psql.sql");

fn session() -> Session {
    let mut session = Session::new();
    session.run(
        "create table orders (id int primary key, amt numeric(10,2) not null,
           ts timestamptz default now(), note varchar(20));
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
        let query =
            query.replace("16384", "16385").replace("16398", "16387").replace("16402", "16388");
        let shown = session.show(&query);
        if shown.starts_with("ERROR") {
            failed.push(format!("{query}\n  {shown}"));
        }
    }
    assert!(failed.is_empty(), "{}:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn relations_are_listed_and_described() {
    super::check_file("describe.txt", include_str!("describe.txt"), session);
}

/// Queries of other clients, from a file of the same form: run with TIDEMARK_QUERIES=path to see
/// which fail.
#[test]
fn queries_of_a_file_run() {
    let Ok(path) = std::env::var("TIDEMARK_QUERIES") else { return };
    let text = std::fs::read_to_string(path).expect("a file of queries");
    let mut session = session();
    let queries = text.split("\n;\n").map(str::trim).filter(|query| !query.is_empty());
    let failed: Vec<String> = queries
        .filter_map(|query| {
            let shown = session.show_with(query, &nulls(&session, query));
            shown.starts_with("ERROR").then(|| format!("{query}\n  {shown}"))
        })
        .collect();
    assert!(failed.is_empty(), "{}:\n{}", failed.len(), failed.join("\n"));
}

/// NULL for each parameter.
fn nulls(session: &Session, query: &str) -> Vec<ScalarValue> {
    let Ok(mut statements) = parse(query) else { return vec![] };
    let Some(Statement::Query(query)) = statements.pop().map(|parsed| parsed.statement) else {
        return vec![];
    };
    match plan_query(&session.context(), &query, &mut Vec::new()) {
        Ok(plan) => plan.parameters.iter().flat_map(ScalarValue::try_from).collect(),
        Err(_) => vec![],
    }
}
