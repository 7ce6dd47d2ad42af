//! Which names need no schema in front.

use crate::catalog::{Catalog, effective_path};
use crate::object::{ObjectId, Oid};
use crate::pg_type::PgType;
use crate::system::pg_catalog::pg_proc::FUNCTIONS;

/// NULL for an oid that is no relation's.
pub fn pg_table_is_visible(catalog: &Catalog, oid: Oid, search_path: &[String]) -> Option<bool> {
    catalog.lookup_oid(oid).map(|_| catalog.is_visible(oid, search_path))
}

/// Every type is in pg_catalog, which every search path has.
pub fn pg_type_is_visible(oid: Oid) -> Option<bool> {
    PgType::from_oid(oid).map(|_| true)
}

pub fn pg_function_is_visible(catalog: &Catalog, oid: Oid, search_path: &[String]) -> Option<bool> {
    if let Some(function) = ObjectId::from_oid(oid).and_then(|id| catalog.function(id)) {
        let seen = catalog.resolve_function(None, &function.name, search_path);
        return Some(seen.is_some_and(|seen| seen.id == function.id));
    }
    FUNCTIONS.iter().any(|function| function.oid == oid).then_some(true)
}

/// Collations are in pg_catalog, all three of them.
pub fn pg_collation_is_visible(oid: Oid) -> Option<bool> {
    super::regcollation_out(oid).parse::<u32>().is_err().then_some(true)
}

/// The schemas of the search path that exist, in order; with `implicit`, also those that are
/// searched without being named.
pub fn current_schemas(catalog: &Catalog, search_path: &[String], implicit: bool) -> Vec<String> {
    let exists = |name: &&str| catalog.schema(name).is_some();
    if implicit {
        return effective_path(search_path).filter(exists).map(str::to_owned).collect();
    }
    search_path.iter().map(String::as_str).filter(exists).map(str::to_owned).collect()
}

/// Where new objects go: the first schema of the search path that exists.
pub fn current_schema(catalog: &Catalog, search_path: &[String]) -> Option<String> {
    current_schemas(catalog, search_path, false).into_iter().next()
}

/// There are no temporary schemas.
pub fn pg_my_temp_schema() -> Oid {
    Oid::NONE
}

/// There are no temporary schemas.
pub fn pg_is_other_temp_schema() -> bool {
    false
}
