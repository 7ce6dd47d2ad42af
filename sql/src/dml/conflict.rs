//! ON CONFLICT: what becomes of rows whose key is there already.
//!
//! Law: DO NOTHING keeps the first row of a key. DO UPDATE turns a stored row into one new row,
//! once per statement (21000), and sees the row that would have been inserted as `excluded`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef, UInt64Type};
use arrow::row::OwnedRow;
use datafusion::logical_expr::LogicalPlan;
use datafusion::scalar::ScalarValue;
use sqlparser::ast::{
    self, BinaryOperator, ConflictTarget, DoUpdate, Expr, OnConflict, OnConflictAction, OnInsert,
    TableWithJoins,
};
use tidemark_engine::RowId;

use super::change::{Assignments, select_new_rows};
use super::target::{TARGET, Target, column_of, given, given_factor, with_column};
use super::{assign, unique};
use crate::context::{PlanContext, ReadView};
use crate::ddl::name_parts;
use crate::error::{SqlError, state};
use crate::resolve::Resolver;
use crate::run;
use crate::session_state::session_state;

const EXCLUDED: &str = "\u{1}excluded";
/// Column that pairs a stored row with the excluded one.
const PAIR: &str = "_pair";

/// What an INSERT does in the end.
pub struct Change {
    pub delete: Vec<RowId>,
    pub insert: RecordBatch,
    /// Rows inserted or updated, in the order of the source: what RETURNING sees.
    pub affected: RecordBatch,
}

/// The plan of DO UPDATE, if there is one.
pub fn plan(
    ctx: &PlanContext,
    target: &Target,
    statement: &ast::Insert,
    param_types: &mut Vec<Option<DataType>>,
) -> Result<Option<LogicalPlan>, SqlError> {
    let Some(on) = on_conflict(statement)? else { return Ok(None) };
    check_target(ctx, target, on)?;
    match &on.action {
        OnConflictAction::DoNothing => Ok(None),
        OnConflictAction::DoUpdate(update) => {
            target.check_changeable()?;
            Ok(Some(update_plan(ctx, target, update, param_types)?.0))
        }
    }
}

/// Rows to insert and to delete for the source's complete rows.
pub async fn resolve(
    ctx: &PlanContext,
    target: &Target,
    statement: &ast::Insert,
    rows: RecordBatch,
    read: &ReadView,
    params: &[ScalarValue],
) -> Result<Change, SqlError> {
    let Some(on) = on_conflict(statement)? else {
        return Ok(Change { delete: Vec::new(), affected: rows.clone(), insert: rows });
    };
    check_target(ctx, target, on)?;
    let key = unique::key_of(&target.object);
    if key.is_empty() {
        return Ok(Change { delete: Vec::new(), affected: rows.clone(), insert: rows });
    }
    let conflicts = Conflicts::find(ctx, target, &rows, read, &on.action)?;
    let fresh = pick(&rows, &conflicts.fresh)?;
    let OnConflictAction::DoUpdate(update) = &on.action else {
        return Ok(Change { delete: Vec::new(), affected: fresh.clone(), insert: fresh });
    };
    if conflicts.pairs.is_empty() {
        return Ok(Change { delete: Vec::new(), affected: fresh.clone(), insert: fresh });
    }
    let (updated, positions) = conflicts.update(ctx, target, update, &rows, read, params).await?;
    let delete = positions.iter().map(|at| conflicts.pairs[*at].1).collect();
    let sources = positions.iter().map(|at| conflicts.pairs[*at].0);
    let order: Vec<usize> = conflicts.fresh.iter().copied().chain(sources).collect();
    let insert = concat_batches(&rows.schema(), [&fresh, &updated])?;
    let mut by_source: Vec<usize> = (0..order.len()).collect();
    by_source.sort_by_key(|at| order[*at]);
    let affected = pick(&insert, &by_source)?;
    Ok(Change { delete, insert, affected })
}

fn on_conflict(statement: &ast::Insert) -> Result<Option<&OnConflict>, SqlError> {
    match &statement.on {
        None => Ok(None),
        Some(OnInsert::OnConflict(on)) => Ok(Some(on)),
        Some(_) => {
            Err(SqlError::unsupported("ON DUPLICATE KEY is not supported")
                .with_hint("use ON CONFLICT"))
        }
    }
}

fn check_target(ctx: &PlanContext, target: &Target, on: &OnConflict) -> Result<(), SqlError> {
    let key = unique::key_of(&target.object);
    match &on.conflict_target {
        None if matches!(on.action, OnConflictAction::DoNothing) => Ok(()),
        None => Err(SqlError::syntax(
            "ON CONFLICT DO UPDATE requires inference specification or constraint name",
        )),
        Some(ConflictTarget::Columns(columns)) => {
            let columns: HashSet<usize> =
                columns.iter().map(|ident| target.column(ident)).collect::<Result<_, _>>()?;
            if !key.is_empty() && columns == key.iter().copied().collect() {
                return Ok(());
            }
            let message =
                "there is no unique or exclusion constraint matching the ON CONFLICT specification";
            Err(SqlError::new(state::INVALID_COLUMN_REFERENCE, message))
        }
        Some(ConflictTarget::OnConstraint(name)) => {
            let (_, name) = name_parts(ctx, name)?;
            if target.table().primary_key_name() == Some(name.as_str()) {
                return Ok(());
            }
            let table = &target.object.name;
            let message = format!("constraint \"{name}\" for table \"{table}\" does not exist");
            Err(SqlError::new(state::UNDEFINED_OBJECT, message))
        }
    }
}

/// Which rows of the source are new, and which meet a stored row.
struct Conflicts {
    fresh: Vec<usize>,
    /// Row of the source, id of the stored row.
    pairs: Vec<(usize, RowId)>,
    /// The stored row of each pair.
    stored: Vec<RecordBatch>,
}

impl Conflicts {
    fn find(
        ctx: &PlanContext,
        target: &Target,
        rows: &RecordBatch,
        read: &ReadView,
        action: &OnConflictAction,
    ) -> Result<Conflicts, SqlError> {
        let key = unique::key_of(&target.object);
        let keys = unique::Keys::new(rows, &key)?;
        let mut there: HashMap<OwnedRow, (RowId, RecordBatch)> = HashMap::new();
        for stored in unique::stored(ctx, &target.object, rows, &key, read) {
            let columns = unique::key_columns(&stored.batch, &key);
            let stored_keys = keys.converter.convert_columns(&columns)?;
            for (row, id) in unique::ids(&stored.ids).enumerate() {
                let one = stored.batch.slice(row, 1);
                there.insert(stored_keys.row(row).owned(), (id, one));
            }
        }
        let mut found = Conflicts { fresh: Vec::new(), pairs: Vec::new(), stored: Vec::new() };
        let mut seen = HashSet::new();
        for row in 0..rows.num_rows() {
            let key = keys.rows.row(row).owned();
            let stored = there.get(&key);
            if !seen.insert(key.clone()) {
                if matches!(action, OnConflictAction::DoNothing) {
                    continue;
                }
                let message = "ON CONFLICT DO UPDATE command cannot affect row a second time";
                let hint = "Ensure that no rows proposed for insertion within the same command \
                            have duplicate constrained values.";
                let error = SqlError::new(state::CARDINALITY_VIOLATION, message);
                return Err(error.with_hint(hint));
            }
            match stored {
                Some((id, batch)) => {
                    found.pairs.push((row, *id));
                    found.stored.push(batch.clone());
                }
                None => found.fresh.push(row),
            }
        }
        Ok(found)
    }

    /// The new rows of DO UPDATE, and which pair each is of.
    async fn update(
        &self,
        ctx: &PlanContext,
        target: &Target,
        update: &DoUpdate,
        rows: &RecordBatch,
        read: &ReadView,
        params: &[ScalarValue],
    ) -> Result<(RecordBatch, Vec<usize>), SqlError> {
        let mut types = params.iter().map(|value| Some(value.data_type())).collect();
        let (plan, assignments) = update_plan(ctx, target, update, &mut types)?;
        let schema = target.schema();
        let stored: Vec<RecordBatch> = self
            .stored
            .iter()
            .map(|batch| RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec()))
            .collect::<Result<_, _>>()?;
        let stored = concat_batches(&schema, &stored)?;
        let sources: Vec<usize> = self.pairs.iter().map(|(row, _)| *row).collect();
        let given = BTreeMap::from([
            (TARGET.to_string(), paired(&stored)?),
            (EXCLUDED.to_string(), paired(&pick(rows, &sources)?)?),
        ]);
        let batches = run::collect(ctx, &plan, read, params, &given).await?;
        let mut updated = Vec::new();
        let mut positions = Vec::new();
        for batch in &batches {
            let pairs = batch.column(0).as_primitive::<UInt64Type>();
            positions.extend(pairs.values().iter().map(|at| *at as usize));
            let columns = assignments.store(target, &batch.columns()[1..])?;
            updated.push(assign::rows(&target.object, &schema, columns)?);
        }
        Ok((concat_batches(&schema, &updated)?, positions))
    }
}

fn update_plan(
    ctx: &PlanContext,
    target: &Target,
    update: &DoUpdate,
    param_types: &mut Vec<Option<DataType>>,
) -> Result<(LogicalPlan, Assignments), SqlError> {
    let assignments = Assignments::new(target, &update.assignments)?;
    let pair = |relation: &str| column_of(relation, PAIR);
    let mut condition = Expr::BinaryOp {
        left: Box::new(pair(&target.name)),
        op: BinaryOperator::Eq,
        right: Box::new(pair("excluded")),
    };
    if let Some(selection) = &update.selection {
        condition = Expr::BinaryOp {
            left: Box::new(condition),
            op: BinaryOperator::And,
            right: Box::new(Expr::Nested(Box::new(selection.clone()))),
        };
    }
    let from = [target.factor(), given_factor(EXCLUDED, "excluded")]
        .map(|relation| TableWithJoins { relation, joins: vec![] });
    let query = select_new_rows(
        target,
        &assignments,
        pair(&target.name),
        from.to_vec(),
        Some(condition),
        vec![],
    );
    let schema = with_column(&target.schema(), PAIR);
    let sources =
        [TARGET, EXCLUDED].map(|name| (name.to_string(), given(name, Arc::clone(&schema)))).into();
    let session = session_state(ctx);
    let resolver = Resolver::new(ctx, &session).with_given(sources);
    let plan = assignments.plan(&resolver, target, &query, param_types)?;
    Ok((plan, assignments))
}

fn paired(batch: &RecordBatch) -> Result<RecordBatch, SqlError> {
    let schema: SchemaRef = with_column(&batch.schema(), PAIR);
    let pairs: UInt64Array = (0..batch.num_rows() as u64).collect();
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(pairs));
    Ok(RecordBatch::try_new(schema, columns)?)
}

fn pick(batch: &RecordBatch, rows: &[usize]) -> Result<RecordBatch, SqlError> {
    if rows.len() == batch.num_rows() && rows.iter().enumerate().all(|(n, row)| n == *row) {
        return Ok(batch.clone());
    }
    let indices: UInt64Array = rows.iter().map(|row| *row as u64).collect();
    debug_assert_eq!(indices.null_count(), 0);
    Ok(take_record_batch(batch, &indices)?)
}
