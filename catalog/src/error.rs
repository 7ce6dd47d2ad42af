//! What can be wrong with a change of the catalog, in Postgres' words.

use crate::quote::quote_identifier;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    #[error("schema \"{0}\" already exists")]
    DuplicateSchema(String),
    #[error("relation \"{0}\" already exists")]
    DuplicateRelation(String),
    #[error("column \"{0}\" specified more than once")]
    DuplicateColumn(String),
    #[error("schema \"{0}\" does not exist")]
    UndefinedSchema(String),
    #[error("relation with id {0} does not exist")]
    UndefinedObject(crate::ObjectId),
    #[error("function \"{0}\" already exists with same argument types")]
    DuplicateFunction(String),
    /// A second signature under one name.
    #[error("there is a function {0} already: functions are not overloaded")]
    Overloaded(String),
    #[error("function with id {0} does not exist")]
    UndefinedFunction(crate::ObjectId),
    #[error("{message}")]
    FunctionReplacement { message: String, signature: String },
    #[error("column {1} of relation \"{0}\" does not exist")]
    UndefinedColumn(String, usize),
    #[error("unacceptable schema name \"{0}\"")]
    ReservedSchemaName(String),
    #[error("permission denied to create \"{}.{}\"", quote_identifier(.0), quote_identifier(.1))]
    SystemSchema(String, String),
    #[error("cannot drop schema {0} because it is required by the database system")]
    RequiredSchema(String),
    #[error("cannot drop {what} because other objects depend on {pronoun}")]
    Dependents {
        what: String,
        /// `it` or `them`.
        pronoun: &'static str,
        detail: String,
    },
    #[error("{message}")]
    InvalidReplacement { message: String, hint: Option<String> },
    #[error("\"{name}\" is not a {expected}")]
    WrongKind { name: String, expected: &'static str },
    #[error("infinite recursion detected in rules for relation \"{0}\"")]
    Recursion(String),
    /// Two ops claim one id: whoever made the later one did not ask for the next.
    #[error("object id {0} was given before")]
    IdTaken(crate::ObjectId),
    /// A record of the log or the store that can't be understood.
    #[error("catalog record is unreadable: {0}")]
    Unreadable(String),
}

impl CatalogError {
    pub fn sqlstate(&self) -> &'static str {
        match self {
            CatalogError::DuplicateSchema(_) => "42P06",
            CatalogError::DuplicateRelation(_) => "42P07",
            CatalogError::DuplicateColumn(_) => "42701",
            CatalogError::UndefinedSchema(_) => "3F000",
            CatalogError::UndefinedObject(_) => "42P01",
            CatalogError::DuplicateFunction(_) => "42723",
            CatalogError::Overloaded(_) => "0A000",
            CatalogError::UndefinedFunction(_) => "42883",
            CatalogError::FunctionReplacement { .. } => "42P13",
            CatalogError::UndefinedColumn(..) => "42703",
            CatalogError::ReservedSchemaName(_) => "42939",
            CatalogError::SystemSchema(..) => "42501",
            CatalogError::RequiredSchema(_) | CatalogError::Dependents { .. } => "2BP01",
            CatalogError::InvalidReplacement { .. } => "42P16",
            CatalogError::WrongKind { .. } => "42809",
            CatalogError::Recursion(_) => "42P17",
            CatalogError::IdTaken(_) => "XX000",
            CatalogError::Unreadable(_) => "XX001",
        }
    }

    /// The DETAIL line, where Postgres has one.
    pub fn detail(&self) -> Option<String> {
        match self {
            CatalogError::Dependents { detail, .. } => Some(detail.clone()),
            CatalogError::SystemSchema(..) => {
                Some("System catalog modifications are currently disallowed.".to_owned())
            }
            CatalogError::ReservedSchemaName(_) => {
                Some("The prefix \"pg_\" is reserved for system schemas.".to_owned())
            }
            _ => None,
        }
    }

    /// The HINT line, where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            CatalogError::Dependents { .. } => {
                Some("Use DROP ... CASCADE to drop the dependent objects too.".to_owned())
            }
            CatalogError::FunctionReplacement { signature, .. } => {
                Some(format!("Use DROP FUNCTION {signature} first."))
            }
            CatalogError::InvalidReplacement { hint, .. } => hint.clone(),
            CatalogError::Overloaded(signature) => {
                Some(format!("Take another name, or drop {signature} first."))
            }
            _ => None,
        }
    }
}
