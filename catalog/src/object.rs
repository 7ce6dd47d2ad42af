//! What has a name: tables, views, materialized views, and the oids that clients know them by.
//!
//! Law      an `ObjectId` is never given twice, whatever is dropped; every oid is a function of it,
//!          so that oids survive restarts and a rebuilt catalog
//! Missing  owners and privileges (there are no roles yet), sequences, indexes of their own

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::length::Length;
use crate::pg_type::PgType;

/// An object's identity for ever, also the engine's `CollectionId` of the same number. Starts at 1.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default,
)]
pub struct ObjectId(pub u64);

/// A Postgres object identifier, as clients see it. Below 16384 it belongs to the system.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default,
)]
pub struct Oid(pub u32);

/// A commit's time, microseconds since the Unix epoch: what the engine calls `Timestamp`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default,
)]
pub struct CommitTime(pub u64);

impl CommitTime {
    /// Not committed yet: later than every time there is.
    pub const STAGED: CommitTime = CommitTime(u64::MAX);
}

/// Objects have the oids from here to `DERIVED`; above, each kind of derived oid has its own range.
const FIRST_USER: u32 = 16384;
/// Width of a derived range, in oids.
const DERIVED: u32 = 1 << 29;

impl Oid {
    /// Postgres' InvalidOid, "none".
    pub const NONE: Oid = Oid(0);

    pub fn is_system(self) -> bool {
        self.0 < FIRST_USER
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The oids that belong to an object without being stored: a function of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Derived {
    /// The index of a table's primary key.
    PrimaryKeyIndex,
    /// The constraint of a table's primary key.
    PrimaryKey,
    /// A view's rewrite rule, `_RETURN`.
    Rule,
}

impl Derived {
    fn base(self) -> u32 {
        match self {
            Derived::PrimaryKeyIndex => DERIVED,
            Derived::PrimaryKey => 2 * DERIVED,
            Derived::Rule => 3 * DERIVED,
        }
    }
}

impl ObjectId {
    pub fn oid(self) -> Oid {
        assert!(self.0 < u64::from(DERIVED - FIRST_USER), "object ids are exhausted");
        Oid(FIRST_USER + u32::try_from(self.0).expect("just checked"))
    }

    /// The object of this oid, `None` for system oids and derived ones.
    pub fn from_oid(oid: Oid) -> Option<ObjectId> {
        (FIRST_USER..DERIVED).contains(&oid.0).then(|| ObjectId(u64::from(oid.0 - FIRST_USER)))
    }

    pub fn derived(self, what: Derived) -> Oid {
        Oid(what.base() + self.oid().0)
    }

    /// Undoes [`ObjectId::derived`].
    pub fn from_derived(what: Derived, oid: Oid) -> Option<ObjectId> {
        ObjectId::from_oid(Oid(oid.0.checked_sub(what.base())?))
    }

    /// pg_attrdef.oid of a column's default. Unique among the first 2²⁰ objects (tables may have
    /// 1,600 columns); nothing refers to it but the row itself.
    pub fn default_oid(self, column: usize) -> Oid {
        let object = u32::try_from(self.0 % (1 << 20)).expect("below 2^20");
        let column = u32::try_from(column % 2048).expect("below 2048");
        Oid((1 << 31) | (object << 11) | column)
    }
}

/// Anything named in the catalog, below its schema. Tables, views, materialized views and sources
/// share one space of names per schema, with the indexes of primary keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Object {
    pub id: ObjectId,
    pub schema: String,
    pub name: String,
    pub kind: ObjectKind,
    /// `COMMENT ON TABLE` and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// `COMMENT ON COLUMN`, by column index.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub column_comments: BTreeMap<usize, String>,
    /// `WITH (history_retention = '7 days')` of a materialized view, of all its versions: how long
    /// its own changes are stored. `None`: as long as the engine does by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_retention: Option<Length>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ObjectKind {
    Table(Table),
    View(View),
    MaterializedView(View),
    Source(Source),
}

/// A log outside; what its entries are rows of are tables of their own, which name it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    pub connector: Connector,
}

/// `WITH (connector = 'name', …)`: where rows come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connector {
    pub name: String,
    /// The other options, as written.
    pub options: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    pub columns: Vec<Column>,
    /// Indexes into `columns`, in the order of the constraint; empty: no primary key.
    pub primary_key: Vec<usize>,
    /// Name of the primary key's constraint and index; `None` on the way in means the default,
    /// `{table}_pkey`, which [`Catalog::apply`](crate::Catalog::apply) then fills in.
    #[serde(default)]
    pub primary_key_name: Option<String>,
    /// `WITH (append_only = true)`: rows are inserted, never changed or deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub append_only: bool,
    /// `WITH (event_time = 'ts')`: the column that says when a row happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time: Option<usize>,
    /// The source whose rows these are: only it brings them, and they stay where they come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ObjectId>,
    /// `WITH (connector = …)`: rows also come from there, and are kept as any others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connector: Option<Connector>,
    /// `WITH (retention = '90 days')`: how long before the present its past is kept; `None`: for
    /// ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Length>,
    /// `WITH (ttl = '90 days')`: how long after its arrival a row goes; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Length>,
    /// Whether it had a ttl once: rows have gone, whatever it says of itself now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub had_ttl: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    pub ty: PgType,
    /// The type's modifier, −1: none.
    pub typmod: i32,
    pub not_null: bool,
    /// SQL text of the DEFAULT expression.
    pub default: Option<String>,
}

/// One version of a view's definition; plain and materialized views are defined alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// The query after AS, as written, without a semicolon at the end.
    pub sql: String,
    pub columns: Vec<Column>,
    /// Tables and views that the query reads, directly.
    pub depends_on: Vec<ObjectId>,
    /// Columns that identify a row, where that could be derived.
    pub key: Option<Vec<usize>>,
    /// Of a materialized view: its rows never leave it, by its plan.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub append_only: bool,
    /// Functions that the text uses, also inside other functions: a name in it means one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<ObjectId>,
    /// From 1; [`Catalog::apply`](crate::Catalog::apply) numbers versions, whatever stands here.
    pub version: u32,
    /// Of a materialized view: the collection that holds this version's rows, numbered like an
    /// object. `None`: the object's own number, as its first version has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<ObjectId>,
    /// The creator's session settings that the text means something by (S11).
    pub search_path: Vec<String>,
    pub time_zone: String,
    /// What each relation name in `sql`, as written there, meant at creation: bindings are by id
    /// (S22). Names not listed go through `search_path`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bindings: BTreeMap<String, ObjectId>,
    /// How many columns each relation that the text names had when it was written: `*` goes on
    /// meaning these when more are added. Relations not listed have all of theirs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub widths: BTreeMap<ObjectId, usize>,
    /// What the columns of relations were called when the text was written, where that has
    /// changed since; of those that its `widths` let it see.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<ObjectId, Vec<String>>,
}

impl Object {
    pub fn new(id: ObjectId, schema: &str, name: &str, kind: ObjectKind) -> Self {
        Object {
            id,
            schema: schema.to_owned(),
            name: name.to_owned(),
            kind,
            comment: None,
            column_comments: BTreeMap::new(),
            history_retention: None,
        }
    }

    pub fn oid(&self) -> Oid {
        self.id.oid()
    }

    pub fn columns(&self) -> &[Column] {
        match &self.kind {
            ObjectKind::Table(table) => &table.columns,
            ObjectKind::View(view) | ObjectKind::MaterializedView(view) => &view.columns,
            ObjectKind::Source(_) => &[],
        }
    }

    /// The engine's number for the collection that holds its rows. Of a plain view, which holds
    /// none, its own.
    pub fn collection(&self) -> ObjectId {
        self.view().and_then(|view| view.collection).unwrap_or(self.id)
    }

    /// Index of the column of this name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns().iter().position(|column| column.name == name)
    }

    pub fn table(&self) -> Option<&Table> {
        match &self.kind {
            ObjectKind::Table(table) => Some(table),
            ObjectKind::View(_) | ObjectKind::MaterializedView(_) | ObjectKind::Source(_) => None,
        }
    }

    /// Where the rows of a source, or of a table that has them from outside, come from.
    pub fn connector(&self) -> Option<&Connector> {
        match &self.kind {
            ObjectKind::Source(source) => Some(&source.connector),
            ObjectKind::Table(table) => table.connector.as_ref(),
            ObjectKind::View(_) | ObjectKind::MaterializedView(_) => None,
        }
    }

    /// Whether rows of it can be read.
    pub fn is_relation(&self) -> bool {
        !matches!(self.kind, ObjectKind::Source(_))
    }

    /// What was said in WITH (…), as pg_class.reloptions has it: `retention=90 days`.
    pub fn options(&self) -> Vec<String> {
        let length = |name: &str, length: Option<Length>| Some(format!("{name}={}", length?));
        let options = match self.table() {
            Some(table) => {
                let event_time = table.event_time.map(|column| &table.columns[column].name);
                vec![
                    table.append_only.then(|| "append_only=true".to_owned()),
                    event_time.map(|column| format!("event_time={column}")),
                    length("retention", table.retention),
                    length("ttl", table.ttl),
                ]
            }
            None => vec![length("history_retention", self.history_retention)],
        };
        options.into_iter().flatten().collect()
    }

    /// The present definition of a plain or materialized view.
    pub fn view(&self) -> Option<&View> {
        match &self.kind {
            ObjectKind::Table(_) | ObjectKind::Source(_) => None,
            ObjectKind::View(view) | ObjectKind::MaterializedView(view) => Some(view),
        }
    }

    pub fn depends_on(&self) -> &[ObjectId] {
        self.view().map_or(&[], |view| &view.depends_on)
    }

    /// Functions that a view's text uses.
    pub fn functions(&self) -> &[ObjectId] {
        self.view().map_or(&[], |view| &view.functions)
    }
}

impl ObjectKind {
    /// As messages call it: `table`, `view`, `materialized view`, `source`.
    pub fn noun(&self) -> &'static str {
        match self {
            ObjectKind::Table(_) => "table",
            ObjectKind::View(_) => "view",
            ObjectKind::MaterializedView(_) => "materialized view",
            ObjectKind::Source(_) => "source",
        }
    }

    /// pg_class.relkind; sources, which have no rows of their own, do not stand there.
    pub fn relkind(&self) -> char {
        match self {
            ObjectKind::Table(_) => 'r',
            ObjectKind::View(_) => 'v',
            ObjectKind::MaterializedView(_) => 'm',
            ObjectKind::Source(_) => '-',
        }
    }
}

impl Table {
    /// A table of these columns, without anything else.
    pub fn new(columns: Vec<Column>) -> Table {
        Table {
            columns,
            primary_key: vec![],
            primary_key_name: None,
            append_only: false,
            event_time: None,
            retention: None,
            ttl: None,
            had_ttl: false,
            source: None,
            connector: None,
        }
    }

    /// Whether no row ever leaves it, or left it: time lets those of a table with a ttl go.
    pub fn keeps_rows(&self) -> bool {
        self.append_only && self.ttl.is_none() && !self.had_ttl
    }

    /// The name of the primary key's constraint and index, if there is a key.
    pub fn primary_key_name(&self) -> Option<&str> {
        self.primary_key_name.as_deref().filter(|_| !self.primary_key.is_empty())
    }
}

/// How the names of dropped columns begin. They stay where they are, for the rows and versions of
/// views that have them.
const DROPPED: &str = "........pg.dropped.";

impl Column {
    /// Whether this is the name of a dropped column.
    pub fn is_name_of_dropped(name: &str) -> bool {
        name.starts_with(DROPPED)
    }

    pub fn is_dropped(&self) -> bool {
        Column::is_name_of_dropped(&self.name)
    }

    /// What is left of the column of this index when it is dropped.
    pub(crate) fn dropped(&self, index: usize) -> Column {
        let name = format!("{DROPPED}{}........", index + 1);
        Column { name, not_null: false, default: None, ..self.clone() }
    }

    pub fn new(name: &str, ty: PgType) -> Self {
        Column { name: name.to_owned(), ty, typmod: -1, not_null: false, default: None }
    }

    /// The Arrow field of the column: nullable unless NOT NULL.
    pub fn field(&self) -> arrow::datatypes::Field {
        let data_type = self.ty.to_arrow(self.typmod);
        arrow::datatypes::Field::new(&self.name, data_type, !self.not_null)
    }
}

impl View {
    /// Whether it reads this object or uses this function.
    pub fn stands_on(&self, id: ObjectId) -> bool {
        self.depends_on.contains(&id) || self.functions.contains(&id)
    }

    /// Whether `other` says the same, wherever its rows are: replacing by it makes no new version
    /// unless something below it has one.
    pub fn same_definition(&self, other: &View) -> bool {
        let (version, collection) = (self.version, self.collection);
        *self == View { version, collection, ..other.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_oids_lead_back_and_do_not_meet() {
        let id = ObjectId(7);
        assert_eq!(id.oid(), Oid(16391));
        assert_eq!(ObjectId::from_oid(Oid(16391)), Some(id));
        assert_eq!(ObjectId::from_oid(Oid(1259)), None);
        let kinds = [Derived::PrimaryKeyIndex, Derived::PrimaryKey, Derived::Rule];
        for what in kinds {
            let oid = id.derived(what);
            assert_eq!(ObjectId::from_oid(oid), None);
            for other in kinds {
                let back = ObjectId::from_derived(other, oid);
                assert_eq!(back, (other == what).then_some(id));
            }
        }
        assert!(id.default_oid(1599) > id.derived(Derived::Rule));
        assert_ne!(id.default_oid(0), id.default_oid(1));
    }
}
