//! CREATE SOURCE: a log outside, and a table for each relation that its entries are rows of.
//!
//! The tables are made with the source, in its schema, under the names that the connector gives
//! them: one log has one order, and a view over two of its tables sees both as of the same entry.

use tidemark_catalog::{Connector, Object, ObjectId, ObjectKind, Op, Source, Table};
use tidemark_engine::{CollectionId, SourceDef};
use tidemark_sql::ddl;
use tidemark_sql::error::SqlError;
use tidemark_sql::parse::CreateSource;

use super::create_table::{exists, stage_object};
use super::{Outcome, lock_catalog};
use crate::session::Session;

const TAG: &str = "CREATE SOURCE";

pub async fn run(session: &mut Session, create: &CreateSource) -> Result<Outcome, SqlError> {
    let ctx = lock_catalog(session).await?;
    let definition = ddl::define_source(&ctx, create)?;
    let schema = &definition.schema;
    if exists(session, &ctx, schema, &definition.name, create.if_not_exists)? {
        return Outcome::done(TAG);
    }
    for (_, relation) in &definition.relations {
        exists(session, &ctx, schema, &relation.name, false)?;
    }
    let id = ctx.catalog.next_id();
    let kind = ObjectKind::Source(Source { connector: definition.connector.clone() });
    let object = Object::new(id, schema, &definition.name, kind);
    session.open_transaction()?.stage(Op::CreateObject(object))?;
    let mut relations = Vec::new();
    for (place, relation) in definition.relations {
        let table = Table {
            append_only: true,
            event_time: relation.event_time,
            source: Some(id),
            ..Table::new(relation.columns)
        };
        let (table, _) = stage_object(session, schema, &relation.name, table)?;
        relations.push((table, place));
    }
    stage_source(session, id, &definition.connector, relations, false)
        .map(|()| Outcome::Done(TAG.to_owned()))
}

/// Adds a source of relations that this transaction makes.
pub fn stage_source(
    session: &mut Session,
    id: ObjectId,
    connector: &Connector,
    relations: Vec<(CollectionId, usize)>,
    keeps_rows: bool,
) -> Result<(), SqlError> {
    let source = SourceDef {
        id: CollectionId(id.0),
        connector: connector.name.clone(),
        options: connector.options.clone(),
        relations,
        keeps_rows,
    };
    session.open_transaction()?.staged.create_sources.push(source);
    Ok(())
}
