//! CREATE [OR REPLACE] FUNCTION: an expression with a name, put where it is called.
//!
//! It is staged first and checked then, so that a body which calls the function itself is found.

use tidemark_catalog::Op;
use tidemark_sql::ddl;
use tidemark_sql::error::SqlError;
use tidemark_sql::parse::CreateFunction;

use super::{Outcome, lock_catalog, replace};
use crate::session::Session;

pub async fn run(session: &mut Session, create: &CreateFunction) -> Result<Outcome, SqlError> {
    let ctx = lock_catalog(session).await?;
    let mut function = ddl::define_function(&ctx, create)?;
    let there = ctx.catalog.resolve_function(Some(&function.schema), &function.name, &[]);
    let Some(there) = there.filter(|_| create.or_replace) else {
        session.open_transaction()?.stage(Op::CreateFunction(function.clone()))?;
        ddl::check_function(&session.plan_context(), &function)?;
        return Outcome::done("CREATE FUNCTION");
    };
    function.id = there.id;
    if *there != function {
        replace::function(session, function).await?;
    }
    Outcome::done("CREATE FUNCTION")
}
