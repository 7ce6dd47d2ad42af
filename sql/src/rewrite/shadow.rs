//! A CTE with the name of one of a query around it, which `SqlToRel` refuses: under another name.
//!
//! Law: a name means the innermost CTE of that name in sight; one that isn't recursive is out of
//! its own sight. Columns are still qualified by the name as written.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Cte, Ident, ObjectName, ObjectNamePart, Query, TableAlias, TableFactor, VisitMut, VisitorMut,
};

use crate::parse::fold;

/// Renames the CTEs that hide another.
pub fn rename(query: &mut Query) {
    let mut renamer = Renamer { around: vec![], renamed: 0 };
    let _: ControlFlow<()> = query.visit(&mut renamer);
}

struct Renamer {
    /// The CTEs of the queries around, outermost first.
    around: Vec<BTreeSet<String>>,
    renamed: usize,
}

impl VisitorMut for Renamer {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        self.around.push(ctes.map(|cte| fold(&cte.alias.name)).collect());
        ControlFlow::Continue(())
    }

    /// Inner queries come first: where they hide a name again, that is done.
    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.around.pop();
        let Some(mut with) = query.with.take() else { return ControlFlow::Continue(()) };
        for at in 0..with.cte_tables.len() {
            let name = fold(&with.cte_tables[at].alias.name);
            if !self.around.iter().any(|names| names.contains(&name)) {
                continue;
            }
            self.renamed += 1;
            let to = Ident::with_quote('"', format!("{name}\u{2}{}", self.renamed));
            with.cte_tables[at].alias.name = to.clone();
            let mut reference = Reference { name, to };
            let first = if with.recursive { at } else { at + 1 };
            for Cte { query, .. } in &mut with.cte_tables[first..] {
                let _: ControlFlow<()> = query.visit(&mut reference);
            }
            let _: ControlFlow<()> = query.visit(&mut reference);
        }
        query.with = Some(with);
        ControlFlow::Continue(())
    }
}

/// Turns `FROM name` into `FROM to AS name`.
struct Reference {
    name: String,
    to: Ident,
}

impl VisitorMut for Reference {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, alias, args: None, .. } = factor
            && let [ObjectNamePart::Identifier(ident)] = name.0.as_slice()
            && fold(ident) == self.name
        {
            let written = ident.clone();
            alias.get_or_insert_with(|| TableAlias {
                explicit: true,
                name: written,
                columns: vec![],
                at: None,
            });
            *name = ObjectName(vec![ObjectNamePart::Identifier(self.to.clone())]);
        }
        ControlFlow::Continue(())
    }
}
