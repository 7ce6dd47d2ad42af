//! Names: the catalog's objects, its history, and how Postgres clients see it.
//!
//! Law      the catalog is a fold over its list of [`Op`]s, which is part of the log: the same list
//!          gives the same catalog, with the same oids
//! Missing  it knows no engine and no SQL: rows, progress and settings come in through
//!          [`system::SystemContext`], view texts are opaque
//!
//! `pg_type` the types · `object`, `op`, `catalog` objects and their changes · `durable` the copy
//! in sled · `system` the relations of pg_catalog, information_schema and tidemark.

pub mod catalog;
pub mod durable;
mod error;
mod function;
mod length;
mod object;
mod op;
pub mod pg_type;
pub mod quote;
pub mod system;

pub use catalog::{
    Catalog, Dropped, FormerHolder, Found, Schema, Version, VersionSelection, effective_path,
};
pub use error::CatalogError;
pub use function::{Argument, Function, FunctionBody, Volatility};
pub use length::Length;
pub use object::{
    Column, CommitTime, Connector, Derived, Object, ObjectId, ObjectKind, Oid, Source, Table, View,
};
pub use op::{CommentTarget, FORMAT_VERSION, Op};
pub use pg_type::PgType;
