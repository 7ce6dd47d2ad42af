//! What the tables of a FROM have for columns, before there is a plan of the whole.
//!
//! Law: a table is planned alone, with the CTEs in its sight; one that is LATERAL, or stands in a
//! subquery and names columns around it, has no plan alone, and its columns are not known.

use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    Cte, Query, SelectItem, SetExpr, TableFactor, TableWithJoins, WildcardAdditionalOptions, With,
};

use super::ast::empty_query;
use crate::error::SqlError;

/// Gives the names of a query's columns.
pub type Columns<'a> = &'a dyn Fn(&Query) -> Result<Vec<String>, SqlError>;

/// The CTEs in sight of a query.
#[derive(Clone)]
pub struct Scope<'a> {
    /// Outermost first.
    ctes: Vec<Vec<Cte>>,
    /// One of their WITHs is recursive.
    recursive: bool,
    columns: Columns<'a>,
}

impl<'a> Scope<'a> {
    pub fn new(columns: Columns<'a>) -> Self {
        Scope { ctes: vec![], recursive: false, columns }
    }

    /// The scope of what may also name these.
    pub fn with(&self, ctes: Vec<Cte>) -> Self {
        let mut scope = self.clone();
        scope.ctes.push(ctes);
        scope
    }

    /// Into a query, whose CTEs are in sight there.
    pub fn enter(&mut self, query: &Query) {
        self.recursive |= query.with.as_ref().is_some_and(|with| with.recursive);
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables).cloned();
        self.ctes.push(ctes.collect());
    }

    pub fn leave(&mut self) {
        self.ctes.pop();
    }

    /// The names of a table's columns.
    pub fn columns_of(&self, factor: &TableFactor) -> Result<Vec<String>, SqlError> {
        let mut query = empty_query();
        let cte_tables: Vec<Cte> = self.ctes.iter().flatten().cloned().collect();
        if !cte_tables.is_empty() {
            let (with_token, recursive) = (AttachedToken::empty(), self.recursive);
            query.with = Some(With { with_token, recursive, cte_tables });
        }
        if let SetExpr::Select(select) = query.body.as_mut() {
            select.projection = vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())];
            select.from = vec![TableWithJoins { relation: factor.clone(), joins: vec![] }];
        }
        (self.columns)(&query)
    }
}
