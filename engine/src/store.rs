//! The store: the rows of tables and of views' outputs, readable at every time that still matters.
//!
//! A [`Relation`] holds the rows; each shard of it is written by one [`Writer`] and read by anyone.
//! A row is there at `at` iff begin ≤ at < end. The [`Horizon`] knows the oldest time that is read
//! as the present: rows that ended at or before it move into the past, which is kept within limits.
//! [`Tables`] is the list of the tables' relations.

mod arrived;
mod backdate;
mod chunk;
mod compact;
mod horizon;
mod index;
mod kept;
mod key;
mod keyed;
mod load;
mod outside;
mod past;
mod relation;
mod spans;
mod tables;
mod ttl;
mod value;
mod view;
mod widen;
mod writer;

#[cfg(test)]
mod tests;

pub use arrived::{ARRIVED_AT, arrival_column, with_arrived_at, with_versions};
pub use backdate::{LoadError, LoadPart, Loaded, PreparedLoad, TableLoad};
pub use chunk::Rows;
pub(crate) use chunk::payload_bytes;
pub use horizon::{Horizon, ReadAtError, ReadGuard};
pub(crate) use kept::KeptRows;
pub use keyed::{AddedKey, KeyError};
pub use load::Loader;
pub use outside::Outside;
pub use relation::{Lookup, Relation, RelationSize};
pub use spans::Spans;
pub(crate) use spans::changes_of_versions;
pub use tables::{TableDef, Tables};
pub(crate) use value::{hash_into, identical, is_hashed};
pub use widen::AddedColumn;
pub use writer::{Prepared, TableWrite, WriteError, Writer, Written};
