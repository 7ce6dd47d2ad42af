//! WITH before INSERT, UPDATE and DELETE, which sqlparser makes a query of.
//!
//! Law: of an INSERT it is the WITH of the source; in the other two a CTE's name stands for its
//! query, as none of them has a place for WITH. What changes data in WITH is refused elsewhere; a
//! recursive WITH is, here, before UPDATE and DELETE.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Cte, Delete, ObjectNamePart, Query, SetExpr, Statement as Ast, TableFactor, Update, VisitMut,
    VisitorMut, With,
};

use super::{Statement, fold};
use crate::error::SqlError;

/// The statement that a query is.
pub fn statement(query: Box<Query>) -> Result<Statement, SqlError> {
    let mut query = *query;
    let with = query.with.take();
    match *query.body {
        SetExpr::Insert(Ast::Insert(mut insert)) => {
            if let (Some(with), Some(source)) = (with, &mut insert.source) {
                source.with = Some(both(with, source.with.take()));
            }
            Ok(Statement::Insert(Box::new(insert)))
        }
        SetExpr::Update(Ast::Update(mut update)) => {
            if let Some(with) = with {
                in_update(&mut update, with)?;
            }
            Ok(Statement::Update(Box::new(update)))
        }
        SetExpr::Delete(Ast::Delete(mut delete)) => {
            if let Some(with) = with {
                in_delete(&mut delete, with)?;
            }
            Ok(Statement::Delete(Box::new(delete)))
        }
        body => {
            query.body = Box::new(body);
            query.with = with;
            Ok(Statement::Query(Box::new(query)))
        }
    }
}

/// The CTEs of both, the outer ones first.
fn both(mut outer: With, inner: Option<With>) -> With {
    if let Some(inner) = inner {
        outer.recursive |= inner.recursive;
        outer.cte_tables.extend(inner.cte_tables);
    }
    outer
}

fn in_update(update: &mut Update, with: With) -> Result<(), SqlError> {
    let mut names = Names::new(with)?;
    names.replace(&mut update.from);
    names.replace(&mut update.assignments);
    names.replace(&mut update.selection);
    names.replace(&mut update.returning);
    Ok(())
}

fn in_delete(delete: &mut Delete, with: With) -> Result<(), SqlError> {
    let mut names = Names::new(with)?;
    names.replace(&mut delete.using);
    names.replace(&mut delete.selection);
    names.replace(&mut delete.returning);
    Ok(())
}

/// The CTEs, each without names of those before it.
struct Names {
    ctes: Vec<Cte>,
}

impl Names {
    fn new(with: With) -> Result<Self, SqlError> {
        if with.recursive {
            let message = "WITH RECURSIVE before UPDATE or DELETE is not supported";
            return Err(SqlError::unsupported(message));
        }
        let mut names = Names { ctes: vec![] };
        for mut cte in with.cte_tables {
            names.replace(&mut cte.query);
            names.ctes.push(cte);
        }
        Ok(names)
    }

    fn replace<T: VisitMut>(&mut self, tree: &mut T) {
        let _: ControlFlow<()> = tree.visit(self);
    }
}

impl VisitorMut for Names {
    type Break = ();

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, alias, args: None, .. } = factor
            && let [ObjectNamePart::Identifier(ident)] = name.0.as_slice()
            && let Some(cte) = self.ctes.iter().find(|cte| fold(&cte.alias.name) == fold(ident))
        {
            let mut named = cte.alias.clone();
            named.explicit = true;
            if let Some(alias) = alias.take() {
                named.name = alias.name;
                if !alias.columns.is_empty() {
                    named.columns = alias.columns;
                }
            }
            let (subquery, alias) = (cte.query.clone(), Some(named));
            *factor = TableFactor::Derived { lateral: false, subquery, alias, sample: None };
        }
        ControlFlow::Continue(())
    }
}
