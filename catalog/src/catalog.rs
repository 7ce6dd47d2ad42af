//! The catalog: which names mean what, at one moment.
//!
//! Law      a `Catalog` is a value: `clone` is cheap and what a clone answers never changes,
//!          whatever is applied to another. Equal lists of ops make equal catalogs
//! Missing  it does not check that a view's text is right, nor who may do what
//!
//! `apply.rs` is the one way to change it, `functions.rs` its part for functions, `dependents.rs`
//! says what stands on what, `version.rs` what a view's definition was before.

mod apply;
mod dependents;
mod functions;
#[cfg(test)]
mod tests;
mod version;

pub use dependents::Dropped;
pub use version::{Version, VersionSelection};

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::function::Function;
use crate::object::{CommitTime, Derived, Object, ObjectId, Oid};
use crate::system::{self, SystemTable};

/// The schema searched first unless the search path names it.
pub const PG_CATALOG: &str = "pg_catalog";
pub const INFORMATION_SCHEMA: &str = "information_schema";
/// Tidemark's own relations: views and their progress, the quarantine.
pub const TIDEMARK: &str = "tidemark";
pub const PUBLIC: &str = "public";

/// Name, oid and comment of the schemas that are always there.
const SYSTEM_SCHEMAS: [(&str, Oid, Option<&str>); 3] = [
    (PG_CATALOG, Oid(11), Some("system catalog schema")),
    (INFORMATION_SCHEMA, Oid(13207), None),
    (TIDEMARK, Oid(15000), Some("Tidemark's own relations")),
];
const PUBLIC_OID: Oid = Oid(2200);

/// An immutable snapshot of all names; changes by [`Catalog::apply`] on a clone of one's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalog {
    version: u64,
    next_id: ObjectId,
    schemas: Arc<BTreeMap<String, Arc<Schema>>>,
    objects: Arc<BTreeMap<ObjectId, Arc<Entry>>>,
    functions: Arc<BTreeMap<ObjectId, Arc<FunctionEntry>>>,
    /// By schema and name: what was called so before, oldest first.
    former: Arc<BTreeMap<(String, String), Vec<FormerHolder>>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    pub name: String,
    pub oid: Oid,
    pub comment: Option<String>,
    names: BTreeMap<String, Name>,
    functions: BTreeMap<String, ObjectId>,
}

/// What a name in a schema stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Object(ObjectId),
    /// The index of this table's primary key.
    PrimaryKeyIndex(ObjectId),
}

/// An object and, for a view, the versions before it.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    object: Object,
    /// Since when this definition is in force.
    from: CommitTime,
    /// Former definitions, oldest first, each with the time it came into force.
    earlier: Vec<(CommitTime, Object)>,
}

/// A function and what it was before.
#[derive(Clone, Debug, PartialEq)]
struct FunctionEntry {
    function: Function,
    /// Since when it is what it is.
    from: CommitTime,
    /// What it was, oldest first, each with the time since when.
    earlier: Vec<(CommitTime, Function)>,
}

/// An object that once had a name: it was created at `from` and had the name until `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormerHolder {
    pub id: ObjectId,
    pub from: CommitTime,
    pub until: CommitTime,
}

/// What a relation's name leads to.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a> {
    Object(&'a Object),
    /// The primary key's index of this table.
    PrimaryKeyIndex(&'a Object),
    System(&'static SystemTable),
}

impl Found<'_> {
    pub fn oid(&self) -> Oid {
        match self {
            Found::Object(object) => object.oid(),
            Found::PrimaryKeyIndex(table) => table.id.derived(Derived::PrimaryKeyIndex),
            Found::System(table) => table.oid,
        }
    }

    pub fn schema(&self) -> &str {
        match self {
            Found::Object(object) | Found::PrimaryKeyIndex(object) => &object.schema,
            Found::System(table) => table.schema,
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Found::Object(object) => &object.name,
            Found::PrimaryKeyIndex(table) => {
                let name = table.table().and_then(|table| table.primary_key_name());
                name.expect("only tables with a primary key have such an index")
            }
            Found::System(table) => table.name,
        }
    }
}

impl Default for Catalog {
    fn default() -> Self {
        Catalog::new()
    }
}

impl Catalog {
    /// The schemas every database starts with: the three of the system and `public`.
    pub fn new() -> Self {
        let schema = |name: &str, oid, comment: Option<&str>| {
            let comment = comment.map(str::to_owned);
            let schema = Schema::new(name, oid, comment);
            (name.to_owned(), Arc::new(schema))
        };
        let mut schemas: BTreeMap<_, _> =
            SYSTEM_SCHEMAS.into_iter().map(|(name, oid, text)| schema(name, oid, text)).collect();
        schemas.extend([schema(PUBLIC, PUBLIC_OID, Some("standard public schema"))]);
        Catalog {
            version: 0,
            next_id: ObjectId(1),
            schemas: Arc::new(schemas),
            objects: Arc::new(BTreeMap::new()),
            functions: Arc::new(BTreeMap::new()),
            former: Arc::new(BTreeMap::new()),
        }
    }

    /// Number of ops applied: two catalogs of one history are equal when their versions are.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The id the next `CreateObject`, `CreateFunction` or `CreateSchema` should carry.
    pub fn next_id(&self) -> ObjectId {
        self.next_id
    }

    pub fn get(&self, id: ObjectId) -> Option<&Object> {
        self.objects.get(&id).map(|entry| &entry.object)
    }

    /// The number of the engine's collection that holds an object's rows.
    pub fn collection(&self, id: ObjectId) -> ObjectId {
        self.get(id).map_or(id, Object::collection)
    }

    /// The object whose rows a collection holds at present.
    pub fn of_collection(&self, collection: ObjectId) -> Option<&Object> {
        let holds = |object: &&Object| object.collection() == collection;
        self.get(collection).filter(holds).or_else(|| self.objects().find(holds))
    }

    /// Every user object, in order of creation.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.values().map(|entry| &entry.object)
    }

    /// Every schema in order of name, the system's too.
    pub fn schemas(&self) -> impl Iterator<Item = &Schema> {
        self.schemas.values().map(Arc::as_ref)
    }

    pub fn schema(&self, name: &str) -> Option<&Schema> {
        self.schemas.get(name).map(Arc::as_ref)
    }

    /// The user object a name means. `None` also when the name means something else: a system table
    /// shadows one in `public`, and an index is no table; [`Catalog::lookup`] tells them apart.
    pub fn resolve(
        &self,
        schema: Option<&str>,
        name: &str,
        search_path: &[String],
    ) -> Option<&Object> {
        match self.lookup(schema, name, search_path)? {
            Found::Object(object) => Some(object),
            Found::PrimaryKeyIndex(_) | Found::System(_) => None,
        }
    }

    /// What a relation name means: in `schema` if given, else in the first schema of the search
    /// path that has it, `pg_catalog` coming first unless the path names it.
    pub fn lookup(
        &self,
        schema: Option<&str>,
        name: &str,
        search_path: &[String],
    ) -> Option<Found<'_>> {
        match schema {
            Some(schema) => self.lookup_in(schema, name),
            None => effective_path(search_path).find_map(|schema| self.lookup_in(schema, name)),
        }
    }

    /// The relation of an oid: an object, a primary key's index or a system table.
    pub fn lookup_oid(&self, oid: Oid) -> Option<Found<'_>> {
        if let Some(id) = ObjectId::from_oid(oid) {
            return self.get(id).map(Found::Object);
        }
        if let Some(id) = ObjectId::from_derived(Derived::PrimaryKeyIndex, oid) {
            let table = self.get(id)?;
            return table.table()?.primary_key_name().map(|_| Found::PrimaryKeyIndex(table));
        }
        system::find_oid(oid).map(Found::System)
    }

    /// Whether the relation is what its bare name means under this search path.
    pub fn is_visible(&self, oid: Oid, search_path: &[String]) -> bool {
        self.lookup_oid(oid).is_some_and(|found| {
            let seen = self.lookup(None, found.name(), search_path);
            seen.is_some_and(|seen| seen.oid() == oid)
        })
    }

    /// The schema that `CREATE TABLE name` creates in: the first of the path that exists.
    pub fn creation_schema(&self, search_path: &[String]) -> Option<&str> {
        let mut existing = search_path.iter().filter_map(|name| self.schema(name));
        existing.next().map(|schema| schema.name.as_str())
    }

    fn lookup_in(&self, schema: &str, name: &str) -> Option<Found<'_>> {
        if let Some(table) = system::find(schema, name) {
            return Some(Found::System(table));
        }
        match self.schemas.get(schema)?.names.get(name)? {
            Name::Object(id) => self.get(*id).map(Found::Object),
            Name::PrimaryKeyIndex(id) => self.get(*id).map(Found::PrimaryKeyIndex),
        }
    }
}

impl Schema {
    fn new(name: &str, oid: Oid, comment: Option<String>) -> Self {
        Schema {
            name: name.to_owned(),
            oid,
            comment,
            names: BTreeMap::new(),
            functions: BTreeMap::new(),
        }
    }

    /// The objects in this schema, by name.
    pub fn objects(&self) -> impl Iterator<Item = ObjectId> {
        self.names.values().filter_map(|name| match name {
            Name::Object(id) => Some(*id),
            Name::PrimaryKeyIndex(_) => None,
        })
    }

    /// The functions in this schema, by name.
    pub fn functions(&self) -> impl Iterator<Item = ObjectId> {
        self.functions.values().copied()
    }

    /// Whether it is one of Postgres' or Tidemark's own, in which nothing can be created.
    pub fn is_system(&self) -> bool {
        is_system_schema(&self.name)
    }
}

pub fn is_system_schema(name: &str) -> bool {
    SYSTEM_SCHEMAS.iter().any(|(system, ..)| *system == name)
}

/// The schemas a bare name is looked for in, in order.
pub fn effective_path(search_path: &[String]) -> impl Iterator<Item = &str> {
    let implicit = !search_path.iter().any(|schema| schema == PG_CATALOG);
    implicit.then_some(PG_CATALOG).into_iter().chain(search_path.iter().map(String::as_str))
}
