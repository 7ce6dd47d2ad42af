//! The one way to change a catalog.
//!
//! Law      an op is applied whole or not at all: checks first, then changes
//! Missing  what only the SQL side can know (a view's text parses, a default has the right type) is
//!          checked before an op is made

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Catalog, Entry, FormerHolder, Name, Schema, is_system_schema};
use crate::error::CatalogError;
use crate::length::Length;
use crate::object::{Column, CommitTime, Object, ObjectId, ObjectKind, View};
use crate::op::{CommentTarget, Op};
use crate::quote::quote_identifier;

impl Catalog {
    /// Applies an op of a transaction still open: its time is not known yet.
    pub fn apply(&mut self, op: &Op) -> Result<(), CatalogError> {
        self.apply_at(op, CommitTime::STAGED)
    }

    /// Applies a committed op; a view it defines is in force from `at` on.
    pub fn apply_at(&mut self, op: &Op, at: CommitTime) -> Result<(), CatalogError> {
        match op {
            Op::CreateSchema { id, name } => self.create_schema(*id, name),
            Op::DropSchema { name } => self.drop_schema(name),
            Op::RenameSchema { name, to } => self.rename_schema(name, to),
            Op::CreateObject(object) => self.create_object(object, at),
            Op::ReplaceObject(object) => self.replace_object(object, at),
            Op::DropObject(id) => self.drop_object(*id, at),
            Op::CreateFunction(function) => self.create_function(function, at),
            Op::ReplaceFunction(function) => self.replace_function(function, at),
            Op::DropFunction(id) => self.drop_function(*id),
            Op::Rename { id, to } => self.rename(*id, to, at),
            Op::DropColumn { id, column } => self.drop_column(*id, *column),
            Op::RenameColumn { id, column, to } => self.rename_column(*id, *column, to),
            Op::KeepHistory { id, length } => self.keep_history(*id, *length),
            Op::Comment { on, text } => self.comment(on, text.clone()),
        }?;
        self.version += 1;
        Ok(())
    }

    fn create_schema(&mut self, id: ObjectId, name: &str) -> Result<(), CatalogError> {
        self.check_id(id)?;
        check_schema_name(name)?;
        if self.schemas.contains_key(name) {
            return Err(CatalogError::DuplicateSchema(name.to_owned()));
        }
        let schema = Schema::new(name, id.oid(), None);
        Arc::make_mut(&mut self.schemas).insert(name.to_owned(), Arc::new(schema));
        self.take_id(id);
        Ok(())
    }

    fn drop_schema(&mut self, name: &str) -> Result<(), CatalogError> {
        if is_system_schema(name) {
            return Err(CatalogError::RequiredSchema(name.to_owned()));
        }
        self.check_schema_empty(name)?;
        Arc::make_mut(&mut self.schemas).remove(name);
        Ok(())
    }

    fn rename_schema(&mut self, name: &str, to: &str) -> Result<(), CatalogError> {
        check_schema_name(name)?;
        check_schema_name(to)?;
        if self.schemas.contains_key(to) {
            return Err(CatalogError::DuplicateSchema(to.to_owned()));
        }
        let mut schema = self.require_schema(name)?.clone();
        schema.name = to.to_owned();
        for id in schema.objects() {
            self.entry_mut(id).object.schema = to.to_owned();
        }
        for id in schema.functions() {
            self.move_function(id, to);
        }
        let schemas = Arc::make_mut(&mut self.schemas);
        schemas.remove(name);
        schemas.insert(to.to_owned(), Arc::new(schema));
        Ok(())
    }

    fn create_object(&mut self, object: &Object, at: CommitTime) -> Result<(), CatalogError> {
        self.check_id(object.id)?;
        let schema = self.require_schema(&object.schema)?;
        if schema.is_system() {
            let error = CatalogError::SystemSchema(object.schema.clone(), object.name.clone());
            return Err(error);
        }
        self.check_free(&object.schema, &object.name)?;
        check_columns(object)?;
        self.check_inputs(object)?;
        let mut object = object.clone();
        match &mut object.kind {
            ObjectKind::View(view) | ObjectKind::MaterializedView(view) => view.version = 1,
            ObjectKind::Table(_) => self.name_primary_key(&mut object)?,
            ObjectKind::Source(_) => {}
        }
        self.take_id(object.id);
        self.add_names(&object);
        let entry = Entry { object, from: at, earlier: Vec::new() };
        Arc::make_mut(&mut self.objects).insert(entry.object.id, Arc::new(entry));
        Ok(())
    }

    /// Gives the key its default name, `t_pkey`, or the first of `t_pkey1`, `t_pkey2`, … still
    /// free; a name that the user gave must be free.
    fn name_primary_key(&self, object: &mut Object) -> Result<(), CatalogError> {
        let (schema, table_name) = (object.schema.clone(), object.name.clone());
        let ObjectKind::Table(table) = &mut object.kind else {
            return Ok(());
        };
        if table.primary_key.is_empty() {
            table.primary_key_name = None;
            return Ok(());
        }
        if let Some(given) = &table.primary_key_name {
            return self.check_free(&schema, given);
        }
        let suffixes = std::iter::once(String::new()).chain((1..).map(|n: u32| n.to_string()));
        let mut names = suffixes.map(|suffix| format!("{table_name}_pkey{suffix}"));
        table.primary_key_name = names.find(|name| self.check_free(&schema, name).is_ok());
        Ok(())
    }

    fn replace_object(&mut self, object: &Object, at: CommitTime) -> Result<(), CatalogError> {
        let old = self.require(object.id)?;
        if old.kind.noun() != object.kind.noun() {
            let (name, expected) = (old.name.clone(), object.kind.noun());
            return Err(CatalogError::WrongKind { name, expected });
        }
        check_columns(object)?;
        self.check_inputs(object)?;
        self.check_no_recursion(object, &old.name)?;
        let mut new = object.clone();
        new.schema.clone_from(&old.schema);
        new.name.clone_from(&old.name);
        new.comment.clone_from(&old.comment);
        new.column_comments.clone_from(&old.column_comments);
        new.history_retention = old.history_retention;
        match (&old.kind, &mut new.kind) {
            (
                ObjectKind::View(before) | ObjectKind::MaterializedView(before),
                ObjectKind::View(after) | ObjectKind::MaterializedView(after),
            ) => {
                check_replacement(before, after)?;
                if !self.makes_version(object.id, before, after) {
                    return Ok(());
                }
                after.version = before.version + 1;
                if let Some(collection) = after.collection {
                    self.take_id(collection);
                }
                let entry = self.entry_mut(object.id);
                let before = std::mem::replace(&mut entry.object, new);
                let from = std::mem::replace(&mut entry.from, at);
                entry.earlier.push((from, before));
            }
            // A table has today's columns at every time (S22): no versions of it are kept.
            (ObjectKind::Table(before), ObjectKind::Table(after)) => {
                if !before.primary_key.is_empty() {
                    after.primary_key_name.clone_from(&before.primary_key_name);
                }
                let old = old.clone();
                self.name_replaced_key(&old, &mut new)?;
                self.remove_names(&old);
                self.add_names(&new);
                self.entry_mut(object.id).object = new;
            }
            _ => unreachable!("the kinds were found equal"),
        }
        Ok(())
    }

    /// A version is a definition down to the tables: it is another one when the text is, or when
    /// something that the text names has changed since (S12).
    fn makes_version(&self, id: ObjectId, before: &View, after: &View) -> bool {
        let since = self.objects.get(&id).map_or(CommitTime::STAGED, |entry| entry.from);
        !before.same_definition(after) || self.below_changed_after(after, since)
    }

    /// A table that gains its key by REPLACE gets the key's name now.
    fn name_replaced_key(&self, old: &Object, new: &mut Object) -> Result<(), CatalogError> {
        let had_key = old.table().is_some_and(|table| table.primary_key_name().is_some());
        let has_key = new.table().is_some_and(|table| !table.primary_key.is_empty());
        if had_key && has_key { Ok(()) } else { self.name_primary_key(new) }
    }

    fn drop_object(&mut self, id: ObjectId, at: CommitTime) -> Result<(), CatalogError> {
        let object = self.require(id)?.clone();
        self.check_no_dependents(id, &object.schema)?;
        self.note_former_name(&object, at);
        self.remove_names(&object);
        Arc::make_mut(&mut self.objects).remove(&id);
        Ok(())
    }

    fn rename(&mut self, id: ObjectId, to: &str, at: CommitTime) -> Result<(), CatalogError> {
        let old = self.require(id)?.clone();
        self.check_free(&old.schema, to)?;
        self.note_former_name(&old, at);
        self.remove_names(&old);
        let entry = self.entry_mut(id);
        entry.object.name = to.to_owned();
        let renamed = entry.object.clone();
        self.add_names(&renamed);
        Ok(())
    }

    fn rename_column(&mut self, id: ObjectId, column: usize, to: &str) -> Result<(), CatalogError> {
        let object = self.require(id)?;
        if object.table().is_none() {
            let (name, expected) = (object.name.clone(), "table");
            return Err(CatalogError::WrongKind { name, expected });
        }
        if column >= object.columns().len() {
            return Err(CatalogError::UndefinedColumn(object.name.clone(), column + 1));
        }
        if object.column(to).is_some() {
            return Err(CatalogError::DuplicateColumn(to.to_owned()));
        }
        self.keep_names(id);
        if let ObjectKind::Table(table) = &mut self.entry_mut(id).object.kind {
            table.columns[column].name = to.to_owned();
        }
        Ok(())
    }

    fn drop_column(&mut self, id: ObjectId, column: usize) -> Result<(), CatalogError> {
        let object = self.require(id)?;
        if object.columns().get(column).is_none_or(Column::is_dropped) {
            return Err(CatalogError::UndefinedColumn(object.name.clone(), column + 1));
        }
        self.keep_names(id);
        let object = &mut self.entry_mut(id).object;
        object.column_comments.remove(&column);
        if let ObjectKind::Table(table) = &mut object.kind {
            table.columns[column] = table.columns[column].dropped(column);
        }
        Ok(())
    }

    /// Lets texts that name a table, of earlier versions too, go on by the columns' present names.
    fn keep_names(&mut self, id: ObjectId) {
        let Some(object) = self.get(id) else { return };
        let names: Vec<String> = object.columns().iter().map(|c| c.name.clone()).collect();
        let stands_on = |object: &Object| object.view().is_some_and(|view| view.stands_on(id));
        let objects = self.objects.iter();
        let views = objects.filter(|(_, entry)| {
            stands_on(&entry.object) || entry.earlier.iter().any(|(_, object)| stands_on(object))
        });
        for view in views.map(|(view, _)| *view).collect::<Vec<_>>() {
            let entry = self.entry_mut(view);
            let earlier = entry.earlier.iter_mut().map(|(_, object)| object);
            for object in earlier.chain([&mut entry.object]) {
                let (ObjectKind::View(view) | ObjectKind::MaterializedView(view)) =
                    &mut object.kind
                else {
                    continue;
                };
                if view.stands_on(id) && !view.names.contains_key(&id) {
                    let width = view.widths.get(&id).copied().unwrap_or(names.len());
                    let seen = names[..width.min(names.len())].to_vec();
                    view.names.insert(id, seen);
                }
            }
        }
    }

    fn keep_history(&mut self, id: ObjectId, length: Option<Length>) -> Result<(), CatalogError> {
        let object = self.require(id)?;
        if !matches!(object.kind, ObjectKind::MaterializedView(_)) {
            let (name, expected) = (object.name.clone(), "materialized view");
            return Err(CatalogError::WrongKind { name, expected });
        }
        self.entry_mut(id).object.history_retention = length;
        Ok(())
    }

    fn comment(&mut self, on: &CommentTarget, text: Option<String>) -> Result<(), CatalogError> {
        match on {
            CommentTarget::Schema(name) => {
                self.require_schema(name)?;
                self.schema_mut(name).comment = text;
            }
            CommentTarget::Object(id) => {
                self.require(*id)?;
                self.entry_mut(*id).object.comment = text;
            }
            CommentTarget::Column(id, column) => {
                let object = self.require(*id)?;
                if *column >= object.columns().len() {
                    return Err(CatalogError::UndefinedColumn(object.name.clone(), *column + 1));
                }
                let comments = &mut self.entry_mut(*id).object.column_comments;
                match text {
                    Some(text) => comments.insert(*column, text),
                    None => comments.remove(column),
                };
            }
        }
        Ok(())
    }

    fn require(&self, id: ObjectId) -> Result<&Object, CatalogError> {
        self.get(id).ok_or(CatalogError::UndefinedObject(id))
    }

    pub(super) fn require_schema(&self, name: &str) -> Result<&Schema, CatalogError> {
        self.schema(name).ok_or_else(|| CatalogError::UndefinedSchema(name.to_owned()))
    }

    fn check_free(&self, schema: &str, name: &str) -> Result<(), CatalogError> {
        match self.lookup_in(schema, name) {
            Some(_) => Err(CatalogError::DuplicateRelation(name.to_owned())),
            None => Ok(()),
        }
    }

    /// What a view reads must be there, or dropping it later would find no end to hold.
    fn check_inputs(&self, object: &Object) -> Result<(), CatalogError> {
        object.functions().iter().try_for_each(|id| self.require_function(*id).map(|_| ()))?;
        let source = object.table().and_then(|table| table.source);
        let below = object.depends_on().iter().copied().chain(source);
        below.into_iter().try_for_each(|id| self.require(id).map(|_| ()))
    }

    /// A replaced view could be made to read what reads it.
    fn check_no_recursion(&self, object: &Object, name: &str) -> Result<(), CatalogError> {
        let above = self.dependents_transitive(object.id);
        let reads_itself = |id: &ObjectId| *id == object.id || above.contains(id);
        if object.depends_on().iter().any(reads_itself) {
            return Err(CatalogError::Recursion(name.to_owned()));
        }
        Ok(())
    }

    pub(super) fn check_id(&self, id: ObjectId) -> Result<(), CatalogError> {
        if id < self.next_id { Err(CatalogError::IdTaken(id)) } else { Ok(()) }
    }

    fn add_names(&mut self, object: &Object) {
        let schema = self.schema_mut(&object.schema);
        schema.names.insert(object.name.clone(), Name::Object(object.id));
        if let Some(key) = object.table().and_then(|table| table.primary_key_name()) {
            schema.names.insert(key.to_owned(), Name::PrimaryKeyIndex(object.id));
        }
    }

    fn remove_names(&mut self, object: &Object) {
        let schema = self.schema_mut(&object.schema);
        schema.names.remove(&object.name);
        if let Some(key) = object.table().and_then(|table| table.primary_key_name()) {
            schema.names.remove(key);
        }
    }

    fn note_former_name(&mut self, object: &Object, until: CommitTime) {
        let from = self.created(object.id).expect("callers have looked the object up");
        let name = (object.schema.clone(), object.name.clone());
        let holder = FormerHolder { id: object.id, from, until };
        Arc::make_mut(&mut self.former).entry(name).or_default().push(holder);
    }

    pub(super) fn take_id(&mut self, id: ObjectId) {
        self.next_id = self.next_id.max(ObjectId(id.0 + 1));
    }

    pub(super) fn schema_mut(&mut self, name: &str) -> &mut Schema {
        let schemas = Arc::make_mut(&mut self.schemas);
        Arc::make_mut(schemas.get_mut(name).expect("callers have looked the schema up"))
    }

    fn entry_mut(&mut self, id: ObjectId) -> &mut Entry {
        let objects = Arc::make_mut(&mut self.objects);
        Arc::make_mut(objects.get_mut(&id).expect("callers have looked the object up"))
    }
}

fn check_schema_name(name: &str) -> Result<(), CatalogError> {
    if name.starts_with("pg_") || is_system_schema(name) {
        return Err(CatalogError::ReservedSchemaName(name.to_owned()));
    }
    Ok(())
}

fn check_columns(object: &Object) -> Result<(), CatalogError> {
    let mut seen = BTreeSet::new();
    match object.columns().iter().find(|column| !seen.insert(&column.name)) {
        Some(twice) => Err(CatalogError::DuplicateColumn(twice.name.clone())),
        None => Ok(()),
    }
}

/// A replaced view keeps its columns and may add more at the end (S12).
/// The way out where a view's columns cannot stay.
const MAKE_ANEW: &str = "drop the view and create it anew";

fn check_replacement(before: &View, after: &View) -> Result<(), CatalogError> {
    if after.columns.len() < before.columns.len() {
        let message = "cannot drop columns from view".to_owned();
        let kept = |old: &&Column| after.columns.iter().any(|new| new.name == old.name);
        let dropped = before.columns.iter().find(|old| !kept(old));
        let hint = dropped.map(|column| {
            let name = quote_identifier(&column.name);
            format!("Keep column {name}, or {MAKE_ANEW}.")
        });
        return Err(CatalogError::InvalidReplacement { message, hint });
    }
    before.columns.iter().zip(&after.columns).try_for_each(|(old, new)| check_column(old, new))
}

fn check_column(old: &Column, new: &Column) -> Result<(), CatalogError> {
    let (message, hint) = if old.name != new.name {
        let hint = format!("New columns go behind the others; or {MAKE_ANEW}.");
        let (from, to) = (&old.name, &new.name);
        (format!("cannot change name of view column \"{from}\" to \"{to}\""), Some(hint))
    } else if (old.ty, old.typmod) != (new.ty, new.typmod) {
        let (from, to) = (old.ty.format(old.typmod), new.ty.format(new.typmod));
        let name = &old.name;
        let hint = format!("Keep it with CAST({} AS {from}).", quote_identifier(name));
        let change = format!("data type of view column \"{name}\" from {from} to {to}");
        (format!("cannot change {change}"), Some(hint))
    } else {
        return Ok(());
    };
    Err(CatalogError::InvalidReplacement { message, hint })
}
