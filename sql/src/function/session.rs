//! What functions may know of the session that calls them.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::{ConfigEntry, ConfigExtension, ExtensionOptions};
use tidemark_catalog::Catalog;

use crate::context::Connections;
use crate::settings::Settings;

/// The session's names and settings, carried to functions in the statement's `ConfigOptions`.
#[derive(Clone)]
pub struct SessionInfo {
    pub catalog: Arc<Catalog>,
    pub user: String,
    pub database: String,
    pub settings: Settings,
    pub connections: Option<Arc<dyn Connections>>,
}

impl fmt::Debug for SessionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionInfo of {}", self.user)
    }
}

impl SessionInfo {
    /// The schemas in which a bare name is looked up.
    pub fn search_path(&self) -> Vec<String> {
        self.settings.search_path(&self.user)
    }
}

impl ConfigExtension for SessionInfo {
    const PREFIX: &'static str = "session";
}

impl ExtensionOptions for SessionInfo {
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn std::any::Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    /// Session variables are set by SET, never through DataFusion.
    fn set(&mut self, key: &str, _value: &str) -> Result<()> {
        datafusion::common::not_impl_err!("session.{key} cannot be set here")
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}
