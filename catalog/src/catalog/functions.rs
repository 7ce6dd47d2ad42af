//! Functions in the catalog: found by name, made, replaced and dropped.
//!
//! Law      one function per schema and name; one that a view's text uses is not dropped under it,
//!          and what it was before stays for the versions that used it (S12)
//! Missing  what a function's own body calls is looked up when it is used: dropping that leaves a
//!          function that fails, as in Postgres

use std::sync::Arc;

use super::{Catalog, FunctionEntry, effective_path};
use crate::error::CatalogError;
use crate::function::Function;
use crate::object::{CommitTime, ObjectId};
use crate::quote::quote_identifier;

impl Catalog {
    pub fn function(&self, id: ObjectId) -> Option<&Function> {
        self.functions.get(&id).map(|entry| &entry.function)
    }

    /// The function as it was at a time; before its creation as it was first.
    pub fn function_at(&self, id: ObjectId, at: CommitTime) -> Option<&Function> {
        let entry = self.functions.get(&id)?;
        if entry.from <= at {
            return Some(&entry.function);
        }
        let earlier = entry.earlier.iter().rev().find(|(from, _)| *from <= at);
        let first = || entry.earlier.first();
        Some(earlier.or_else(first).map_or(&entry.function, |(_, function)| function))
    }

    /// Every function of the user's, in order of creation.
    pub fn functions(&self) -> impl Iterator<Item = &Function> {
        self.functions.values().map(|entry| &entry.function)
    }

    /// The function a name means: in `schema` if given, else in the first schema of the search path
    /// that has it.
    pub fn resolve_function(
        &self,
        schema: Option<&str>,
        name: &str,
        search_path: &[String],
    ) -> Option<&Function> {
        let found = |schema: &str| self.function(*self.schema(schema)?.functions.get(name)?);
        match schema {
            Some(schema) => found(schema),
            None => effective_path(search_path).find_map(found),
        }
    }

    /// `f(integer)`, with its schema where the search path does not lead to it.
    pub fn function_name(&self, function: &Function, search_path: &[String]) -> String {
        let seen = self.resolve_function(None, &function.name, search_path);
        match seen.is_some_and(|seen| seen.id == function.id) {
            true => function.signature(),
            false => format!("{}.{}", quote_identifier(&function.schema), function.signature()),
        }
    }

    pub(super) fn create_function(
        &mut self,
        function: &Function,
        at: CommitTime,
    ) -> Result<(), CatalogError> {
        self.check_id(function.id)?;
        let schema = self.require_schema(&function.schema)?;
        if schema.is_system() {
            let (schema, name) = (function.schema.clone(), function.name.clone());
            return Err(CatalogError::SystemSchema(schema, name));
        }
        if let Some(id) = schema.functions.get(&function.name) {
            let there = self.function(*id).expect("a schema names functions that exist");
            return Err(match there.types().eq(function.types()) {
                true => CatalogError::DuplicateFunction(function.name.clone()),
                false => CatalogError::Overloaded(there.signature()),
            });
        }
        let names = &mut self.schema_mut(&function.schema).functions;
        names.insert(function.name.clone(), function.id);
        self.take_id(function.id);
        let functions = Arc::make_mut(&mut self.functions);
        let entry = FunctionEntry { function: function.clone(), from: at, earlier: Vec::new() };
        functions.insert(function.id, Arc::new(entry));
        Ok(())
    }

    pub(super) fn replace_function(
        &mut self,
        function: &Function,
        at: CommitTime,
    ) -> Result<(), CatalogError> {
        let old = self.require_function(function.id)?;
        if !old.types().eq(function.types()) {
            return Err(CatalogError::Overloaded(old.signature()));
        }
        let drop_first = |message: String| {
            Err(CatalogError::FunctionReplacement { message, signature: old.signature() })
        };
        if old.returns != function.returns {
            return drop_first("cannot change return type of existing function".to_owned());
        }
        for (old, new) in old.arguments.iter().zip(&function.arguments) {
            if let Some(name) = old.name.as_ref().filter(|_| old.name != new.name) {
                return drop_first(format!("cannot change name of input parameter \"{name}\""));
            }
        }
        let mut new = function.clone();
        new.schema.clone_from(&old.schema);
        new.name.clone_from(&old.name);
        if *old == new {
            return Ok(());
        }
        let entry = self.function_entry_mut(function.id);
        let before = std::mem::replace(&mut entry.function, new);
        let from = std::mem::replace(&mut entry.from, at);
        entry.earlier.push((from, before));
        Ok(())
    }

    pub(super) fn drop_function(&mut self, id: ObjectId) -> Result<(), CatalogError> {
        let function = self.require_function(id)?.clone();
        self.check_no_dependents(id, &function.schema)?;
        self.schema_mut(&function.schema).functions.remove(&function.name);
        Arc::make_mut(&mut self.functions).remove(&id);
        Ok(())
    }

    /// After a schema's new name.
    pub(super) fn move_function(&mut self, id: ObjectId, schema: &str) {
        schema.clone_into(&mut self.function_entry_mut(id).function.schema);
    }

    fn function_entry_mut(&mut self, id: ObjectId) -> &mut FunctionEntry {
        let functions = Arc::make_mut(&mut self.functions);
        Arc::make_mut(functions.get_mut(&id).expect("callers have looked the function up"))
    }

    pub(super) fn require_function(&self, id: ObjectId) -> Result<&Function, CatalogError> {
        self.function(id).ok_or(CatalogError::UndefinedFunction(id))
    }
}
