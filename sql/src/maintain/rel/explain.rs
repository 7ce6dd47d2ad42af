//! The OPTIMIZED stage of EXPLAIN: the tree as text, an operator a line.

use std::fmt::Write;

use arrow::datatypes::Schema;
use datafusion::logical_expr::Expr;

use super::{Join, Rel, VersionJoin, Window, joined, named};
use tidemark_engine::plan::{JoinKind, SortKey};

impl Rel {
    /// The tree as text.
    pub fn explain(&self) -> String {
        let mut text = String::new();
        self.explain_at(0, &mut text);
        text
    }

    fn explain_at(&self, depth: usize, text: &mut String) {
        let line = self.line();
        writeln!(text, "{:indent$}{}", "", line.trim_end(), indent = depth * 2)
            .expect("writing to a string");
        for input in self.inputs() {
            input.explain_at(depth + 1, text);
        }
    }

    fn line(&self) -> String {
        match self {
            Rel::Scan(scan) => format!("Scan {}", scan.name),
            Rel::Constant(rows) => format!("Constant rows={}", rows.num_rows()),
            Rel::Project(project) => {
                format!("Project {}", list(&project.exprs, &project.input.schema()))
            }
            Rel::Filter(filter) => {
                format!("Filter {}", list(&filter.predicates, &filter.input.schema()))
            }
            Rel::Join(join) => of_join(join),
            Rel::VersionJoin(join) => of_version_join(join),
            Rel::Aggregate(aggregate) => {
                let fields = aggregate.schema.fields().iter();
                let names: Vec<_> = fields.map(|field| field.name().clone()).collect();
                let (keys, calls) = names.split_at(aggregate.keys.len());
                format!("Aggregate by [{}]: [{}]", keys.join(", "), calls.join(", "))
            }
            Rel::Union(_) => "Union".to_owned(),
            Rel::SetOperation(operation) => format!("{:?}", operation.kind),
            Rel::TopK(top) => {
                let schema = top.input.schema();
                let (keys, order) = (names(&top.keys, &schema), ordered(&top.order, &schema));
                let mut line = format!("TopK by [{keys}] order [{order}]");
                if top.offset > 0 {
                    line += &format!(" offset {}", top.offset);
                }
                if let Some(limit) = top.limit {
                    line += &format!(" limit {limit}");
                }
                line + if top.ties.is_some() { " with ties" } else { "" }
            }
            Rel::Window(window) => of_window(window),
            Rel::Unnest(unnest) => {
                let lists = names(&unnest.lists, &unnest.input.schema());
                let ordinality = if unnest.ordinality { " with ordinality" } else { "" };
                format!("Unnest [{lists}]{ordinality}")
            }
            Rel::Session(session) => {
                let schema = session.input.schema();
                let time = schema.field(session.time).name();
                let keys = names(&session.keys, &schema);
                format!("Session by [{keys}] of {time} gap {} us", session.gap_us)
            }
            Rel::Recursive(recursive) => {
                format!("Recursive{}", if recursive.distinct { " distinct" } else { "" })
            }
        }
    }
}

fn of_join(join: &Join) -> String {
    let (left, right) = (join.left.schema(), join.right.schema());
    let on = join.on.iter().map(|on| {
        let operator = if on.null_equal { "is not distinct from" } else { "=" };
        format!("{} {operator} {}", named(&on.left, &left), named(&on.right, &right))
    });
    let on: Vec<String> = on.collect();
    let kind = match join.kind {
        JoinKind::Inner => "Join".to_owned(),
        kind => format!("{kind:?} Join"),
    };
    let mut line = format!("{kind} {}", on.join(", "));
    if !join.condition.is_empty() {
        line += &format!(" if {}", list(&join.condition, &joined(&left, &right)));
    }
    line
}

fn of_version_join(join: &VersionJoin) -> String {
    let (left, right) = (join.input.schema(), &join.versions.schema);
    let on = join.on.iter();
    let on = on.map(|on| format!("{} = {}", named(&on.left, &left), named(&on.right, right)));
    let on = on.collect::<Vec<_>>().join(", ");
    let kind = if join.outer { "Left Version Join" } else { "Version Join" };
    let (name, time) = (&join.versions.name, named(&join.time, &left));
    let mut line = format!("{kind} {name} as of {time} {on}");
    if !join.condition.is_empty() {
        line += &format!(" if {}", list(&join.condition, &joined(&left, right)));
    }
    line
}

fn of_window(window: &Window) -> String {
    let schema = window.input.schema();
    let (by, order) = (names(&window.partition, &schema), ordered(&window.order, &schema));
    let calls: Vec<&str> = window.calls.iter().map(|call| call.function.name()).collect();
    let mut line = format!("Window by [{by}] order [{order}]");
    if !window.tie_break.is_empty() {
        line += &format!(" then [{}]", ordered(&window.tie_break, &schema));
    }
    line + &format!(": [{}]", calls.join(", "))
}

fn list(exprs: &[Expr], schema: &Schema) -> String {
    let named = exprs.iter().map(|expr| named(expr, schema).to_string());
    named.collect::<Vec<_>>().join(", ")
}

fn names(columns: &[usize], schema: &Schema) -> String {
    let names = columns.iter().map(|&column| schema.field(column).name().as_str());
    names.collect::<Vec<_>>().join(", ")
}

fn ordered(keys: &[SortKey], schema: &Schema) -> String {
    keys.iter().map(|key| key.display(schema)).collect::<Vec<_>>().join(", ")
}
