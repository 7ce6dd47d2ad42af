//! Plans of queries, as EXPLAIN (PLAN) prints them.

use expect_test::{Expect, expect};

use super::Fixture;

fn check(sql: &str, expected: Expect) {
    expected.assert_eq(&Fixture::new().explained(sql));
}

#[test]
fn a_projection_of_a_table_keeps_its_key() {
    check(
        "SELECT id, k + 1 AS next FROM t WHERE k = 3",
        expect![[r#"
        Project [id@0, k@1 + 1] -> (id, next)
          Filter k@1 = 3 -> (id, k)
            Project [id@0, k@1] -> (id, k)
              Input t -> (id, k, v, f, s, ts)
        key (id)
    "#]],
    );
}

#[test]
fn a_where_of_a_product_is_a_join() {
    check(
        "SELECT t.id, u.s FROM t, u WHERE t.k = u.id AND t.v > 2 AND u.s = 'a'",
        expect![[r#"
            Project [id@0, s@3] -> (id, s)
              Join [k = id] -> (id, k, id, s)
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
}

#[test]
fn joins_are_ordered_by_their_equalities() {
    check(
        "SELECT a.id FROM t a, d, u WHERE a.k = u.k AND u.id = d.k AND a.v < d.k",
        expect![[r#"
            Project [id@0] -> (id)
              Filter v@1 < CAST(k@3 AS Int64) -> (id, v, id, k)
                Join [id = k] -> (id, v, id, k)
                  Project [id@0, v@2, id@3] -> (id, v, id)
                    Join [k = k] -> (id, k, v, id, k)
                      Project [id@0, k@1, v@2] -> (id, k, v)
                        Input t -> (id, k, v, f, s, ts)
                      Project [id@0, k@1] -> (id, k)
                        Input u -> (id, k, w, s, at)
                  Project [k@0] -> (k)
                    Input d -> (k, day, ok)
            no key
        "#]],
    );
}

#[test]
fn a_product_is_made_where_no_equality_is() {
    check(
        "SELECT t.id, d.day FROM t JOIN d ON t.k < d.k",
        expect![[r#"
            Project [id@0, day@3] -> (id, day)
              Filter k@1 < k@2 -> (id, k, k, day)
                Join every pair -> (id, k, k, day)
                  Project [id@0, k@1] -> (id, k)
                    Input t -> (id, k, v, f, s, ts)
                  Project [k@0, day@1] -> (k, day)
                    Input d -> (k, day, ok)
            no key
        "#]],
    );
}

#[test]
fn keys_of_other_types_are_computed_below_the_join() {
    check(
        "SELECT t.id FROM t JOIN d ON t.v = d.k + 1",
        expect![[r#"
            Project [id@0] -> (id)
              Join [v = key_1] -> (id, v, k, key_1)
                Project [id@0, v@2] -> (id, v)
                  Input t -> (id, k, v, f, s, ts)
                Project [k@0, CAST(k@0 + 1 AS Int64)] -> (k, key_1)
                  Project [k@0] -> (k)
                    Input d -> (k, day, ok)
            no key
        "#]],
    );
}

#[test]
fn what_can_fail_stays_above_the_join() {
    check(
        "SELECT t.id FROM t JOIN u ON t.k = u.k WHERE 10 / t.v > 1 AND t.v <> 0",
        expect![[r#"
            Project [id@0] -> (id)
              Filter 10 / v@2 > 1 -> (id, k, v, k)
                Join [k = k] -> (id, k, v, k)
                  Filter v@2 != 0 -> (id, k, v)
                    Project [id@0, k@1, v@2] -> (id, k, v)
                      Input t -> (id, k, v, f, s, ts)
                  Project [k@1] -> (k)
                    Input u -> (id, k, w, s, at)
            no key
        "#]],
    );
}

#[test]
fn what_can_fail_stays_behind_its_guard() {
    check(
        "SELECT id FROM (SELECT * FROM t WHERE v <> 0) x \
         WHERE 10 / v > 1 AND 5 / k > 2 AND s = 'a'",
        expect![[r#"
            Project [id@0] -> (id)
              Filter 5 / k@1 > 2 -> (id, k, v)
                Filter 10 / v@2 > 1 -> (id, k, v)
                  Project [id@0, k@1, v@2] -> (id, k, v)
                    Filter v@2 != 0 AND s@3 = a -> (id, k, v, s)
                      Project [id@0, k@1, v@2, s@4] -> (id, k, v, s)
                        Input t -> (id, k, v, f, s, ts)
            key (id)
        "#]],
    );
}

#[test]
fn what_can_fail_is_computed_even_if_unused() {
    check(
        "SELECT id FROM (SELECT id, 1 / v AS q, k FROM t) x",
        expect![[r#"
            Project [id@0] -> (id)
              Project [id@0, 1 / v@2] -> (id, q)
                Input t -> (id, k, v, f, s, ts)
            key (id)
        "#]],
    );
}

#[test]
fn groups_have_their_key() {
    check(
        "SELECT k, sum(v) FILTER (WHERE s = 'a') AS a FROM t \
         GROUP BY k HAVING sum(v) FILTER (WHERE s = 'a') > 1 AND k > 0",
        expect![[r#"
            Project [k@0, sum@1] -> (k, a)
              Filter sum@1 > 1 -> (k, sum)
                Aggregate keys=[k] calls=[sum(v) filter expr_2 accumulable] -> (k, sum)
                  Project [k@0, v@1, s@2 = a] -> (k, v, expr_2)
                    Filter k@0 > 0 -> (k, v, s)
                      Project [k@1, v@2, s@4] -> (k, v, s)
                        Input t -> (id, k, v, f, s, ts)
            key (k)
        "#]],
    );
}

#[test]
fn a_global_aggregate_has_one_row() {
    check(
        "SELECT count(*), max(ts) FROM t",
        expect![[r#"
            Aggregate keys=[] calls=[count() accumulable, max(ts) extremum] -> (count, max)
              Project [ts@5] -> (ts)
                Input t -> (id, k, v, f, s, ts)
            key ()
        "#]],
    );
}

#[test]
fn distinct_is_an_aggregate() {
    check(
        "SELECT DISTINCT k, s FROM t",
        expect![[r#"
        Aggregate keys=[k, s] calls=[] -> (k, s)
          Project [k@1, s@4] -> (k, s)
            Input t -> (id, k, v, f, s, ts)
        key (k, s)
    "#]],
    );
    check(
        "SELECT k, count(DISTINCT s) FROM t GROUP BY k",
        expect![[r#"
            Aggregate keys=[k] calls=[count(distinct s) accumulable] -> (k, count)
              Project [k@1, s@4] -> (k, s)
                Input t -> (id, k, v, f, s, ts)
            key (k)
        "#]],
    );
}

#[test]
fn unions_are_flat_rows() {
    check(
        "SELECT k FROM t UNION ALL SELECT k FROM d",
        expect![[r#"
        Union -> (k)
          Project [k@1] -> (k)
            Input t -> (id, k, v, f, s, ts)
          Project [k@0] -> (k)
            Input d -> (k, day, ok)
        no key
    "#]],
    );
    check(
        "SELECT k FROM t UNION SELECT v FROM t",
        expect![[r#"
            Aggregate keys=[k] calls=[] -> (k)
              Union -> (k)
                Project [CAST(k@1 AS Int64)] -> (k)
                  Input t -> (id, k, v, f, s, ts)
                Project [v@2] -> (v)
                  Input t -> (id, k, v, f, s, ts)
            key (k)
        "#]],
    );
    check(
        "VALUES (1, 'a'), (2, 'b')",
        expect![[r#"
        Union -> (column1, column2)
          Project [1, a] -> (column1, column2)
            Constant rows=1 -> ()
          Project [2, b] -> (column1, column2)
            Constant rows=1 -> ()
        no key
    "#]],
    );
}

#[test]
fn a_temporal_filter_stands_below_the_join() {
    check(
        "SELECT t.id, u.s FROM t JOIN u ON t.k = u.id \
         WHERE t.ts > now() - INTERVAL '30 minutes' AND t.ts <= now()",
        expect![[r#"
            Project [id@0, s@3] -> (id, s)
              Join [k = id] -> (id, k, id, s)
                Project [id@0, k@1] -> (id, k)
                  TemporalFilter [now() -1800000000 us < ts@2, now() >= ts@2] -> (id, k,
                        ts)
                    Project [id@0, k@1, ts@5] -> (id, k, ts)
                      Input t -> (id, k, v, f, s, ts)
                Project [id@0, s@3] -> (id, s)
                  Input u -> (id, k, w, s, at)
            key (id)
        "#]],
    );
}

#[test]
fn a_filter_of_an_aggregate_has_flags() {
    check(
        "SELECT k, count(*) FILTER (WHERE ts > now() - INTERVAL '5 minutes') FROM t GROUP BY k",
        expect![[r#"
            Aggregate keys=[k] calls=[count() filter expr_1 accumulable] -> (k, count)
              Project [k@0, now_0@2] -> (k, expr_1)
                TemporalFlags [now() -300000000 us < ts@1] -> (k, ts, now_0)
                  Project [k@1, ts@5] -> (k, ts)
                    Input t -> (id, k, v, f, s, ts)
            key (k)
            NOTICE temporal filter on ts has no upper bound
        "#]],
    );
}

#[test]
fn a_comparison_under_or_has_flags() {
    check(
        "SELECT id FROM t WHERE ts > now() OR k = 1",
        expect![[r#"
            Project [id@0] -> (id)
              Filter now_0@3 OR k@1 = 1 -> (id, k, ts, now_0)
                TemporalFlags [now() < ts@2] -> (id, k, ts, now_0)
                  Project [id@0, k@1, ts@5] -> (id, k, ts)
                    Input t -> (id, k, v, f, s, ts)
            key (id)
            NOTICE temporal filter on ts has no upper bound
        "#]],
    );
}

#[test]
fn forms_of_now() {
    check(
        "SELECT id FROM t WHERE ts + INTERVAL '1 hour' > now() AND ts <= now()",
        expect![[r#"
            Project [id@0] -> (id)
              TemporalFilter [now() -3600000000 us < ts@1, now() >= ts@1] -> (id, ts)
                Project [id@0, ts@5] -> (id, ts)
                  Input t -> (id, k, v, f, s, ts)
            key (id)
        "#]],
    );
    check(
        "SELECT id FROM t WHERE now() - ts < INTERVAL '1 hour'",
        expect![[r#"
            Project [id@0] -> (id)
              TemporalFilter [now() -3600000000 us < ts@1] -> (id, ts)
                Project [id@0, ts@5] -> (id, ts)
                  Input t -> (id, k, v, f, s, ts)
            key (id)
            NOTICE temporal filter on ts has no upper bound
        "#]],
    );
    check(
        "SELECT k FROM d WHERE day = current_date",
        expect![[r#"
        Project [k@0] -> (k)
          TemporalFilter [pg_cast(now@0) >= day@1, pg_cast(now@0) <= day@1] -> (k, day)
            Project [k@0, day@1] -> (k, day)
              Input d -> (k, day, ok)
        no key
    "#]],
    );
    check(
        "SELECT k FROM d WHERE current_date - day < 7",
        expect![[r#"
            Project [k@0] -> (k)
              TemporalFilter [date_pl_int(pg_cast(now@0), -7) < day@1] -> (k, day)
                Project [k@0, day@1] -> (k, day)
                  Input d -> (k, day, ok)
            no key
            NOTICE temporal filter on day has no upper bound
        "#]],
    );
    check(
        "SELECT id FROM t WHERE ts >= date_trunc('month', now())",
        expect![[r#"
            Project [id@0] -> (id)
              TemporalFilter [date_trunc(month, now@0) <= ts@1] -> (id, ts)
                Project [id@0, ts@5] -> (id, ts)
                  Input t -> (id, k, v, f, s, ts)
            key (id)
            NOTICE temporal filter on ts has no upper bound
        "#]],
    );
    check(
        "SELECT id FROM u WHERE at BETWEEN localtimestamp - INTERVAL '1 day' AND localtimestamp",
        expect![[r#"
            Project [id@0] -> (id)
              TemporalFilter [now() -86400000000 us <= at@1, now() >= at@1] -> (id, at)
                Project [id@0, at@4] -> (id, at)
                  Input u -> (id, k, w, s, at)
            key (id)
        "#]],
    );
    check(
        "SELECT id, ts <> now() AS other FROM t",
        expect![[r#"
            Project [id@0, NOT now_0@2 AND now_1@3] -> (id, other)
              TemporalFlags [now() >= ts@1, now() <= ts@1] -> (id, ts, now_0, now_1)
                Project [id@0, ts@5] -> (id, ts)
                  Input t -> (id, k, v, f, s, ts)
            key (id)
        "#]],
    );
    check(
        "SELECT k, max(ts) FROM t GROUP BY k HAVING max(ts) > now() - INTERVAL '1 hour'",
        expect![[r#"
            TemporalFilter [now() -3600000000 us < max@1] -> (k, max)
              Aggregate keys=[k] calls=[max(ts) extremum] -> (k, max)
                Project [k@1, ts@5] -> (k, ts)
                  Input t -> (id, k, v, f, s, ts)
            key (k)
            NOTICE temporal filter on max(ts) has no upper bound
        "#]],
    );
}

#[test]
fn views_are_inlined_and_materialized_ones_read() {
    check(
        "SELECT r.id, n FROM recent r JOIN totals ON r.k = totals.k",
        expect![[r#"
            Project [id@0, n@3] -> (id, n)
              Join [k = k] -> (id, k, k, n)
                Project [id@0, k@1] -> (id, k)
                  Filter v@2 > 0 -> (id, k, v)
                    Project [id@0, k@1, v@2] -> (id, k, v)
                      Input t -> (id, k, v, f, s, ts)
                Input totals -> (k, n)
            key (id)
        "#]],
    );
}
