//! Column names: PostgreSQL's, which DataFusion would neither give nor let repeat.
//!
//! Law: an unnamed column is called what PostgreSQL calls it. Where that name is taken already in
//! the same SELECT list, it gets a suffix that starts with [`MARK`], a character no text of ours
//! contains otherwise; [`shown`] takes it off again. A repeated name cannot be referred to, so the
//! suffix is never in the way.

use std::collections::HashSet;
use std::ops::ControlFlow;

use sqlparser::ast::{self, Expr, Ident, Query, Select, SelectItem, VisitMut, VisitorMut};
use tidemark_catalog::PgType;
use tidemark_engine::ARRIVED_AT;

use crate::parse::fold;

/// Starts the suffix of a repeated name.
pub const MARK: char = '\u{1}';

/// The name as the client sees it.
pub fn shown(name: &str) -> &str {
    name.split(MARK).next().unwrap_or(name)
}

/// Names every column of every SELECT list in `query`. `all` also marks named columns beside a
/// wildcard that may repeat one of its names.
pub fn name_columns(query: &mut Query, all: bool) {
    let _: ControlFlow<()> = query.visit(&mut Namer { all });
}

struct Namer {
    all: bool,
}

impl VisitorMut for Namer {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        name_items(&mut select.projection, self.all);
        ControlFlow::Continue(())
    }
}

/// Names the items of one list; also for RETURNING.
pub fn name_items(items: &mut [SelectItem], all: bool) {
    let bare_wildcard = items.iter().any(|item| matches!(item, SelectItem::Wildcard(_)));
    let wildcard =
        bare_wildcard || items.iter().any(|item| matches!(item, SelectItem::QualifiedWildcard(..)));
    let mut taken = HashSet::new();
    for (n, item) in items.iter_mut().enumerate() {
        let (expr, name, written) = match item {
            SelectItem::UnnamedExpr(expr) => (&*expr, column_name(expr), false),
            SelectItem::ExprWithAlias { expr, alias } => (&*expr, fold(alias), true),
            _ => continue,
        };
        let bare = matches!(expr, Expr::Identifier(_)) && !written;
        let plain = bare || (matches!(expr, Expr::CompoundIdentifier(_)) && !written);
        let in_wildcard = bare && bare_wildcard && name != ARRIVED_AT;
        let repeats = !taken.insert(name.clone()) || in_wildcard || (all && wildcard && plain);
        if plain && !repeats {
            continue;
        }
        let name = if repeats { format!("{name}{MARK}{n}") } else { name };
        let expr = expr.clone();
        *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) };
    }
}

/// What PostgreSQL calls an unnamed column (FigureColname).
pub fn column_name(expr: &Expr) -> String {
    figure(expr).map_or_else(|| "?column?".to_string(), |(name, _)| name)
}

/// The name, and whether it is a strong one: a cast keeps a strong name and replaces a weak one by
/// its type's.
fn figure(expr: &Expr) -> Option<(String, bool)> {
    let strong = |name: &str| Some((name.to_string(), true));
    let weak = |name: &str| Some((name.to_string(), false));
    match expr {
        Expr::Identifier(ident) => Some((fold(ident), true)),
        Expr::CompoundIdentifier(idents) => idents.last().map(|ident| (fold(ident), true)),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let last = access_chain.iter().rev().find_map(|access| match access {
                ast::AccessExpr::Dot(Expr::Identifier(ident)) => Some((fold(ident), true)),
                _ => None,
            });
            last.or_else(|| figure(root))
        }
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => figure(inner),
        Expr::Function(function) => {
            let name = function.name.0.last()?.as_ident().map(fold)?;
            Some((name, true))
        }
        Expr::Cast { expr, data_type, .. } => match figure(expr) {
            Some((name, true)) => Some((name, true)),
            _ => Some((type_name(data_type), false)),
        },
        Expr::TypedString(typed) => Some((type_name(&typed.data_type), false)),
        Expr::Interval(_) => weak("interval"),
        Expr::Case { else_result, .. } => match else_result.as_deref().and_then(figure) {
            Some((name, true)) => Some((name, true)),
            _ => weak("case"),
        },
        Expr::Subquery(query) => first_column(query),
        Expr::Exists { .. } => strong("exists"),
        Expr::Array(_) => strong("array"),
        Expr::Extract { .. } => strong("extract"),
        Expr::AtTimeZone { .. } => strong("timezone"),
        Expr::Substring { .. } => strong("substring"),
        Expr::Position { .. } => strong("position"),
        Expr::Overlay { .. } => strong("overlay"),
        Expr::Ceil { .. } => strong("ceil"),
        Expr::Floor { .. } => strong("floor"),
        Expr::Tuple(_) => strong("row"),
        Expr::Trim { trim_where, .. } => match trim_where {
            Some(ast::TrimWhereField::Leading) => strong("ltrim"),
            Some(ast::TrimWhereField::Trailing) => strong("rtrim"),
            _ => strong("btrim"),
        },
        Expr::Value(value) if matches!(value.value, ast::Value::Boolean(_)) => weak("bool"),
        _ => None,
    }
}

fn first_column(query: &Query) -> Option<(String, bool)> {
    match query.body.as_select()?.projection.first()? {
        SelectItem::UnnamedExpr(expr) => figure(expr),
        SelectItem::ExprWithAlias { alias, .. } => Some((fold(alias), true)),
        _ => None,
    }
}

fn type_name(data_type: &ast::DataType) -> String {
    match PgType::parse(&data_type.to_string()) {
        Ok((ty, _)) => ty.name().trim_start_matches('_').to_string(),
        Err(_) => data_type.to_string().to_lowercase(),
    }
}
