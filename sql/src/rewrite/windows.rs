//! Windows with names: each use of one gets what the name stands for. Frames, as `SqlToRel` reads
//! them.
//!
//! Law: `OVER w` is the window as defined; `(w …)` has its PARTITION BY and ORDER BY, may add an
//! ORDER BY if it has none, and a frame of its own (42P20 otherwise). A name is known to its own
//! SELECT only, in the select list and in ORDER BY (42704). A frame does not end before it starts
//! (42P20), and its offsets are constants, whatever they are cast to.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Ident, NamedWindowDefinition, NamedWindowExpr, OrderByKind, Query, Select, SetExpr,
    Value, VisitMut, VisitorMut, WindowFrameBound, WindowSpec, WindowType,
};

use crate::error::{SqlError, state};
use crate::parse::{FRAME_EXCLUDE, fold};

/// Resolves the windows that a query's own SELECTs name.
pub fn resolve(query: &mut Query) -> Result<(), SqlError> {
    if let SetExpr::Select(select) = query.body.as_mut() {
        let windows = definitions(&select.named_window)?;
        if let Some(order) = &mut query.order_by
            && let OrderByKind::Expressions(items) = &mut order.kind
        {
            items.iter_mut().try_for_each(|item| in_tree(&mut item.expr, &windows))?;
        }
    }
    in_body(&mut query.body)
}

fn in_body(body: &mut SetExpr) -> Result<(), SqlError> {
    match body {
        SetExpr::Select(select) => in_select(select),
        SetExpr::SetOperation { left, right, .. } => {
            in_body(left)?;
            in_body(right)
        }
        _ => Ok(()),
    }
}

fn in_select(select: &mut Select) -> Result<(), SqlError> {
    let windows = definitions(&select.named_window)?;
    select.named_window.clear();
    select.projection.iter_mut().try_for_each(|item| in_tree(item, &windows))?;
    select.having.iter_mut().try_for_each(|having| in_tree(having, &windows))
}

type Windows = BTreeMap<String, WindowSpec>;

fn definitions(named: &[NamedWindowDefinition]) -> Result<Windows, SqlError> {
    let mut windows = Windows::new();
    for NamedWindowDefinition(name, definition) in named {
        let name = fold(name);
        let window = match definition {
            NamedWindowExpr::NamedWindow(other) => found(other, &windows)?.clone(),
            NamedWindowExpr::WindowSpec(window) => extended(window.clone(), &windows)?,
        };
        if windows.insert(name.clone(), window).is_some() {
            return Err(SqlError::new(
                state::WINDOWING_ERROR,
                format!("window \"{name}\" is already defined"),
            ));
        }
    }
    Ok(windows)
}

fn found<'w>(name: &Ident, windows: &'w Windows) -> Result<&'w WindowSpec, SqlError> {
    let name = fold(name);
    windows.get(&name).ok_or_else(|| {
        SqlError::new(state::UNDEFINED_OBJECT, format!("window \"{name}\" does not exist"))
    })
}

/// A window with what it takes from the one it names.
fn extended(mut window: WindowSpec, windows: &Windows) -> Result<WindowSpec, SqlError> {
    let Some(name) = window.window_name.take() else { return Ok(window) };
    let base = found(&name, windows)?;
    let name = fold(&name);
    let error = |message: String| SqlError::new(state::WINDOWING_ERROR, message);
    if !window.partition_by.iter().all(is_exclusion) {
        return Err(error(format!("cannot override PARTITION BY clause of window \"{name}\"")));
    }
    if !base.order_by.is_empty() && !window.order_by.is_empty() {
        return Err(error(format!("cannot override ORDER BY clause of window \"{name}\"")));
    }
    if base.window_frame.is_some() {
        let message = format!("cannot copy window \"{name}\" because it has a frame clause");
        return Err(error(message).with_hint("Omit the parentheses in this OVER clause."));
    }
    window.partition_by.splice(0..0, base.partition_by.iter().cloned());
    if window.order_by.is_empty() {
        window.order_by.clone_from(&base.order_by);
    }
    Ok(window)
}

fn is_exclusion(expr: &Expr) -> bool {
    match expr {
        Expr::Function(function) => function.name.to_string() == FRAME_EXCLUDE,
        _ => false,
    }
}

fn in_tree<T: VisitMut>(tree: &mut T, windows: &Windows) -> Result<(), SqlError> {
    match tree.visit(&mut Uses { windows, depth: 0 }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Uses<'w> {
    windows: &'w Windows,
    /// Subqueries around the expression: their windows are their own.
    depth: usize,
}

impl VisitorMut for Uses<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<SqlError> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<SqlError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        let window = match function.over.take() {
            Some(WindowType::NamedWindow(name)) => found(&name, self.windows).cloned(),
            Some(WindowType::WindowSpec(window)) => extended(window, self.windows),
            None => return ControlFlow::Continue(()),
        };
        match window.and_then(framed) {
            Ok(window) => {
                function.over = Some(WindowType::WindowSpec(window));
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// A window whose frame is a frame, with plain offsets.
fn framed(mut window: WindowSpec) -> Result<WindowSpec, SqlError> {
    use WindowFrameBound::{CurrentRow, Following, Preceding};
    let Some(frame) = &mut window.window_frame else { return Ok(window) };
    let wrong = match (&frame.start_bound, &frame.end_bound) {
        (Following(None), _) => Some("frame start cannot be UNBOUNDED FOLLOWING"),
        (_, Some(Preceding(None))) => Some("frame end cannot be UNBOUNDED PRECEDING"),
        (CurrentRow, Some(Preceding(_))) => {
            Some("frame starting from current row cannot have preceding rows")
        }
        (Following(_), Some(Preceding(_) | CurrentRow)) => {
            Some("frame starting from following row cannot have preceding rows")
        }
        (Following(_), None) => {
            Some("frame starting from following row cannot end with current row")
        }
        _ => None,
    };
    if let Some(wrong) = wrong {
        return Err(SqlError::new(state::WINDOWING_ERROR, wrong));
    }
    for bound in [Some(&mut frame.start_bound), frame.end_bound.as_mut()].into_iter().flatten() {
        if let Preceding(Some(offset)) | Following(Some(offset)) = bound {
            plain_number(offset);
        }
    }
    Ok(window)
}

/// A number without the casts around it: offsets are taken as the type of the order wants them.
fn plain_number(offset: &mut Expr) {
    let mut inner = &*offset;
    while let Expr::Cast { expr, .. } | Expr::Nested(expr) = inner {
        inner = expr;
    }
    if let Expr::Value(value) = inner
        && matches!(value.value, Value::Number(..))
    {
        *offset = inner.clone();
    }
}
