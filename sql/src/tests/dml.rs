//! INSERT, UPDATE, DELETE and what they refuse.

use arrow::datatypes::DataType;

use super::{Session, check_file, value};

fn session() -> Session {
    let mut session = Session::new();
    session.run(
        "create table t (id int primary key, a int not null default 7, b varchar(3),
           n numeric(5,2));
         create table stamped (id int primary key, at timestamptz default now());
         create table plain (x int, y text default 'why');
         create table pair (k text, l int, v int, primary key (k, l))",
    );
    session
}

#[test]
fn changes_are_those_of_postgres() {
    check_file("dml.txt", include_str!("dml.txt"), session);
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
