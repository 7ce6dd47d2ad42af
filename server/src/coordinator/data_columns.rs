//! The columns of COPY's data: those of the table that it fills, and what says when rows arrived.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::sql::sqlparser::ast::Ident;
use tidemark_catalog::{Object, PgType};
use tidemark_engine::LoadPart;
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::parse::{Copy, fold};

use crate::copy::Column;

/// See the head of this file.
pub struct DataColumns {
    /// All, in the order of the data.
    pub all: Vec<Column>,
    /// Indexes of the table's columns that are in the data.
    pub indexes: Vec<usize>,
    /// Where in the data each of these stands.
    pub places: Vec<usize>,
    pub past: Option<PastColumns>,
}

/// Where in the data stands what is told of the past.
#[derive(Clone, Copy)]
pub struct PastColumns {
    arrival_time: usize,
    deleted: Option<usize>,
}

impl DataColumns {
    /// `names` are the columns of the data; none: all of the table's. What ARRIVAL_TIME and DELETED
    /// name stands behind them unless it is among them; a header must have it there.
    ///
    /// Errors: 42703, 42701, and 42804 for an arrival time that is none.
    pub fn new(table: &Object, names: &[Ident], copy: &Copy) -> Result<DataColumns, SqlError> {
        let mut names: Vec<String> = match names {
            [] => {
                let present = table.columns().iter().filter(|column| !column.is_dropped());
                present.map(|column| column.name.clone()).collect()
            }
            names => names.iter().map(fold).collect(),
        };
        let past = [&copy.arrival_time, &copy.deleted];
        let told = names.len();
        for name in past.into_iter().flatten() {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        let (mut all, mut indexes, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (place, name) in names.iter().enumerate() {
            if names[..place].contains(name) {
                let message = format!("column \"{name}\" specified more than once");
                return Err(SqlError::new(state::DUPLICATE_COLUMN, message));
            }
            let (ty, typmod) = match table.column(name) {
                Some(index) => {
                    indexes.push(index);
                    places.push(place);
                    (table.columns()[index].ty, table.columns()[index].typmod)
                }
                None if copy.arrival_time.as_ref() == Some(name) => (PgType::Timestamptz, -1),
                None if copy.deleted.as_ref() == Some(name) => (PgType::Bool, -1),
                None => {
                    let relation = &table.name;
                    let message =
                        format!("column \"{name}\" of relation \"{relation}\" does not exist");
                    return Err(SqlError::new(state::UNDEFINED_COLUMN, message));
                }
            };
            all.push(Column { name: name.clone(), ty, typmod, implied: place >= told });
        }
        let past = past_columns(&all, copy)?;
        Ok(DataColumns { all, indexes, places, past })
    }
}

fn past_columns(all: &[Column], copy: &Copy) -> Result<Option<PastColumns>, SqlError> {
    let place = |name: &String, option: &str, types: &[PgType]| {
        let place = all.iter().position(|column| column.name == *name);
        place.filter(|place| types.contains(&all[*place].ty)).ok_or_else(|| {
            let message = format!("column \"{name}\" has the wrong type for {option}");
            SqlError::new(state::DATATYPE_MISMATCH, message)
        })
    };
    let Some(arrival_time) = &copy.arrival_time else { return Ok(None) };
    let types = [PgType::Timestamptz, PgType::Timestamp];
    let arrival_time = place(arrival_time, "ARRIVAL_TIME", &types)?;
    let deleted = copy.deleted.as_ref().map(|name| place(name, "DELETED", &[PgType::Bool]));
    Ok(Some(PastColumns { arrival_time, deleted: deleted.transpose()? }))
}

impl PastColumns {
    /// Complete rows with what the data says of their past.
    pub fn part(self, rows: RecordBatch, data: &RecordBatch) -> LoadPart {
        let arrived = data.column(self.arrival_time).as_primitive::<TimestampMicrosecondType>();
        let deletes = self.deleted.map(|place| data.column(place).as_boolean().clone());
        LoadPart { rows, arrived: arrived.clone().with_timezone_opt(None::<&str>), deletes }
    }
}
