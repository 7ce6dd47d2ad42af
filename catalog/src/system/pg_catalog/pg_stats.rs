//! pg_stats: column statistics. Empty: what there is of them is not listed.

use crate::catalog::PG_CATALOG;
use crate::object::Oid;
use crate::pg_type::PgType;
use crate::system::SystemTable;
use crate::system::column::{Column, NoRow, describe, no_rows, null};

pub(in crate::system) const TABLE: SystemTable = SystemTable {
    schema: PG_CATALOG,
    name: "pg_stats",
    oid: Oid(12053),
    relkind: 'v',
    definition: || describe(COLUMNS),
    arrays: |_| no_rows(COLUMNS),
};

const COLUMNS: &[Column<NoRow>] = &[
    null("schemaname", PgType::Name),
    null("tablename", PgType::Name),
    null("attname", PgType::Name),
    null("inherited", PgType::Bool),
    null("null_frac", PgType::Float4),
    null("avg_width", PgType::Int4),
    null("n_distinct", PgType::Float4),
    null("most_common_vals", PgType::AnyArray),
    null("most_common_freqs", PgType::Array(&PgType::Float4)),
    null("histogram_bounds", PgType::AnyArray),
    null("correlation", PgType::Float4),
    null("most_common_elems", PgType::AnyArray),
    null("most_common_elem_freqs", PgType::Array(&PgType::Float4)),
    null("elem_count_histogram", PgType::Array(&PgType::Float4)),
];
