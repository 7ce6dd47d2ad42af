//! One change of the catalog, as the log and the catalog store keep it.
//!
//! Law      a catalog is the ops applied in order; `from_bytes(to_bytes(op))` is `op`, and bytes
//!          written by an older format stay readable
//! Missing  no transactions: ops of one commit stand next to each other with one time

use serde::{Deserialize, Serialize};

use crate::error::CatalogError;
use crate::function::Function;
use crate::length::Length;
use crate::object::{Object, ObjectId};

/// Written in front of every record. Adding a field with a serde default keeps the number, and so
/// does a new op, which an older program refuses by its name; anything else raises it, and
/// `from_bytes` keeps reading the lower ones.
pub const FORMAT_VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Op {
    CreateSchema {
        id: ObjectId,
        name: String,
    },
    DropSchema {
        name: String,
    },
    RenameSchema {
        name: String,
        to: String,
    },
    CreateObject(Object),
    /// A new definition under the same id. Schema, name and comments stay what they were, whatever
    /// the object says; a view keeps the old definition as a version.
    ReplaceObject(Object),
    DropObject(ObjectId),
    /// A new name in the same schema.
    Rename {
        id: ObjectId,
        to: String,
    },
    /// A table's column goes, by index; versions of views that name it go on.
    DropColumn {
        id: ObjectId,
        column: usize,
    },
    /// A new name for a table's column, by index. Texts of views go on by the old one.
    RenameColumn {
        id: ObjectId,
        column: usize,
        to: String,
    },
    /// How long a materialized view keeps its own changes; `None`: as long as by itself.
    KeepHistory {
        id: ObjectId,
        length: Option<Length>,
    },
    Comment {
        on: CommentTarget,
        text: Option<String>,
    },
    CreateFunction(Function),
    /// A new body, and what else is said of it, for the same parameters and result.
    ReplaceFunction(Function),
    DropFunction(ObjectId),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommentTarget {
    Schema(String),
    Object(ObjectId),
    /// Column by index.
    Column(ObjectId, usize),
}

#[derive(Serialize)]
struct RecordOut<'a> {
    format: u32,
    op: &'a Op,
}

/// The format alone, to be read before the rest is trusted.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

#[derive(Deserialize)]
struct RecordIn {
    op: Op,
}

impl Op {
    /// The record: `{"format":1,"op":{"DropObject":7}}`.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&RecordOut { format: FORMAT_VERSION, op: self })
            .expect("ops hold strings, numbers and maps with number keys: all of it is JSON")
    }

    /// Reads a record; one of a newer format is refused by its number, not misread.
    pub fn from_bytes(bytes: &[u8]) -> Result<Op, CatalogError> {
        let unreadable = |error: serde_json::Error| CatalogError::Unreadable(error.to_string());
        let Format { format } = serde_json::from_slice(bytes).map_err(unreadable)?;
        match format {
            FORMAT_VERSION => {
                let record: RecordIn = serde_json::from_slice(bytes).map_err(unreadable)?;
                Ok(record.op)
            }
            other => Err(CatalogError::Unreadable(format!(
                "catalog record has format {other}, this program reads up to {FORMAT_VERSION}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests;
