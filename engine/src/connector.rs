//! Connectors: the kinds of logs outside of Tidemark that rows come from.
//!
//! Law
//! - What a log has given for its offsets it gives again, the same and for ever: the engine's own
//!   log keeps offsets and no rows, so the past of a source is read where it came from.
//! - Offsets count what a log holds, from 0 on and without gaps. The rows of a relation at
//!   [from, to) follow those at [0, from).
//!
//! A connector is one file and one line in [`CONNECTORS`].
//!
//! Missing   logs that can be away: [`OutsideLog::read`] answers

mod nexmark;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

/// All of them, in order of name.
pub const CONNECTORS: &[Connector] = &[nexmark::CONNECTOR];

/// The options of a source by name, as written.
pub type Options = BTreeMap<String, String>;

/// A kind of log.
#[derive(Debug)]
pub struct Connector {
    pub name: &'static str,
    /// What it is told, by name and meaning.
    pub options: &'static [(&'static str, &'static str)],
    open: fn(&Options) -> Result<Arc<dyn OutsideLog>, OptionError>,
}

/// Why a log cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    #[error("there is no connector \"{0}\"")]
    Connector(String),
    #[error("connector \"{connector}\" has no option \"{option}\"")]
    Unknown { connector: &'static str, option: String },
    #[error("invalid value for option \"{option}\": \"{value}\"")]
    Value {
        option: &'static str,
        value: String,
        /// What it takes, in words.
        takes: &'static str,
    },
}

/// A log: it may grow, and never changes what it has.
pub trait OutsideLog: Debug + Send + Sync {
    /// What its entries are rows of.
    fn relations(&self) -> &[OutsideRelation];

    /// The offset behind its last entry; `None` while no end of it is known.
    fn end(&self) -> Option<u64>;

    /// How many entries a second it grows by; `None` if all of them are there already.
    fn rate(&self) -> Option<u64>;

    /// How many rows a relation has at offsets below this one.
    fn rows_before(&self, relation: usize, offset: u64) -> u64;

    /// The rows of a relation at [from, to), in its columns.
    fn read(&self, relation: usize, from: u64, to: u64) -> RecordBatch;
}

/// What some entries of a log are rows of.
#[derive(Clone, Debug)]
pub struct OutsideRelation {
    pub name: &'static str,
    pub schema: SchemaRef,
    /// The column that says when a row happened.
    pub event_time: Option<usize>,
}

/// Opens a log of the connector of this name.
pub fn open(name: &str, options: &Options) -> Result<Arc<dyn OutsideLog>, OptionError> {
    let connector = CONNECTORS.iter().find(|connector| connector.name == name);
    let connector = connector.ok_or_else(|| OptionError::Connector(name.to_owned()))?;
    let known = |option: &&String| connector.options.iter().any(|(name, _)| name == option);
    if let Some(option) = options.keys().find(|option| !known(option)) {
        let (connector, option) = (connector.name, option.clone());
        return Err(OptionError::Unknown { connector, option });
    }
    (connector.open)(options)
}

/// Whether an option says so; no, without it.
fn flag(options: &Options, option: &'static str) -> Result<bool, OptionError> {
    let Some(value) = options.get(option) else { return Ok(false) };
    let takes = "true or false";
    value.parse().map_err(|_| OptionError::Value { option, value: value.clone(), takes })
}

/// The number that an option says, if it is there.
fn number(options: &Options, option: &'static str) -> Result<Option<u64>, OptionError> {
    let Some(value) = options.get(option) else { return Ok(None) };
    let number = value.replace('_', "").parse();
    let takes = "a whole number";
    number.map(Some).map_err(|_| OptionError::Value { option, value: value.clone(), takes })
}
