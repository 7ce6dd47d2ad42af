//! What is not maintained, and what to write instead: every refusal of a materialized view (0A000).
//!
//! Law: what cannot be kept up to date is refused at CREATE with the reason and a way out, never
//! run wrongly.

use crate::error::SqlError;

/// The way out that is always there.
const PLAIN: &str = "Use a plain view (CREATE VIEW) over a materialized view of the rest.";

fn refused(message: String, hint: &str) -> SqlError {
    SqlError::unsupported(message).with_hint(hint)
}

/// `what` ends the sentence "… not maintained yet".
fn not_yet(what: &str) -> SqlError {
    refused(format!("{what} not maintained yet"), PLAIN)
}

pub(super) fn limit_of_rows() -> SqlError {
    refused(
        "LIMIT and OFFSET of anything but a constant are not maintained".to_owned(),
        "Write a number, or filter by row_number() OVER (…) in a subquery in FROM.",
    )
}

pub(super) fn window() -> SqlError {
    not_yet("this form of a window function is")
}

pub(super) fn distinct_window() -> SqlError {
    refused(
        "DISTINCT in a window function is not maintained".to_owned(),
        "Aggregate with DISTINCT in a subquery, and join it on the PARTITION BY columns.",
    )
}

pub(super) fn subquery() -> SqlError {
    refused(
        "a subquery in this place is not maintained yet".to_owned(),
        "Write the subquery as a joined relation in FROM, or use a plain view (CREATE VIEW).",
    )
}

pub(super) fn subquery_in_on() -> SqlError {
    refused(
        "a subquery in ON of an outer join that refers to both sides is not maintained yet"
            .to_owned(),
        "Compute the subquery's value as a column of one side, in a subquery in FROM.",
    )
}

pub(super) fn lateral() -> SqlError {
    refused(
        "RIGHT and FULL JOIN LATERAL are not maintained".to_owned(),
        "The combining JOIN type must be INNER or LEFT for a LATERAL reference.",
    )
}

/// `what` is in the recursive term.
pub(super) fn recursive(what: &str) -> SqlError {
    refused(
        format!("WITH RECURSIVE is not maintained: {what}"),
        "A recursive term may filter, compute, unnest and inner-join its own rows, once; do the \
         rest in the query around it.",
    )
}

pub(super) fn set_returning() -> SqlError {
    refused(
        "a set-returning function of a set-returning function is not maintained yet".to_owned(),
        "Call the inner one in a subquery in FROM.",
    )
}

pub(super) fn aggregate(name: &str) -> SqlError {
    let maintained: Vec<&str> =
        tidemark_engine::aggregate::AGGREGATES.iter().map(|function| function.name()).collect();
    SqlError::unsupported(format!("aggregate function {name} is not maintained yet"))
        .with_detail(format!("Maintained are: {}.", maintained.join(", ")))
        .with_hint(PLAIN)
}

pub(super) fn system_table(name: &str) -> SqlError {
    refused(
        format!("system table \"{name}\" cannot be read by a materialized view"),
        "Use a plain view (CREATE VIEW): system tables have no history to maintain from.",
    )
}

pub(super) fn volatile(name: &str) -> SqlError {
    refused(
        format!("volatile function {name}() cannot be used in a materialized view"),
        "Call it when a row is inserted (a column DEFAULT), or in a plain view (CREATE VIEW) over \
         the materialized view.",
    )
}

pub(super) fn of_session(name: &str) -> SqlError {
    refused(
        format!("function {name}() depends on who asks and cannot be used in a materialized view"),
        "Use a plain view (CREATE VIEW) over the materialized view.",
    )
}

pub(super) fn time_literal(text: &str) -> SqlError {
    refused(
        format!("the time literal '{text}' cannot be used in a materialized view"),
        "Use now() or current_date, which are maintained in comparisons.",
    )
}

pub(super) fn now_value() -> SqlError {
    refused(
        "now() outside a comparison is not maintained".to_owned(),
        "Compare it with a column (ts > now() - INTERVAL '30 minutes'), or use now() in a plain \
         view (CREATE VIEW) over the materialized view, where it is the time of the read.",
    )
    .with_detail("Its value changes at every instant.")
}

pub(super) fn now_mixed() -> SqlError {
    refused(
        "now() and columns on the same side of a comparison are not maintained".to_owned(),
        "Move the columns to the other side: now() - ts < INTERVAL '30 minutes' is \
         ts > now() - INTERVAL '30 minutes'.",
    )
}

pub(super) fn now_twice() -> SqlError {
    refused(
        "now() on both sides of a comparison is not maintained".to_owned(),
        "Write a comparison of now() with a column or a constant.",
    )
}

pub(super) fn now_form() -> SqlError {
    refused(
        "this function of now() is not maintained".to_owned(),
        "Comparable forms are now() ± a constant interval, date_trunc and date_bin of it, and \
         current_date.",
    )
}

pub(super) fn now_months() -> SqlError {
    refused(
        "now() ± an interval of months is not maintained".to_owned(),
        "Count in days (INTERVAL '30 days'), or from the day: date_trunc('day', now()) - \
         INTERVAL '1 month', or current_date - INTERVAL '1 month'.",
    )
    .with_detail(
        "It goes back as time goes on: a month before the 31st can be earlier than a month before \
         the 30th at a later hour.",
    )
}

pub(super) fn now_in_join() -> SqlError {
    refused(
        "a comparison of now() with columns of both sides of an outer join, in its ON, is not \
         maintained"
            .to_owned(),
        "Write the comparison into WHERE, or compute its other side in a subquery in FROM.",
    )
}

pub(super) fn now_guarded() -> SqlError {
    refused(
        "a comparison of now() with an expression that can fail, inside another expression, is not \
         maintained"
            .to_owned(),
        "Compute the expression as a column of a subquery in FROM, or put the comparison into \
         WHERE by itself.",
    )
}

pub(super) fn time_travel() -> SqlError {
    refused(
        "a relation as of a time is not maintained".to_owned(),
        "Use a plain view (CREATE VIEW), or keep its rows with CREATE TABLE … AS.",
    )
}

pub(super) fn event_time() -> SqlError {
    refused(
        "a join by event time is not maintained".to_owned(),
        "Use a plain view (CREATE VIEW), or FOR SYSTEM_TIME AS OF.",
    )
}

pub(super) fn versions_of_view(name: &str) -> SqlError {
    refused(
        format!("a join with view \"{name}\" as of a column is not maintained"),
        "Join a table, or use a plain view (CREATE VIEW).",
    )
}

pub(super) fn time_of_version() -> SqlError {
    refused(
        "a join as of a column that may be in the future is not maintained".to_owned(),
        "Take _arrived_at of the left side, or leave rows of the future out: WHERE l.ts <= now().",
    )
}

pub(super) fn point_in_time() -> SqlError {
    refused(
        "a point-in-time join is not maintained".to_owned(),
        "Use a plain view (CREATE VIEW), or keep its rows with CREATE TABLE … AS.",
    )
}

pub(super) fn versions() -> SqlError {
    refused(
        "a point-in-time join with anything but a table is not maintained: only tables keep the \
         versions of their rows"
            .to_owned(),
        "Join the tables below, use a plain view (CREATE VIEW), or keep its rows with CREATE TABLE \
         … AS.",
    )
}

pub(super) fn relation(what: &str) -> SqlError {
    not_yet(&format!("{what} is"))
}
