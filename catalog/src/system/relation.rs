//! Every relation there is, as rows: user objects, the indexes of their primary keys, and the
//! system relations themselves. pg_class, pg_attribute and information_schema are made from these.

use std::collections::HashMap;

use super::{SYSTEM_TABLES, SystemContext, SystemTable};
use crate::catalog::Catalog;
use crate::object::{self, Derived, Object, ObjectId, ObjectKind, Oid};
use crate::pg_type::PgType;

/// Postgres' bootstrap superuser; owns everything.
pub(super) const OWNER: Oid = Oid(10);
/// The heap and btree access methods.
pub(super) const HEAP: Oid = Oid(2);
pub(super) const BTREE: Oid = Oid(403);

pub(super) struct Relation {
    pub oid: Oid,
    /// The user object; `None` for system relations. An index has its table's.
    pub id: Option<ObjectId>,
    pub schema: String,
    pub schema_oid: Oid,
    pub name: String,
    /// pg_class.relkind.
    pub kind: char,
    pub attributes: Vec<Attribute>,
    pub has_index: bool,
    /// Rows, −1 when not known.
    pub tuples: f64,
    /// pg_class.reloptions.
    pub options: Vec<String>,
}

/// A column of a relation.
pub(super) struct Attribute {
    pub relation: Oid,
    /// From 1.
    pub number: i16,
    pub name: String,
    pub ty: PgType,
    pub typmod: i32,
    pub not_null: bool,
    /// SQL text of its DEFAULT.
    pub default: Option<String>,
}

/// The index and constraint of a table's primary key.
pub(super) struct PrimaryKey {
    pub table: ObjectId,
    pub name: String,
    pub schema: String,
    pub schema_oid: Oid,
    pub table_name: String,
    /// Column numbers, from 1, in the order of the constraint.
    pub columns: Vec<i16>,
    pub attributes: Vec<Attribute>,
}

impl Relation {
    pub fn is_view(&self) -> bool {
        matches!(self.kind, 'v' | 'm')
    }

    pub fn is_index(&self) -> bool {
        self.kind == 'i'
    }

    pub fn has_storage(&self) -> bool {
        self.kind != 'v'
    }

    /// pg_class.relam: views have no access method.
    pub fn access_method(&self) -> Oid {
        match self.kind {
            'i' => BTREE,
            'v' => Oid::NONE,
            _ => HEAP,
        }
    }
}

impl PrimaryKey {
    pub fn index_oid(&self) -> Oid {
        self.table.derived(Derived::PrimaryKeyIndex)
    }

    pub fn constraint_oid(&self) -> Oid {
        self.table.derived(Derived::PrimaryKey)
    }
}

/// All relations: the system's, then the user's, each table followed by its index.
pub(super) fn relations(context: &SystemContext) -> Vec<Relation> {
    let catalog = &context.catalog;
    let counts: HashMap<ObjectId, u64> =
        context.row_counts.iter().map(|count| (count.id, count.rows)).collect();
    let system = SYSTEM_TABLES.iter().map(|table| system_relation(catalog, table));
    let user = catalog.objects().filter(|object| object.is_relation()).flat_map(|object| {
        let index = primary_key(catalog, object).map(index_relation);
        [Some(user_relation(catalog, &counts, object)), index].into_iter().flatten()
    });
    system.chain(user).collect()
}

/// Tables, views and materialized views, without indexes: what information_schema lists.
pub(super) fn tables_and_views(context: &SystemContext) -> Vec<Relation> {
    relations(context).into_iter().filter(|relation| !relation.is_index()).collect()
}

pub(super) fn primary_keys(catalog: &Catalog) -> Vec<PrimaryKey> {
    catalog.objects().filter_map(|object| primary_key(catalog, object)).collect()
}

pub(super) fn primary_key(catalog: &Catalog, object: &Object) -> Option<PrimaryKey> {
    let table = object.table()?;
    let name = table.primary_key_name()?;
    let columns = table.primary_key.iter().map(|column| number(*column)).collect();
    let index = object.id.derived(Derived::PrimaryKeyIndex);
    let attributes = table.primary_key.iter().enumerate().map(|(at, column)| Attribute {
        not_null: false,
        default: None,
        ..attribute(index, at, &table.columns[*column])
    });
    Some(PrimaryKey {
        table: object.id,
        name: name.to_owned(),
        schema: object.schema.clone(),
        schema_oid: schema_oid(catalog, &object.schema),
        table_name: object.name.clone(),
        columns,
        attributes: attributes.collect(),
    })
}

/// A column's number as Postgres counts, from 1.
pub(super) fn number(column: usize) -> i16 {
    i16::try_from(column + 1).expect("a table has at most 1600 columns")
}

pub(super) fn schema_oid(catalog: &Catalog, name: &str) -> Oid {
    catalog.schema(name).map_or(Oid::NONE, |schema| schema.oid)
}

fn user_relation(catalog: &Catalog, counts: &HashMap<ObjectId, u64>, object: &Object) -> Relation {
    let oid = object.oid();
    let columns = object.columns().iter().enumerate();
    let columns = columns.filter(|(_, column)| !column.is_dropped());
    let is_view = matches!(object.kind, ObjectKind::View(_));
    let rows = counts.get(&object.id).filter(|_| !is_view);
    Relation {
        oid,
        id: Some(object.id),
        schema: object.schema.clone(),
        schema_oid: schema_oid(catalog, &object.schema),
        name: object.name.clone(),
        kind: object.kind.relkind(),
        attributes: columns.map(|(at, column)| attribute(oid, at, column)).collect(),
        has_index: object.table().is_some_and(|table| table.primary_key_name().is_some()),
        tuples: rows.map_or(-1.0, |rows| *rows as f64),
        options: object.options(),
    }
}

fn index_relation(key: PrimaryKey) -> Relation {
    Relation {
        oid: key.index_oid(),
        id: Some(key.table),
        schema: key.schema,
        schema_oid: key.schema_oid,
        name: key.name,
        kind: 'i',
        attributes: key.attributes,
        has_index: false,
        tuples: -1.0,
        options: vec![],
    }
}

fn system_relation(catalog: &Catalog, table: &SystemTable) -> Relation {
    let attributes = table.columns().into_iter().enumerate().map(|(at, column)| Attribute {
        relation: table.oid,
        number: number(at),
        name: column.name.to_owned(),
        ty: column.ty,
        typmod: -1,
        not_null: column.not_null,
        default: None,
    });
    Relation {
        oid: table.oid,
        id: None,
        schema: table.schema.to_owned(),
        schema_oid: schema_oid(catalog, table.schema),
        name: table.name.to_owned(),
        kind: table.relkind,
        attributes: attributes.collect(),
        has_index: false,
        tuples: -1.0,
        options: vec![],
    }
}

fn attribute(relation: Oid, at: usize, column: &object::Column) -> Attribute {
    Attribute {
        relation,
        number: number(at),
        name: column.name.clone(),
        ty: column.ty,
        typmod: column.typmod,
        not_null: column.not_null,
        default: column.default.clone(),
    }
}
