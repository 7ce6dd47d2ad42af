//! Comments, and the names behind small numbers.

use crate::catalog::Catalog;
use crate::object::{ObjectId, Oid};
use crate::system::relation::OWNER;

/// `obj_description(oid, catalog)`: the comment on a relation or schema. `class` is the name of the
/// system table that lists the object; `None` looks in all, as the one-argument form does.
pub fn obj_description(catalog: &Catalog, oid: Oid, class: Option<&str>) -> Option<String> {
    let is = |name| class.is_none_or(|class| class == name);
    if is("pg_class") {
        let object = ObjectId::from_oid(oid).and_then(|id| catalog.get(id));
        if let Some(object) = object {
            return object.comment.clone();
        }
    }
    if is("pg_namespace") {
        return catalog.schemas().find(|schema| schema.oid == oid)?.comment.clone();
    }
    None
}

/// The comment on a column; `number` counts from 1.
pub fn col_description(catalog: &Catalog, relation: Oid, number: i32) -> Option<String> {
    let object = catalog.get(ObjectId::from_oid(relation)?)?;
    let column = usize::try_from(number.checked_sub(1)?).ok()?;
    object.column_comments.get(&column).cloned()
}

/// Databases, roles and tablespaces have no comments.
pub fn shobj_description() -> Option<String> {
    None
}

/// Everybody is the one owner, who has the session's name.
pub fn pg_get_userbyid(user: &str, oid: Oid) -> String {
    if oid == OWNER { user.to_owned() } else { format!("unknown (OID={oid})") }
}

/// Text is UTF8 and nothing else; other numbers get Postgres' empty answer.
pub fn pg_encoding_to_char(encoding: i32) -> &'static str {
    match encoding {
        0 => "SQL_ASCII",
        6 => "UTF8",
        8 => "LATIN1",
        _ => "",
    }
}

/// Postgres' tablespaces inside the data directory have no location.
pub fn pg_tablespace_location() -> &'static str {
    ""
}

/// Whether a publication could carry the relation: the user's tables only.
pub fn pg_relation_is_publishable(catalog: &Catalog, oid: Oid) -> bool {
    let object = ObjectId::from_oid(oid).and_then(|id| catalog.get(id));
    object.is_some_and(|object| object.table().is_some())
}
