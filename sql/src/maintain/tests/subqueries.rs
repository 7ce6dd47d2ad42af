//! Plans of queries with subqueries, outer joins, orders and windows, as EXPLAIN (PLAN) prints
//! them.

use expect_test::{Expect, expect};

use super::Fixture;

fn check(sql: &str, expected: Expect) {
    expected.assert_eq(&Fixture::new().explained(sql));
}

#[test]
fn outer_joins() {
    check(
        "SELECT t.id, u.s FROM t LEFT JOIN u ON t.k = u.id AND u.s = 'a' WHERE t.v > 2",
        expect![[r#"
            Project [id@0, s@3] -> (id, s)
              Left join [k = id] -> (id, k, id, s)
                Project [id@0, k@1] -> (id, k)
                  Filter v@2 > 2 -> (id, k, v)
                    Project [id@0, k@1, v@2] -> (id, k, v)
                      Input t -> (id, k, v, f, s, ts)
                Filter s@1 = a -> (id, s)
                  Project [id@0, s@3] -> (id, s)
                    Input u -> (id, k, w, s, at)
            key (id)
        "#]],
    );
    check(
        "SELECT t.id FROM t LEFT JOIN u ON t.k = u.id WHERE u.s = 'a'",
        expect![[r#"
        Project [id@0] -> (id)
          Join [k = id] -> (id, k, id)
            Project [id@0, k@1] -> (id, k)
              Input t -> (id, k, v, f, s, ts)
            Project [id@0] -> (id)
              Filter s@1 = a -> (id, s)
                Project [id@0, s@3] -> (id, s)
                  Input u -> (id, k, w, s, at)
        key (id)
    "#]],
    );
    check(
        "SELECT t.id FROM t LEFT JOIN u ON t.k = u.k AND t.ts > now()",
        expect![[r#"
        Project [id@0] -> (id)
          Left join [k = k] where now_0@2 -> (id, k, now_0, k)
            Project [id@0, k@1, now_0@3] -> (id, k, now_0)
              TemporalFlags [now() < ts@2] -> (id, k, ts, now_0)
                Project [id@0, k@1, ts@5] -> (id, k, ts)
                  Input t -> (id, k, v, f, s, ts)
            Project [k@1] -> (k)
              Input u -> (id, k, w, s, at)
        no key
        NOTICE temporal filter on ts has no upper bound
    "#]],
    );
    check(
        "SELECT k, t.id, u.w FROM t FULL JOIN u USING (k)",
        expect![[r#"
            Project [CASE WHEN k@1 IS NOT NULL THEN k@1 ELSE k@2 END, id@0, w@3] -> (k, id,
                  w)
              Full join [k = k] -> (id, k, k, w)
                Project [id@0, k@1] -> (id, k)
                  Input t -> (id, k, v, f, s, ts)
                Project [k@1, w@2] -> (k, w)
                  Input u -> (id, k, w, s, at)
            no key
        "#]],
    );
}

#[test]
fn conjuncts_are_half_joins() {
    check(
        "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k AND u.id < t.id)",
        expect![[r#"
            Project [id@0] -> (id)
              Semi join [k = k] where id@2 < id@0 -> (id, k)
                Project [id@0, k@1] -> (id, k)
                  Input t -> (id, k, v, f, s, ts)
                Project [id@0, k@1] -> (id, k)
                  Input u -> (id, k, w, s, at)
            key (id)
        "#]],
    );
    check(
        "SELECT id FROM t WHERE k IN (SELECT k FROM u WHERE s = 'a')",
        expect![[r#"
        Project [id@0] -> (id)
          Semi join [k = k] -> (id, k)
            Project [id@0, k@1] -> (id, k)
              Input t -> (id, k, v, f, s, ts)
            Project [k@0] -> (k)
              Filter s@1 = a -> (k, s)
                Project [k@1, s@3] -> (k, s)
                  Input u -> (id, k, w, s, at)
        key (id)
    "#]],
    );
    check(
        "SELECT id FROM t WHERE id NOT IN (SELECT id FROM u)",
        expect![[r#"
        Anti join [id = id] -> (id)
          Project [id@0] -> (id)
            Input t -> (id, k, v, f, s, ts)
          Project [id@0] -> (id)
            Input u -> (id, k, w, s, at)
        key (id)
    "#]],
    );
    check(
        "SELECT id FROM t WHERE k NOT IN (SELECT k FROM u)",
        expect![[r#"
        Project [id@0] -> (id)
          Anti join every pair where k@1 IS NULL -> (id, k)
            Anti join every pair -> (id, k)
              Anti join [k = k] -> (id, k)
                Project [id@0, k@1] -> (id, k)
                  Input t -> (id, k, v, f, s, ts)
                Project [k@1] -> (k)
                  Input u -> (id, k, w, s, at)
              Aggregate keys=[present] calls=[] -> (present)
                Project [true] -> (present)
                  Filter k@0 IS NULL -> (k)
                    Project [k@1] -> (k)
                      Input u -> (id, k, w, s, at)
            Aggregate keys=[present] calls=[] -> (present)
              Project [true] -> (present)
                Input u -> (id, k, w, s, at)
        key (id)
    "#]],
    );
}

#[test]
fn subqueries_elsewhere_are_left_joins() {
    check(
        "SELECT id, (SELECT count(*) FROM u WHERE u.k = t.k) AS n FROM t",
        expect![[r#"
        Project [id@0, CASE WHEN count@3 IS NULL THEN 0 ELSE count@3 END] -> (id, n)
          Left join [k = k] -> (id, k, k, count)
            Project [id@0, k@1] -> (id, k)
              Input t -> (id, k, v, f, s, ts)
            Aggregate keys=[k] calls=[count() accumulable] -> (k, count)
              Filter k@0 IS NOT NULL -> (k)
                Project [k@1] -> (k)
                  Input u -> (id, k, w, s, at)
        key (id)
    "#]],
    );
    check(
        "SELECT id, (SELECT s FROM u WHERE u.k = t.k) AS s FROM t",
        expect![[r#"
            Project [id@0, single_row(count@3, min@4)] -> (id, s)
              Left join [k = k] -> (id, k, k, count, min)
                Project [id@0, k@1] -> (id, k)
                  Input t -> (id, k, v, f, s, ts)
                Aggregate keys=[k] calls=[count() accumulable, min(s) extremum] -> (k,
                      count, min)
                  Project [s@1, k@0] -> (s, k)
                    Filter k@0 IS NOT NULL -> (k, s)
                      Project [k@1, s@3] -> (k, s)
                        Input u -> (id, k, w, s, at)
            key (id)
        "#]],
    );
    check(
        "SELECT id FROM t WHERE v = 1 OR k NOT IN (SELECT k FROM u)",
        expect![[r#"
            Project [id@0] -> (id)
              Filter v@2 = 1 OR NOT CASE WHEN k@3 IS NOT NULL THEN true WHEN count@4 IS
                    NULL OR count@4 = 0 THEN false WHEN k@1 IS NULL OR count@5 < count@4
                    THEN NULL ELSE false END -> (id, k, v, k, count, count)
                Left join every pair -> (id, k, v, k, count, count)
                  Left join [k = k] -> (id, k, v, k)
                    Project [id@0, k@1, v@2] -> (id, k, v)
                      Input t -> (id, k, v, f, s, ts)
                    Aggregate keys=[k] calls=[] -> (k)
                      Filter k@0 IS NOT NULL -> (k)
                        Project [k@1] -> (k)
                          Input u -> (id, k, w, s, at)
                  Aggregate keys=[] calls=[count() accumulable, count(k) accumulable] ->
                        (count, count)
                    Project [k@1] -> (k)
                      Input u -> (id, k, w, s, at)
            key (id)
        "#]],
    );
    check(
        "SELECT id FROM t WHERE v > ALL (SELECT k FROM u)",
        expect![[r#"
            Project [id@0] -> (id)
              Filter NOT CASE WHEN (v@1 <= max@4) IS NOT DISTINCT FROM true THEN true WHEN
                    count@2 IS NULL OR count@2 = 0 THEN false WHEN v@1 IS NULL OR count@3 <
                    count@2 THEN NULL ELSE false END -> (id, v, count, count, max)
                Left join every pair -> (id, v, count, count, max)
                  Project [id@0, v@2] -> (id, v)
                    Input t -> (id, k, v, f, s, ts)
                  Aggregate keys=[] calls=[count() accumulable, count(u.k) accumulable,
                        max(u.k) extremum] -> (count, count, max)
                    Project [CAST(k@1 AS Int64)] -> (u.k)
                      Input u -> (id, k, w, s, at)
            key (id)
        "#]],
    );
    check(
        "SELECT id, (SELECT count(*) FROM u WHERE u.k < t.k) AS n FROM t",
        expect![[r#"
            Project [id@0, count@2] -> (id, n)
              Left join [k is not distinct from k] -> (id, k, count, k)
                Project [id@0, k@1] -> (id, k)
                  Input t -> (id, k, v, f, s, ts)
                Project [count@1, k@0] -> (count, k)
                  Aggregate keys=[k] calls=[count() filter present accumulable] -> (k,
                        count)
                    Union -> (k, present)
                      Project [k@1, true] -> (k, present)
                        Filter k@0 < k@1 -> (k, k)
                          Join every pair -> (k, k)
                            Project [k@1] -> (k)
                              Input u -> (id, k, w, s, at)
                            Aggregate keys=[k] calls=[] -> (k)
                              Project [k@1] -> (k)
                                Input t -> (id, k, v, f, s, ts)
                      Project [k@0, false] -> (k, present)
                        Aggregate keys=[k] calls=[] -> (k)
                          Project [k@1] -> (k)
                            Input t -> (id, k, v, f, s, ts)
            key (id)
        "#]],
    );
}

#[test]
fn lateral_is_a_dependent_join() {
    check(
        "SELECT t.id, x.id AS latest FROM t \
         LEFT JOIN LATERAL (SELECT u.id FROM u WHERE u.k = t.k ORDER BY u.at DESC LIMIT 1) x \
         ON true",
        expect![[r#"
            Project [id@0, id@2] -> (id, latest)
              Left join [k = k] -> (id, k, id, k)
                Project [id@0, k@1] -> (id, k)
                  Input t -> (id, k, v, f, s, ts)
                Project [id@0, k@2] -> (id, k)
                  TopK keys=[k] order=[at desc, id] limit=1 -> (id, at, k)
                    Project [id@0, at@2, k@1] -> (id, at, k)
                      Filter k@1 IS NOT NULL -> (id, k, at)
                        Project [id@0, k@1, at@4] -> (id, k, at)
                          Input u -> (id, k, w, s, at)
            key (id)
        "#]],
    );
    check(
        "SELECT id, x FROM t, unnest(ARRAY[k, id]) AS x",
        expect![[r#"
        Project [id@0, unnest@1] -> (id, x)
          Unnest [unnest] -> (id, unnest)
            Project [array_or_empty(make_array(k@1, id@0)), id@0] -> (unnest, id)
              Input t -> (id, k, v, f, s, ts)
        no key
    "#]],
    );
}

#[test]
fn orders_are_completed() {
    check(
        "SELECT k, v FROM t ORDER BY v DESC LIMIT 3",
        expect![[r#"
        TopK keys=[] order=[v desc, k] limit=3 -> (k, v)
          Project [k@1, v@2] -> (k, v)
            Input t -> (id, k, v, f, s, ts)
        no key
    "#]],
    );
    check(
        "SELECT id, v FROM t ORDER BY v, id LIMIT 3 OFFSET 1",
        expect![[r#"
        TopK keys=[] order=[v, id] offset=1 limit=3 -> (id, v)
          Project [id@0, v@2] -> (id, v)
            Input t -> (id, k, v, f, s, ts)
        key (id)
    "#]],
    );
    check(
        "SELECT DISTINCT ON (k) k, v FROM t ORDER BY k, v",
        expect![[r#"
        TopK keys=[k] order=[k, v] limit=1 -> (k, v)
          Project [k@1, v@2] -> (k, v)
            Input t -> (id, k, v, f, s, ts)
        key (k)
    "#]],
    );
    check(
        "SELECT k, v FROM t ORDER BY v FETCH FIRST 2 ROWS WITH TIES",
        expect![[r#"
        TopK keys=[] order=[v, k] limit=2 with ties -> (k, v)
          Project [k@1, v@2] -> (k, v)
            Input t -> (id, k, v, f, s, ts)
        no key
    "#]],
    );
}

#[test]
fn windows() {
    check(
        "SELECT id, sum(v) OVER (PARTITION BY k ORDER BY ts) AS s, \
         lag(v) OVER (PARTITION BY k ORDER BY ts) AS l FROM t",
        expect![[r#"
            Project [id@0, sum@6, lag@7] -> (id, s, l)
              Window partition=[k] order=[ts] ties=[id] calls=[sum(v) range unbounded
                    preceding to current row, lag(v, expr_6, expr_7) range unbounded
                    preceding to current row] -> (id, k, v, ts, expr_6, expr_7, sum, lag)
                Project [id@0, k@1, v@2, ts@5, 1, NULL] -> (id, k, v, ts, expr_6, expr_7)
                  Input t -> (id, k, v, f, s, ts)
            key (id)
        "#]],
    );
    check(
        "SELECT id, n FROM (SELECT id, row_number() OVER (PARTITION BY k ORDER BY ts DESC) AS n \
         FROM t) x WHERE n <= 3",
        expect![[r#"
            Project [id@0, row_number@3] -> (id, n)
              Filter row_number@3 <= 3 -> (id, k, ts, row_number)
                Window partition=[k] order=[ts desc] ties=[id] calls=[row_number() range
                      unbounded preceding to current row] -> (id, k, ts, row_number)
                  TopK keys=[k] order=[ts desc, id] limit=3 -> (id, k, ts)
                    Project [id@0, k@1, ts@5] -> (id, k, ts)
                      Input t -> (id, k, v, f, s, ts)
            key (id)
        "#]],
    );
    check(
        "SELECT id, count(*) OVER (ORDER BY ts RANGE BETWEEN INTERVAL '1 hour' PRECEDING \
         AND CURRENT ROW) AS n FROM t",
        expect![[r#"
            Project [id@0, count@2] -> (id, n)
              Window partition=[] order=[ts] calls=[count() range IntervalMonthDayNano {
                    months: 0, days: 0, nanoseconds: 3600000000000 } preceding to current
                    row] -> (id, ts, count)
                Project [id@0, ts@5] -> (id, ts)
                  Input t -> (id, k, v, f, s, ts)
            key (id)
        "#]],
    );
}

#[test]
fn numbers_of_rows_are_bigints() {
    check(
        "SELECT id, n + 1 AS m FROM (SELECT id, row_number() OVER (ORDER BY id) AS n, \
         rank() OVER (ORDER BY k) AS r FROM t) x WHERE n = r OR n % 2 = 0",
        expect![[r#"
            Project [id@0, n@1 + 1] -> (id, m)
              Filter CASE WHEN (n@1 = r@2) IS NOT DISTINCT FROM true THEN true ELSE n@1 =
                    r@2 OR n@1 % 2 = 0 END -> (id, n, r)
                Project [id@0, row_number@2, rank@3] -> (id, n, r)
                  Window partition=[] order=[k] calls=[rank() range unbounded preceding to
                        current row] -> (id, k, row_number, rank)
                    Window partition=[] order=[id] calls=[row_number() range unbounded
                          preceding to current row] -> (id, k, row_number)
                      Project [id@0, k@1] -> (id, k)
                        Input t -> (id, k, v, f, s, ts)
            key (id)
        "#]],
    );
}

#[test]
fn sets_and_lists_and_time_windows() {
    check(
        "SELECT k FROM t EXCEPT ALL SELECT k FROM u",
        expect![[r#"
        ExceptAll -> (k)
          Project [k@1] -> (k)
            Input t -> (id, k, v, f, s, ts)
          Project [k@1] -> (k)
            Input u -> (id, k, w, s, at)
        no key
    "#]],
    );
    check(
        "SELECT k FROM t INTERSECT SELECT k FROM u",
        expect![[r#"
        Intersect -> (k)
          Project [k@1] -> (k)
            Input t -> (id, k, v, f, s, ts)
          Project [k@1] -> (k)
            Input u -> (id, k, w, s, at)
        key (k)
    "#]],
    );
    check(
        "SELECT id, x.e, x.n FROM t, unnest(ARRAY[k, id]) WITH ORDINALITY AS x(e, n)",
        expect![[r#"
            Project [id@0, unnest@1, unnest@2] -> (id, e, n)
              Unnest [unnest, unnest] -> (id, unnest, unnest)
                Project [array_or_empty(make_array(k@1, id@0)),
                      array_or_empty(generate_series(1,
                      CAST(greatest(cardinality(make_array(k@1, id@0))) AS Int64))), id@0]
                      -> (unnest, unnest, id)
                  Input t -> (id, k, v, f, s, ts)
            no key
        "#]],
    );
    check(
        "SELECT window_start, count(*) AS n FROM tumble(t, ts, INTERVAL '10 minutes') \
         GROUP BY window_start",
        expect![[r#"
            Aggregate keys=[window_start] calls=[count() accumulable] -> (window_start, n)
              Project [window_start@0] -> (window_start)
                Project [tumble_start(IntervalMonthDayNano { months: 0, days: 0,
                      nanoseconds: 600000000000 }, ts@0), tumble_start(IntervalMonthDayNano
                      { months: 0, days: 0, nanoseconds: 600000000000 }, ts@0) +
                      IntervalMonthDayNano { months: 0, days: 0, nanoseconds: 600000000000
                      }] -> (window_start, window_end)
                  Filter ts@0 IS NOT NULL -> (ts)
                    Project [ts@5] -> (ts)
                      Input t -> (id, k, v, f, s, ts)
            key (window_start)
        "#]],
    );
    check(
        "SELECT id, window_start, window_end \
         FROM hop(t, ts, INTERVAL '5 minutes', INTERVAL '10 minutes')",
        expect![[r#"
            Project [id@0, unnest@1, unnest@1 + IntervalMonthDayNano { months: 0, days: 0,
                  nanoseconds: 600000000000 }] -> (id, window_start, window_end)
              Unnest [unnest] -> (id, unnest)
                Project [array_or_empty(generate_series(hop_start(IntervalMonthDayNano {
                      months: 0, days: 0, nanoseconds: 300000000000 }, ts@1 -
                      IntervalMonthDayNano { months: 0, days: 0, nanoseconds: 600000000000
                      }, ts@1), tumble_start(IntervalMonthDayNano { months: 0, days: 0,
                      nanoseconds: 300000000000 }, ts@1), IntervalMonthDayNano { months: 0,
                      days: 0, nanoseconds: 300000000000 })), id@0] -> (unnest, id)
                  Filter ts@1 IS NOT NULL -> (id, ts)
                    Project [id@0, ts@5] -> (id, ts)
                      Input t -> (id, k, v, f, s, ts)
            no key
        "#]],
    );
    check(
        "SELECT id, window_start, window_end FROM session(t, ts, INTERVAL '5 minutes', k)",
        expect![[r#"
            Project [id@0, window_start@3, window_end@4] -> (id, window_start, window_end)
              Session keys=[k] time=ts gap=300000000 us -> (id, k, ts, window_start,
                    window_end)
                Filter ts@2 IS NOT NULL -> (id, k, ts)
                  Project [id@0, k@1, ts@5] -> (id, k, ts)
                    Input t -> (id, k, v, f, s, ts)
            key (id)
        "#]],
    );
}

#[test]
fn recursions() {
    check(
        "WITH RECURSIVE r AS (SELECT id, k FROM t WHERE k IS NULL UNION \
         SELECT t.id, t.k FROM t JOIN r ON t.k = r.id) SELECT id FROM r",
        expect![[r#"
            Project [id@0] -> (id)
              Recursive #4611686018427387904 distinct -> (id, k)
                Filter k@1 IS NULL -> (id, k)
                  Project [id@0, k@1] -> (id, k)
                    Input t -> (id, k, v, f, s, ts)
                Project [id@0, k@1] -> (id, k)
                  Join [k = id] -> (id, k, id)
                    Project [id@0, k@1] -> (id, k)
                      Input t -> (id, k, v, f, s, ts)
                    Project [id@0] -> (id)
                      Input itself -> (id, k)
            no key
        "#]],
    );
    check(
        "WITH RECURSIVE r AS (SELECT id FROM t UNION SELECT max(id) FROM r) SELECT id FROM r",
        expect![[r#"
            WITH RECURSIVE is not maintained: an aggregate or DISTINCT in the recursive term
        "#]],
    );
}
