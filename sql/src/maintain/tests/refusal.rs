//! What is refused, and what the user is told to do instead.

use std::fmt::Write;

use expect_test::{Expect, expect};

use super::Fixture;

fn check(queries: &[&str], expected: Expect) {
    let fixture = Fixture::new();
    let mut text = String::new();
    for sql in queries {
        let said = match fixture.plan(sql) {
            Ok(_) => "maintained".to_owned(),
            Err(error) => {
                let hint = wrapped(&error.hint.unwrap_or_default());
                format!("{}{}{hint}", error.code, wrapped(&error.message))
            }
        };
        writeln!(text, "{sql}\n  {said}").expect("writing to a string");
    }
    expected.assert_eq(&text);
}

/// Words in lines that fit this file.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut width = usize::MAX;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if width > 70 {
            lines.push_str("\n   ");
            width = 0;
        }
        lines.push(' ');
        lines.push_str(word);
        width += 1 + word.chars().count();
    }
    lines
}

#[test]
fn operators() {
    check(
        &[
            "SELECT id FROM t ORDER BY id",
            "SELECT id FROM t ORDER BY id LIMIT 3",
            "SELECT id FROM t OFFSET 1",
            "SELECT t.id FROM t LEFT JOIN u ON t.k = u.k",
            "SELECT t.id FROM t RIGHT JOIN u ON t.k = u.k",
            "SELECT t.id FROM t FULL JOIN u ON t.k = u.k",
            "SELECT id FROM t WHERE k IN (SELECT k FROM u)",
            "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k)",
            "SELECT id, (SELECT max(w) FROM u) FROM t",
            "SELECT k FROM t EXCEPT SELECT k FROM u",
            "SELECT k FROM t INTERSECT SELECT k FROM u",
            "SELECT DISTINCT ON (k) k, v FROM t ORDER BY k, v",
            "SELECT id, row_number() OVER (ORDER BY id) FROM t",
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION SELECT n + 1 FROM r) SELECT n FROM r",
            "SELECT unnest(ARRAY[1, 2])",
            "SELECT * FROM generate_series(1, 3)",
            "SELECT relname FROM pg_catalog.pg_class",
            "SELECT * FROM t FOR SYSTEM_TIME AS OF now()",
        ],
        expect![[r#"
            SELECT id FROM t ORDER BY id
              maintained
            SELECT id FROM t ORDER BY id LIMIT 3
              maintained
            SELECT id FROM t OFFSET 1
              maintained
            SELECT t.id FROM t LEFT JOIN u ON t.k = u.k
              maintained
            SELECT t.id FROM t RIGHT JOIN u ON t.k = u.k
              maintained
            SELECT t.id FROM t FULL JOIN u ON t.k = u.k
              maintained
            SELECT id FROM t WHERE k IN (SELECT k FROM u)
              maintained
            SELECT id FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k)
              maintained
            SELECT id, (SELECT max(w) FROM u) FROM t
              maintained
            SELECT k FROM t EXCEPT SELECT k FROM u
              maintained
            SELECT k FROM t INTERSECT SELECT k FROM u
              maintained
            SELECT DISTINCT ON (k) k, v FROM t ORDER BY k, v
              maintained
            SELECT id, row_number() OVER (ORDER BY id) FROM t
              maintained
            WITH RECURSIVE r AS (SELECT 1 AS n UNION SELECT n + 1 FROM r) SELECT n FROM r
              maintained
            SELECT unnest(ARRAY[1, 2])
              maintained
            SELECT * FROM generate_series(1, 3)
              maintained
            SELECT relname FROM pg_catalog.pg_class
              0A000
                system table "pg_class" cannot be read by a materialized view
                Use a plain view (CREATE VIEW): system tables have no history to maintain
                from.
            SELECT * FROM t FOR SYSTEM_TIME AS OF now()
              0A000
                FOR SYSTEM_TIME AS OF is not supported
        "#]],
    );
}

#[test]
fn functions() {
    check(
        &[
            "SELECT random() FROM t",
            "SELECT id FROM t WHERE ts > clock_timestamp()",
            "SELECT current_user FROM t",
            "SELECT id FROM t WHERE ts > 'now'::timestamptz",
            "SELECT id FROM t WHERE ts > 'now'",
            "SELECT id FROM t WHERE ts > TIMESTAMPTZ 'today'",
            "SELECT id FROM t WHERE k = $1",
        ],
        expect![[r#"
            SELECT random() FROM t
              0A000
                volatile function random() cannot be used in a materialized view
                Call it when a row is inserted (a column DEFAULT), or in a plain view (CREATE
                VIEW) over the materialized view.
            SELECT id FROM t WHERE ts > clock_timestamp()
              0A000
                volatile function clock_timestamp() cannot be used in a materialized view
                Call it when a row is inserted (a column DEFAULT), or in a plain view (CREATE
                VIEW) over the materialized view.
            SELECT current_user FROM t
              0A000
                function current_user() depends on who asks and cannot be used in a materialized
                view
                Use a plain view (CREATE VIEW) over the materialized view.
            SELECT id FROM t WHERE ts > 'now'::timestamptz
              0A000
                "now" is not allowed here
            SELECT id FROM t WHERE ts > 'now'
              0A000
                "now" is not allowed here
            SELECT id FROM t WHERE ts > TIMESTAMPTZ 'today'
              0A000
                "today" is not allowed here
            SELECT id FROM t WHERE k = $1
              42P02
                there is no parameter $1
        "#]],
    );
}

#[test]
fn now() {
    check(
        &[
            "SELECT now() FROM t",
            "SELECT now() - ts FROM t",
            "SELECT id FROM t WHERE ts > now() - v * INTERVAL '1 minute'",
            "SELECT id FROM t WHERE ts > now() - INTERVAL '1 month'",
            "SELECT id FROM t WHERE extract(hour FROM now()) > 3",
            "SELECT k FROM t GROUP BY k, date_trunc('day', now())",
            "SELECT id FROM t WHERE now() - INTERVAL '1 hour' < now()",
            "SELECT id FROM t WHERE k = 1 OR s::timestamptz > now()",
            "SELECT id FROM t WHERE s::timestamptz > now()",
        ],
        expect![[r#"
            SELECT now() FROM t
              0A000
                now() outside a comparison is not maintained
                Compare it with a column (ts > now() - INTERVAL '30 minutes'), or use now()
                in a plain view (CREATE VIEW) over the materialized view, where it is the
                time of the read.
            SELECT now() - ts FROM t
              0A000
                now() outside a comparison is not maintained
                Compare it with a column (ts > now() - INTERVAL '30 minutes'), or use now()
                in a plain view (CREATE VIEW) over the materialized view, where it is the
                time of the read.
            SELECT id FROM t WHERE ts > now() - v * INTERVAL '1 minute'
              0A000
                now() and columns on the same side of a comparison are not maintained
                Move the columns to the other side: now() - ts < INTERVAL '30 minutes'
                is ts > now() - INTERVAL '30 minutes'.
            SELECT id FROM t WHERE ts > now() - INTERVAL '1 month'
              0A000
                now() ± an interval of months is not maintained
                Count in days (INTERVAL '30 days'), or from the day: date_trunc('day',
                now()) - INTERVAL '1 month', or current_date - INTERVAL '1 month'.
            SELECT id FROM t WHERE extract(hour FROM now()) > 3
              0A000
                this function of now() is not maintained
                Comparable forms are now() ± a constant interval, date_trunc and date_bin
                of it, and current_date.
            SELECT k FROM t GROUP BY k, date_trunc('day', now())
              0A000
                now() outside a comparison is not maintained
                Compare it with a column (ts > now() - INTERVAL '30 minutes'), or use now()
                in a plain view (CREATE VIEW) over the materialized view, where it is the
                time of the read.
            SELECT id FROM t WHERE now() - INTERVAL '1 hour' < now()
              0A000
                now() on both sides of a comparison is not maintained
                Write a comparison of now() with a column or a constant.
            SELECT id FROM t WHERE k = 1 OR s::timestamptz > now()
              0A000
                a comparison of now() with an expression that can fail, inside another
                expression, is not maintained
                Compute the expression as a column of a subquery in FROM, or put the comparison
                into WHERE by itself.
            SELECT id FROM t WHERE s::timestamptz > now()
              maintained
        "#]],
    );
}

#[test]
fn columns() {
    check(
        &[
            "SELECT k, k FROM t",
            "SELECT count(*), count(*) FROM t",
            "SELECT NULL AS nothing, 1 / 0 AS fails",
            "SELECT nothing FROM t",
        ],
        expect![[r#"
            SELECT k, k FROM t
              42701
                column "k" specified more than once
            SELECT count(*), count(*) FROM t
              42701
                column "count" specified more than once
            SELECT NULL AS nothing, 1 / 0 AS fails
              maintained
            SELECT nothing FROM t
              42703
                column "nothing" does not exist
        "#]],
    );
}
