//! Quarantine notices: a statement hears of the rows it wrote that a view could not compute.
//!
//! Law      The statement has succeeded, whatever is said here: nothing is waited for beyond
//!          [`WAIT`], and what comes to light later stands in `tidemark.quarantine` all the same.
//!          Only views with expressions that can fail are waited for.

use std::collections::BTreeMap;
use std::time::Duration;

use tidemark_catalog::ObjectId;
use tidemark_engine::{CollectionId, Timestamp};
use tidemark_sql::error::state;

use crate::session::{Notice, Session};

/// As long as work may stand unprocessed (design §5).
const WAIT: Duration = Duration::from_millis(50);

/// Notices for the views that could not compute rows of a commit at `at` that wrote `tables`.
pub async fn tell(session: &mut Session, at: Timestamp, tables: &[CollectionId]) {
    let engine = session.coordinator.engine.clone();
    let catalog = session.coordinator.catalog();
    let mut views = engine.views_that_can_fail(tables);
    // One that is being filled is nobody's yet.
    views.retain(|view| catalog.of_collection(ObjectId(view.0)).is_some());
    if views.is_empty() {
        return;
    }
    // Late or dropped: then there is nothing to say.
    let _ = tokio::time::timeout(WAIT, engine.wait_for(&views, at)).await;
    let mut failed: BTreeMap<CollectionId, (i64, String)> = BTreeMap::new();
    for row in engine.quarantine().failed_at(at) {
        let of_view = failed.entry(row.view).or_insert((0, row.error));
        of_view.0 += row.count;
    }
    let search_path = session.settings.search_path(&session.user);
    for (view, (count, error)) in failed {
        let Some(object) = catalog.of_collection(ObjectId(view.0)) else { continue };
        let name = catalog.display_name(object, &search_path);
        let rows = if count == 1 { "1 row" } else { &format!("{count} rows") };
        let message = format!("materialized view \"{name}\" leaves out {rows}: {error}");
        let mut notice = Notice::note(state::WARNING, message);
        notice.hint = Some("See tidemark.quarantine.".to_owned());
        session.notice(notice);
    }
}
