//! Views of the engine that no name stands for: versions that are filled before they come into
//! force, and what a subscription to a plain view follows. They go with their owner.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidemark_engine::{Change, CollectionId, CommitError, Timestamp, ViewDef};

use super::Coordinator;

/// See the module.
pub struct OwnViews {
    coordinator: Arc<Coordinator>,
    /// From below to above.
    views: Vec<CollectionId>,
}

impl OwnViews {
    /// Begins to fill them, and says as of when.
    pub async fn create(
        coordinator: &Arc<Coordinator>,
        views: Vec<ViewDef>,
    ) -> Result<(OwnViews, Timestamp), CommitError> {
        let ids = views.iter().map(|view| view.id).collect();
        let own = OwnViews { coordinator: Arc::clone(coordinator), views: ids };
        let change = Change { create_views: views, ..Change::default() };
        let at = coordinator.submit(change).await?;
        Ok((own, at))
    }

    pub fn ids(&self) -> &[CollectionId] {
        &self.views
    }

    /// They stay, for others know them by now.
    pub fn keep(mut self) {
        self.views.clear();
    }
}

impl Drop for OwnViews {
    fn drop(&mut self) {
        let views = std::mem::take(&mut self.views);
        if !views.is_empty() {
            let coordinator = Arc::clone(&self.coordinator);
            self.coordinator.runtime.spawn(async move { coordinator.drop_views(views).await });
        }
    }
}

impl Coordinator {
    /// A name for a view that the catalog never knows.
    pub fn unnamed(&self) -> CollectionId {
        CollectionId(UNNAMED + self.unnamed.fetch_add(1, Ordering::Relaxed))
    }

    /// Drops views that are not in the catalog, given from below to above.
    pub async fn drop_views(&self, mut views: Vec<CollectionId>) {
        views.reverse();
        let change = Change { drop_views: views, ..Change::default() };
        // A server that is stopping drops everything.
        let _ = self.submit(change).await;
    }
}

/// Above all numbers of the catalog.
const UNNAMED: u64 = 1 << 62;
