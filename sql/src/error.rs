//! What a client is told when a statement fails: SQLSTATE, message, detail, hint, position, as
//! PostgreSQL says them.
//!
//! Law: every failure of this crate is a [`SqlError`]. One of ours may travel through DataFusion as
//! `DataFusionError::External` and comes out unchanged; everything DataFusion says by itself is
//! translated in [`datafusion`], the one place that knows its wordings.
//!
//! Messages are lower case without a final period; positions count characters of the statement's
//! text from 1.

pub mod datafusion;
mod similar;

use std::fmt;

/// Five characters, as in PostgreSQL's appendix A.
pub type SqlState = &'static str;

/// The SQLSTATEs this server raises, by PostgreSQL's names for them.
pub mod state {
    use super::SqlState;

    pub const SUCCESSFUL_COMPLETION: SqlState = "00000";
    pub const WARNING: SqlState = "01000";
    pub const PROTOCOL_VIOLATION: SqlState = "08P01";
    pub const FEATURE_NOT_SUPPORTED: SqlState = "0A000";
    pub const CARDINALITY_VIOLATION: SqlState = "21000";
    pub const STRING_DATA_RIGHT_TRUNCATION: SqlState = "22001";
    pub const NUMERIC_VALUE_OUT_OF_RANGE: SqlState = "22003";
    pub const NULL_VALUE_NOT_ALLOWED: SqlState = "22004";
    pub const INVALID_DATETIME_FORMAT: SqlState = "22007";
    pub const DATETIME_FIELD_OVERFLOW: SqlState = "22008";
    pub const DIVISION_BY_ZERO: SqlState = "22012";
    pub const INVALID_PRECEDING_OR_FOLLOWING_SIZE: SqlState = "22013";
    pub const INVALID_PARAMETER_VALUE: SqlState = "22023";
    pub const INVALID_REGULAR_EXPRESSION: SqlState = "2201B";
    pub const INVALID_LIMIT: SqlState = "2201W";
    pub const INVALID_OFFSET: SqlState = "2201X";
    pub const INVALID_TEXT_REPRESENTATION: SqlState = "22P02";
    pub const INVALID_BINARY_REPRESENTATION: SqlState = "22P03";
    pub const BAD_COPY_FILE_FORMAT: SqlState = "22P04";
    pub const NOT_NULL_VIOLATION: SqlState = "23502";
    pub const UNIQUE_VIOLATION: SqlState = "23505";
    pub const INVALID_CURSOR_STATE: SqlState = "24000";
    pub const ACTIVE_SQL_TRANSACTION: SqlState = "25001";
    pub const READ_ONLY_SQL_TRANSACTION: SqlState = "25006";
    pub const NO_ACTIVE_SQL_TRANSACTION: SqlState = "25P01";
    pub const IN_FAILED_SQL_TRANSACTION: SqlState = "25P02";
    pub const INVALID_SQL_STATEMENT_NAME: SqlState = "26000";
    pub const DEPENDENT_OBJECTS_STILL_EXIST: SqlState = "2BP01";
    pub const INVALID_CURSOR_NAME: SqlState = "34000";
    pub const INVALID_CATALOG_NAME: SqlState = "3D000";
    pub const INVALID_SCHEMA_NAME: SqlState = "3F000";
    pub const SERIALIZATION_FAILURE: SqlState = "40001";
    pub const DEADLOCK_DETECTED: SqlState = "40P01";
    pub const SYNTAX_ERROR: SqlState = "42601";
    pub const INSUFFICIENT_PRIVILEGE: SqlState = "42501";
    pub const DUPLICATE_COLUMN: SqlState = "42701";
    pub const AMBIGUOUS_COLUMN: SqlState = "42702";
    pub const UNDEFINED_COLUMN: SqlState = "42703";
    pub const UNDEFINED_OBJECT: SqlState = "42704";
    pub const DUPLICATE_ALIAS: SqlState = "42712";
    pub const GROUPING_ERROR: SqlState = "42803";
    pub const DATATYPE_MISMATCH: SqlState = "42804";
    pub const WRONG_OBJECT_TYPE: SqlState = "42809";
    pub const CANNOT_COERCE: SqlState = "42846";
    pub const DUPLICATE_FUNCTION: SqlState = "42723";
    pub const UNDEFINED_FUNCTION: SqlState = "42883";
    pub const UNDEFINED_TABLE: SqlState = "42P01";
    pub const UNDEFINED_PARAMETER: SqlState = "42P02";
    pub const DUPLICATE_CURSOR: SqlState = "42P03";
    pub const DUPLICATE_PREPARED_STATEMENT: SqlState = "42P05";
    pub const DUPLICATE_SCHEMA: SqlState = "42P06";
    pub const DUPLICATE_TABLE: SqlState = "42P07";
    pub const INVALID_COLUMN_REFERENCE: SqlState = "42P10";
    pub const INVALID_FUNCTION_DEFINITION: SqlState = "42P13";
    pub const INVALID_TABLE_DEFINITION: SqlState = "42P16";
    pub const WINDOWING_ERROR: SqlState = "42P20";
    pub const INDETERMINATE_DATATYPE: SqlState = "42P18";
    pub const INVALID_OBJECT_DEFINITION: SqlState = "42P17";
    pub const DISK_FULL: SqlState = "53100";
    pub const PROGRAM_LIMIT_EXCEEDED: SqlState = "54000";
    pub const STATEMENT_TOO_COMPLEX: SqlState = "54001";
    pub const TOO_MANY_COLUMNS: SqlState = "54011";
    pub const OBJECT_NOT_IN_PREREQUISITE_STATE: SqlState = "55000";
    pub const CANT_CHANGE_RUNTIME_PARAM: SqlState = "55P02";
    pub const OUT_OF_MEMORY: SqlState = "53200";
    pub const QUERY_CANCELED: SqlState = "57014";
    pub const ADMIN_SHUTDOWN: SqlState = "57P01";
    pub const IO_ERROR: SqlState = "58030";
    pub const INTERNAL_ERROR: SqlState = "XX000";
}

/// An error of the user's, as the wire carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    pub code: SqlState,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// Character of the statement's text, from 1.
    pub position: Option<usize>,
    /// Where it happened, when that is not in the statement: `COPY t, line 3, column x: "abc"`.
    pub context: Option<Box<str>>,
}

impl SqlError {
    pub fn new(code: SqlState, message: impl Into<String>) -> Self {
        SqlError {
            code,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            context: None,
        }
    }

    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn with_context(mut self, context: impl Into<Box<str>>) -> Self {
        self.context = Some(context.into());
        self
    }

    /// Sets the position unless one is known already: the innermost knows best.
    pub fn at(mut self, position: impl Into<Option<usize>>) -> Self {
        self.position = self.position.or(position.into());
        self
    }

    /// 0A000: understood, and not done here.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(state::FEATURE_NOT_SUPPORTED, message)
    }

    pub fn syntax(message: impl Into<String>) -> Self {
        Self::new(state::SYNTAX_ERROR, message)
    }

    /// XX000: ours, not the user's.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(state::INTERNAL_ERROR, message)
    }

    pub fn undefined_table(name: impl fmt::Display) -> Self {
        Self::new(state::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist"))
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SqlError {}

impl From<SqlError> for ::datafusion::error::DataFusionError {
    fn from(error: SqlError) -> Self {
        ::datafusion::error::DataFusionError::External(Box::new(error))
    }
}

impl From<::datafusion::error::DataFusionError> for SqlError {
    fn from(error: ::datafusion::error::DataFusionError) -> Self {
        datafusion::translate(error)
    }
}

impl From<arrow::error::ArrowError> for SqlError {
    fn from(error: arrow::error::ArrowError) -> Self {
        datafusion::translate(error.into())
    }
}

/// Something the client is told beside the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub code: SqlState,
    pub message: String,
    pub hint: Option<String>,
}

impl Notice {
    pub fn new(message: impl Into<String>) -> Self {
        Notice { code: state::SUCCESSFUL_COMPLETION, message: message.into(), hint: None }
    }
}
