//! memory: how many bytes tables and views take, in parts, and what the process holds.
//!
//! `part` of a table or a view is `rows` (those that are there and those that ended and someone may
//! still read), `past` (those that ended before) or `key index`; of a materialized view also each
//! of its operators, as EXPLAIN shows it, with the rows of its state. `page_faults` is how often an
//! operator waited for a page that `--memory` had put out of the process, or that is new, and
//! `hit_rate` the share of the rows that came for which it did not, at least; both are NULL without
//! a limit. Of the process: `resident` of its pages are in memory, `file` is what of it lies in
//! the file that pages go to, and `limit`.

use crate::catalog::TIDEMARK;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::column::{Column, Value, build, column, describe, optional};
use crate::system::{MemoryPart, SystemContext, SystemTable};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: TIDEMARK,
    name: "memory",
    oid: Oid(15012),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context: &SystemContext| build(COLUMNS, rows(context)),
};

const COLUMNS: &[Column<Row>] = &[
    optional("schema_name", PgType::Name, |row| Value::or_null(row.of.as_ref().map(|of| &*of.0))),
    optional("relation_name", PgType::Name, |row| Value::or_null(row.of.as_ref().map(|of| &*of.1))),
    column("part", PgType::Text, |row| (&row.part.name).into()),
    optional("rows", PgType::Int8, |row| integer(row.part.rows)),
    optional("bytes", PgType::Int8, |row| integer(row.part.bytes)),
    optional("page_faults", PgType::Int8, |row| integer(row.part.page_faults)),
    optional("hit_rate", PgType::Float8, |row| row.part.hit_rate.map_or(Value::Null, Value::Float)),
];

struct Row {
    /// The schema's and the relation's name; `None`: the process.
    of: Option<(String, String)>,
    part: MemoryPart,
}

fn rows(context: &SystemContext) -> Vec<Row> {
    let row = |part: &MemoryPart| {
        let of = match part.of {
            Some(id) => {
                let object = context.catalog.get(id)?;
                Some((object.schema.clone(), object.name.clone()))
            }
            None => None,
        };
        Some(Row { of, part: part.clone() })
    };
    context.memory.iter().filter_map(row).collect()
}

fn integer(number: Option<u64>) -> Value<'static> {
    number.map_or(Value::Null, |number| i64::try_from(number).unwrap_or(i64::MAX).into())
}
