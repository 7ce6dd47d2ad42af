//! quarantine: rows that an operator of a view could not evaluate (S10), from the context.

use crate::catalog::{PUBLIC, TIDEMARK};
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::column::{Column, build, column, describe};
use crate::system::{Quarantined, SystemContext, SystemTable};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: TIDEMARK,
    name: "quarantine",
    oid: Oid(15003),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |context| build(COLUMNS, rows(context)),
};

const COLUMNS: &[Column<Row>] = &[
    column("view", PgType::Text, |row| (&row.view).into()),
    column("operator", PgType::Text, |row| (&row.entry.operator).into()),
    column("row", PgType::Text, |row| (&row.entry.row).into()),
    column("error", PgType::Text, |row| (&row.entry.error).into()),
    column("time", PgType::Timestamptz, |row| row.entry.time.into()),
];

struct Row {
    /// The view's name, with its schema unless that is `public`.
    view: String,
    entry: Quarantined,
}

fn rows(context: &SystemContext) -> Vec<Row> {
    let catalog = &context.catalog;
    let public = [PUBLIC.to_owned()];
    let name = |entry: &Quarantined| match catalog.get(entry.view) {
        Some(view) => catalog.display_name(view, &public),
        None => entry.view.to_string(),
    };
    let row = |entry: &Quarantined| Row { view: name(entry), entry: entry.clone() };
    context.quarantine.iter().map(row).collect()
}
