//! Where rows come from: CREATE SOURCE … WITH (connector = …), and tables with a connector.
//!
//! The options that are not ours are the connector's, and are checked by opening its log.

use sqlparser::ast::{self, SqlOption};
use tidemark_catalog::{Column, Connector, PgType};
use tidemark_engine::connector::{self, OptionError, OutsideRelation};

use super::target_name;
use crate::context::PlanContext;
use crate::error::{SqlError, state};
use crate::parse::{CreateSource, fold};

/// What CREATE SOURCE says.
#[derive(Debug, Clone)]
pub struct SourceDefinition {
    pub schema: String,
    pub name: String,
    pub connector: Connector,
    /// What its entries are rows of, each with its place in the log's list.
    pub relations: Vec<(usize, SourceRelation)>,
}

/// A relation as its log has it.
#[derive(Debug, Clone)]
pub struct SourceRelation {
    pub name: String,
    pub columns: Vec<Column>,
    /// Index of the column that says when a row happened.
    pub event_time: Option<usize>,
}

/// Checks a CREATE SOURCE, and learns from the connector what it has.
///
/// Errors: 22023 for options that are wrong or missing.
pub fn define_source(
    ctx: &PlanContext,
    create: &CreateSource,
) -> Result<SourceDefinition, SqlError> {
    let (schema, name) = target_name(ctx, &create.name)?;
    let options = create.options.iter().map(read_option).collect::<Result<Vec<_>, _>>()?;
    let outside = Outside::of(options)?.ok_or_else(|| {
        let message = format!("source \"{name}\" has no connector");
        SqlError::new(state::INVALID_PARAMETER_VALUE, message).with_hint(connectors())
    })?;
    let Outside { connector, relations } = outside;
    Ok(SourceDefinition { schema, name, connector, relations })
}

/// What options WITH (connector = …) say.
#[derive(Debug, Clone)]
pub struct Outside {
    pub connector: Connector,
    /// All that the log has, or the one that `table` names.
    pub relations: Vec<(usize, SourceRelation)>,
}

impl Outside {
    /// `None` if no connector is among the options.
    pub(super) fn of(options: Vec<(String, String)>) -> Result<Option<Outside>, SqlError> {
        let (mut name, mut table, mut others) = (None, None, connector::Options::new());
        for (option, value) in options {
            match option.as_str() {
                "connector" => name = Some(value),
                "table" => table = Some(value),
                _ => drop(others.insert(option, value)),
            }
        }
        let Some(name) = name else { return Ok(None) };
        let log = connector::open(&name, &others).map_err(option_error)?;
        let relations = log.relations().iter().enumerate();
        let mut relations: Vec<_> =
            relations.map(|(place, outside)| (place, relation(outside))).collect();
        let connector = Connector { name, options: others };
        if let Some(table) = table {
            let names: Vec<String> = relations.iter().map(|(_, r)| r.name.clone()).collect();
            relations.retain(|(_, relation)| relation.name == table);
            if relations.is_empty() {
                let message = format!("invalid value for option \"table\": \"{table}\"");
                return Err(SqlError::new(state::INVALID_PARAMETER_VALUE, message)
                    .with_hint(format!("It is one of {}.", names.join(", "))));
            }
        }
        Ok(Some(Outside { connector, relations }))
    }

    /// The one relation that a table has its rows from.
    pub(super) fn only(&self) -> Result<&SourceRelation, SqlError> {
        match &self.relations[..] {
            [(_, relation)] => Ok(relation),
            many => {
                let names: Vec<&str> = many.iter().map(|(_, r)| r.name.as_str()).collect();
                let message = format!("connector \"{}\" has several tables", self.connector.name);
                Err(SqlError::new(state::INVALID_PARAMETER_VALUE, message).with_hint(format!(
                    "Say table = 'name', one of {}, or make a source of all of them with CREATE \
                     SOURCE.",
                    names.join(", ")
                )))
            }
        }
    }
}

fn relation(outside: &OutsideRelation) -> SourceRelation {
    let column = |field: &arrow::datatypes::FieldRef| {
        let (ty, typmod) =
            PgType::from_arrow(field.data_type()).expect("connectors have columns of our types");
        let column = Column::new(field.name(), ty);
        Column { typmod, not_null: !field.is_nullable(), ..column }
    };
    SourceRelation {
        name: outside.name.to_owned(),
        columns: outside.schema.fields().iter().map(column).collect(),
        event_time: outside.event_time,
    }
}

/// `name = value`, the value as text.
pub(super) fn read_option(option: &SqlOption) -> Result<(String, String), SqlError> {
    let wrong = || SqlError::syntax(format!("an option is written name = value, not {option}"));
    let SqlOption::KeyValue { key, value } = option else { return Err(wrong()) };
    let text = match value {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(text) => text.clone(),
            other => other.to_string(),
        },
        ast::Expr::Identifier(word) => fold(word),
        _ => return Err(wrong()),
    };
    Ok((fold(key), text))
}

fn option_error(error: OptionError) -> SqlError {
    let hint = match &error {
        OptionError::Connector(_) => connectors(),
        OptionError::Unknown { connector: name, .. } => {
            let known = connector::CONNECTORS.iter().find(|connector| connector.name == *name);
            let options = known.map_or(&[][..], |connector| connector.options);
            let lines = options.iter().map(|(option, what)| format!("{option}: {what}"));
            format!("It has {}.", lines.collect::<Vec<_>>().join("; "))
        }
        OptionError::Value { takes, .. } => format!("It takes {takes}."),
    };
    SqlError::new(state::INVALID_PARAMETER_VALUE, error.to_string()).with_hint(hint)
}

fn connectors() -> String {
    let names = connector::CONNECTORS.iter().map(|connector| format!("'{}'", connector.name));
    format!("Say WITH (connector = …), one of {}.", names.collect::<Vec<_>>().join(", "))
}
