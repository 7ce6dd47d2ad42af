//! What a view went through before there is anything to follow it by: its rows at a time of the
//! past, and its changes since then.
//!
//! Law      the rows are those of AS OF, the changes those of `changes()`: each stretch of time by
//!          the definition in force in it (S12), so that a subscription goes on across replacements
//! Errors   those of these reads: a past that is not kept any more (22023), a definition that
//!          cannot be replayed (0A000), what does not fit into memory (53200)
//! Memory   the changes, until they are out

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use futures::TryStreamExt;
use tidemark_catalog::Object;
use tidemark_catalog::quote::quote_identifier;
use tidemark_engine::{Timestamp, Updates};
use tidemark_sql::error::SqlError;
use tidemark_sql::{PlanContext, ReadView, Statement, plan_query, run_query};

/// See the head of this file.
pub struct Before {
    pub from: Timestamp,
    pub rows: Vec<RecordBatch>,
    /// With times after `from`, in order of time.
    pub changes: Vec<Updates>,
}

impl Before {
    /// From `from` up to `to`; the first must be held, the last be committed.
    pub async fn read(
        ctx: &PlanContext,
        view: &Object,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Before, SqlError> {
        let name = quoted(view);
        let rows = format!("SELECT * FROM {name} FOR SYSTEM_TIME AS OF '{from}'");
        let rows = run(ctx, &rows, to).await?;
        Ok(Before { from, rows, changes: changes(ctx, view, from, to).await? })
    }
}

/// The changes alone.
pub async fn changes(
    ctx: &PlanContext,
    view: &Object,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<Updates>, SqlError> {
    let (name, width) = (quoted(view).replace('\'', "''"), view.columns().len());
    let of_log = format!(
        "SELECT * FROM changes('{name}', '{from}'::timestamptz, '{to}'::timestamptz) ORDER BY {}",
        width + 1
    );
    let updates = |batch: RecordBatch| {
        let times = batch.column(width).as_primitive::<TimestampMicrosecondType>().values();
        let times: Vec<u64> = times.iter().map(|time| time.cast_unsigned()).collect();
        let diffs = batch.column(width + 1).as_primitive::<Int64Type>().values().clone();
        let places: Vec<usize> = (0..width).collect();
        Ok::<_, SqlError>(Updates::new(batch.project(&places)?, times, diffs))
    };
    run(ctx, &of_log, to).await?.into_iter().map(updates).collect()
}

fn quoted(view: &Object) -> String {
    format!("{}.{}", quote_identifier(&view.schema), quote_identifier(&view.name))
}

/// The rows of a query of the server's own, as of `at`.
async fn run(ctx: &PlanContext, query: &str, at: Timestamp) -> Result<Vec<RecordBatch>, SqlError> {
    let mut statements = tidemark_sql::parse(query)?;
    let Some(Statement::Query(query)) = statements.pop().map(|parsed| parsed.statement) else {
        return Err(SqlError::internal("a query that is none"));
    };
    let plan = plan_query(ctx, &query, &mut Vec::new())?;
    let rows = run_query(ctx, &plan, &ReadView::new(at), Vec::new()).await?;
    Ok(rows.try_collect().await?)
}
