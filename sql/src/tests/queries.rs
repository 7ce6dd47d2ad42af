//! What queries mean: names, types, operators, errors.

use arrow::datatypes::DataType;

use super::{Session, check_file, value};
use crate::{parse, plan_query};

fn session() -> Session {
    let mut session = Session::new();
    session.run(
        "create table t (id int primary key, a int, b text, n numeric(10,2), f float8,
           ts timestamptz, d date, ok bool, big bigint, small smallint);
         insert into t values
           (1, 10, 'x', 1.50, 1.5, '2024-01-01 10:00+00', '2024-01-01', true,
            9223372036854775807, 1),
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
fn queries_give_what_postgres_gives() {
    check_file("queries.txt", include_str!("queries.txt"), session);
}

#[test]
fn column_names_are_postgres_own() {
    let session = session();
    let text = "select 1, 'a', id, t.a, count(*), count(*), sum(a)::text, '1'::int, \
                case when true then 1 end, \
                coalesce(a, 1), id + 1, array[1], now(), current_date, (select max(id) from u), \
                date '2024-01-01', a as x \
                from t group by id, a";
    let statement = parse(text).expect("valid").remove(0).statement;
    let crate::Statement::Query(query) = statement else { panic!("a query") };
    let plan = plan_query(&session.context(), &query, &mut Vec::new()).expect("plans");
    let names: Vec<&str> = plan.schema.fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(
        names,
        [
            "?column?",
            "?column?",
            "id",
            "a",
            "count",
            "count",
            "sum",
            "int4",
            "case",
            "coalesce",
            "?column?",
            "array",
            "now",
            "current_date",
            "max",
            "date",
            "x"
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
    assert_eq!(
        types("select id from t where id = $1 and b like $2 limit $3"),
        [DataType::Int32, DataType::Utf8, DataType::Int64]
    );
    assert_eq!(
        types("select id from t where id = any($1)"),
        [DataType::new_list(DataType::Int32, true)]
    );
    assert_eq!(
        types("select id from t where n between $1 and $2"),
        [DataType::Decimal128(10, 2), DataType::Decimal128(10, 2)]
    );
    let three = [value(DataType::Int32, "2")];
    assert_eq!(session.show_with("select id, b from t where id = $1", &three), "2|y");
    assert_eq!(session.show_with("select $1 + 1", &three), "3");
    let list = [value(DataType::new_list(DataType::Int32, true), "{1,3}")];
    assert_eq!(session.show_with("select id from t where id = any($1) order by 1", &list), "1\n3");
}

#[test]
fn reads_by_key_are_lookups() {
    let mut session = session();
    let point = |session: &Session, text: &str| {
        let statement = parse(text).expect("valid").remove(0).statement;
        let crate::Statement::Query(query) = statement else { panic!("a query") };
        plan_query(&session.context(), &query, &mut Vec::new()).expect(text).point.is_some()
    };
    assert!(point(&session, "select b, id as key from t as x where x.id = $1"));
    assert!(point(&session, "select * from t where 2 = id"));
    assert!(!point(&session, "select id from t where id = 2 and a = 1"));
    assert!(!point(&session, "select id + 1 from t where id = 2"));
    assert_eq!(session.show("select b, id as key from t as x where x.id = 2"), "y|2");
    assert_eq!(session.show("select b from t where id = 99"), "");
}

#[test]
fn the_longest_chains_that_parse_are_planned_and_run() {
    let mut session = session();
    session.run("create table deep (a int)");
    let chain = |term: &str| vec![term; 240].join(" ");
    assert_eq!(session.show(&format!("select 1 {}", chain("+ 1"))), "241");
    assert_eq!(
        session.show(&format!(
            "select count(*) from t where id = 1 {}",
            vec!["or id = 2"; 990].join(" ")
        )),
        "2"
    );
    // On the committer's thread, too.
    assert_eq!(
        session.show(&format!("insert into deep values (1 {})", chain("+ 1"))),
        "INSERT 0 1"
    );
    assert_eq!(session.show(&format!("update deep set a = 0 {}", chain("+ 1"))), "UPDATE 1");
    let nested = format!("select {}1{}", "(".repeat(100), ")".repeat(100));
    assert_eq!(session.show(&nested), "1");
}
