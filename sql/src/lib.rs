//! SQL text in, plans and rows out.
//!
//! The way through this crate is the way of a statement (design §6): [`parse`](parse()) makes
//! statements of text, [`plan_query`] a `LogicalPlan` of a query, [`run_query`] rows of a plan over
//! one snapshot ([`ReadView`]), [`run_dml`] the rows to delete and to insert, `maintain` the
//! `engine::Plan` that keeps a view up to date.
//!
//! Law: a statement means the same on every road. The passes in [`rewrite`] are the one place where
//! DataFusion's meaning is turned into PostgreSQL's, and both ad-hoc and maintained plans go
//! through them.

mod by_operators;
pub mod context;
pub mod ddl;
pub mod dml;
pub mod error;
pub mod explain;
pub mod function;
pub mod maintain;
mod memory;
pub mod overlay;
pub mod parse;
mod plain_view;
pub mod plan;
mod point_read;
mod provider;
mod resolve;
pub mod rewrite;
pub mod run;
mod session_state;
pub mod settings;
mod subquery;
pub mod tell;
#[cfg(test)]
mod tests;
pub mod text_io;
mod time_join;
mod time_travel;
pub mod version;
pub mod work;

pub use context::{PlanContext, ReadView};
pub use dml::{DmlPlan, DmlResult, check_unique, commit_error, insert_rows, plan_dml, run_dml};
pub use error::{Notice, SqlError, SqlState, state};
pub use explain::explain;
pub use overlay::Overlay;
pub use parse::{ParsedStatement, Statement, parse};
pub use plan::{QueryPlan, plan_query};
pub use run::run_query;
pub use settings::Settings;
pub use tell::Tell;
pub use time_join::there_from;
pub use work::{Work, WorkKind, Works};
